//! Reuse of segments, beside readers that may still hold them.

use crate::common::*;
use loom::thread;
use ringlog_loom::ordering_sites::{At, stop};
use ringlog_loom::{ConsumerConfig, Overflow, Record};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// P4, P5, P6: a held batch does not change while producers lap it, and `lost` is the exact number
/// of records that a lapped reader missed.
#[test]
#[ignore = "deep: cargo test -p loom-tests -- --include-ignored"]
fn a_held_batch_is_never_overwritten_and_lost_is_exact() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::DropOldest));
        let mut producer = producer(&topic);
        let mut consumer = reader(&broker);
        send_all(&mut producer, 0..2);
        let p = thread::spawn(move || {
            // Four spare segments are used before the first one is reused.
            send_all(&mut producer, 2..6);
        });
        let observed = observed.clone();
        let c = thread::spawn(move || {
            let mut next = 0;
            let mut polls = Vec::new();
            for _ in 0..2 {
                let batch = consumer.try_poll().unwrap();
                let read = || {
                    let records = batch.iter();
                    records
                        .map(|r| (r.offset(), number(r.value_bytes())))
                        .collect::<Vec<_>>()
                };
                let before = read();
                thread::yield_now();
                assert_eq!(before, read(), "changed while it was held");
                next += batch.lost();
                for (offset, n) in before {
                    assert_eq!((offset, n), (next, next));
                    next += 1;
                }
                polls.push(batch.lost());
            }
            assert_eq!(consumer.position(("t", 0)).unwrap(), next);
            observed.add(polls);
        });
        p.join().unwrap();
        c.join().unwrap();
    });
    outcomes.include([vec![0, 0], vec![0, 1], vec![0, 3], vec![1, 0], vec![4, 0]]);
}

/// P4, P5: no record is overwritten before a subscribed reader has read it, and a segment that the
/// reader has left is reused.
#[test]
fn a_gate_protects_unread_records_and_releases_read_ones() {
    let outcomes = Outcomes::new();
    for polling in Polling::BOTH {
        let observed = outcomes.clone();
        explore(move || {
            let (broker, topic) = topic(smallest(Overflow::Backpressure));
            let mut producer = producer(&topic);
            let mut consumer = reader(&broker);
            send_all(&mut producer, 0..2);
            let p = thread::spawn(move || try_to_send(&mut producer, 2, 3));
            let c = thread::spawn(move || {
                let seen = polling.drain(&mut consumer);
                (consumer, seen)
            });
            let sent = p.join().unwrap();
            let (mut consumer, seen) = c.join().unwrap();
            let early = seen.0.len();
            let seen = drain_on(&mut consumer, seen);
            assert_eq!(seen, (0..sent).map(|n| (n, n)).collect::<Vec<_>>());
            observed.add((sent, early));
        });
    }
    // The reader holds its last segment until it polls again, so the third send finds no room.
    outcomes.are([(2, 2), (3, 2), (3, 3), (4, 3), (4, 4)]);
}

/// P5, P10: a reader that joins while a roll looks at the gates is seen by the roll, or sees that
/// the log start has moved. It misses no record from its first offset on.
#[test]
#[ignore = "deep: cargo test -p loom-tests -- --include-ignored"]
fn a_gate_that_joins_during_a_roll_misses_nothing() {
    let outcomes = Outcomes::new();
    for polling in Polling::BOTH {
        let observed = outcomes.clone();
        explore(move || {
            let (broker, topic) = topic(smallest(Overflow::Backpressure));
            let mut producer = producer(&topic);
            send_all(&mut producer, 0..2);
            let p = thread::spawn(move || try_to_send(&mut producer, 2, 3));
            let c = thread::spawn(move || {
                let mut consumer = reader(&broker);
                let first = consumer.position(("t", 0)).unwrap();
                let seen = polling.drain(&mut consumer);
                (consumer, first, seen)
            });
            let sent = p.join().unwrap();
            let (mut consumer, first, seen) = c.join().unwrap();
            let seen = drain_on(&mut consumer, seen);
            assert_eq!(seen, (first..sent).map(|n| (n, n)).collect::<Vec<_>>());
            observed.add((first, sent));
        });
    }
    outcomes.include([(0, 2), (0, 3), (1, 3), (1, 4), (2, 5), (3, 5)]);
}

