//! Durable topics: a crash at any step of any thread, and what recovery finds then.
//!
//! Before each step of each thread all threads are stopped, as by a crash, and what is on the disk
//! is recovered: after a crash of the process, and after power cuts. The real recovery runs on a
//! copy of the disk, so the execution goes on unchanged. So each crash point of each execution is
//! checked:
//!
//! - What is left is a prefix of what was published: dense, with the bytes that were sent, and with
//!   gaps only where `DropOldest` has overwritten. No record is left that was not published.
//! - All before `written_end` is left by a crash of the process, and all before `durable_end` by a
//!   power cut.
//! - Under `Backpressure` nothing is overwritten that is not in the files.
//!
//! The copier's and the syncer's work run in threads of the model, without their own threads'
//! loops: when they run is up to loom. Each operation of the disk is a step.

mod points;
mod stopped;

use crate::common::*;
use loom::thread;
use points::{Durable, Watched, point};
use ringlog_loom::{Overflow, Producer};

/// A file that no model fills.
const LARGE: u64 = 32 << 10;

/// Bytes of a page of a file.
const PAGE: u64 = 4096;

/// More bytes than the chunk of one record takes, and less than two of them.
const CHUNK: u64 = 128;

/// Copies some times, as the copier does while a producer sends.
fn copy(durable: &mut Durable, times: usize, polling: Polling) {
    for _ in 0..times {
        durable.watched.copy(&mut durable.copier);
        if let Polling::Yielding = polling {
            thread::yield_now();
        }
    }
}

/// P2, P4: what the copier finds in one segment while a producer sends there.
#[test]
fn a_crash_leaves_a_prefix_of_what_was_published() {
    let points = Outcomes::new();
    for polling in Polling::BOTH {
        let seen = points.clone();
        explore(move || {
            let config = small(Overflow::DropOldest)
                .segment_records(3)
                .segment_bytes(48);
            let mut durable = Durable::new(config, Overflow::DropOldest, 3, LARGE, &seen);
            let (mut producer, watched) = (durable.producer(), durable.watched.clone());
            let p = thread::spawn(move || {
                for n in 1..3 {
                    assert!(watched.send(&mut producer, n));
                }
            });
            let c = thread::spawn(move || {
                for _ in 0..2 {
                    copy(&mut durable, 1, polling);
                    durable.watched.sync(&durable.copier);
                }
                durable
            });
            p.join().unwrap();
            let durable = c.join().unwrap();
            assert_eq!(durable.finish(), (vec![(0, 0), (1, 1), (2, 2)], vec![]));
        });
    }
    // Not copied yet, copied and not synced, and synced: of one and of both.
    let one = [(1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2)];
    let both = [
        (3, 1, 1),
        (3, 2, 1),
        (3, 2, 2),
        (3, 3, 1),
        (3, 3, 2),
        (3, 3, 3),
    ];
    points.are(one.into_iter().chain(both).map(point));
}

/// P2: a batch is one frame: after a crash it is there as a whole, or not at all.
#[test]
fn a_crash_leaves_a_batch_as_a_whole_or_not_at_all() {
    let points = Outcomes::new();
    for polling in Polling::BOTH {
        let seen = points.clone();
        explore(move || {
            let config = small(Overflow::Backpressure).segment_bytes(64);
            let mut durable = Durable::new(config, Overflow::Backpressure, 2, LARGE, &seen);
            let (mut producer, watched) = (durable.producer(), durable.watched.clone());
            // The batch begins a segment of its own.
            assert!(watched.send(&mut producer, 1));
            let p = thread::spawn(move || {
                let mut next = 2;
                for _ in 0..2 {
                    if watched.send_batch(&mut producer, next..next + 2) {
                        next += 2;
                    }
                }
                next
            });
            let c = thread::spawn(move || {
                copy(&mut durable, 2, polling);
                durable
            });
            let sent = p.join().unwrap();
            let durable = c.join().unwrap();
            let expected = (0..sent).map(|n| (n, n)).collect();
            assert_eq!(durable.finish(), (expected, vec![]));
        });
    }
    let is_whole = |ends: u64| ends < 2 || ends % 2 == 0;
    points.all(|point| is_whole(point.published) && is_whole(point.killed) && is_whole(point.cut));
    let batches = [
        (4, 1, 1),
        (4, 2, 1),
        (4, 4, 1),
        (6, 4, 1),
        (6, 6, 1),
        (6, 6, 6),
    ];
    points.include(batches.map(point));
}

/// P2: two producers in one segment. The copier passes no claim that is not published.
#[test]
fn a_crash_beside_two_producers_leaves_no_record_of_an_open_claim() {
    let points = Outcomes::new();
    let orders = Outcomes::new();
    for polling in Polling::BOTH {
        let (seen, observed) = (points.clone(), orders.clone());
        explore(move || {
            let config = small(Overflow::DropOldest)
                .segment_records(3)
                .segment_bytes(48);
            let mut durable = Durable::new(config, Overflow::DropOldest, 3, LARGE, &seen);
            let producers = [1, 2].map(|n| {
                let (mut producer, watched) = (durable.producer(), durable.watched.clone());
                thread::spawn(move || assert!(watched.send(&mut producer, n)))
            });
            let c = thread::spawn(move || {
                copy(&mut durable, 2, polling);
                durable
            });
            for p in producers {
                p.join().unwrap();
            }
            let (records, gaps) = c.join().unwrap().finish();
            assert_eq!(gaps, []);
            observed.add([records[1].1, records[2].1]);
        });
    }
    orders.are([[1, 2], [2, 1]]);
    // Of two that are published, none and one is copied; one that is published behind an open claim
    // is not.
    points.include([(2, 1, 1), (2, 2, 1), (3, 1, 1), (3, 2, 1), (3, 3, 1)].map(point));
}

