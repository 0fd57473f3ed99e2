//! Helpers that all models share.
//!
//! A model runs the shipped source, on segments of one or two records, with as few threads and
//! steps as its claim needs. The rules, each learned from a model that passed without exploring
//! anything:
//!
//! - The main thread only spawns and joins, and the reader is spawned **last**. With the reader
//!   first, loom finds one execution of many (loom #392, #166).
//! - A model asserts the *set* of outcomes that it observed, so a model that does not explore
//!   fails.
//! - A model has at most four threads, of which at most one waits for another. All others try a
//!   bounded number of times.
//!
//! A model that takes ten seconds or more alone on a core is deep: it is `ignore`d, and run by
//! `cargo test -p loom-tests -- --include-ignored` and by the mutants command.
//!
//! `RINGLOG_PREEMPTIONS` sets the preemption bound. The default is 2.

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

/// The outcomes that a model observed, over all its executions.
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

    pub(crate) fn add(&self, outcome: T) {
        self.0.lock().unwrap().insert(outcome);
    }

    /// Asserts that these outcomes were observed, and no others.
    #[track_caller]
    pub(crate) fn are(&self, expected: impl IntoIterator<Item = T>) {
        let expected: BTreeSet<T> = expected.into_iter().collect();
        assert_eq!(*self.0.lock().unwrap(), expected);
    }

    /// Asserts that all outcomes that were observed are so.
    #[track_caller]
    pub(crate) fn all(&self, are_so: impl Fn(&T) -> bool) {
        let seen = self.0.lock().unwrap();
        let other = seen.iter().find(|&outcome| !are_so(outcome));
        assert!(other.is_none(), "{other:?}");
    }

    /// Asserts that at least these outcomes were observed.
    #[track_caller]
    pub(crate) fn include(&self, expected: impl IntoIterator<Item = T>) {
        let seen = self.0.lock().unwrap();
        for outcome in expected {
            assert!(seen.contains(&outcome), "{outcome:?} not in {seen:?}");
        }
    }
}

/// Explores a model, and asserts that it has more than one execution.
pub(crate) fn explore(model: impl Fn() + Send + Sync + 'static) {
    explore_to(2, model);
}

/// As [`explore`], with another preemption bound: for the few models that are too large for the
/// default, or need more.
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

/// Writes the names of the ordering sites that ran to the file that `RINGLOG_SITES` names. The
/// mutants command sets it.
pub(crate) fn report_sites() {
    if let Some(file) = std::env::var_os("RINGLOG_SITES") {
        std::fs::write(file, ringlog_loom::ordering_sites::reached().join("\n")).unwrap();
    }
}

/// Whether a reader yields between its polls. Loom finds an execution in which a thread looks again
/// *after* another thread has acted only if the first one yields in between. It finds an execution
/// in which the thread does not look again only if it does not yield. So models of readers do both.
#[derive(Clone, Copy)]
pub(crate) enum Polling {
    BackToBack,
    Yielding,
}

impl Polling {
    pub(crate) const BOTH: [Polling; 2] = [Polling::BackToBack, Polling::Yielding];

    /// As [`drain`], with four polls, which is as many as the ring can need.
    pub(crate) fn drain(self, consumer: &mut Consumer) -> (Vec<(u64, u64)>, u64) {
        let (mut seen, mut lost) = (Vec::new(), 0);
        for _ in 0..4 {
            let batch = consumer.try_poll().unwrap();
            lost += batch.lost();
            seen.extend(batch.iter().map(|r| (r.offset(), number(r.value_bytes()))));
            drop(batch);
            if let Polling::Yielding = self {
                loom::thread::yield_now();
            }
        }
        (seen, lost)
    }
}

/// A topic of one partition, with two segments of two records each.
pub(crate) fn small(overflow: Overflow) -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(2)
        .segment_bytes(32)
        .overflow(overflow)
        // No send waits in these models. It fails instead.
        .max_block(Duration::ZERO)
        .wait(WaitStrategy::Yield)
        .timestamps(Timestamps::Given)
}

/// As [`small`], with segments of one record. One append is one roll, and unless a reader holds it,
/// the next segment is the one just retired.
pub(crate) fn smallest(overflow: Overflow) -> TopicConfig {
    small(overflow).segment_records(1).segment_bytes(16)
}

/// A broker with the topic "t".
pub(crate) fn topic(config: TopicConfig) -> (Broker, Topic) {
    let broker = Broker::new();
    let topic = broker.create_topic("t", config).unwrap();
    (broker, topic)
}

/// A producer that has taken its spare segment: so its first send in a model is like any other.
/// (While an exclusive producer lives it takes none, and its first send is refused.)
pub(crate) fn producer(topic: &Topic) -> Producer {
    let mut producer = topic.producer();
    let _ = producer.send_batch(&[]);
    producer
}

/// A consumer of the topic "t", from the earliest record.
pub(crate) fn reader(broker: &Broker) -> Consumer {
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["t"]).unwrap();
    consumer
}

/// A value that holds `n` twice: as it is and inverted. [`number`] detects a torn one.
pub(crate) fn value(n: u64) -> [u8; 16] {
    let mut value = [0; 16];
    value[..8].copy_from_slice(&n.to_ne_bytes());
    value[8..].copy_from_slice(&(!n).to_ne_bytes());
    value
}

/// The number in a value, which must not be torn.
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

/// Tries `tries` times to send the next number. Returns the number after the last one sent.
pub(crate) fn try_to_send(producer: &mut Producer, mut next: u64, tries: usize) -> u64 {
    for _ in 0..tries {
        if producer.try_send(Record::new(&value(next))).is_ok() {
            next += 1;
        }
    }
    next
}

/// Reads all records available now. Returns each record's offset and number, and how many records
/// were lost before them.
pub(crate) fn drain(consumer: &mut Consumer) -> (Vec<(u64, u64)>, u64) {
    let (mut seen, mut lost) = (Vec::new(), 0);
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            return (seen, lost);
        }
        lost += batch.lost();
        seen.extend(batch.iter().map(|r| (r.offset(), number(r.value_bytes()))));
    }
}

/// Continues an earlier [`drain`]. Returns the records of both, and asserts that none was lost.
pub(crate) fn drain_on(
    consumer: &mut Consumer,
    (mut seen, lost): (Vec<(u64, u64)>, u64),
) -> Vec<(u64, u64)> {
    let (rest, lost_later) = drain(consumer);
    seen.extend(rest);
    assert_eq!(lost + lost_later, 0);
    seen
}
