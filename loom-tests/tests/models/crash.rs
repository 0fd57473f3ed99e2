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

use crate::common::*;
use loom::thread;
use points::{Durable, point};
use ringlog_loom::Overflow;

/// A file that no model fills.
const LARGE: u64 = 1 << 20;

/// P2, P4: what the copier finds in one segment while a producer sends there.
#[test]
fn a_crash_leaves_a_prefix_of_what_was_published() {
    let points = Outcomes::new();
    for polling in Polling::BOTH {
        let seen = points.clone();
        explore(move || {
            let config = small(Overflow::DropOldest);
            let mut durable = Durable::new(config, Overflow::DropOldest, 3, LARGE, &seen);
            let (mut producer, watched) = (producer(&durable.topic), durable.watched.clone());
            let p = thread::spawn(move || {
                for n in 0..2 {
                    assert!(watched.send(&mut producer, n));
                }
            });
            let watched = durable.watched.clone();
            let c = thread::spawn(move || {
                for _ in 0..2 {
                    watched.copy(&mut durable.copier);
                    if let Polling::Yielding = polling {
                        thread::yield_now();
                    }
                }
                durable
            });
            p.join().unwrap();
            let durable = c.join().unwrap();
            assert_eq!(durable.finish(), (vec![(0, 0), (1, 1)], vec![]));
        });
    }
    points.include([
        point(1, 0, 0),
        point(1, 1, 0),
        point(2, 0, 0),
        point(2, 1, 0),
        point(2, 2, 0),
    ]);
}