/// Tries to send three records, from this number on. Returns the number after the last one sent.
fn send_three(watched: &Watched, producer: &mut Producer, mut next: u64) -> u64 {
    for _ in 0..3 {
        if watched.send(producer, next) {
            next += 1;
        }
    }
    next
}

/// P4, P5: the copier's gate keeps what is not in the files.
#[test]
fn under_backpressure_nothing_is_overwritten_that_is_not_in_the_files() {
    let (points, outcomes) = (Outcomes::new(), Outcomes::new());
    for (polling, disk_is_full) in [
        (Polling::BackToBack, false),
        (Polling::Yielding, false),
        (Polling::BackToBack, true),
        (Polling::Yielding, true),
    ] {
        let (seen, observed) = (points.clone(), outcomes.clone());
        explore(move || {
            let config = smallest(Overflow::Backpressure);
            let mut durable = Durable::new(config, Overflow::Backpressure, 1, LARGE, &seen);
            let (mut producer, watched) = (durable.producer(), durable.watched.clone());
            // The copier's gate is in the segment of record 1, which it could not write.
            assert!(watched.send(&mut producer, 1));
            durable.files.fail_next_write();
            assert_eq!(durable.copier.copy(), None);
            assert!(watched.send(&mut producer, 2));
            if disk_is_full {
                durable.files.fail_next_write();
            }
            let p = thread::spawn(move || send_three(&watched, &mut producer, 3));
            let c = thread::spawn(move || {
                copy(&mut durable, 3, polling);
                durable
            });
            let sent = p.join().unwrap();
            let durable = c.join().unwrap();
            observed.add((disk_is_full, sent));
            let expected = (0..sent).map(|n| (n, n)).collect();
            assert_eq!(durable.finish(), (expected, vec![]));
        });
    }
    outcomes.include([(false, 3), (false, 4), (false, 5), (true, 3), (true, 4)]);
    points.include(
        [
            (3, 1, 1),
            (3, 2, 1),
            (3, 3, 1),
            (4, 2, 1),
            (4, 3, 1),
            (5, 4, 1),
        ]
        .map(point),
    );
}

/// P4, P5: a copier that is overtaken stores exactly which offsets the files miss.
#[test]
fn an_overtaken_copier_stores_gaps_exactly_where_records_were_overwritten() {
    let (points, outcomes) = (Outcomes::new(), Outcomes::new());
    for polling in Polling::BOTH {
        let (seen, observed) = (points.clone(), outcomes.clone());
        explore_to(1, move || {
            let config = smallest(Overflow::DropOldest);
            let mut durable = Durable::new(config, Overflow::DropOldest, 1, LARGE, &seen);
            let (mut producer, watched) = (durable.producer(), durable.watched.clone());
            assert!(watched.send(&mut producer, 1));
            let p = thread::spawn(move || assert_eq!(send_three(&watched, &mut producer, 2), 5));
            let c = thread::spawn(move || {
                copy(&mut durable, 2, polling);
                durable
            });
            p.join().unwrap();
            let (records, gaps) = c.join().unwrap().finish();
            assert!(records.iter().all(|(offset, n)| offset == n));
            let gaps = gaps.into_iter().map(|gap| (gap.start, gap.end));
            observed.add(gaps.collect::<Vec<_>>());
        });
    }
    outcomes.include([vec![], vec![(1, 3)], vec![(1, 2)], vec![(2, 3)]]);
    points.include([(2, 1, 1), (5, 5, 5)].map(point));
}

/// A sync runs beside an append, which begins another file. The file before is sealed.
#[test]
fn a_sync_beside_an_append_promises_what_was_appended_before_it() {
    let (points, files) = (Outcomes::new(), Outcomes::new());
    let (seen, observed) = (points.clone(), files.clone());
    explore_to(4, move || {
        let config = small(Overflow::Backpressure).segments(4);
        // A file has two chunks. What is appended after a sync begins on the next page.
        let file_bytes = 3 * PAGE + CHUNK;
        let mut durable = Durable::new(config, Overflow::Backpressure, 2, file_bytes, &seen);
        let mut producer = durable.producer();
        for n in 1..3 {
            assert!(durable.watched.send(&mut producer, n));
            durable.watched.copy(&mut durable.copier);
        }
        // Of the file that is full, and of the next one, which has the record 2.
        let sync = durable.copier.begin_sync().unwrap();
        let watched = durable.watched.clone();
        let s = thread::spawn(move || assert_eq!(watched.run(|| sync.run()), 3));
        let observed = observed.clone();
        let c = thread::spawn(move || {
            for n in 3..5 {
                assert!(durable.watched.send(&mut producer, n));
                durable.watched.copy(&mut durable.copier);
            }
            durable
        });
        s.join().unwrap();
        let durable = c.join().unwrap();
        observed.add(durable.files.after_kill().files);
        assert_eq!(durable.finish().0, [0, 1, 2, 3, 4].map(|n| (n, n)));
    });
    files.are([3]);
    // The appends of 3 and 4 before the sync of 1 and 2; and after it.
    points.include(
        [
            (4, 3, 1),
            (4, 4, 1),
            (5, 5, 1),
            (4, 3, 3),
            (4, 4, 3),
            (5, 5, 3),
        ]
        .map(point),
    );
}
