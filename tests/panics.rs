//! Panics of the application's code inside a call of the library.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{TOPIC, drain, make, subscribed};
use ringlog::{
    Assignment, Assignor, ConsumeError, ConsumerConfig, Destination, GroupView, Overflow,
    PartitionChoice, Partitioner, RangeAssignor, RebalanceProtocol, Record, TopicConfig,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The payload of a deliberate panic, which prints no message.
struct OnPurpose;

fn panics<R>(work: impl FnOnce() -> R) {
    let panic = catch_unwind(AssertUnwindSafe(work)).err().unwrap();
    assert!(panic.is::<OnPurpose>());
}

fn panic_on_purpose() {
    resume_unwind(Box::new(OnPurpose));
}

fn config(overflow: Overflow) -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(3)
        .overflow(overflow)
}

fn offsets(seen: &[(u32, u64, Vec<u8>)]) -> Vec<u64> {
    seen.iter().map(|&(_, offset, _)| offset).collect()
}

#[test]
fn a_claim_is_aborted_when_its_filler_panics() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let (broker, topic) = make(config(overflow));
        let mut consumer = subscribed(&broker, ConsumerConfig::new());
        let mut producer = topic.producer();
        // Many laps of the ring, in which every second claim is aborted by a panic.
        for round in 0..50u64 {
            panics(|| {
                let mut claim = producer.claim(Destination::Any, None, 8).unwrap();
                claim[..4].copy_from_slice(b"half");
                panic_on_purpose();
                claim.publish()
            });
            producer.send(Record::new(&round.to_ne_bytes())).unwrap();
            let seen = drain(&mut consumer);
            assert_eq!(seen, [(0, 2 * round + 1, round.to_ne_bytes().to_vec())]);
        }
    }
}

#[derive(Debug)]
struct Panics;

impl Partitioner for Panics {
    fn choose(&self, key: Option<&[u8]>, _: u32) -> PartitionChoice {
        if key == Some(b"bad") {
            panic_on_purpose();
        }
        PartitionChoice::Partition(0)
    }
}

#[test]
fn a_panicking_partitioner_claims_nothing() {
    let config = config(Overflow::Backpressure).partitioner(Panics);
    let (broker, topic) = make(config);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer();
    let good = Record::new(b"v").key("good");
    let bad = Record::new(b"v").key("bad");
    for round in 0..20u64 {
        panics(|| producer.send(bad));
        panics(|| drop(producer.send_batch(&[good, bad, good])));
        panics(|| producer.claim(Destination::Key(b"bad"), None, 8));
        panics(|| producer.send_values(Destination::Key(b"bad"), &[1u64]));
        // The producer works as before: nothing of the batch that panicked is left over.
        assert_eq!(producer.send_batch(&[good]).unwrap().len(), 1);
        assert_eq!(topic.log_end_offset(0).unwrap(), round + 1);
        assert_eq!(offsets(&drain(&mut consumer)), [round]);
    }
}

#[test]
fn a_reader_that_panics_over_its_batch_releases_it() {
    let (broker, topic) = make(config(Overflow::Backpressure));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer();
    for round in 0..20u64 {
        for n in 0..3 {
            producer.try_send(Record::new(&[n])).unwrap();
        }
        panics(|| {
            let batch = consumer.try_poll().unwrap();
            assert_eq!(batch.len(), 3);
            panic_on_purpose();
        });
        // As in Kafka, a polled batch counts as read, and its segment may be overwritten.
        assert_eq!(consumer.position((TOPIC, 0)).unwrap(), 3 * (round + 1));
    }
    panics(move || {
        let _consumer = consumer;
        panic_on_purpose();
    });
    // No consumer holds the ring any more.
    for n in 0..30 {
        producer.try_send(Record::new(&[n])).unwrap();
    }
}

/// Milliseconds of the group's clock in the test below.
static NOW: AtomicU64 = AtomicU64::new(0);

/// Whether [`PanicsByName::name`] panics.
static ARMED: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct PanicsByName;

impl Assignor for PanicsByName {
    fn name(&self) -> &str {
        if ARMED.load(Ordering::Relaxed) {
            panic_on_purpose();
        }
        "panics by name"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        RangeAssignor.assign(group)
    }
}

#[test]
fn a_member_whose_assignor_panics_as_it_rejoins_can_rejoin_later() {
    let (broker, _topic) = make(config(Overflow::Backpressure).partitions(2));
    let config = || {
        ConsumerConfig::new()
            .group("g")
            .assignor(PanicsByName)
            .clock(|| Duration::from_millis(NOW.load(Ordering::Relaxed)))
            .max_poll_interval(Duration::from_millis(100))
    };
    let mut slow = subscribed(&broker, config());
    let mut other = subscribed(&broker, config());
    for _ in 0..5 {
        slow.try_poll().unwrap();
        other.try_poll().unwrap();
    }
    // The slow member stops polling until the other's polls fence it off.
    for _ in 0..20 {
        NOW.fetch_add(50, Ordering::Relaxed);
        for _ in 0..100 {
            other.try_poll().unwrap();
        }
    }
    let fenced_off = slow.try_poll().unwrap_err();
    assert!(matches!(fenced_off, ConsumeError::Fenced { .. }));
    ARMED.store(true, Ordering::Relaxed);
    panics(|| drop(slow.try_poll()));
    ARMED.store(false, Ordering::Relaxed);
    for _ in 0..6 {
        slow.try_poll().unwrap();
        other.try_poll().unwrap();
    }
    assert_eq!(slow.assignment().len(), 1);
    assert_eq!(other.assignment().len(), 1);
}
