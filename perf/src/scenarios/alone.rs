//! The same producer alone: it sends to a log that drops its oldest records, and nothing reads.
//!
//! What it takes is a producer's own cost. A pair of a producer and a consumer that takes more per
//! message loses the difference in what the two cores transfer, or in the consumer.

use super::scenario::{Candidate, PAYLOAD};
use crate::failure::Failure;
use crate::machine::cores::producer_core;
use crate::measure::job::{Job, Outcome};
use crate::measure::threads::{Worker, elapsed, run_together};
use crate::message::content::stream;
use crate::message::source::Source;
use crate::message::tail::TailTally;
use crate::systems::ringlog_default::{Key, config, key};
use crate::systems::system::SystemKind;
use crate::versions::version;
use ringlog::{
    Broker, Consumer, ConsumerConfig, ManualClock, Overflow, Producer, Record, Timestamps,
};
use std::hint::black_box;
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// Spin hints of a thread that never waits.
const NO_SPINS: u32 = 0;

/// Where the records' times come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// The system's clock: the default.
    System,
    /// A clock that stands still.
    Manual,
    /// Records have none.
    None,
}

/// A producer with the default settings but for these, alone.
pub(super) fn candidate(name: &str, keys: bool, times: Times) -> Candidate {
    Candidate {
        system: format!("ringlog, {name}"),
        version: version("ringlog").to_owned(),
        kind: SystemKind::Ringlog,
        run: Box::new(move |job| {
            if keys {
                on_producer_core(job, |job| run::<true>(job, times))
            } else {
                on_producer_core(job, |job| run::<false>(job, times))
            }
        }),
    }
}

/// The least that a keyed send with a time does: it reads the clock, hashes the key, and stores the
/// same bytes into as much memory.
pub(super) fn floor() -> Candidate {
    Candidate {
        system: "clock, hash and stores".to_owned(),
        version: String::new(),
        kind: SystemKind::Floor,
        run: Box::new(|job| on_producer_core(job, floor_run)),
    }
}

