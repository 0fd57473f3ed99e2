//! Producers and consumers on many threads: no record is lost, torn, duplicated or out of order.
//!
//! A record's timestamp encodes its producer and sequence number. Its key and value follow from
//! those, so that every byte of a record of any size is known.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{TOPIC, make};
use ringlog::{
    Batch, Broker, Consumer, ConsumerConfig, Destination, ExclusiveProducer, OffsetReset, Overflow,
    Producer, Record, Topic, TopicConfig, WaitStrategy,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A run that hangs fails: no run takes nearly this long, unless a sanitizer slows it down.
fn deadline() -> Duration {
    let seconds = std::env::var("RINGLOG_DEADLINE_SECONDS");
    Duration::from_secs(seconds.map_or(100, |seconds| seconds.parse().unwrap()))
}

/// How many times more records are sent than by default.
fn depth() -> u64 {
    let depth = std::env::var("RINGLOG_DEPTH");
    depth.map_or(1, |depth| depth.parse().unwrap())
}

/// Marks a timestamp as an identity; the times of appends are far below.
const MARK: u64 = 1 << 60;
const KEYS: u64 = 7;

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 32)
}

fn identity(producer: u64, sequence: u64) -> u64 {
    MARK | producer << 40 | sequence
}

fn key_of(id: u64) -> [u8; 2] {
    [b'k', (mix(id + 1) % KEYS) as u8]
}

fn value_of(id: u64, length: usize) -> impl Iterator<Item = u8> {
    (0..length as u64).map(move |i| (mix(id ^ (i / 8)) >> (8 * (i % 8))) as u8)
}

/// The length follows from the identity and the maximum. It is often zero and seldom a whole
/// segment, so that a run spends its time on records and not on bytes.
fn length_of(id: u64, max: usize) -> usize {
    match mix(id + 2) % 128 {
        0 => max,
        1..16 => 0,
        _ => mix(id + 3) as usize % (max.min(200) + 1),
    }
}

#[derive(Clone, Copy)]
struct Shape {
    records: u32,
    bytes: usize,
}

/// Bytes of a record besides its value: index entry in a batch, time, lengths, key.
const OVERHEAD: usize = 8 + 8 + 8 + 8;

/// The largest value of a single send: exactly a full segment.
fn largest(shape: Shape) -> usize {
    shape.bytes - (OVERHEAD - 8)
}

trait Sender: Send + 'static {
    fn one(&mut self, record: Record<'_>);
    fn batch(&mut self, records: &[Record<'_>]);
    fn values(&mut self, values: &[[u64; 2]]);
}

macro_rules! sender {
    ($kind:ty) => {
        impl Sender for $kind {
            fn one(&mut self, record: Record<'_>) {
                self.send(record).unwrap();
            }
            fn batch(&mut self, records: &[Record<'_>]) {
                assert_eq!(self.send_batch(records).unwrap().len(), records.len());
            }
            fn values(&mut self, values: &[[u64; 2]]) {
                self.send_values(Destination::Any, values).unwrap();
            }
        }
    };
}

sender!(Producer);
sender!(ExclusiveProducer);

/// Sends `count` records with every kind of call, in an order that depends on the producer.
fn produce(mut sender: impl Sender, producer: u64, count: u64, shape: Shape) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut sequence = 0;
        while sequence < count {
            let id = identity(producer, sequence);
            let dice = mix(id + 4);
            let many = (1 + dice / 8 % 6)
                .min(count - sequence)
                .min(shape.records.into());
            let ids: Vec<u64> = (sequence..sequence + many)
                .map(|s| identity(producer, s))
                .collect();
            sequence += match dice % 8 {
                0 if 16 + 16 * many as usize <= shape.bytes => {
                    let values: Vec<_> = ids.iter().map(|&id| [id, mix(id)]).collect();
                    sender.values(&values);
                    many
                }
                1 | 2 if (8 + (OVERHEAD + 8) * many as usize) <= shape.bytes => {
                    let share = (shape.bytes - 8) / many as usize;
                    let max = (share - OVERHEAD) / 8 * 8;
                    let parts: Vec<(Vec<u8>, [u8; 2])> = ids
                        .iter()
                        .map(|&id| (value_of(id, length_of(id, max)).collect(), key_of(id)))
                        .collect();
                    let records: Vec<_> = parts
                        .iter()
                        .zip(&ids)
                        .map(|((value, key), &id)| Record::new(value).key(key).timestamp(id as i64))
                        .collect();
                    sender.batch(&records);
                    many
                }
                _ => {
                    let value: Vec<u8> = value_of(id, length_of(id, largest(shape))).collect();
                    sender.one(Record::new(&value).key(&key_of(id)).timestamp(id as i64));
                    1
                }
            };
        }
    })
}

