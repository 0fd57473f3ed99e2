//! Appending and reading within one segment.

use crate::common::*;
use loom::thread;
use ringlog_loom::{Destination, Overflow, Record};

/// P2: a record is seen whole or not at all.
#[test]
fn a_record_is_seen_whole_or_not_at_all() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(small(Overflow::Backpressure));
        let mut producer = producer(&topic);
        let mut consumer = reader(&broker);
        let p = thread::spawn(move || {
            producer.send(Record::new(&value(7))).unwrap();
        });
        let observed = observed.clone();
        let c = thread::spawn(move || {
            let batch = consumer.try_poll().unwrap();
            observed.add(
                batch
                    .iter()
                    .map(|r| number(r.value_bytes()))
                    .collect::<Vec<_>>(),
            );
        });
        p.join().unwrap();
        c.join().unwrap();
    });
    outcomes.are([vec![], vec![7]]);
}

/// P1, P2: the records of two producers get dense offsets, none is lost or torn, and a reader sees
/// a prefix.
#[test]
fn two_producers_get_dense_offsets_and_a_reader_sees_a_prefix() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(small(Overflow::Backpressure));
        let mut consumer = reader(&broker);
        let producers: Vec<_> = [1, 2]
            .map(|n| {
                let mut producer = producer(&topic);
                thread::spawn(move || producer.send(Record::new(&value(n))).unwrap().offset)
            })
            .into();
        let c = thread::spawn(move || {
            let early = drain(&mut consumer);
            (consumer, early)
        });
        let offsets: Vec<_> = producers.into_iter().map(|p| p.join().unwrap()).collect();
        let (mut consumer, (early, _)) = c.join().unwrap();
        assert!(offsets == [0, 1] || offsets == [1, 0]);
        let mut all = early.clone();
        all.extend(drain(&mut consumer).0);
        let mut expected = vec![(offsets[0], 1), (offsets[1], 2)];
        expected.sort_unstable();
        assert_eq!(all, expected);
        observed.add(early.iter().map(|&(_, n)| n).collect::<Vec<_>>());
    });
    outcomes.are([vec![], vec![1], vec![2], vec![1, 2], vec![2, 1]]);
}

/// P2: a batch is seen whole or not at all.
#[test]
fn a_batch_is_seen_whole_or_not_at_all() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(small(Overflow::Backpressure));
        let mut producer = producer(&topic);
        let mut consumer = reader(&broker);
        let p = thread::spawn(move || {
            producer.send_values(Destination::Any, &[5u64, 6]).unwrap();
        });
        let observed = observed.clone();
        let c = thread::spawn(move || {
            let batch = consumer.try_poll().unwrap();
            observed.add(batch.values::<u64>().unwrap().copied().collect::<Vec<_>>());
        });
        p.join().unwrap();
        c.join().unwrap();
    });
    outcomes.are([vec![], vec![5, 6]]);
}

/// P2, P6: readers step over a dropped claim, and read the records after it.
#[test]
fn an_aborted_claim_is_stepped_over() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(small(Overflow::Backpressure));
        let mut producer = producer(&topic);
        let mut consumer = reader(&broker);
        let p = thread::spawn(move || {
            let mut claim = producer.claim(Destination::Any, None, 16).unwrap();
            claim.copy_from_slice(&value(1)); // written, and still dropped
            drop(claim);
            producer.send(Record::new(&value(2))).unwrap();
        });
        let observed = observed.clone();
        let c = thread::spawn(move || {
            let (seen, lost) = drain(&mut consumer);
            let position = consumer.position(("t", 0)).unwrap();
            observed.add((seen, lost, position));
        });
        p.join().unwrap();
        c.join().unwrap();
    });
    outcomes.are([(vec![], 0, 0), (vec![], 0, 1), (vec![(1, 2)], 0, 2)]);
}

/// S1, P9: an exclusive producer's claims, which are plain stores, are valid, and the next producer
/// continues after its last one.
#[test]
fn an_exclusive_producer_hands_over_to_the_next() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(small(Overflow::Backpressure));
        let mut exclusive = topic.exclusive_producer().unwrap();
        let mut shared = producer(&topic);
        let mut consumer = reader(&broker);
        let p = thread::spawn(move || {
            exclusive.send(Record::new(&value(1))).unwrap();
        });
        let q = thread::spawn(move || shared.send(Record::new(&value(2))).is_ok());
        let c = thread::spawn(move || {
            let early = drain(&mut consumer).0;
            (consumer, early)
        });
        p.join().unwrap();
        let sent = q.join().unwrap();
        let (mut consumer, mut seen) = c.join().unwrap();
        let early = seen.len();
        seen.extend(drain(&mut consumer).0);
        let expected: &[(u64, u64)] = if sent { &[(0, 1), (1, 2)] } else { &[(0, 1)] };
        assert_eq!(seen, expected);
        observed.add((sent, early));
    });
    outcomes.are([(false, 0), (false, 1), (true, 0), (true, 1), (true, 2)]);
}
