//! Stepping through what is in the log, by one thread, while nothing sends.
//!
//! What a record costs to read depends on how it was sent, since that decides the frame it lies in,
//! and on what is looked at: memory that nothing looks at is not loaded.

use super::scenario::{Candidate, Case, MessageCount, PAYLOAD, Scenario, ScenarioOptions};
use crate::failure::Failure;
use crate::machine::cores::consumer_core;
use crate::measure::job::{Job, Outcome};
use crate::measure::threads::{Worker, run_together};
use crate::message::content::stream;
use crate::message::source::Source;
use crate::systems::ringlog_default::{Key, key};
use crate::systems::system::{Shape, SystemKind};
use crate::versions::version;
use ringlog::{
    Batch, Broker, Consumer, ConsumerConfig, Destination, Producer, Record, RecordRef, TopicConfig,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

const PARTITIONS: usize = 3;
const KEYS: usize = 256;
const TOPIC: &str = "read";

/// How the records were sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Singly,
    /// By `send_batch`, this many at a time.
    Batches(usize),
    /// By `send_values`, this many at a time.
    Values(usize),
    /// One record, a batch of 4 and a batch of 250 in turn.
    Mixed,
}

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Nothing: the batch has a number of records.
    Count,
    Offset,
    /// The value's first byte.
    Value,
    /// The value's first byte and the key's last.
    ValueAndKey,
    /// The same by `Iterator::for_each`.
    ForEach,
}

impl Look {
    const ALL: [(Look, &str); 5] = [
        (Look::Count, "only counted"),
        (Look::Offset, "offset of each"),
        (Look::Value, "value's first byte"),
        (Look::ValueAndKey, "first byte of value, last of key"),
        (Look::ForEach, "the same, for_each"),
    ];
}

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    let large = PARTITIONS * options.ring_bytes / PAYLOAD;
    let small = large / 12;
    let mut cases = Vec::new();
    for (records, in_cache) in [(large, false), (small, true)] {
        for (look, label) in Look::ALL {
            // Where the records are matters most where all of a record is looked at.
            if options.quick && in_cache && look != Look::ValueAndKey {
                continue;
            }
            cases.push(case(look, label, records));
        }
    }
    Scenario {
        name: "read",
        about: "what is in the log, read again and again by one thread while nothing sends: ns a \
                record, by how it was sent and by what is looked at; 3 partitions; 64 B, keys of \
                8 B",
        cases,
    }
}

fn case(look: Look, label: &str, records: usize) -> Case {
    let mut candidates: Vec<Candidate> = [
        ("send, no keys", Sent::Singly, false),
        ("send, keys", Sent::Singly, true),
        ("send_batch of 250, no keys", Sent::Batches(250), false),
        ("send_batch of 250, keys", Sent::Batches(250), true),
        ("send_batch of 4, keys", Sent::Batches(4), true),
        ("send_values of 250", Sent::Values(250), false),
        ("mixed, keys", Sent::Mixed, true),
    ]
    .map(|(name, sent, keys)| candidate(name, sent, keys, look, records))
    .into();
    if matches!(look, Look::Value | Look::ValueAndKey) {
        candidates.push(Candidate {
            system: "a slice in memory".to_owned(),
            version: String::new(),
            kind: SystemKind::Floor,
            run: Box::new(move |job| on_consumer_core(job, || slice(job, look, records))),
        });
    }
    Case {
        label: format!("{label}, {records} records"),
        payload: PAYLOAD,
        batch: 1,
        shape: Shape {
            producers: 0,
            partitions: PARTITIONS,
            ..Shape::one_to_one(0)
        },
        rate: None,
        messages: MessageCount::Fit {
            least: records as u64,
            most: 1 << 22,
        },
        candidates,
    }
}

fn candidate(name: &str, sent: Sent, keys: bool, look: Look, records: usize) -> Candidate {
    Candidate {
        system: format!("ringlog, {name}"),
        version: version("ringlog").to_owned(),
        kind: SystemKind::Ringlog,
        run: Box::new(move |job| {
            on_consumer_core(job, || {
                let (mut consumer, expected) = fill(sent, keys, records)?;
                let expected = expected.of(look);
                read_all(job, records, expected, || match look {
                    Look::Count => pass(&mut consumer, records, |_| 0),
                    Look::Offset => pass(&mut consumer, records, |batch| each(batch, offset)),
                    Look::Value => pass(&mut consumer, records, |batch| each(batch, value)),
                    Look::ValueAndKey => pass(&mut consumer, records, |batch| each(batch, both)),
                    Look::ForEach => pass(&mut consumer, records, |batch| {
                        let mut sum = 0u64;
                        batch.iter().for_each(|r| sum = sum.wrapping_add(both(&r)));
                        sum
                    }),
                })
            })
        }),
    }
}