/// Runs `run` on a thread that is pinned to the core of the first producer.
fn on_producer_core(
    job: &Job<'_>,
    run: impl FnOnce(&Job<'_>) -> Result<(Instant, Instant), Failure> + Send,
) -> Result<Outcome, Failure> {
    let worker = Worker::new(producer_core(0), |ready, _| {
        ready.wait();
        run(job)
    });
    let spans = run_together(job, NO_SPINS, vec![worker])?;
    Ok(Outcome::of_time(job.messages, elapsed(&spans)))
}

fn run<const KEYS: bool>(job: &Job<'_>, times: Times) -> Result<(Instant, Instant), Failure> {
    let shape = &job.shape;
    let config = config(shape.ring_bytes, shape.partitions)?.overflow(Overflow::DropOldest);
    let config = match times {
        Times::System => config,
        Times::Manual => config.clock(ManualClock::system()),
        Times::None => config.timestamps(Timestamps::Given),
    };
    let broker = Broker::new();
    let topic = broker.create_topic("alone", config)?;
    let keys = (0..shape.streams).map(key).collect::<Result<Vec<_>, _>>()?;
    let (mut producer, source) = (topic.producer(), Source::new(0, shape.streams));
    let begin = Instant::now();
    send::<KEYS>(&mut producer, source, &keys, job)?;
    let end = Instant::now();
    let ends = (0..topic.partitions()).map(|partition| topic.log_end_offset(partition));
    let sent: u64 = ends.sum::<Result<u64, _>>()?;
    if sent != job.messages {
        return Err(format!("the log got {sent} messages instead of {}", job.messages).into());
    }
    let mut reader = broker.consumer(ConsumerConfig::new())?;
    reader.subscribe(["alone"])?;
    check::<KEYS>(&mut reader, &keys, job, times != Times::None)?;
    Ok((begin, end))
}

fn send<const KEYS: bool>(
    producer: &mut Producer,
    mut source: Source<PAYLOAD, 1>,
    keys: &[Key],
    job: &Job<'_>,
) -> Result<(), Failure> {
    let mut sent = 0;
    while sent < job.messages {
        for [message] in source.next() {
            let record = Record::new(message);
            producer.send(if KEYS {
                record.key(&keys[stream(message)])
            } else {
                record.partition((stream(message) % job.shape.partitions) as u32)
            })?;
            sent += 1;
        }
    }
    Ok(())
}

/// Reads all that the log still has.
fn check<const KEYS: bool>(
    reader: &mut Consumer,
    keys: &[Key],
    job: &Job<'_>,
    timed: bool,
) -> Result<(), Failure> {
    let mut tally = TailTally::new(job.shape.streams);
    for assigned in reader.assignment() {
        reader.seek_to_beginning(&assigned)?;
    }
    loop {
        let batch = reader.try_poll()?;
        if batch.is_empty() {
            break;
        }
        for record in &batch {
            let message = record.value_bytes().try_into()?;
            tally.read::<PAYLOAD>(message);
            let key = keys.get(stream(message)).filter(|_| KEYS);
            if record.key() != key.map(|key| &key[..]) {
                return Err("a record has another key".into());
            }
            if record.timestamp().is_some() != timed {
                return Err("a record has a time that it should not have, or none".into());
            }
        }
    }
    // Each record takes 104 bytes or less, and a log that drops its oldest keeps most of its ring.
    let least = (job.shape.ring_bytes / 104 / 4) as u64;
    tally.check(
        job.messages / job.shape.streams as u64,
        least.min(job.messages),
    )
}

/// Bytes of a record: its descriptor, time, key's length and key, then the value.
const HEAD: usize = 32;

fn floor_run(job: &Job<'_>) -> Result<(Instant, Instant), Failure> {
    let shape = &job.shape;
    let keys = (0..shape.streams).map(key).collect::<Result<Vec<_>, _>>()?;
    let frames = shape.ring_bytes / shape.partitions / (HEAD + PAYLOAD);
    let frame = [0u8; HEAD + PAYLOAD];
    let mut partitions = black_box(vec![(vec![frame; frames], 0usize); shape.partitions]);
    let mut source = Source::<PAYLOAD, 1>::new(0, shape.streams);
    let mut newest = vec![0; shape.partitions];
    let begin = Instant::now();
    let mut sent = 0;
    while sent < job.messages {
        for [message] in source.next() {
            let key = &keys[stream(message)];
            let hash = u128::from(xxh3_64(key)) * shape.partitions as u128;
            let partition = (hash >> 64) as usize;
            let (frames, next) = &mut partitions[partition];
            let frame = &mut frames[*next];
            frame[..8].copy_from_slice(&sent.to_ne_bytes());
            frame[8..16].copy_from_slice(&now_ms().to_ne_bytes());
            frame[16..24].copy_from_slice(&key.len().to_ne_bytes());
            frame[24..HEAD].copy_from_slice(key);
            frame[HEAD..].copy_from_slice(message);
            newest[partition] = *next;
            *next = if *next + 1 == frames.len() {
                0
            } else {
                *next + 1
            };
            sent += 1;
        }
    }
    let end = Instant::now();
    let mut tally = TailTally::new(shape.streams);
    for ((frames, next), newest) in partitions.iter().zip(newest) {
        let (after, before) = (&frames[*next..], &frames[..*next]);
        // What a short run has not reached is still zero.
        let stored = |frame: &&[u8; HEAD + PAYLOAD]| frame[24] != 0;
        for frame in after.iter().chain(before).filter(stored) {
            tally.read::<PAYLOAD>(frame[HEAD..].try_into()?);
        }
        if frames[newest][8..16] == [0; 8] {
            return Err("the clock shows 1970".into());
        }
    }
    tally.check(job.messages / shape.streams as u64, frames as u64 / 4)?;
    Ok((begin, end))
}

/// The clock that ringlog reads.
#[cfg(target_os = "linux")]
fn now_ms() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// The clock that ringlog reads.
#[cfg(not(target_os = "linux"))]
fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::super::scenario::{Case, MessageCount};
    use super::super::tests::plan;
    use super::*;
    use crate::systems::system::Shape;
    use ringlog::TopicConfig;

    /// What `check` says about a log with these records: sequence, key, time.
    fn verdict(records: &[(u64, &str, Option<i64>)]) -> String {
        let plan = plan();
        let shape = Shape::one_to_one(1024);
        let case = Case {
            label: String::new(),
            payload: PAYLOAD,
            batch: 1,
            shape,
            rate: None,
            messages: MessageCount::Fit { least: 1, most: 1 },
            candidates: Vec::new(),
        };
        // 16 messages of one stream.
        let job = case.job(&plan, 16);
        let messages = Source::<PAYLOAD, 1>::new(0, 1).next().to_vec();
        let broker = Broker::new();
        let config = TopicConfig::new().timestamps(Timestamps::Given);
        let topic = broker.create_topic("alone", config).unwrap();
        let mut producer = topic.producer();
        for &(sequence, key, time) in records {
            let mut record = Record::new(&messages[sequence as usize][0]).key(key);
            record.timestamp = time;
            producer.send(record).unwrap();
        }
        let mut reader = broker.consumer(ConsumerConfig::new()).unwrap();
        reader.subscribe(["alone"]).unwrap();
        match check::<true>(&mut reader, &[key(0).unwrap()], &job, true) {
            Ok(()) => String::new(),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn the_newest_records_are_checked() {
        let right = |sequence| (sequence, "user-000", Some(1));
        let newest: Vec<_> = (10..16).map(right).collect();
        assert_eq!(verdict(&newest), "");
        assert_eq!(
            verdict(&newest[..5]),
            "the last message of stream 0 was 14, not 15"
        );
        assert_eq!(
            verdict(&[newest[0], newest[2]]),
            "a message was changed, or arrived out of order"
        );
        assert_eq!(
            verdict(&[(15, "user-001", Some(1))]),
            "a record has another key"
        );
        assert_eq!(
            verdict(&[(15, "user-000", None)]),
            "a record has a time that it should not have, or none"
        );
        assert_eq!(verdict(&[]), "the log has 0 messages instead of 2 or more");
    }
}
