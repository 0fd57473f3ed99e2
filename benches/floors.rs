//! Each operation beside its floor: the least work that the machine could do for it, in one run.
//!
//! `cargo bench --bench floors` prints the medians of interleaved rounds on one pinned thread, and
//! fails when an operation costs more than its bound:
//!
//! | operation | bound |
//! |---|---|
//! | shared single send, 64 B, keyless | 2 x (one uncontended compare-and-swap + one memcpy of 64 B) |
//! | `send_values` of 256 x 64 B | 2 x memcpy of the same bytes |
//! | `send_batch` of 256 keyed records of 64 B | 10 x that memcpy |
//! | `poll` of a full log of 64-byte records, of 256 KiB, read 8 times | 2 ns a record |
//!
//! The floors write to as much memory as the topic has, so that both sides miss the same caches.
//! Sends with and without a timestamp are shown separately: reading the clock is not part of the
//! floor, and the bound is for a send that does not read it (`Timestamps::Given`).
#![allow(missing_docs, clippy::unwrap_used)]

use ringlog::{
    Broker, Consumer, ConsumerConfig, Destination, Overflow, Record, Timestamps, Topic, TopicConfig,
};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const ROUNDS: usize = 31;
const SINGLES: u64 = 20_000;
const BATCHES: u64 = 400;
const BATCH: usize = 256;
const RING: usize = 4 * 1024 * 1024;

type Value = [u8; 64];

fn topic(name: &str, partitions: u32, bytes: usize, timestamps: Timestamps) -> (Broker, Topic) {
    let broker = Broker::new();
    let config = TopicConfig::new()
        .partitions(partitions)
        .segments(4)
        .segment_bytes(bytes / 4 / partitions as usize)
        .overflow(Overflow::DropOldest)
        .timestamps(timestamps)
        .prefault(true);
    let topic = broker.create_topic(name, config).unwrap();
    (broker, topic)
}

/// A measured operation: it does its work and returns the number of units.
struct Case<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> u64 + 'a>,
    nanoseconds: Vec<f64>,
}

impl<'a> Case<'a> {
    fn new(name: &'static str, run: impl FnMut() -> u64 + 'a) -> Self {
        Case {
            name,
            run: Box::new(run),
            nanoseconds: Vec::new(),
        }
    }

    fn round(&mut self) {
        let start = Instant::now();
        let units = (self.run)();
        self.nanoseconds
            .push(start.elapsed().as_nanos() as f64 / units as f64);
    }

    fn median(&mut self) -> f64 {
        self.nanoseconds.sort_by(f64::total_cmp);
        self.nanoseconds[self.nanoseconds.len() / 2]
    }
}

/// The floor of a single send: claim by compare-and-swap, copy.
fn claim_and_copy(next: &AtomicU64, ring: &mut [Value], value: &Value) -> u64 {
    for _ in 0..SINGLES {
        let seen = next.load(Ordering::Relaxed);
        next.compare_exchange(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed)
            .unwrap();
        let at = seen as usize % ring.len();
        ring[at].copy_from_slice(black_box(value));
    }
    SINGLES
}

fn singles(producer: &mut ringlog::Producer, value: &Value) -> u64 {
    for _ in 0..SINGLES {
        producer.send(Record::new(black_box(value))).unwrap();
    }
    SINGLES
}

/// A topic full of records of 64 bytes, its consumer, and the number of retained records.
fn full_log(bytes: usize) -> (Topic, Consumer, u64) {
    let (broker, topic) = topic("full", 1, bytes, Timestamps::Append);
    let mut producer = topic.producer();
    for n in 0..200_000u64 {
        let mut value = [0; 64];
        value[..8].copy_from_slice(&n.to_ne_bytes());
        producer.send(Record::new(&value)).unwrap();
    }
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["full"]).unwrap();
    let retained = topic.log_end_offset(0).unwrap() - topic.log_start_offset(0).unwrap();
    (topic, consumer, retained)
}

