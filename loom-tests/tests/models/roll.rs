//! The roll from one segment to the next.

use crate::common::*;
use loom::thread;
use ringlog_loom::{Overflow, Record, SendError};

/// P2, P3: a reader continues in the next segment, and finds it complete.
#[test]
fn a_reader_follows_across_a_roll() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(small(Overflow::Backpressure));
        let mut producer = producer(&topic);
        let mut consumer = reader(&broker);
        producer.send(Record::new(&value(0))).unwrap();
        let p = thread::spawn(move || {
            send_all(&mut producer, 1..3);
        });
        let observed = observed.clone();
        let c = thread::spawn(move || {
            let (seen, lost) = drain(&mut consumer);
            assert_eq!(lost, 0);
            assert!(seen.iter().all(|&(offset, n)| offset == n));
            observed.add(seen.len());
        });
        p.join().unwrap();
        c.join().unwrap();
    });
    outcomes.are([1, 2, 3]);
}

/// T2, P3, P8: two producers that find a segment full at the same time roll it once.
#[test]
fn two_producers_roll_a_full_segment_once() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::Backpressure));
        let mut consumer = reader(&broker);
        producer(&topic).send(Record::new(&value(0))).unwrap();
        consumer.try_poll().unwrap();
        let producers = [1, 2].map(|n| {
            let mut producer = producer(&topic);
            thread::spawn(move || producer.try_send(Record::new(&value(n))).map(|m| m.offset))
        });
        let sent = producers.map(|p| p.join().unwrap());
        let (mut seen, lost) = drain(&mut consumer);
        // The second producer may find the ring full, because the reader holds segment 0 until its
        // next poll.
        let mut expected: Vec<_> = sent
            .iter()
            .zip([1, 2])
            .filter_map(|(sent, n)| sent.as_ref().ok().map(|&offset| (offset, n)))
            .collect();
        expected.sort_unstable();
        seen.sort_unstable();
        assert_eq!((&seen, lost), (&expected, 0));
        assert!(!seen.is_empty());
        assert!(seen.iter().zip(1..).all(|(&(offset, _), n)| offset == n));
        observed.add(seen.iter().map(|&(_, n)| n).collect::<Vec<_>>());
    });
    outcomes.include([vec![1], vec![2]]);
}

/// The same with room for both records: dense offsets, in either order.
#[test]
fn two_producers_roll_one_after_the_other() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let config = smallest(Overflow::Backpressure).segments(3);
        let (broker, topic) = topic(config);
        let mut consumer = reader(&broker);
        producer(&topic).send(Record::new(&value(0))).unwrap();
        let producers = [1, 2].map(|n| {
            let mut producer = producer(&topic);
            thread::spawn(move || producer.send(Record::new(&value(n))).unwrap().offset)
        });
        let offsets = producers.map(|p| p.join().unwrap());
        let mut expected = vec![(0, 0), (offsets[0], 1), (offsets[1], 2)];
        expected.sort_unstable();
        assert_eq!(drain(&mut consumer), (expected, 0));
        observed.add(offsets);
    });
    outcomes.are([[1, 2], [2, 1]]);
}

/// P4, P5: under `Backpressure` a full ring refuses sends until the reader has left the oldest
/// segment, and no record is lost.
#[test]
fn a_full_ring_refuses_until_the_reader_has_moved_on() {
    let outcomes = Outcomes::new();
    for polling in Polling::BOTH {
        let observed = outcomes.clone();
        explore(move || {
            let (broker, topic) = topic(smallest(Overflow::Backpressure));
            let mut producer = producer(&topic);
            let mut consumer = reader(&broker);
            send_all(&mut producer, 0..2);
            let p = thread::spawn(move || match producer.try_send(Record::new(&value(2))) {
                Ok(metadata) => {
                    assert_eq!(metadata.offset, 2);
                    true
                }
                Err(SendError::Full { .. }) => false,
                Err(other) => panic!("{other}"),
            });
            let c = thread::spawn(move || {
                let seen = polling.drain(&mut consumer);
                (consumer, seen)
            });
            let sent = p.join().unwrap();
            let (mut consumer, seen) = c.join().unwrap();
            let early = seen.0.len();
            let seen = drain_on(&mut consumer, seen);
            let expected: &[(u64, u64)] = &[(0, 0), (1, 1), (2, 2)];
            assert_eq!(seen, expected[..if sent { 3 } else { 2 }]);
            observed.add((sent, early));
        });
    }
    outcomes.are([(false, 2), (true, 2), (true, 3)]);
}
