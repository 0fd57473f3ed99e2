//! Partitions added to a topic that is in use.

use crate::common::*;
use loom::thread;
use ringlog_loom::{Overflow, Record, SendError};

/// P13: a producer that sees a new partition finds it complete, and a subscriber reads every record
/// sent there, however late it looks.
#[test]
#[ignore = "deep: cargo test -p loom-tests -- --include-ignored"]
fn a_new_partition_is_complete_and_its_subscribers_miss_nothing() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::Backpressure));
        let mut producer = producer(&topic);
        let mut consumer = reader(&broker);
        let t = topic.clone();
        let a = thread::spawn(move || t.add_partitions(2).unwrap());
        let p = thread::spawn(move || {
            let value = value(7);
            let mut sent = 0;
            // One record more than the ring has room for.
            for _ in 0..3 {
                match producer.try_send(Record::new(&value).partition(1)) {
                    Ok(_) => sent += 1,
                    Err(SendError::PartitionOutOfRange { .. }) => {}
                    Err(SendError::Full { .. }) => assert_eq!(sent, 2),
                    Err(other) => panic!("{other}"),
                }
            }
            sent
        });
        let c = thread::spawn(move || {
            consumer.seek(("t", 0), 0).unwrap(); // so that the poll takes more than one step
            let early = drain(&mut consumer);
            (consumer, early)
        });
        a.join().unwrap();
        let sent = p.join().unwrap();
        let (mut consumer, seen) = c.join().unwrap();
        let early = seen.0.len();
        let seen = drain_on(&mut consumer, seen);
        assert_eq!(
            seen,
            (0..sent).map(|offset| (offset, 7)).collect::<Vec<_>>()
        );
        assert_eq!(consumer.assignment().len(), 2);
        observed.add((sent, early));
    });
    outcomes.include([(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)]);
}

/// A consumer that subscribes while a partition is added has it once, either from the subscription
/// itself or from the addition.
#[test]
fn a_subscription_beside_an_addition_has_every_partition_once() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::Backpressure));
        let mut producer = producer(&topic);
        let t = topic.clone();
        let a = thread::spawn(move || t.add_partitions(2).unwrap());
        let observed = observed.clone();
        let c = thread::spawn(move || {
            let mut consumer = reader(&broker);
            observed.add(consumer.assignment().len());
            consumer.subscribe(["t"]).unwrap();
            consumer
        });
        a.join().unwrap();
        let mut consumer = c.join().unwrap();
        producer.send(Record::new(&value(7)).partition(1)).unwrap();
        assert_eq!(drain(&mut consumer).0, [(0, 7)]);
        assert_eq!(consumer.assignment().len(), 2);
    });
    outcomes.are([1, 2]);
}