fn read_all(consumer: &mut Consumer, retained: u64) -> u64 {
    consumer.seek_to_beginning(("full", 0)).unwrap();
    let (mut count, mut sum, mut last) = (0, 0u64, 0);
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            break;
        }
        // One byte of each value and the offsets, folded in registers.
        let (bytes, offset) = batch.iter().fold((0, 0), |(bytes, _), record| {
            (bytes + u64::from(record.value_bytes()[0]), record.offset())
        });
        sum = sum.wrapping_add(bytes);
        last = offset;
        count += batch.len() as u64;
    }
    black_box(sum);
    assert_eq!((count, last), (retained, 199_999));
    count
}

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benches once, to check that they work.
    let rounds = if std::env::args().any(|a| a == "--bench") {
        ROUNDS
    } else {
        1
    };
    if let Some(core) = core_affinity::get_core_ids().and_then(|cores| cores.last().copied()) {
        core_affinity::set_for_current(core);
    }
    let value = [7u8; 64];
    let values = vec![value; BATCH];
    let keys: Vec<_> = (0..BATCH).map(|i| format!("user-{i:04}")).collect();
    let keyed: Vec<_> = keys
        .iter()
        .map(|key| Record::new(&value).key(key))
        .collect();

    let next = AtomicU64::new(0);
    let mut ring = vec![[1u8; 64]; RING / 64];
    let mut copies = vec![[1u8; 64]; RING / 64];
    let mut at = 0;
    let (_b1, timed) = topic("timed", 1, RING, Timestamps::Append);
    let (_b2, plain) = topic("plain", 1, RING, Timestamps::Given);
    let (_b3, uniform) = topic("uniform", 1, RING, Timestamps::Append);
    let (_b4, three) = topic("three", 3, RING, Timestamps::Append);
    let (_full, mut consumer, retained) = full_log(RING);
    // A log that stays in the core's own cache, so that polling is measured, and not memory.
    let (_near, mut near, near_retained) = full_log(RING / 16);
    let (mut timed, mut plain) = (timed.producer(), plain.producer());
    let (mut uniform, mut three) = (uniform.producer(), three.producer());
    let mut alone = topic("alone", 1, RING, Timestamps::Given)
        .1
        .exclusive_producer()
        .unwrap();

    // Check what is timed: the first batches are appended as they should be.
    let sent = uniform.send_values(Destination::Any, &values).unwrap();
    assert_eq!((sent.base_offset, sent.records), (0, BATCH as u64));
    let sent = three.send_batch(&keyed).unwrap();
    assert_eq!(sent.iter().count(), BATCH);

    let mut cases = [
        Case::new("compare-and-swap + memcpy of 64 B", || {
            claim_and_copy(&next, &mut ring, &value)
        }),
        Case::new("memcpy of 256 x 64 B, a record", || {
            for _ in 0..BATCHES {
                copies[at..at + BATCH].copy_from_slice(black_box(&values));
                at = (at + BATCH) % (RING / 64);
            }
            BATCHES * BATCH as u64
        }),
        Case::new("send, 64 B, shared", || singles(&mut timed, &value)),
        Case::new("send, 64 B, shared, no time", || {
            singles(&mut plain, &value)
        }),
        Case::new("send, 64 B, exclusive, no time", || {
            for _ in 0..SINGLES {
                alone.send(Record::new(black_box(&value))).unwrap();
            }
            SINGLES
        }),
        Case::new("send_values, 256 x 64 B, a record", || {
            for _ in 0..BATCHES {
                uniform
                    .send_values(Destination::Any, black_box(&values[..]))
                    .unwrap();
            }
            BATCHES * BATCH as u64
        }),
        Case::new("send_batch, 256 keyed x 64 B, a record", || {
            for _ in 0..BATCHES {
                black_box(three.send_batch(black_box(&keyed)).unwrap());
            }
            BATCHES * BATCH as u64
        }),
        Case::new("poll, 64 B, a record, log of 256 KiB", || {
            // The first of the eight reads brings the log into the cache.
            (0..8).map(|_| read_all(&mut near, near_retained)).sum()
        }),
        Case::new("poll, 64 B, a record, log of 4 MiB", || {
            read_all(&mut consumer, retained)
        }),
    ];
    for _ in 0..rounds + 1 {
        cases.iter_mut().for_each(Case::round);
    }
    println!("{:<42} {:>8} {:>8} {:>8}  ns", "", "min", "median", "max");
    for case in &mut cases {
        if rounds > 1 {
            case.nanoseconds.remove(0); // warm-up
        }
        let median = case.median();
        let (min, max) = (case.nanoseconds[0], case.nanoseconds[rounds - 1]);
        println!("{:<42} {min:>8.2} {median:>8.2} {max:>8.2}", case.name);
    }
    let [claim, copy, _, plain, _, uniform, keyed, poll, _] = &mut cases;
    let checks = [
        (
            "send, 64 B, shared, no time",
            plain.median() / claim.median(),
            2.0,
        ),
        ("send_values", uniform.median() / copy.median(), 2.0),
        ("send_batch, keyed", keyed.median() / copy.median(), 10.0),
        ("poll, 256 KiB (ns)", poll.median(), 2.0),
    ];
    let mut failed = false;
    for (name, value, bound) in checks {
        let verdict = if value <= bound { "ok" } else { "TOO SLOW" };
        failed |= value > bound;
        println!("{name:<42} {value:>8.2} of {bound:>5.1}  {verdict}");
    }
    if failed && rounds > 1 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
