//! The stale producer: it sleeps between its load of a state word and its compare-and-swap, while
//! the segment is retired, recycled and opened again.
//!
//! With segments of one record, one append is one roll. The order in which the pool gives segments
//! out is known, so the fast producer reuses the very segment whose state word the slow one loaded.

use crate::common::*;
use loom::thread;
use ringlog_loom::{Overflow, Producer, Record};

/// S2, P1, P6, P8, P11: a claim that lands in a later life is valid there, with an offset of that
/// life.
#[test]
#[ignore = "deep: cargo test -p loom-tests -- --include-ignored"]
fn a_stale_claim_is_a_good_claim_in_the_new_life() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore_to(1, move || {
        let (broker, topic) = topic(smallest(Overflow::DropOldest));
        let (mut slow, mut fast) = (producer(&topic), producer(&topic));
        // Segments 0 and 2 are the same memory.
        let f = thread::spawn(move || {
            (0..3)
                .map(|n| fast.send(Record::new(&value(n))).unwrap().offset)
                .collect::<Vec<_>>()
        });
        let t = topic.clone();
        let s = thread::spawn(move || {
            let offset = slow.send(Record::new(&value(9))).unwrap().offset;
            // A thread that has sent a record finds it in the log (P11).
            assert!(t.log_end_offset(0).unwrap() > offset);
            offset
        });
        let (slow, fast) = (s.join().unwrap(), f.join().unwrap());
        let mut all = fast.clone();
        all.push(slow);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3], "slow {slow}, fast {fast:?}");
        // The retained records are whole, at the offsets that their producers got.
        let (seen, lost) = drain(&mut reader(&broker));
        assert_eq!((seen.len(), lost), (2, 0));
        for (offset, n) in seen {
            let expected = match n {
                9 => slow,
                n => fast[n as usize],
            };
            assert_eq!(offset, expected);
        }
        observed.add(slow);
    });
    outcomes.are([0, 1, 2, 3]);
}

/// S2: a segment that now belongs to another partition refuses the claim, although the rest of its
/// state word is as it was.
#[test]
#[ignore = "deep: cargo test -p loom-tests -- --include-ignored"]
fn a_stale_claim_never_lands_in_another_partition() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore_to(1, move || {
        let (broker, topic) = topic(small(Overflow::DropOldest).partitions(2));
        let (mut slow, mut fast) = (producer(&topic), producer(&topic));
        // A reader that holds the partition's oldest segment.
        let pin = |partition: u32| {
            let mut consumer = reader(&broker);
            consumer.pause(("t", 1 - partition)).unwrap();
            assert!(!consumer.try_poll().unwrap().is_empty());
            consumer
        };
        // Partition 1 has used its three segments, at index 3, 4 and 5 of the pool. Its active one
        // is at 5 and the others are pinned, so its next segment is one of the other partition's.
        for n in 0..2 {
            send(&mut fast, 1, n);
        }
        let at_3 = pin(1);
        for n in 2..6 {
            send(&mut fast, 1, n);
        }
        let pins = (at_3, pin(1));
        // Partition 0's active segment is at 0, half full. This pin keeps it from reusing 0 itself.
        send(&mut fast, 0, 0);
        let pin_at_0 = pin(0);
        let f = thread::spawn(move || {
            for n in 1..5 {
                send(&mut fast, 0, n);
            }
            drop(pin_at_0);
            send(&mut fast, 1, 6); // now active at 0, half full
        });
        let s = thread::spawn(move || send(&mut slow, 0, 9));
        f.join().unwrap();
        let slow = s.join().unwrap();
        assert_eq!(topic.log_end_offset(0).unwrap(), 6, "slow at {slow}");
        assert_eq!(topic.log_end_offset(1).unwrap(), 7, "slow at {slow}");
        drop(pins);
        observed.add(slow);
    });
    outcomes.are([1, 2, 3, 4, 5]);
}

fn send(producer: &mut Producer, partition: u32, n: u64) -> u64 {
    let value = value(n);
    let record = Record::new(&value).partition(partition);
    producer.send(record).unwrap().offset
}

/// P9: a shared producer that takes over from an exclusive one claims in the life that the
/// exclusive one opened.
#[test]
fn an_exclusive_producer_leaves_its_last_segment_in_order() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (_broker, topic) = topic(small(Overflow::DropOldest));
        let mut exclusive = topic.exclusive_producer().unwrap();
        for n in 0..4 {
            exclusive.send(Record::new(&value(n))).unwrap();
        }
        let mut early = producer(&topic);
        // Segment 2 is at index 0 again, where new producers look first.
        let e = thread::spawn(move || {
            let sent = exclusive.send(Record::new(&value(4))).unwrap().offset;
            assert_eq!(sent, 4);
        });
        let t = topic.clone();
        let l = thread::spawn(move || {
            let late = t.producer().send(Record::new(&value(7)));
            late.ok().map(|m| m.offset)
        });
        let s = thread::spawn(move || {
            let sent = early.send(Record::new(&value(8)));
            sent.ok().map(|m| m.offset)
        });
        e.join().unwrap();
        let (late, early) = (l.join().unwrap(), s.join().unwrap());
        for offset in [late, early].into_iter().flatten() {
            assert!(offset == 5 || offset == 6, "{offset}");
        }
        assert!(late.is_none() || late != early);
        observed.add((late, early));
    });
    outcomes.are([
        (None, None),
        (None, Some(5)),
        (Some(5), None),
        (Some(5), Some(6)),
        (Some(6), Some(5)),
    ]);
}

/// P9: an exclusive producer continues after the last claim of the shared ones.
#[test]
fn an_exclusive_producer_takes_over_after_the_last_claim() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(small(Overflow::Backpressure));
        let mut consumer = reader(&broker);
        let mut shared = producer(&topic);
        let s = thread::spawn(move || shared.send(Record::new(&value(1))).unwrap().offset);
        let e = thread::spawn(move || {
            let mut exclusive = topic.exclusive_producer().ok()?;
            Some(exclusive.send(Record::new(&value(2))).unwrap().offset)
        });
        assert_eq!(s.join().unwrap(), 0);
        let exclusive = e.join().unwrap();
        assert!(exclusive.is_none() || exclusive == Some(1));
        let sent = 1 + exclusive.iter().count();
        assert_eq!(drain(&mut consumer).0, [(0, 1), (1, 2)][..sent]);
        observed.add(exclusive);
    });
    outcomes.are([None, Some(1)]);
}
