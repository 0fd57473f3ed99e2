//! Lives of a partition, simulated: random work on the model disk, which is stopped at any
//! operation, fails or fills up; then the process dies or the power is cut, and the next life
//! recovers what is left.
//!
//! - Whatever was reported durable is there after a power cut, and all that was appended is there
//!   after the death of a process. What follows is a part of what was appended, from its beginning.
//! - No record is invented, or is back from an earlier life. Deleted records stay deleted.
//! - Offsets go on: none is given again that was durable, or deleted.
//! - While a partition lives, all of it can be read.
//!
//! `RINGLOG_SEEDS` says how many seeds are tried, from `RINGLOG_FIRST_SEED` on, and `RINGLOG_SEED` names one.

use super::*;
use crate::disk::model::{Op, Random};
use std::io::ErrorKind;

/// As many as take some seconds.
const SEEDS: u64 = 4_000;

const LIVES: u64 = 5;

/// What a range of offsets holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Content {
    /// Records of this variant.
    Records(u64),
    Gap,
}

/// What should be there.
#[derive(Debug, Default)]
struct Expected {
    /// What was appended, in order.
    appended: Vec<(Range<u64>, Content)>,
    /// The end of what was appended without an error.
    written_end: u64,
    /// What was reported durable.
    durable_end: u64,
    /// Records before this one were deleted durably.
    deleted_before: u64,
    /// No record from this one on was removed.
    removed_before: u64,
}

impl Expected {
    fn content(&self, offset: u64) -> Content {
        let after = self
            .appended
            .partition_point(|(range, _)| range.start <= offset);
        let found = after.checked_sub(1).map(|at| self.appended[at].clone());
        match found {
            Some((range, content)) if range.contains(&offset) => content,
            _ => panic!("offset {offset} was never appended"),
        }
    }

    fn end(&self) -> u64 {
        let last = self.appended.last();
        last.map_or(0, |(range, _)| range.end)
            .max(self.removed_before)
    }

    /// The log ends at `end` now.
    fn cut(&mut self, end: u64) {
        self.appended.retain(|(range, _)| range.start < end);
        if let Some((range, _)) = self.appended.last_mut() {
            range.end = range.end.min(end);
        }
        self.written_end = end;
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    PowerCut,
    Death,
}

struct Life {
    seed: u64,
    disk: ModelDisk,
    random: Random,
    expected: Expected,
    files: Arc<PartitionFiles>,
    file_bytes: u64,
    /// The weights of the kinds of steps: of appends, gaps, syncs and removals.
    weights: [u64; 4],
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut random = Random(seed);
        let disk = ModelDisk::new(seed);
        let file_bytes = [10_000, 20_000, 100_000][random.below(3) as usize];
        let weights = [8, random.below(3), random.below(6), random.below(3)];
        let files = create(&disk, file_bytes);
        Life {
            seed,
            disk,
            random,
            expected: Expected::default(),
            files,
            file_bytes,
            weights,
        }
    }

    /// Works until the machine stops, or something has failed by which a partition stops.
    fn live(&mut self) {
        self.disk.stop_after(self.random.below(60));
        if self.random.below(4) == 0 {
            let changing: Vec<Op> = Op::ALL.into_iter().filter(|op| op.changes()).collect();
            let op = changing[self.random.below(changing.len() as u64) as usize];
            let passed = self.random.below(10);
            self.disk.fail_nth(op, passed, ErrorKind::Other);
        }
        let fills = self.random.below(4) == 0;
        if fills {
            self.disk.set_free(Some(self.random.below(200_000)));
        }
        while !self.disk.is_stopped() {
            match self.step() {
                Err(error) if error.is_full() => {
                    let made_room = self.files.remove_oldest();
                    self.removed_up_to(match &made_room {
                        Ok(_) => self.files.start(),
                        // It may be done all the same.
                        Err(_) => self.files.written_end(),
                    });
                    if !made_room.unwrap_or(false) || self.random.coin() {
                        self.disk.set_free(None);
                    }
                }
                Err(error) => {
                    self.files.stop(error);
                    break;
                }
                Ok(()) => {}
            }
            if self.random.below(16) == 0 && !self.disk.is_stopped() {
                self.check_readable();
            }
        }
        self.disk.set_free(None);
    }

    /// One step; an error that stops the partition, or of a full disk.
    fn step(&mut self) -> Result<(), StorageError> {
        let done = self.random_step();
        self.note_durable_end();
        self.trace("step", &done);
        done
    }

