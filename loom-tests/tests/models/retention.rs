//! Segments that go before the ring is full: by retention, and when their records are deleted.

use crate::common::*;
use loom::thread;
use ringlog_loom::{Broker, Overflow, Producer, Record, Topic};
use std::time::Duration;

/// A ring of three segments of one record, all live and none of them kept but the last: a reader
/// that is gone has held them back.
fn outlived(overflow: Overflow) -> (Broker, Topic, Producer) {
    let (broker, topic) = topic(smallest(overflow).segments(3).retention(Duration::ZERO));
    let mut producer = topic.producer();
    let keeper = (overflow == Overflow::Backpressure).then(|| reader(&broker));
    for n in 0..3 {
        producer.send(Record::new(&value(n))).unwrap();
    }
    drop(keeper);
    (broker, topic, producer)
}

/// T1, T3, T4: a producer that rolls and a thread that applies retention retire each segment once.
#[test]
fn retention_beside_a_roll_retires_each_segment_once() {
    let outcomes = Outcomes::new();
    let saw = outcomes.clone();
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
        saw.saw((start, seen.len()));
    });
    outcomes.are([(2, 2), (3, 1)]);
}

/// P5, P10: a gate that joins while retention is applied misses nothing from where it begins.
#[test]
fn a_gate_that_joins_while_retention_is_applied_misses_nothing() {
    let outcomes = Outcomes::new();
    let saw = outcomes.clone();
    explore(move || {
        let (broker, topic, _producer) = outlived(Overflow::Backpressure);
        let a = thread::spawn(move || topic.apply_retention());
        let saw = saw.clone();
        let c = thread::spawn(move || {
            let mut consumer = reader(&broker);
            let first = consumer.position("t", 0).unwrap();
            let (seen, lost) = drain(&mut consumer);
            assert_eq!((seen, lost), ((first..3).map(|n| (n, n)).collect(), 0));
            saw.saw(first);
        });
        a.join().unwrap();
        c.join().unwrap();
    });
    outcomes.are([0, 1, 2]);
}
