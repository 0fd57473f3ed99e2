//! Lookups by threads without a hold, while other threads retire segments.

use crate::common::*;
use loom::thread;
use ringlog_loom::ordering_sites::{At, stop};
use ringlog_loom::{Destination, Overflow, Record, Topic};
use std::fmt::Debug;

/// P7: the bounds read of a moving log are bounds that it had at some moment.
#[test]
fn the_bounds_of_a_moving_log_are_true_at_some_moment() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (_broker, topic) = topic(smallest(Overflow::DropOldest));
        let mut producer = producer(&topic);
        send_all(&mut producer, 0..2);
        let p = thread::spawn(move || {
            send_all(&mut producer, 2..4);
        });
        let observed = observed.clone();
        let c = thread::spawn(move || {
            let start = topic.log_start_offset(0).unwrap();
            let end = topic.log_end_offset(0).unwrap();
            assert!(
                start <= 3 && (2..=5).contains(&end) && start <= end,
                "{start} {end}"
            );
            observed.add((start, end));
        });
        p.join().unwrap();
        c.join().unwrap();
    });
    outcomes.include([(0, 2), (0, 4), (2, 4), (1, 3)]);
}

/// P5, P7: a seek into a segment that is being retired finds its record, or the log start; then
/// `lost` counts the records between.
#[test]
#[ignore = "deep: cargo test -p loom-tests -- --include-ignored"]
fn a_seek_finds_its_record_or_the_log_start() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(smallest(Overflow::DropOldest));
        let mut producer = producer(&topic);
        let mut consumer = reader(&broker);
        send_all(&mut producer, 0..3);
        consumer.seek(("t", 0), 1).unwrap();
        let p = thread::spawn(move || {
            send_all(&mut producer, 3..6);
        });
        let observed = observed.clone();
        let c = thread::spawn(move || {
            let batch = consumer.try_poll().unwrap();
            let record = batch.iter().next();
            let seen = record.map(|r| (r.offset(), number(r.value_bytes())));
            if let Some((offset, n)) = seen {
                assert_eq!(offset, n);
            }
            observed.add((seen.map(|(offset, _)| offset), batch.lost()));
        });
        p.join().unwrap();
        c.join().unwrap();
    });
    outcomes.are([(Some(1), 0), (Some(2), 1), (Some(3), 2), (Some(4), 3)]);
}

/// P7: values read from a segment that one producer has retired and *another* has prepared bring
/// the log start with them. (The producer that retires executes a fence, which would be enough for
/// a segment that it prepares itself.)
#[test]
#[ignore = "deep: cargo test -p loom-tests -- --include-ignored"]
fn a_segment_retired_by_one_and_prepared_by_another_brings_its_log_start() {
    fn outcomes_of<T: Ord + Debug + Send + 'static>(
        preemptions: usize,
        lookup: fn(&Topic) -> T,
    ) -> Outcomes<T> {
        let outcomes = Outcomes::new();
        let observed = outcomes.clone();
        explore_to(preemptions, move || {
            let (broker, topic) = topic(small(Overflow::DropOldest));
            let (mut retires, mut prepares) = (producer(&topic), producer(&topic));
            // Segments 1 and 2 are live, at index 1 and 2 of the pool, because a pin kept segment 0
            // from being reused.
            let mut pin = reader(&broker);
            for n in 0..2 {
                retires.send_values(Destination::Any, &[n, n]).unwrap();
            }
            assert!(!pin.try_poll().unwrap().is_empty());
            retires.send_values(Destination::Any, &[2u64, 2]).unwrap();
            drop(pin);
            let p = thread::spawn(move || {
                // Retires segment 1. Then retires segment 2, and stops before it takes that again.
                retires.send_values(Destination::Any, &[3u64, 3]).unwrap();
                let another = move || {
                    let b = thread::spawn(move || {
                        let sent = prepares.send(Record::new(&value(4))).unwrap();
                        assert_eq!(sent.offset, 8);
                    });
                    b.join().unwrap();
                };
                let (sent, stopped) = stop(At::Site("segment_pool.take"), another, || {
                    retires.send(Record::new(&value(5))).unwrap()
                });
                assert!(stopped);
                assert_eq!(sent.offset, 9);
            });
            let observed = observed.clone();
            let c = thread::spawn(move || observed.add(lookup(&topic)));
            p.join().unwrap();
            c.join().unwrap();
        });
        outcomes
    }
    outcomes_of(2, |topic| topic.log_start_offset(0).unwrap()).are([2, 4, 6]);
    outcomes_of(2, |topic| topic.log_end_offset(0).unwrap()).are([6, 8, 9, 10]);
    // The statistics have the bytes before the start and before the end of the log.
    let bytes = |offset| match offset {
        2 => 24u64,
        4 => 48,
        6 => 80,
        8 => 112,
        9 => 128,
        _ => 144,
    };
    let starts = [2, 4, 6];
    let all = starts.map(|start| [6, 8, 9, 10].map(|end| (start, end)));
    let all = all.into_iter().flatten();
    outcomes_of(1, |topic| {
        let stats = topic.stats().partitions[0];
        let bytes = (stats.appended_bytes, stats.retained_bytes);
        (stats.log_start, stats.log_end, bytes)
    })
    .are(all.map(|(start, end)| {
        let retained = bytes(end) - bytes(start);
        (start, end, (bytes(end), retained))
    }));
}

