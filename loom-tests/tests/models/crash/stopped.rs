//! A thread of a durable topic that is stopped before any one of its steps, and what is in the files
//! by then.
//!
//! As in `stops.rs`, the thread's work is run once for each of its steps. Before that step all other
//! threads do what they want: producers for five laps of the ring, and the copier. Then the process
//! crashes, and so does the machine. Afterwards the stopped thread wakes up, and the files must be
//! complete then.

use super::LARGE;
use super::points::{Durable, Watched};
use crate::common::*;
use crate::stops::once;
use ringlog_loom::modelled_storage::Copier;
use ringlog_loom::ordering_sites::{At, Step, stop, trace};
use ringlog_loom::{Destination, Overflow, Producer};
use std::cell::RefCell;
use std::rc::Rc;

/// Five laps of a ring of two segments of two records.
const SENDS: u64 = 20;

/// The other threads take fewer steps than this, unless one of them waits.
const MOST_STEPS: usize = 20_000;

/// What a producer is stopped in.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Work {
    Send,
    /// A claim that is given up.
    Abort,
}

/// What the files have when a producer is stopped and all others have done what they can.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Copied {
    Everything,
    /// And the producers go on until the ring is full.
    UpToTheClaim,
    /// And what is behind it and not yet overwritten.
    WithAGap,
}

/// Before which steps of a send its claim is made and not published.
fn is_claimed(steps: &[Step], number: usize) -> bool {
    let is_at = |site: &'static str| move |step: &Step| step.site == Some(site);
    let publishes = steps.iter().position(is_at("segment.publish")).unwrap();
    let claims = steps[..publishes].iter().rposition(is_at("segment.claim"));
    (claims.unwrap() + 1..=publishes).contains(&number)
}

/// A ring in which two records fill a segment by their bytes, and the next send rolls `rolls` times
/// to a segment that was used before.
fn set_up(overflow: Overflow, rolls: bool) -> (Durable, Producer, Producer) {
    let config = small(overflow).segment_records(3);
    let mut durable = Durable::new(config, overflow, 2, LARGE, &Outcomes::new());
    let (mut other, stopped) = (durable.producer(), durable.producer());
    for n in 1..if rolls { 4 } else { 3 } {
        assert!(durable.watched.send_unwatched(&mut other, n));
        durable.copy_all();
    }
    (durable, other, stopped)
}

/// The work of the stopped producer. Its handle is leaked: its drop takes a lock.
fn work(work: Work, watched: &Watched, mut producer: Producer) {
    match work {
        Work::Send => _ = watched.send_unwatched(&mut producer, 100),
        Work::Abort => {
            let claim = producer.claim(Destination::Any, None, 16).unwrap();
            watched.aborted(claim.metadata().offset);
            drop(claim);
        }
    }
    std::mem::forget(producer);
}

/// P2, P4, P5: a producer stopped inside a claim delays the copier, and a crash loses nothing that
/// was published before it.
#[test]
fn a_stopped_producer_delays_the_copier_and_loses_nothing_before_its_claim() {
    let outcomes = Outcomes::new();
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        for (kind, rolls) in [
            (Work::Send, false),
            (Work::Send, true),
            (Work::Abort, false),
        ] {
            let steps = once(move || {
                let (durable, _, stopped) = set_up(overflow, rolls);
                trace(MOST_STEPS, || work(kind, &durable.watched, stopped)).1
            });
            assert!(steps.len() > 3);
            for number in 0..steps.len() {
                let copied = once(move || stop_producer(overflow, kind, rolls, number));
                let expected = match (is_claimed(&steps, number), overflow) {
                    (false, _) => Copied::Everything,
                    (true, Overflow::Backpressure) => Copied::UpToTheClaim,
                    (true, Overflow::DropOldest) => Copied::WithAGap,
                };
                let step = steps[number];
                assert_eq!(
                    copied, expected,
                    "{overflow:?}, {kind:?}, step {number}: {step:?}"
                );
                outcomes.add(copied);
            }
        }
    }
    outcomes.are([Copied::Everything, Copied::UpToTheClaim, Copied::WithAGap]);
}