/// What one consumer has read, and the rules that it checks.
#[derive(Default)]
struct Seen {
    next: HashMap<u32, u64>,
    /// The last sequence number of each producer in each partition.
    last: HashMap<(u64, u32), u64>,
    keys: HashMap<Vec<u8>, u32>,
    records: u64,
    lost: u64,
}

impl Seen {
    fn batch(&mut self, batch: &Batch<'_>) {
        let Some(partition) = batch.partition() else {
            return;
        };
        self.lost += batch.lost();
        for (i, record) in batch.iter().enumerate() {
            let lost = if i == 0 { batch.lost() } else { 0 };
            // A consumer that begins in the middle accepts any first offset.
            let next = self.next.entry(partition).or_insert(record.offset() - lost);
            assert_eq!(record.offset(), *next + lost, "offsets are dense");
            *next = record.offset() + 1;
            let id = check_record(record.timestamp(), record.key(), record.value_bytes());
            if let Some(key) = record.key() {
                let home = *self.keys.entry(key.to_vec()).or_insert(partition);
                assert_eq!(home, partition, "a key has one partition");
            }
            let (producer, sequence) = ((id & !MARK) >> 40, id & ((1 << 40) - 1));
            let last = self.last.insert((producer, partition), sequence);
            assert!(
                last < Some(sequence),
                "{producer}: {last:?}, then {sequence}"
            );
            self.records += 1;
        }
    }
}

/// Checks that all parts of a record belong together, and returns its identity.
fn check_record(time: Option<i64>, key: Option<&[u8]>, value: &[u8]) -> u64 {
    if let Some(key) = key {
        let id = time.unwrap() as u64;
        assert_eq!(id & MARK, MARK, "the time is another record's");
        assert_eq!(key, key_of(id), "the key is another record's");
        assert!(
            value.iter().copied().eq(value_of(id, value.len())),
            "torn value"
        );
        return id;
    }
    let (id, check) = value.split_at(8);
    let id = u64::from_ne_bytes(id.try_into().unwrap());
    assert_eq!(
        u64::from_ne_bytes(check.try_into().unwrap()),
        mix(id),
        "torn value"
    );
    id
}

fn at_end(consumer: &Consumer, topic: &Topic) -> bool {
    (0..topic.partitions())
        .all(|p| consumer.position((TOPIC, p)).unwrap() == topic.log_end_offset(p).unwrap())
}

/// Reads until the producers are done and every record is read.
fn consume(mut consumer: Consumer, topic: Topic, done: Arc<AtomicBool>) -> JoinHandle<Seen> {
    let deadline = deadline();
    thread::spawn(move || {
        let start = Instant::now();
        let mut seen = Seen::default();
        loop {
            let was_done = done.load(Ordering::Acquire);
            let batch = consumer.poll(Duration::from_millis(1)).unwrap();
            seen.batch(&batch);
            let empty = batch.is_empty();
            if empty && was_done && at_end(&consumer, &topic) {
                return seen;
            }
            assert!(
                start.elapsed() < deadline,
                "{consumer:?} hangs in {topic:?}"
            );
        }
    })
}

fn topic(overflow: Overflow, shape: Shape, partitions: u32) -> (Broker, Topic) {
    make(
        TopicConfig::new()
            .partitions(partitions)
            .segments(3)
            .segment_records(shape.records)
            .segment_bytes(shape.bytes)
            .overflow(overflow)
            .wait(WaitStrategy::Yield),
    )
}

fn new_consumer(broker: &Broker, max: u32) -> Consumer {
    common::subscribed(broker, ConsumerConfig::new().max_poll_records(max))
}

/// Sizes of segments, and how many records a producer sends through them.
const SHAPES: [(Shape, u64); 4] = [
    (
        Shape {
            records: 2,
            bytes: 128,
        },
        1_000,
    ),
    (
        Shape {
            records: 5,
            bytes: 1_000,
        },
        2_000,
    ),
    (
        Shape {
            records: 64,
            bytes: 4_096,
        },
        6_000,
    ),
    (
        Shape {
            records: 5_000,
            bytes: 64 * 1024,
        },
        15_000,
    ),
];

fn deeper((shape, count): (Shape, u64)) -> (Shape, u64) {
    (shape, count * depth())
}

