//! Lookups by threads that hold nothing, while segments are retired under them.

use crate::common::*;
use loom::thread;
use ringlog_loom::sites_loom::{At, stop};
use ringlog_loom::{Destination, Overflow, Record, Topic};
use std::fmt::Debug;

/// P7: the bounds of a log that moves on are bounds it really had.
#[test]
fn the_bounds_of_a_moving_log_are_true_at_some_moment() {
    let outcomes = Outcomes::new();
    let saw = outcomes.clone();
    explore(move || {
        let (_broker, topic) = topic(smallest(Overflow::DropOldest));
        let mut producer = topic.producer();
        send_all(&mut producer, 0..2);
        let p = thread::spawn(move || {
            send_all(&mut producer, 2..4);
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
        send_all(&mut producer, 0..3);
        consumer.seek("t", 0, 1).unwrap();
        let p = thread::spawn(move || {
            send_all(&mut producer, 3..6);
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

/// P7: what a lookup finds in a segment that one producer has retired and *another* has prepared
/// again brings the log start with it. (The one that retires fences, which would do for what it
/// prepares itself.)
#[test]
fn a_segment_prepared_by_another_than_retired_it_brings_its_log_start() {
    fn look<T: Ord + Debug + Send + 'static>(
        preemptions: usize,
        look: fn(&Topic) -> T,
    ) -> Outcomes<T> {
        let outcomes = Outcomes::new();
        let saw = outcomes.clone();
        explore_to(preemptions, move || {
            let (broker, topic) = topic(small(Overflow::DropOldest));
            let (mut retires, mut prepares) = (topic.producer(), topic.producer());
            // Segments 1 and 2 are live, at index 1 and 2 of the pool, because a reader has kept
            // segment 0 from being used again.
            let mut pin = reader(&broker);
            for n in 0..2 {
                retires.send_values(Destination::Any, &[n, n]).unwrap();
            }
            assert!(!pin.try_poll().unwrap().is_empty());
            retires.send_values(Destination::Any, &[2u64, 2]).unwrap();
            drop(pin);
            let p = thread::spawn(move || {
                // Retires 1. Then retires 2, and stops before it takes it again.
                retires.send_values(Destination::Any, &[3u64, 3]).unwrap();
                let another = move || {
                    let b = thread::spawn(move || {
                        let sent = prepares.send(Record::new(&value(4))).unwrap();
                        assert_eq!(sent.offset, 8);
                    });
                    b.join().unwrap();
                };
                let (sent, stopped) = stop(At::Site("pool.take"), another, || {
                    retires.send(Record::new(&value(5))).unwrap()
                });
                assert!(stopped);
                assert_eq!(sent.offset, 9);
            });
            let saw = saw.clone();
            let c = thread::spawn(move || saw.saw(look(&topic)));
            p.join().unwrap();
            c.join().unwrap();
        });
        outcomes
    }
    look(2, |topic| topic.log_start_offset(0).unwrap()).are([2, 4, 6]);
    look(2, |topic| topic.log_end_offset(0).unwrap()).are([6, 8, 9, 10]);
    // With as many bytes as lie before the start and before the end.
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
    look(1, |topic| {
        let stats = topic.stats().partitions[0];
        let bytes = (stats.appended_bytes, stats.retained_bytes);
        (stats.log_start, stats.log_end, bytes)
    })
    .are(all.map(|(start, end)| {
        let retained = bytes(end) - bytes(start);
        (start, end, (bytes(end), retained))
    }));
}

/// P7: so does what an exclusive producer claims in a segment that others have prepared.
#[test]
fn an_exclusive_claim_brings_the_log_start_of_its_segment() {
    let outcomes = Outcomes::new();
    let saw = outcomes.clone();
    explore(move || {
        let config = small(Overflow::DropOldest);
        let (_broker, topic) = topic(config.segment_records(3).segment_bytes(72));
        let mut shared = topic.producer();
        shared.send_values(Destination::Any, &[0u8; 3]).unwrap();
        let t = topic.clone();
        let p = thread::spawn(move || {
            // Segment 1, and then 2 in the place of 0.
            shared.send_values(Destination::Any, &[1u8; 3]).unwrap();
            shared.send_values(Destination::Any, &[2u8]).unwrap();
            drop(shared);
            let e = thread::spawn(move || {
                let mut exclusive = t.exclusive_producer().unwrap();
                exclusive.send_values(Destination::Any, &[3u8]).unwrap();
            });
            e.join().unwrap();
        });
        let saw = saw.clone();
        let c = thread::spawn(move || saw.saw(topic.log_end_offset(0).unwrap()));
        p.join().unwrap();
        c.join().unwrap();
    });
    outcomes.are([3, 6, 7, 8]);
}

/// P2, P5: a seek among frames that are being published, one of them of two records, finds the
/// record of its offset; or, past the end that it sees, begins at the log start.
#[test]
fn a_seek_among_frames_in_the_making_finds_its_record() {
    for offset in [1, 2] {
        let outcomes = Outcomes::new();
        let saw = outcomes.clone();
        explore(move || {
            let config = small(Overflow::Backpressure).segment_records(4);
            let (broker, topic) = topic(config.segment_bytes(72));
            let mut consumer = reader(&broker);
            let (mut one, mut two) = (topic.producer(), topic.producer());
            let p = thread::spawn(move || one.send(Record::new(&[1; 8])).unwrap().offset);
            let q = thread::spawn(move || {
                let sent = two.send_values(Destination::Any, &[[2u8; 8], [3; 8]]);
                sent.unwrap().base_offset
            });
            let c = thread::spawn(move || {
                consumer.seek("t", 0, offset).unwrap();
                let batch = consumer.try_poll().unwrap();
                let seen = batch.iter().map(|r| (r.offset(), r.value()[0]));
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
            saw.saw((first, one));
        });
        outcomes.include([(None, 0), (None, 2), (Some(offset), 0), (Some(offset), 2)]);
    }
}

/// P2, P3, P4, P5: a lookup by time reads whole records only, whatever is rolled and recycled
/// under it, and finds none later than the first that it could.
#[test]
fn a_time_is_found_where_it_is_or_the_log_has_gone_past_it() {
    for overflow in [Overflow::DropOldest, Overflow::Backpressure] {
        let outcomes = Outcomes::new();
        let saw = outcomes.clone();
        explore(move || {
            let (_broker, topic) = topic(smallest(overflow));
            let mut producer = topic.producer();
            let mut send = move |n: i64| {
                let value = n.to_ne_bytes();
                producer.send(Record::new(&value).timestamp(n)).unwrap();
            };
            (0..2).for_each(&mut send);
            // The pin of a lookup is no gate: the producer is never refused.
            let p = thread::spawn(move || (2..5).for_each(send));
            let saw = saw.clone();
            let c = thread::spawn(move || {
                let found = topic.offset_for_time(0, 1).unwrap();
                let found = found.map(|at| (at.offset, at.timestamp));
                assert!(found.is_none_or(|(offset, time)| offset == time as u64));
                saw.saw(found.map(|(offset, _)| offset));
            });
            p.join().unwrap();
            c.join().unwrap();
        });
        outcomes.are([Some(1), Some(2), Some(3)]);
    }
}