#[inline(always)]
fn each(batch: &Batch<'_>, look: impl Fn(&RecordRef<'_>) -> u64) -> u64 {
    let mut sum = 0u64;
    for record in batch {
        sum = sum.wrapping_add(look(&record));
    }
    sum
}

#[inline(always)]
fn offset(record: &RecordRef<'_>) -> u64 {
    record.offset()
}

#[inline(always)]
fn value(record: &RecordRef<'_>) -> u64 {
    u64::from(record.value_bytes()[0])
}

#[inline(always)]
fn both(record: &RecordRef<'_>) -> u64 {
    value(record) + record.key().map_or(0, |key| u64::from(key[key.len() - 1]))
}

/// Runs `run` on a thread that is pinned to the core of the first consumer.
fn on_consumer_core(
    job: &Job<'_>,
    run: impl FnOnce() -> Result<Outcome, Failure> + Send,
) -> Result<Outcome, Failure> {
    let mut outcome = None;
    {
        let outcome = &mut outcome;
        let worker = Worker::new(consumer_core(0, 1), move |ready, _| {
            ready.wait();
            let begin = Instant::now();
            *outcome = Some(run()?);
            Ok((begin, Instant::now()))
        });
        run_together(job, 0, vec![worker])?;
    }
    outcome.ok_or_else(|| "the reader returned nothing".into())
}

/// The sums of one pass over all records.
#[derive(Clone, Copy, Default)]
struct Sums {
    offsets: u64,
    values: u64,
    keys: u64,
}

impl Sums {
    fn of(self, look: Look) -> u64 {
        match look {
            Look::Count => 0,
            Look::Offset => self.offsets,
            Look::Value => self.values,
            Look::ValueAndKey | Look::ForEach => self.values + self.keys,
        }
    }
}

/// Reads pass after pass until enough records are read. Only the passes are timed, and each is
/// checked.
fn read_all(
    job: &Job<'_>,
    records: usize,
    expected: u64,
    mut pass: impl FnMut() -> Result<(Duration, usize, u64), Failure>,
) -> Result<Outcome, Failure> {
    let (mut time, mut messages) = (Duration::ZERO, 0);
    while messages < job.messages {
        let (took, read, sum) = pass()?;
        if (read, sum) != (records, expected) {
            return Err(format!(
                "{read} records with sum {sum} were read, not {records} with {expected}"
            )
            .into());
        }
        time += took;
        messages += read as u64;
    }
    Ok(Outcome::of_time(messages, time))
}

/// Reads all records once: how long it took, their number, and the sum of what was looked at.
#[inline(always)]
fn pass(
    consumer: &mut Consumer,
    records: usize,
    look: impl Fn(&Batch<'_>) -> u64,
) -> Result<(Duration, usize, u64), Failure> {
    for partition in 0..PARTITIONS as u32 {
        consumer.seek((TOPIC, partition), 0)?;
    }
    let (mut read, mut sum) = (0, 0u64);
    let begin = Instant::now();
    while read < records {
        let batch = consumer.try_poll()?;
        if batch.is_empty() {
            break;
        }
        read += batch.len();
        sum = sum.wrapping_add(look(&batch));
    }
    let took = begin.elapsed();
    Ok((took, read, black_box(sum)))
}

/// The records of a log, by their numbers.
struct Content {
    messages: Vec<[u8; PAYLOAD]>,
    keys: Vec<Key>,
}

impl Content {
    fn new(records: usize) -> Result<Content, Failure> {
        let mut source = Source::<PAYLOAD, 1>::new(0, KEYS);
        let mut messages = Vec::new();
        while messages.len() < records {
            messages.extend(source.next().iter().flatten());
        }
        messages.truncate(records);
        let keys = (0..KEYS).map(key).collect::<Result<_, _>>()?;
        Ok(Content { messages, keys })
    }

    fn key(&self, i: usize) -> &Key {
        &self.keys[stream(&self.messages[i])]
    }

    fn record(&self, i: usize, keyed: bool) -> Record<'_> {
        let record = Record::new(&self.messages[i]);
        if keyed {
            record.key(self.key(i))
        } else {
            record.partition((i % PARTITIONS) as u32)
        }
    }

    fn sums(&self, keyed: bool) -> Sums {
        let mut sums = Sums::default();
        for (i, message) in self.messages.iter().enumerate() {
            sums.values += u64::from(message[0]);
            if keyed {
                sums.keys += u64::from(self.key(i)[7]);
            }
        }
        sums
    }
}