/// Joins all threads, makes the checks that always hold, and returns what each consumer read.
fn run(
    (broker, topic): &(Broker, Topic),
    producers: Vec<JoinHandle<()>>,
    consumers: Vec<Consumer>,
) -> Vec<Seen> {
    let _ = broker;
    let done = Arc::new(AtomicBool::new(false));
    let consumers: Vec<_> = consumers
        .into_iter()
        .map(|consumer| consume(consumer, topic.clone(), done.clone()))
        .collect();
    for producer in producers {
        producer.join().unwrap();
    }
    done.store(true, Ordering::Release);
    let seen: Vec<Seen> = consumers.into_iter().map(|c| c.join().unwrap()).collect();
    let ends: u64 = (0..topic.partitions())
        .map(|p| topic.log_end_offset(p).unwrap())
        .sum();
    for seen in &seen {
        assert_eq!(
            seen.records + seen.lost,
            ends,
            "records read and lost add up to all records"
        );
    }
    seen
}

fn shared(overflow: Overflow) {
    for (shape, count) in SHAPES.map(deeper) {
        for producers in 1..=4u64 {
            for consumers in 1..=3u32 {
                let made = topic(overflow, shape, 1 + consumers);
                let readers = (0..consumers)
                    .map(|i| new_consumer(&made.0, 1 + 37 * i))
                    .collect();
                let senders = (0..producers)
                    .map(|p| produce(made.1.producer(), p, count, shape))
                    .collect();
                for seen in run(&made, senders, readers) {
                    assert_eq!(seen.records + seen.lost, producers * count);
                    if overflow == Overflow::Backpressure {
                        assert_eq!(seen.lost, 0);
                    }
                }
            }
        }
    }
}

#[test]
fn under_backpressure_every_consumer_gets_every_record_once_and_in_order() {
    shared(Overflow::Backpressure);
}

#[test]
fn under_drop_oldest_what_is_read_and_what_is_lost_is_everything() {
    shared(Overflow::DropOldest);
}

#[test]
fn an_exclusive_producer_keeps_the_same_promises() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        for (shape, count) in SHAPES.map(deeper) {
            let made = topic(overflow, shape, 2);
            let readers = (0..2).map(|i| new_consumer(&made.0, 1 + 100 * i)).collect();
            let sender = made.1.exclusive_producer().unwrap();
            let senders = vec![produce(sender, 0, 4 * count, shape)];
            for seen in run(&made, senders, readers) {
                assert_eq!(seen.records + seen.lost, 4 * count);
                assert!(overflow == Overflow::DropOldest || seen.lost == 0);
            }
        }
    }
}

/// Subscribes, reads a little, holds a batch for a while and drops the consumer, until `done`.
fn churn(broker: Broker, seed: u64, done: Arc<AtomicBool>) -> JoinHandle<u64> {
    thread::spawn(move || {
        let mut rounds = 0;
        // Fast producers may be done before this thread runs at all.
        while rounds < 20 || !done.load(Ordering::Acquire) {
            let dice = mix(seed << 32 | rounds);
            let reset = [OffsetReset::Earliest, OffsetReset::Latest][dice as usize % 2];
            let config = ConsumerConfig::new()
                .offset_reset(reset)
                .max_poll_records(1 + (dice >> 8) as u32 % 50);
            let mut consumer = common::subscribed(&broker, config);
            let mut seen = Seen::default();
            for _ in 0..(dice >> 16) % 12 {
                let batch = consumer.try_poll().unwrap();
                let before: Vec<_> = batch.iter().map(|r| r.value_bytes().to_vec()).collect();
                if dice % 3 == 0 {
                    thread::sleep(Duration::from_micros(200));
                }
                // A held batch does not change; only then are its records checked.
                let after = batch.iter().map(|r| r.value_bytes().to_vec());
                assert!(after.eq(before), "a batch changed while it was held");
                seen.batch(&batch);
            }
            rounds += 1;
        }
        rounds
    })
}

#[test]
fn consumers_that_come_and_go_disturb_no_other_handle() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        for (shape, count) in SHAPES.map(deeper) {
            let made = topic(overflow, shape, 2);
            let done = Arc::new(AtomicBool::new(false));
            let churns: Vec<_> = (0..2)
                .map(|seed| churn(made.0.clone(), seed, done.clone()))
                .collect();
            let readers = vec![new_consumer(&made.0, 100)];
            let senders = (0..2)
                .map(|p| produce(made.1.producer(), p, 3 * count, shape))
                .collect();
            let seen = run(&made, senders, readers);
            assert_eq!(seen[0].records + seen[0].lost, 6 * count);
            assert!(overflow == Overflow::DropOldest || seen[0].lost == 0);
            done.store(true, Ordering::Release);
            for churn in churns {
                assert!(churn.join().unwrap() >= 20);
            }
        }
    }
}
