//! Segments retired before the ring is full, by retention, and records that are deleted.

use crate::common::*;
use loom::thread;
use ringlog_loom::{Broker, ConsumerConfig, Overflow, Producer, Record, Topic};
use std::time::Duration;

/// A ring of three live segments of one record. All but the last have outlived the retention time;
/// a gate held them back until its reader left.
fn outlived(overflow: Overflow) -> (Broker, Topic, Producer) {
    let (broker, topic) = topic(smallest(overflow).segments(3).retention(Duration::ZERO));
    let mut producer = producer(&topic);
    let gate = (overflow == Overflow::Backpressure).then(|| reader(&broker));
    send_all(&mut producer, 0..3);
    drop(gate);
    (broker, topic, producer)
}

/// T1, T3, T4: a producer that rolls and a thread that applies retention together retire each
/// segment once.
#[test]
fn retention_beside_a_roll_retires_each_segment_once() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic, mut producer) = outlived(Overflow::Backpressure);
        let p = thread::spawn(move || {
            let sent = producer.send(Record::new(&value(3))).unwrap();
            assert_eq!(sent.offset, 3);
        });
        let t = topic.clone();
        let a = thread::spawn(move || {
            t.apply_retention();
            t.log_start_offset(0).unwrap()
        });
        p.join().unwrap();
        let start = a.join().unwrap();
        assert!((2..=3).contains(&start));
        let (seen, lost) = drain(&mut reader(&broker));
        assert_eq!((seen.last(), lost), (Some(&(3, 3)), 0));
        topic.assert_no_segment_is_lost();
        observed.add((start, seen.len()));
    });
    outcomes.are([(2, 2), (3, 1)]);
}

/// P5, P10: a gate that joins while retention is applied misses no record from its first offset on.
#[test]
fn a_gate_that_joins_while_retention_is_applied_misses_nothing() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic, _producer) = outlived(Overflow::Backpressure);
        let a = thread::spawn(move || topic.apply_retention());
        let observed = observed.clone();
        let c = thread::spawn(move || {
            let mut consumer = reader(&broker);
            let first = consumer.position(("t", 0)).unwrap();
            let (seen, lost) = drain(&mut consumer);
            assert_eq!((seen, lost), ((first..3).map(|n| (n, n)).collect(), 0));
            observed.add(first);
        });
        a.join().unwrap();
        c.join().unwrap();
    });
    outcomes.are([0, 1, 2]);
}

/// P13: a reader beside a deletion reads the deleted records or counts them as lost. After the
/// deletion it reads none of them.
#[test]
fn a_reader_beside_a_deletion_reads_or_loses_and_later_only_loses() {
    for overflow in [Overflow::DropOldest, Overflow::Backpressure] {
        let outcomes = Outcomes::new();
        let observed = outcomes.clone();
        explore(move || {
            let (broker, topic) = topic(small(overflow));
            let mut producer = producer(&topic);
            send_all(&mut producer, 0..3);
            let mut consumer = broker
                .consumer(ConsumerConfig::new().max_poll_records(1))
                .unwrap();
            consumer.subscribe(["t"]).unwrap();
            let t = topic.clone();
            let d = thread::spawn(move || assert_eq!(t.delete_records(0, 2), Ok(2)));
            let c = thread::spawn(move || {
                let batch = consumer.try_poll().unwrap();
                let seen = (batch.lost(), batch.iter().next().map(|r| r.offset()));
                drop(batch);
                (consumer, seen)
            });
            d.join().unwrap();
            let (mut consumer, first) = c.join().unwrap();
            assert!(first == (0, Some(0)) || first == (2, Some(2)), "{first:?}");
            let (seen, lost) = drain(&mut consumer);
            match first.1 {
                Some(0) => assert_eq!((seen, lost), (vec![(2, 2)], 1)),
                _ => assert_eq!((seen, lost), (vec![], 0)),
            }
            observed.add(first);
        });
        outcomes.are([(0, Some(0)), (2, Some(2))]);
    }
}

/// P5, P13: a reader that joins while records are deleted and the ring moves on begins at a log
/// start of that time. From there it misses only deleted records.
#[test]
fn a_reader_that_joins_during_a_deletion_begins_before_or_after_it() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::Backpressure));
        let mut producer = producer(&topic);
        send_all(&mut producer, 0..2);
        let d = thread::spawn(move || {
            topic.delete_records(0, 1).unwrap();
            let sent = producer.try_send(Record::new(&value(2)));
            if sent.is_ok() { 3 } else { 2 }
        });
        let c = thread::spawn(move || {
            let mut consumer = reader(&broker);
            let first = consumer.position(("t", 0)).unwrap();
            let seen = drain(&mut consumer);
            (consumer, first, seen)
        });
        let sent = d.join().unwrap();
        let (mut consumer, first, (mut seen, lost)) = c.join().unwrap();
        let (rest, lost_later) = drain(&mut consumer);
        seen.extend(rest);
        let begun = first + lost + lost_later;
        assert!(begun <= 2, "{begun}");
        assert_eq!(seen, (begun..sent).map(|n| (n, n)).collect::<Vec<_>>());
        observed.add((first, begun, sent));
    });
    outcomes.include([(0, 0, 2), (0, 1, 2), (1, 1, 3)]);
}