/// P5, P10: two readers that join at the same time are both on the list of holds, each complete.
#[test]
fn two_gates_that_join_at_once_are_both_in_force() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::Backpressure));
        let mut producer = producer(&topic);
        send_all(&mut producer, 0..2);
        let readers = [broker.clone(), broker].map(|broker| {
            thread::spawn(move || {
                let consumer = reader(&broker);
                let first = consumer.position(("t", 0)).unwrap();
                (consumer, first)
            })
        });
        let p = thread::spawn(move || {
            (2..4)
                .filter(|&n| producer.try_send(Record::new(&value(n))).is_ok())
                .count() as u64
        });
        let readers = readers.map(|r| r.join().unwrap());
        let sent = 2 + p.join().unwrap();
        for (mut consumer, first) in readers {
            let (seen, lost) = drain(&mut consumer);
            assert_eq!(lost, 0);
            let offsets: Vec<_> = seen.iter().map(|&(offset, _)| offset).collect();
            assert_eq!(offsets, (first..sent).collect::<Vec<_>>());
            observed.add((first, sent));
        }
    });
    outcomes.include([(0, 2), (0, 3), (1, 3), (2, 4)]);
}

/// P5: a gate in force is also seen by a roller that finds the log start moved by another roller,
/// even if that one stopped before its fence.
#[test]
fn a_gate_is_seen_by_the_roller_after_one_that_stopped() {
    let outcomes = Outcomes::new();
    for polling in Polling::BOTH {
        let observed = outcomes.clone();
        explore_to(1, move || {
            let (broker, topic) = topic(smallest(Overflow::Backpressure));
            let (mut stops, mut goes_on) = (producer(&topic), producer(&topic));
            send_all(&mut stops, 0..2);
            let p = thread::spawn(move || {
                let sent = Arc::new(AtomicU64::new(0));
                let count = sent.clone();
                let another = move || {
                    let b = thread::spawn(move || {
                        (2..4)
                            .filter(|&n| goes_on.try_send(Record::new(&value(n))).is_ok())
                            .count() as u64
                    });
                    count.store(b.join().unwrap(), Relaxed);
                };
                // This producer moves the log start, and stops.
                let (mine, stopped) = stop(At::Site("partition.retire"), another, || {
                    stops.try_send(Record::new(&value(9))).is_ok()
                });
                (sent.load(Relaxed), mine, stopped)
            });
            let c = thread::spawn(move || {
                let mut consumer = reader(&broker);
                let first = consumer.position(("t", 0)).unwrap();
                let seen = polling.drain(&mut consumer);
                (consumer, first, seen)
            });
            let (sent, mine, stopped) = p.join().unwrap();
            let (mut consumer, first, seen) = c.join().unwrap();
            let seen = drain_on(&mut consumer, seen);
            let offsets: Vec<_> = seen.iter().map(|&(offset, _)| offset).collect();
            let end = 2 + sent + u64::from(mine);
            assert_eq!(offsets, (first..end).collect::<Vec<_>>());
            observed.add((stopped, first, sent, mine));
        });
    }
    outcomes.include([(true, 0, 1, false), (true, 1, 1, false)]);
}

