//! A thread that stops forever before any one of its atomic steps, and what it holds up.
//!
//! The thread's work is run once to count its steps, and then once for each of them. Before that
//! step, the other threads do all their work in its place, as if it were not there. A thread that
//! waited for the stopped one would take more steps than there can be, and fail. Afterwards the
//! stopped thread wakes up, very late, and finishes its work. The log must be right then as well.
//!
//! The outcome is the table of `docs/verification.md`, which is compared with what the test finds.

mod cases;
mod expected;
mod others;
mod run;
mod table;

use crate::common::*;
use cases::{
    ABORT, APPEND, Case, EXCLUSIVE, GATHER, JOIN, LEAVE, LOOKUP, POLL, RETAIN, REUSE, ROLL, SEEK,
    send,
};
use expected::{check_bystander, check_consumer, check_producer};
use others::{MOST_STEPS, Others, SENDS};
use ringlog_loom::ordering_sites::{At, stop, trace};
use ringlog_loom::{Overflow, Record};
pub(crate) use run::once;
use run::{config, stop_at_each, stop_at_each_in};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use table::rows;

/// P1 to P11: see the head of this file. The table found is the one of `docs/verification.md`.
#[test]
fn a_thread_stopped_at_any_step_holds_up_only_what_the_design_says() {
    let mut table = String::from(
        "| policy | stopped thread | before steps | other producers | other readers |\n\
         |---|---|---|---|---|\n",
    );
    for overflow in [Overflow::DropOldest, Overflow::Backpressure] {
        for case in [&APPEND, &ROLL, &REUSE, &ABORT] {
            let steps = stop_at_each(overflow, case);
            check_producer(overflow, case.name, case.others, &steps);
            rows(&mut table, overflow, case.name, case.others, &steps);
        }
        let steps = stop_at_each(overflow, &GATHER);
        check_producer(overflow, GATHER.name, GATHER.others, &steps);
        rows(&mut table, overflow, GATHER.name, GATHER.others, &steps);
        let steps = stop_at_each(overflow, &EXCLUSIVE);
        check_producer(overflow, EXCLUSIVE.name, 0, &steps);
        rows(&mut table, overflow, EXCLUSIVE.name, 0, &steps);
        for (case, subscribed) in [(&JOIN, false), (&POLL, true), (&SEEK, true), (&LEAVE, true)] {
            let steps = stop_at_each(overflow, case);
            check_consumer(overflow, case.name, subscribed, &steps);
            rows(&mut table, overflow, case.name, case.others, &steps);
        }
        let steps = stop_at_each(overflow, &LOOKUP);
        check_bystander(overflow, LOOKUP.name, &steps);
        rows(&mut table, overflow, LOOKUP.name, LOOKUP.others, &steps);
        let config = config(overflow).retention(Duration::ZERO);
        let steps = stop_at_each_in(config, &RETAIN);
        check_bystander(overflow, RETAIN.name, &steps);
        rows(&mut table, overflow, RETAIN.name, RETAIN.others, &steps);
    }
    if std::env::var_os("RINGLOG_WEAKEN").is_some() {
        return; // the table is that of the unweakened steps
    }
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verification.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    assert!(
        docs.contains(&table),
        "docs/verification.md should contain this table, which the test has found:\n\n{table}"
    );
}

/// S1, S2, T2, T4: while a producer is stopped anywhere in a roll, two others proceed in any order.
/// All three, the stopped one after it wakes up, get an offset of their own.
#[test]
#[ignore = "deep: cargo test -p loom-tests -- --include-ignored"]
fn two_producers_proceed_at_once_while_one_is_stopped_in_a_roll() {
    let set_up = || {
        let (broker, topic) = topic(smallest(Overflow::DropOldest));
        let mut stops = producer(&topic);
        send_all(&mut stops, 0..2);
        (broker, topic, stops)
    };
    let steps = once(move || {
        let (_broker, _topic, stops) = set_up();
        trace(MOST_STEPS, || send(stops, &Rc::default())).1.len()
    });
    assert!(steps > 30);
    let outcomes = Outcomes::new();
    for number in 0..steps {
        let observed = outcomes.clone();
        explore_to(1, move || {
            let (broker, topic, mut stops) = set_up();
            let others = [3, 4].map(|n| (producer(&topic), n));
            let sent = Rc::new(RefCell::new(Vec::new()));
            let out = sent.clone();
            let proceed = move || {
                let others = others.map(|(mut producer, n)| {
                    loom::thread::spawn(move || {
                        let offset = producer.send(Record::new(&value(n))).unwrap().offset;
                        (offset, n)
                    })
                });
                out.borrow_mut()
                    .extend(others.map(|other| other.join().unwrap()));
            };
            let (last, stopped) = stop(At::Step(number), proceed, || {
                stops.send(Record::new(&value(2))).unwrap().offset
            });
            assert!(stopped);
            let mut sent = sent.borrow().clone();
            observed.add(last);
            sent.push((last, 2));
            sent.sort_unstable();
            assert!(sent.iter().map(|&(offset, _)| offset).eq(2..5), "{sent:?}");
            // Two records are retained, without the first of these three.
            let (seen, _) = drain(&mut reader(&broker));
            assert_eq!(seen, sent[1..]);
        });
    }
    outcomes.are([2, 4]);
}