    /// What is reported durable must be there later.
    fn note_durable_end(&mut self) {
        let durable_end = self.files.durable_end();
        self.expected.durable_end = self.expected.durable_end.max(durable_end);
    }

    /// For the one seed that is named, says what happens.
    fn trace(&self, what: &str, done: &dyn std::fmt::Debug) {
        if std::env::var("RINGLOG_SEED").is_ok() {
            let (start, end) = (self.files.start(), self.files.written_end());
            let durable = self.files.durable_end();
            let operations = self.disk.operations();
            eprintln!("{operations}: {what}: {start}, {durable}, {end}: {done:?}");
        }
    }

    fn random_step(&mut self) -> Result<(), StorageError> {
        let mut choice = self.random.below(self.weights.iter().sum());
        for (kind, weight) in self.weights.into_iter().enumerate() {
            if choice < weight {
                return match kind {
                    0 => self.append(),
                    1 => self.append_gap(),
                    2 => self.sync(),
                    _ => self.remove(),
                };
            }
            choice -= weight;
        }
        Ok(())
    }

    /// Enters what is appended, before it is: what was not reported may be there.
    fn appending(&mut self, offsets: u64, content: Content) -> u64 {
        let first = self.files.written_end();
        self.expected.cut(first);
        let range = first..first + offsets;
        self.expected.appended.push((range, content));
        first
    }

    fn append(&mut self) -> Result<(), StorageError> {
        // Few sizes and variants: chunks of two lives are alike often, at the same place.
        let count = [1, 3, 3, 40, 200][self.random.below(5) as usize];
        let variant = self.random.below(2);
        self.appending(count, Content::Records(variant));
        append_variant(&self.files, count, variant)?;
        self.expected.written_end = self.files.written_end();
        Ok(())
    }

    fn append_gap(&mut self) -> Result<(), StorageError> {
        let offsets = [1, 5, 1 << 33][self.random.below(3) as usize];
        let first = self.appending(offsets, Content::Gap);
        self.files.append_gap(first + offsets)?;
        self.expected.written_end = self.files.written_end();
        Ok(())
    }

    /// A sync, during which more is appended and removed.
    fn sync(&mut self) -> Result<(), StorageError> {
        let Some(job) = self.files.begin_sync() else {
            return Ok(());
        };
        for _ in 0..self.random.below(3) {
            let done = match self.random.below(4) {
                0 => self.remove(),
                _ => self.append(),
            };
            if let Err(error) = done {
                if !error.is_full() {
                    return Err(error);
                }
            }
        }
        let fails = self.random.below(30) == 0;
        if fails {
            self.disk.fail_sync_once();
        }
        match job.run() {
            Ok(end) => {
                assert!(!fails, "seed {}: a failed sync is reported", self.seed);
                self.expected.durable_end = self.expected.durable_end.max(end);
                assert!(self.files.durable_end() >= end);
                Ok(())
            }
            Err(error) => {
                // A full disk is no excuse: a sync is never tried again.
                assert!(!error.is_full(), "seed {}: {error}", self.seed);
                Err(error)
            }
        }
    }

    fn removed_up_to(&mut self, start: u64) {
        self.expected.removed_before = self.expected.removed_before.max(start);
    }

    /// Retention and deletion. What fails is tried again some time, or not.
    fn remove(&mut self) -> Result<(), StorageError> {
        if self.random.coin() {
            let (start, end) = (self.files.start(), self.files.written_end());
            let offset = match self.random.below(4) {
                0 => end,
                _ => start + self.random.below((end - start).min(300) + 1),
            };
            self.removed_up_to(offset);
            self.trace("deletion", &offset);
            if self.files.delete_before(offset).is_ok() {
                assert!(self.files.start() >= offset);
                self.expected.deleted_before = self.expected.deleted_before.max(offset);
            }
        } else {
            let (time, bytes) = match self.random.below(3) {
                0 => (Some(0), None),
                _ => (None, Some(15_000)),
            };
            let done = self.files.apply_retention(time, bytes, write::now_ms() + 1);
            // A removal that was not reported may be done.
            self.trace("retention", &(time, bytes, &done));
            let start = done.unwrap_or(self.files.written_end());
            self.removed_up_to(start);
        }
        Ok(())
    }