/// P7: an exclusive producer's claim in a segment that another prepared brings the log start with
/// it.
#[test]
fn an_exclusive_claim_brings_the_log_start_of_its_segment() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let config = small(Overflow::DropOldest);
        let (_broker, topic) = topic(config.segment_records(3).segment_bytes(72));
        let mut shared = producer(&topic);
        shared.send_values(Destination::Any, &[0u8; 3]).unwrap();
        let t = topic.clone();
        let p = thread::spawn(move || {
            // Fills segment 1, and then begins segment 2 in the memory of segment 0.
            shared.send_values(Destination::Any, &[1u8; 3]).unwrap();
            shared.send_values(Destination::Any, &[2u8]).unwrap();
            drop(shared);
            let e = thread::spawn(move || {
                let mut exclusive = t.exclusive_producer().unwrap();
                exclusive.send_values(Destination::Any, &[3u8]).unwrap();
            });
            e.join().unwrap();
        });
        let observed = observed.clone();
        let c = thread::spawn(move || observed.add(topic.log_end_offset(0).unwrap()));
        p.join().unwrap();
        c.join().unwrap();
    });
    outcomes.are([3, 6, 7, 8]);
}

/// P2, P5: a seek among frames that are being published, one of them of two records, finds the
/// record at its offset. If the offset is past the end that it sees, it begins at the log start.
#[test]
fn a_seek_among_unpublished_frames_finds_its_record() {
    for offset in [1, 2] {
        let outcomes = Outcomes::new();
        let observed = outcomes.clone();
        explore(move || {
            let config = small(Overflow::Backpressure).segment_records(4);
            let (broker, topic) = topic(config.segment_bytes(72));
            let mut consumer = reader(&broker);
            let (mut one, mut two) = (producer(&topic), producer(&topic));
            let p = thread::spawn(move || one.send(Record::new(&[1; 8])).unwrap().offset);
            let q = thread::spawn(move || {
                let sent = two.send_values(Destination::Any, &[[2u8; 8], [3; 8]]);
                sent.unwrap().base_offset
            });
            let c = thread::spawn(move || {
                consumer.seek(("t", 0), offset).unwrap();
                let batch = consumer.try_poll().unwrap();
                let seen = batch.iter().map(|r| (r.offset(), r.value_bytes()[0]));
                seen.collect::<Vec<_>>()
            });
            let (one, two) = (p.join().unwrap(), q.join().unwrap());
            let seen = c.join().unwrap();
            for (&(found, n), expected) in seen.iter().zip(seen.first().map_or(0, |s| s.0)..) {
                assert_eq!(found, expected);
                let sent = if n == 1 { one } else { two + u64::from(n) - 2 };
                assert_eq!(found, sent);
            }
            let first = seen.first().map(|&(found, _)| found);
            assert!(
                first.is_none_or(|first| first == offset || first == 0),
                "{seen:?}"
            );
            observed.add((first, one));
        });
        outcomes.include([(None, 0), (None, 2), (Some(offset), 0), (Some(offset), 2)]);
    }
}

/// P2, P3, P4, P5: a lookup by time reads only whole records, while segments are rolled and
/// recycled. It finds the earliest record of that time or later, unless the log start has passed
/// it.
#[test]
fn a_lookup_by_time_finds_its_record_unless_the_log_start_has_passed_it() {
    for overflow in [Overflow::DropOldest, Overflow::Backpressure] {
        let outcomes = Outcomes::new();
        let observed = outcomes.clone();
        explore(move || {
            let (_broker, topic) = topic(smallest(overflow));
            let mut producer = producer(&topic);
            let mut send = move |n: i64| {
                let value = n.to_ne_bytes();
                producer.send(Record::new(&value).timestamp(n)).unwrap();
            };
            (0..2).for_each(&mut send);
            // A lookup holds a pin, not a gate, so the producer is never refused.
            let p = thread::spawn(move || (2..5).for_each(send));
            let observed = observed.clone();
            let c = thread::spawn(move || {
                let found = topic.offset_for_time(0, 1).unwrap();
                let found = found.map(|at| (at.offset, at.timestamp));
                assert!(found.is_none_or(|(offset, time)| offset == time as u64));
                observed.add(found.map(|(offset, _)| offset));
            });
            p.join().unwrap();
            c.join().unwrap();
        });
        outcomes.are([Some(1), Some(2), Some(3)]);
    }
}
