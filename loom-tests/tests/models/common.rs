//! What all models share.
//!
//! A model runs the source that ships, on segments of two records, with as few threads and
//! steps as show its claim. The rules, each learned from a model that was green and empty:
//!
//! - The main thread only spawns and joins; the reader is spawned **last**. (With the
//!   reader first, loom finds one execution of many: loom #392, #166.)
//! - A model asserts the *set* of outcomes that it saw, so that one that does not explore
//!   fails.
//! - At most four threads, at most one that waits for another; everything else tries a
//!   bounded number of times.
//!
//! `RINGLOG_PREEMPTIONS` sets the preemption bound (default 2).

use ringlog_loom::{
    Broker, Consumer, ConsumerConfig, Overflow, Producer, Record, Timestamps, Topic, TopicConfig,
    WaitStrategy,
};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The outcomes that a model has seen, over all its executions.
pub(crate) struct Outcomes<T>(Arc<Mutex<BTreeSet<T>>>);

impl<T> Clone for Outcomes<T> {
    fn clone(&self) -> Self {
        Outcomes(self.0.clone())
    }
}

impl<T: Ord + Debug> Outcomes<T> {
    pub(crate) fn new() -> Self {
        Outcomes(Arc::new(Mutex::new(BTreeSet::new())))
    }

    pub(crate) fn saw(&self, outcome: T) {
        self.0.lock().unwrap().insert(outcome);
    }

    /// These, and no others.
    #[track_caller]
    pub(crate) fn are(&self, expected: impl IntoIterator<Item = T>) {
        let expected: BTreeSet<T> = expected.into_iter().collect();
        assert_eq!(*self.0.lock().unwrap(), expected);
    }

    /// At least these.
    #[track_caller]
    pub(crate) fn include(&self, expected: impl IntoIterator<Item = T>) {
        let seen = self.0.lock().unwrap();
        for outcome in expected {
            assert!(seen.contains(&outcome), "{outcome:?} not in {seen:?}");
        }
    }
}

/// Explores a model, and asserts that there was something to explore.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_to(2, model);
}

/// The same at another preemption bound, for the few models that are too large or that
/// need more.
pub(crate) fn explore_to(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    let bound = std::env::var("RINGLOG_PREEMPTIONS").ok();
    builder.preemption_bound = Some(bound.map_or(preemptions, |b| b.parse().unwrap()));
    builder.max_branches = 10_000;
    let executions = Arc::new(AtomicUsize::new(0));
    let count = executions.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let executions = executions.load(Ordering::Relaxed);
    println!("{executions} executions");
    assert!(executions > 1, "nothing was explored");
    report_sites();
}

/// Tells which ordering sites ran, where `RINGLOG_SITES` says (the mutants command asks).
pub(crate) fn report_sites() {
    if let Some(file) = std::env::var_os("RINGLOG_SITES") {
        std::fs::write(file, ringlog_loom::sites_loom::reached().join("\n")).unwrap();
    }
}

/// How a reader reads while others write. A loom execution in which a thread looks again
/// *after* another has done something is found only if the thread gives way in between, and
/// one in which it does not, only if it does not: models of readers do both.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    AllAtOnce,
    GivingWay,
}

pub(crate) const PACES: [Pace; 2] = [Pace::AllAtOnce, Pace::GivingWay];

impl Pace {
    /// As [`drain`], for as many polls as the ring can need.
    pub(crate) fn drain(self, consumer: &mut Consumer) -> (Vec<(u64, u64)>, u64) {
        let (mut seen, mut lost) = (Vec::new(), 0);
        for _ in 0..4 {
            let batch = consumer.try_poll().unwrap();
            lost += batch.lost();
            seen.extend(batch.iter().map(|r| (r.offset(), number(r.value()))));
            drop(batch);
            if let Pace::GivingWay = self {
                loom::thread::yield_now();
            }
        }
        (seen, lost)
    }
}

/// A topic of one partition, two segments of two records each.
pub(crate) fn small(overflow: Overflow) -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(2)
        .segment_bytes(32)
        .overflow(overflow)
        // Nothing waits in a model: what would wait fails.
        .max_block(Duration::ZERO)
        .wait(WaitStrategy::Yield)
        .timestamps(Timestamps::Given)
}

/// The same with segments of one record: one append is one roll, and with no reader in the
/// way the next segment is the one just retired.
pub(crate) fn smallest(overflow: Overflow) -> TopicConfig {
    small(overflow).segment_records(1).segment_bytes(16)
}

/// A broker with the topic "t".
pub(crate) fn topic(config: TopicConfig) -> (Broker, Topic) {
    let broker = Broker::new();
    let topic = broker.create_topic("t", config).unwrap();
    (broker, topic)
}

/// A consumer of the topic "t", from the earliest record.
pub(crate) fn reader(broker: &Broker) -> Consumer {
    let mut consumer = broker.consumer(ConsumerConfig::new());
    consumer.subscribe(&["t"]).unwrap();
    consumer
}

/// A value that is torn if its two halves differ.
pub(crate) fn value(n: u64) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&n.to_ne_bytes());
    value[8..].copy_from_slice(&(!n).to_ne_bytes());
    value
}

/// The number in a value.
pub(crate) fn number(value: &[u8]) -> u64 {
    let (a, b) = value.split_at(8);
    let n = u64::from_ne_bytes(a.try_into().unwrap());
    assert_eq!(n, !u64::from_ne_bytes(b.try_into().unwrap()), "torn");
    n
}

/// Sends these numbers, one record each.
pub(crate) fn send_all(producer: &mut Producer, numbers: Range<u64>) {
    for n in numbers {
        producer.send(Record::new(&value(n))).unwrap();
    }
}

/// Tries so often to send the next number; answers which would be the next then.
pub(crate) fn try_to_send(producer: &mut Producer, mut next: u64, tries: usize) -> u64 {
    for _ in 0..tries {
        if producer.try_send(Record::new(&value(next))).is_ok() {
            next += 1;
        }
    }
    next
}

/// All records that are there now: (offset, number), and how many were lost before them.
pub(crate) fn drain(consumer: &mut Consumer) -> (Vec<(u64, u64)>, u64) {
    let (mut seen, mut lost) = (Vec::new(), 0);
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            return (seen, lost);
        }
        lost += batch.lost();
        seen.extend(batch.iter().map(|r| (r.offset(), number(r.value()))));
    }
}

/// What was drained before, and what is there now. Nothing of it was lost.
pub(crate) fn drain_on(
    consumer: &mut Consumer,
    (mut seen, lost): (Vec<(u64, u64)>, u64),
) -> Vec<(u64, u64)> {
    let (rest, lost_later) = drain(consumer);
    seen.extend(rest);
    assert_eq!(lost + lost_later, 0);
    seen
}