/// P4, P10: the last read of a reader that leaves happens before its segment is reused.
#[test]
fn a_reader_that_leaves_has_finished_its_last_read() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::Backpressure));
        let mut producer = producer(&topic);
        let mut consumer = reader(&broker);
        send_all(&mut producer, 0..2);
        let p = thread::spawn(move || {
            (2..6)
                .filter(|&n| producer.try_send(Record::new(&value(n))).is_ok())
                .count()
        });
        let c = thread::spawn(move || {
            let batch = consumer.try_poll().unwrap();
            let seen: Vec<_> = batch.iter().map(|r| number(r.value_bytes())).collect();
            assert_eq!(seen, [0]);
            drop(batch);
            drop(consumer);
        });
        observed.add(p.join().unwrap());
        c.join().unwrap();
    });
    outcomes.are([0, 1, 2, 3, 4]);
}

/// P6: an unpublished claim keeps its segment from being reused, also if it is dropped late.
#[test]
fn an_unpublished_claim_keeps_its_segment_from_reuse() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore_to(1, move || {
        let (broker, topic) = topic(smallest(Overflow::DropOldest));
        let (mut slow, mut fast) = (producer(&topic), producer(&topic));
        let s = thread::spawn(move || {
            let route = ringlog_loom::Destination::Any;
            let mut claim = slow.claim(route, None, 16).unwrap();
            claim.copy_from_slice(&value(9));
            let offset = claim.metadata().offset;
            drop(claim);
            offset
        });
        let f = thread::spawn(move || {
            send_all(&mut fast, 0..3);
        });
        let aborted = s.join().unwrap();
        f.join().unwrap();
        let (seen, lost) = drain(&mut reader(&broker));
        assert_eq!(lost, 0);
        let expected: Vec<_> = (2..4)
            .filter(|&offset| offset != aborted)
            .map(|offset| (offset, if offset > aborted { offset - 1 } else { offset }))
            .collect();
        assert_eq!(seen, expected);
        observed.add(aborted);
    });
    outcomes.are([0, 1, 2, 3]);
}

/// P6: END's store happens before the segment's reuse, although the thread that stores END may be
/// slow. The next life may place a record there, whose descriptor is read by a plain load.
#[test]
fn the_end_of_a_life_happens_before_the_next() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore_to(1, move || {
        let (_broker, topic) = topic(smallest(Overflow::DropOldest));
        let (mut ends, mut goes_on) = (producer(&topic), producer(&topic));
        send_all(&mut goes_on, 0..1);
        let a = thread::spawn(move || ends.send(Record::new(&value(1))).unwrap().offset);
        let b = thread::spawn(move || {
            let send = |n| goes_on.send(Record::new(&value(n))).unwrap().offset;
            (2..4).map(send).collect::<Vec<_>>()
        });
        observed.add((a.join().unwrap(), b.join().unwrap()));
    });
    outcomes.are([(1, vec![2, 3]), (2, vec![1, 3]), (3, vec![1, 2])]);
}

/// P4, P5: a reader that joins at the end of a moving log misses no record from there on.
#[test]
fn a_reader_that_joins_at_the_end_sees_all_from_there() {
    let outcomes = Outcomes::new();
    {
        let observed = outcomes.clone();
        explore(move || {
            let (broker, topic) = topic(smallest(Overflow::Backpressure));
            let mut producer = producer(&topic);
            producer.send(Record::new(&value(0))).unwrap();
            let p = thread::spawn(move || try_to_send(&mut producer, 1, 3));
            let c = thread::spawn(move || {
                let latest = ConsumerConfig::new().offset_reset(ringlog_loom::OffsetReset::Latest);
                let mut consumer = broker.consumer(latest).unwrap();
                consumer.subscribe(["t"]).unwrap();
                let first = consumer.position(("t", 0)).unwrap();
                (consumer, first)
            });
            let sent = p.join().unwrap();
            let (mut consumer, first) = c.join().unwrap();
            let (seen, lost) = drain(&mut consumer);
            assert_eq!(lost, 0);
            assert_eq!(seen, (first..sent).map(|n| (n, n)).collect::<Vec<_>>());
            observed.add(first);
        });
    }
    outcomes.are([1, 2, 3, 4]);
}
