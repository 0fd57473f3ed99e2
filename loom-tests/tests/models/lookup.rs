//! Lookups by threads that hold nothing, while segments are retired under them.

use crate::common::*;
use loom::thread;
use ringlog_loom::{Overflow, Record};

/// P7: the bounds of a log that moves on are bounds it really had.
#[test]
fn the_bounds_of_a_moving_log_are_true_at_some_moment() {
    let outcomes = Outcomes::new();
    let saw = outcomes.clone();
    explore(move || {
        let (_broker, topic) = topic(smallest(Overflow::DropOldest));
        let mut producer = topic.producer();
        for n in 0..2 {
            producer.send(Record::new(&value(n))).unwrap();
        }
        let p = thread::spawn(move || {
            for n in 2..4 {
                producer.send(Record::new(&value(n))).unwrap();
            }
        });
        let saw = saw.clone();
        let c = thread::spawn(move || {
            let start = topic.log_start_offset(0).unwrap();
            let end = topic.log_end_offset(0).unwrap();
            assert!(
                start <= 3 && (2..=5).contains(&end) && start <= end,
                "{start} {end}"
            );
            saw.saw((start, end));
        });
        p.join().unwrap();
        c.join().unwrap();
    });
    outcomes.include([(0, 2), (0, 4), (2, 4), (1, 3)]);
}

/// P5, P7: a seek into a segment that is just being retired finds its record, or the log
/// start, and then tells how many were lost.
#[test]
fn a_seek_finds_its_record_or_the_log_start() {
    let outcomes = Outcomes::new();
    let saw = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::DropOldest));
        let mut producer = topic.producer();
        let mut consumer = reader(&broker);
        for n in 0..3 {
            producer.send(Record::new(&value(n))).unwrap();
        }
        consumer.seek("t", 0, 1).unwrap();
        let p = thread::spawn(move || {
            for n in 3..6 {
                producer.send(Record::new(&value(n))).unwrap();
            }
        });
        let saw = saw.clone();
        let c = thread::spawn(move || {
            let batch = consumer.try_poll().unwrap();
            let record = batch.iter().next();
            let seen = record.map(|r| (r.offset(), number(r.value())));
            if let Some((offset, n)) = seen {
                assert_eq!(offset, n);
            }
            saw.saw((seen.map(|(offset, _)| offset), batch.lost()));
        });
        p.join().unwrap();
        c.join().unwrap();
    });
    outcomes.are([(Some(1), 0), (Some(2), 1), (Some(3), 2), (Some(4), 3)]);
}