/// Two threads stopped at once, each before any of its steps, hold up no other producer: one spare
/// segment per handle is enough.
#[test]
fn two_stopped_threads_hold_up_no_other_producer() {
    stop_pairs(Overflow::DropOldest, &REUSE, &REUSE);
    stop_pairs(Overflow::Backpressure, &REUSE, &REUSE);
    stop_pairs(Overflow::DropOldest, &REUSE, &POLL);
    stop_pairs(Overflow::DropOldest, &POLL, &REUSE);
    stop_pairs(Overflow::Backpressure, &LOOKUP, &REUSE);
}

/// Stops the first thread before each of its steps, and then the second before each of its own.
fn stop_pairs<A, B>(overflow: Overflow, first: &'static Case<A>, second: &'static Case<B>) {
    let set_up = move || {
        let (broker, topic) = topic(config(overflow));
        let log = Rc::default();
        // One more producer, and no more: every spare can be needed.
        let mut others = Others::new(&broker, &topic, 1, &log);
        let mut a = (first.handle)(&broker, &topic);
        let mut b = (second.handle)(&broker, &topic);
        (first.prepare)(&mut others, &mut a);
        (second.prepare)(&mut others, &mut b);
        (others, a, b, log)
    };
    let steps = once(move || {
        let (_others, a, b, log) = set_up();
        let a = trace(MOST_STEPS, || (first.work)(a, &log)).1.len();
        let b = trace(MOST_STEPS, || (second.work)(b, &log)).1.len();
        (a, b)
    });
    for (i, j) in (0..steps.0).flat_map(|i| (0..steps.1).map(move |j| (i, j))) {
        once(move || {
            let (others, a, b, log) = set_up();
            let back = Rc::new(RefCell::new(None));
            let (give_back, later) = (back.clone(), log.clone());
            let second_stops = move || {
                let others = Rc::new(RefCell::new(others));
                let meanwhile = others.clone();
                let proceed = move || {
                    let outcome = meanwhile.borrow_mut().proceed();
                    let all_sent = outcome.sent == SENDS;
                    assert!(
                        all_sent || overflow == Overflow::Backpressure && outcome.gap.is_some()
                    );
                };
                // With the first thread stopped, the second may take fewer steps and not reach this
                // one.
                stop(At::Step(j), proceed, || (second.work)(b, &later));
                *give_back.borrow_mut() = Some(others);
            };
            let ((), stopped) = stop(At::Step(i), second_stops, || (first.work)(a, &log));
            assert!(stopped);
            let others = back.borrow_mut().take().unwrap();
            others.borrow_mut().assert_all_proceed();
        });
    }
}

/// A call of a shared producer that is stopped before any of its steps holds up no other call of
/// the same handle, which takes or makes another producer.
#[test]
fn a_stopped_call_of_a_shared_producer_holds_up_no_other_call() {
    let set_up = || {
        let (broker, topic) = topic(small(Overflow::DropOldest));
        // The spares of two producers exist: a thread is not stopped while it allocates one.
        drop([producer(&topic), producer(&topic)]);
        (broker, topic.shared_producer())
    };
    let steps = once(move || {
        let (_broker, handle) = set_up();
        let send = || handle.send(Record::new(&value(0))).unwrap().offset;
        trace(MOST_STEPS, send).1.len()
    });
    assert!(steps > 5);
    for number in 0..steps {
        once(move || {
            let (_broker, handle) = set_up();
            let sent = Rc::new(RefCell::new(Vec::new()));
            let (out, other) = (sent.clone(), handle.clone());
            let proceed = move || {
                let send = |n| other.send(Record::new(&value(n))).unwrap().offset;
                let (offsets, _) = trace(MOST_STEPS, || [1, 2, 3].map(send));
                out.borrow_mut().extend(offsets);
            };
            let (last, stopped) = stop(At::Step(number), proceed, || {
                handle.send(Record::new(&value(0))).unwrap().offset
            });
            assert!(stopped);
            let mut sent = sent.borrow().clone();
            sent.push(last);
            sent.sort_unstable();
            assert_eq!(sent, [0, 1, 2, 3]);
        });
    }
}