    /// All that was appended can be read, exactly.
    fn check_readable(&self) {
        let (seed, expected) = (self.seed, &self.expected);
        let back = read_all(&self.files);
        assert_eq!(back.damaged, [], "seed {seed}");
        let mut at = self.files.start();
        let mut gaps = back.gaps.iter();
        let mut records = back.records.iter();
        while at < self.files.written_end() {
            match expected.content(at) {
                Content::Gap => {
                    let gap = gaps.next().unwrap();
                    assert_eq!(gap.start, at, "seed {seed}");
                    assert_eq!(expected.content(gap.end - 1), Content::Gap, "seed {seed}");
                    at = gap.end;
                }
                Content::Records(variant) => {
                    let (offset, found) = records.next().unwrap();
                    assert_eq!(*offset, at, "seed {seed}");
                    assert_eq!(
                        *found,
                        variant_value(at, variant),
                        "seed {seed}: offset {at}"
                    );
                    at += 1;
                }
            }
        }
        assert_eq!((gaps.next(), records.next()), (None, None), "seed {seed}");
    }

    /// Ends the life, and begins the next one; after some attempts that are interrupted.
    fn end(&mut self, mut end: End) {
        let is_marked = || {
            let names = self.disk.names(Path::new(DIR));
            names.iter().any(|name| name == write::SYNC_FAILED)
        };
        let has_failed_sync = self.disk.has_failed(Op::Sync);
        if self.disk.has_failed(Op::SyncDir) || has_failed_sync && !is_marked() {
            // Another process has no way to know which names are durable; nor what is, if the one
            // that saw a sync fail died before it could say so.
            end = End::PowerCut;
        }
        let (seed, mut had_power) = (self.seed, !has_failed_sync);
        self.trace("end", &end);
        let mut ends = |disk: &ModelDisk, end: End| match end {
            End::PowerCut => {
                had_power = false;
                disk.restart();
            }
            End::Death => disk.kill(),
        };
        ends(&self.disk, end);
        for _ in 0..self.random.below(3) {
            self.disk.stop_after(self.random.below(8));
            let _ = try_recover(&self.disk, self.file_bytes);
            let end = if self.random.coin() {
                End::PowerCut
            } else {
                End::Death
            };
            ends(&self.disk, end);
        }
        let (files, found) = recover(&self.disk, self.file_bytes);
        self.files = files;
        let expected = &mut self.expected;
        let (start, end) = (self.files.start(), self.files.written_end());
        assert_eq!((start, end), (found.start, found.end), "seed {seed}");
        let lost = |what: u64| {
            let Expected {
                written_end: written,
                durable_end: durable,
                deleted_before: deleted,
                removed_before: removed,
                ..
            } = *expected;
            format!(
                "seed {seed}: {what}, written {written}, durable {durable}, deleted {deleted}, \
                 removed {removed}, appended {}: {found:#?}",
                expected.end()
            )
        };
        assert!(end >= expected.durable_end, "{}", lost(end));
        assert!(end >= expected.deleted_before, "{}", lost(end));
        assert!(!had_power || end >= expected.written_end, "{}", lost(end));
        assert!(end <= expected.end(), "{}", lost(end));
        assert!(start >= expected.deleted_before, "{}", lost(start));
        assert!(start <= expected.removed_before, "{}", lost(start));
        // A file whose header was being written is reported although it had nothing.
        let aside = found.set_aside.iter();
        let aside = aside.filter(|aside| aside.was_durable && aside.from.is_some());
        assert_eq!(aside.count(), 0, "{}", lost(end));
        expected.cut(end);
        self.note_durable_end();
        self.trace("recovered", &(&found, self.disk.paths()));
        self.check_readable();
    }
}

/// The value of the record at `offset`: of one length in all variants.
fn variant_value(offset: u64, variant: u64) -> Vec<u8> {
    (0..offset % 40)
        .map(|i| (offset + i + variant) as u8)
        .collect()
}

fn append_variant(files: &PartitionFiles, count: u64, variant: u64) -> Result<(), StorageError> {
    let mut buffer = ChunkBuffer::new();
    let first = files.written_end();
    fill_with(&mut buffer, first..first + count, |offset| {
        variant_value(offset, variant)
    });
    files.append(&mut buffer)
}

/// One seed: several lives on one disk.
fn run(seed: u64) {
    let mut life = Life::new(seed);
    for _ in 0..LIVES {
        life.live();
        let end = if life.random.below(3) == 0 {
            End::Death
        } else {
            End::PowerCut
        };
        life.end(end);
    }
}

fn seeds() -> Range<u64> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    match number("RINGLOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("RINGLOG_FIRST_SEED").unwrap_or(0);
            first..first + number("RINGLOG_SEEDS").unwrap_or(SEEDS)
        }
    }
}

#[test]
fn nothing_durable_is_lost_and_nothing_is_invented_over_several_lives() {
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