fn stop_producer(overflow: Overflow, kind: Work, rolls: bool, number: usize) -> Copied {
    let (durable, mut other, stopped) = set_up(overflow, rolls);
    let watched = durable.watched.clone();
    let result: Rc<RefCell<Option<Copied>>> = Rc::default();
    let durable = Rc::new(RefCell::new(durable));
    let (others, out) = (durable.clone(), result.clone());
    let others_proceed = move || {
        let mut durable = others.borrow_mut();
        let (first, sent) = (durable.watched.sent_end(), {
            let mut sent = 0;
            trace(MOST_STEPS, || {
                for n in 200..200 + SENDS {
                    sent += u64::from(durable.watched.send_unwatched(&mut other, n));
                    durable.copy_all();
                }
            });
            sent
        });
        // The crash: after it there is what was published, except what was overwritten behind a
        // claim.
        let files = &durable.files;
        let (killed, cut) = (files.after_kill(), files.after_power_cut(1));
        assert_eq!(
            (killed.end, &killed.records, &killed.gaps),
            (cut.end, &cut.records, &cut.gaps)
        );
        assert!(
            killed
                .records
                .iter()
                .all(|(_, value)| self::number(value) != 100)
        );
        *out.borrow_mut() = Some(match (sent, &killed.gaps[..]) {
            (SENDS, []) => {
                assert_eq!(killed.end, first + SENDS);
                Copied::Everything
            }
            (sent, []) => {
                assert!(sent < SENDS && killed.end == first);
                Copied::UpToTheClaim
            }
            (sent, gaps) => {
                assert!(sent == SENDS && gaps[0].start == first && gaps.len() == 1);
                Copied::WithAGap
            }
        });
    };
    let at = At::Step(number);
    let ((), reached) = stop(at, others_proceed, || work(kind, &watched, stopped));
    assert!(reached);
    let Some(durable) = Rc::into_inner(durable) else {
        panic!("the others have ended");
    };
    durable.into_inner().finish();
    result.take().unwrap()
}

/// P4, P5: the copier stopped before each step of a copy and a sync. Under `Backpressure` producers
/// fill the ring and no more; under `DropOldest` they overtake the copier, and the files say what they
/// miss.
#[test]
fn a_stopped_copier_loses_only_what_drop_oldest_overwrites() {
    let outcomes = Outcomes::new();
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let set_up = move || {
            let (durable, mut other, stopped) = set_up(overflow, true);
            for n in 4..6 {
                assert!(durable.watched.send_unwatched(&mut other, n));
            }
            drop(stopped);
            (durable, other)
        };
        let copy_and_sync = |copier: &mut Copier| {
            copier.copy();
            copier.begin_sync().map(|sync| sync.run());
        };
        let steps = once(move || {
            let (mut durable, _other) = set_up();
            trace(MOST_STEPS, || copy_and_sync(&mut durable.copier)).1
        });
        for number in 0..steps.len() {
            let outcome = once(move || {
                let (mut durable, mut other) = set_up();
                let watched = durable.watched.clone();
                let all_sent = Rc::new(RefCell::new(0));
                let count = all_sent.clone();
                let files = durable.files.clone();
                let producers_proceed = move || {
                    trace(MOST_STEPS, || {
                        let sends = (200..200 + SENDS)
                            .filter(|&n| watched.send_unwatched(&mut other, n))
                            .count();
                        *count.borrow_mut() = sends as u64;
                    });
                    // Whatever the copier was about to do, what any thread has seen of the ends holds.
                    assert!(files.after_kill().end >= files.written_end());
                    assert!(files.after_power_cut(1).end >= files.durable_end());
                };
                let (_, reached) = stop(At::Step(number), producers_proceed, || {
                    copy_and_sync(&mut durable.copier);
                });
                assert!(reached);
                let sent = *all_sent.borrow();
                let (_, gaps) = durable.finish();
                (sent, !gaps.is_empty())
            });
            assert_eq!(outcome.0 == SENDS, overflow == Overflow::DropOldest);
            outcomes.add((overflow == Overflow::DropOldest, outcome.1, outcome.0 > 0));
        }
    }
    // The ring is full, or has room for some; and twenty records are more than it holds.
    outcomes.are([
        (false, false, false),
        (false, false, true),
        (true, true, true),
    ]);
}