/// A log with these records, a consumer of it, and the sums of one pass.
fn fill(sent: Sent, keyed: bool, records: usize) -> Result<(Consumer, Sums), Failure> {
    let content = Content::new(records)?;
    // Room for a third more records than there are, since keys are spread unevenly.
    let config = TopicConfig::new()
        .partitions(PARTITIONS as u32)
        .segments(4)
        .segment_records(u32::try_from(records / 9 + 256)?)
        .segment_bytes((records / 9 + 256) * 104)
        .max_block(Duration::from_secs(1))
        .prefault(true);
    let broker = Broker::new();
    let topic = broker.create_topic(TOPIC, config)?;
    let mut consumer = broker.consumer(ConsumerConfig::new())?;
    consumer.assign((0..PARTITIONS as u32).map(|partition| (TOPIC, partition)))?;
    send(&mut topic.producer(), &content, sent, keyed)?;
    let mut sums = content.sums(keyed);
    for partition in 0..PARTITIONS as u32 {
        let end = topic.log_end_offset(partition)?;
        sums.offsets += end * end.saturating_sub(1) / 2;
    }
    Ok((consumer, sums))
}

fn send(
    producer: &mut Producer,
    content: &Content,
    sent: Sent,
    keyed: bool,
) -> Result<(), Failure> {
    let (mut next, mut turn) = (0, 0);
    while next < content.messages.len() {
        let size = match sent {
            Sent::Singly => 1,
            Sent::Batches(size) | Sent::Values(size) => size,
            Sent::Mixed => [1, 4, 250][turn % 3],
        };
        let range = next..(next + size).min(content.messages.len());
        next = range.end;
        if let Sent::Values(_) = sent {
            let partition = Destination::Partition((turn % PARTITIONS) as u32);
            producer.send_values(partition, &content.messages[range])?;
        } else if size == 1 {
            producer.send(content.record(range.start, keyed))?;
        } else {
            let batch: Vec<_> = range.map(|i| content.record(i, keyed)).collect();
            producer.send_batch(&batch)?;
        }
        turn += 1;
    }
    Ok(())
}

/// The floor: the same keys and values in the order of their numbers, back to back in memory.
fn slice(job: &Job<'_>, look: Look, records: usize) -> Result<Outcome, Failure> {
    let content = Content::new(records)?;
    let pairs = (0..records).map(|i| (*content.key(i), content.messages[i]));
    let pairs: Vec<(Key, [u8; PAYLOAD])> = black_box(pairs.collect());
    let expected = content.sums(true).of(look);
    read_all(job, records, expected, || {
        let begin = Instant::now();
        let mut sum = 0u64;
        for (key, value) in &pairs {
            let key = if look == Look::Value { 0 } else { key[7] };
            sum += u64::from(value[0]) + u64::from(key);
        }
        let sum = black_box(sum);
        Ok((begin.elapsed(), pairs.len(), sum))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_sending_leaves_the_same_records_to_each_look() {
        let ways = [
            (Sent::Singly, false),
            (Sent::Singly, true),
            (Sent::Batches(250), true),
            (Sent::Batches(4), true),
            (Sent::Values(250), false),
            (Sent::Mixed, true),
        ];
        for (sent, keyed) in ways {
            let (mut consumer, sums) = fill(sent, keyed, 1003).unwrap();
            let (_, read, sum) = pass(&mut consumer, 1003, |batch| each(batch, both)).unwrap();
            assert_eq!((read, sum), (1003, sums.values + sums.keys));
            let (_, read, sum) = pass(&mut consumer, 1003, |batch| each(batch, offset)).unwrap();
            assert_eq!((read, sum), (1003, sums.offsets));
        }
    }

    #[test]
    fn a_pass_with_a_wrong_number_or_sum_fails() {
        let plan = super::super::tests::plan();
        let case = case(Look::Value, "", 10);
        let job = case.job(&plan, 10);
        for (read, sum) in [(9, 5), (10, 4)] {
            let pass = || Ok((Duration::from_nanos(1), read, sum));
            let failure = read_all(&job, 10, 5, pass).err().unwrap().to_string();
            let words = format!("{read} records with sum {sum} were read, not 10 with 5");
            assert_eq!(failure, words);
        }
    }
}
