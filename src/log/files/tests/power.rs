//! Power cuts, simulated: random work on the model disk, stopped at any operation.
//!
//! Whatever was reported durable is there, exactly; what follows is a part of what was appended,
//! from its beginning; and nothing else. `RINGLOG_SEEDS` says how many seeds are tried, and
//! `RINGLOG_SEED` names one.

use super::*;
use crate::disk::model::Random;

/// So many that the test takes some seconds.
const SEEDS: u64 = 2_000;

/// What should be there.
#[derive(Default)]
struct Model {
    /// Which life appended each offset, by ranges in order; `None` for a gap.
    written: Vec<(Range<u64>, Option<u64>)>,
    durable_end: u64,
    /// Records before it were deleted durably, or by retention.
    start: u64,
}

impl Model {
    fn end(&self) -> u64 {
        self.written.last().map_or(0, |(range, _)| range.end)
    }

    fn life_of(&self, offset: u64) -> Option<u64> {
        let mut ranges = self.written.iter();
        let found = ranges.find(|(range, _)| range.contains(&offset));
        found
            .unwrap_or_else(|| panic!("offset {offset} was never appended"))
            .1
    }

    /// After a power cut the log ends at `end`.
    fn cut(&mut self, end: u64) {
        self.written.retain(|(range, _)| range.start < end);
        if let Some((range, _)) = self.written.last_mut() {
            range.end = range.end.min(end);
        }
    }
}

/// One seed: several lives on one disk.
fn run(seed: u64) {
    let mut random = Random(seed);
    let disk = ModelDisk::new(seed);
    let mut model = Model::default();
    let file_bytes = [10_000, 20_000, 100_000][random.below(3) as usize];
    let mut files = create(&disk, file_bytes);
    for life in 0..4 {
        disk.stop_at(disk.operations() + 1 + random.below(60));
        while !disk.is_stopped() {
            // What fails is stopped with the machine, or was not done.
            let _ = step(&files, &mut model, &mut random, life);
        }
        let stops = random.below(3);
        disk.restart();
        for _ in 0..stops {
            disk.stop_at(disk.operations() + 1 + random.below(8));
            let _ = try_recover(&disk, file_bytes);
            disk.restart();
        }
        let (recovered, found) = recover(&disk, file_bytes);
        files = recovered;
        check(&files, &mut model, seed, &found);
    }
}

fn step(
    files: &Arc<PartitionFiles>,
    model: &mut Model,
    random: &mut Random,
    life: u64,
) -> Result<(), StorageError> {
    let end = files.written_end();
    match random.below(12) {
        0..6 => {
            let count = 1 + random.below(40);
            // Entered first: what was not reported may be there.
            model.written.push((end..end + count, Some(life)));
            append(files, count, life)?;
        }
        6 => {
            model.written.push((end..end + 5, None));
            files.append_gap(end + 5)?;
        }
        7 => {
            let start = model.start.max(random.below(end + 1));
            let result = files.delete_before(start);
            // It may be done even if it was not reported.
            model.start = model.start.max(start);
            result?;
        }
        8 => {
            let (time, bytes) = match random.below(2) {
                0 => (Some(0), None),
                _ => (None, Some(15_000)),
            };
            let result = files.apply_retention(time, bytes, write::now_ms() + 1);
            // A removal that was not reported may be done.
            let reached = result.as_ref().map_or(end, |&start| start);
            model.start = model.start.max(reached);
            result?;
        }
        9 => {
            // A sync that runs while more is appended.
            let Some(job) = files.begin_sync() else {
                return Ok(());
            };
            let count = 1 + random.below(20);
            model.written.push((end..end + count, Some(life)));
            let _ = append(files, count, life);
            model.durable_end = model.durable_end.max(job.run()?);
        }
        _ => {
            if let Some(job) = files.begin_sync() {
                model.durable_end = model.durable_end.max(job.run()?);
            }
        }
    }
    Ok(())
}

fn check(files: &PartitionFiles, model: &mut Model, seed: u64, found: &Recovery) {
    let (start, end) = (files.start(), files.written_end());
    assert!(
        end >= model.durable_end,
        "seed {seed}: {} was durable, and {end} is left: {found:?}",
        model.durable_end
    );
    assert!(
        end <= model.end().max(model.start),
        "seed {seed}: {end} of {}",
        model.end()
    );
    assert!(
        start <= model.start,
        "seed {seed}: start {start} of {}",
        model.start
    );
    let back = read_all(files);
    assert_eq!(back.damaged, [], "seed {seed}");
    for gap in &back.gaps {
        for offset in gap.clone() {
            assert_eq!(model.life_of(offset), None, "seed {seed}, offset {offset}");
        }
    }
    for (offset, found) in &back.records {
        let Some(life) = model.life_of(*offset) else {
            panic!("seed {seed}: offset {offset} is a gap")
        };
        assert_eq!(*found, value(*offset, life), "seed {seed}, offset {offset}");
    }
    for aside in found.set_aside.iter().filter(|aside| aside.was_durable) {
        // Of a file whose header was being written nothing is known: it is reported all the same.
        assert!(
            aside.from.is_none(),
            "seed {seed}: a power cut is no damage: {found:?}"
        );
    }
    model.cut(end);
    if end > model.end() {
        model.written.push((model.end()..end, None)); // deleted up to there
    }
    model.durable_end = files.durable_end();
}

fn seeds() -> Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("RINGLOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGLOG_SEEDS").unwrap_or(SEEDS),
    }
}

#[test]
fn a_power_cut_loses_nothing_durable_and_invents_nothing() {
    for seed in seeds() {
        run(seed);
    }
}

#[test]
fn a_failed_sync_is_an_error_and_the_partition_stops() {
    let disk = ModelDisk::new(3);
    let files = create(&disk, 10_000);
    append(&files, 10, 0).unwrap();
    sync(&files).unwrap();
    append(&files, 10, 0).unwrap();
    disk.fail_sync_once();
    let error = sync(&files).unwrap_err();
    assert!(files.stop(error.clone()));
    assert_eq!(files.durable_end(), 10);
    assert_eq!(append(&files, 1, 0).unwrap_err(), error);
    assert!(files.begin_sync().is_none(), "it is never tried again");
    disk.restart();
    let (files, _) = recover(&disk, 10_000);
    assert!(files.written_end() >= 10);
}
