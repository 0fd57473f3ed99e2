//! Runs a thread's work and stops it before each of its steps.

use super::cases::Case;
use super::others::{MOST_STEPS, Others, Outcome};
use crate::common::*;
use ringlog_loom::ordering_sites::{At, Step, stop, trace};
use ringlog_loom::{Overflow, TopicConfig};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

/// The steps of a case, each with the outcome when the thread was stopped before it.
pub(super) fn stop_at_each<V: 'static>(
    overflow: Overflow,
    case: &'static Case<V>,
) -> Vec<(Step, Outcome)> {
    stop_at_each_in(config(overflow), case)
}

/// A ring of two segments of two records.
pub(super) fn config(overflow: Overflow) -> TopicConfig {
    // Two records fill a segment by their bytes. So the END that its sealer owes cannot be deduced
    // from the number of slots.
    small(overflow).segment_records(3)
}

/// As [`stop_at_each`], with another configuration.
pub(super) fn stop_at_each_in<V: 'static>(
    config: TopicConfig,
    case: &'static Case<V>,
) -> Vec<(Step, Outcome)> {
    let set_up = move || {
        let (broker, topic) = topic(config.clone());
        let log = Rc::default();
        let mut others = Others::new(&broker, &topic, case.others, &log);
        let mut handle = (case.handle)(&broker, &topic);
        (case.prepare)(&mut others, &mut handle);
        (others, handle, log)
    };
    let first = set_up.clone();
    let steps = once(move || {
        let (_others, handle, log) = first();
        trace(MOST_STEPS, || (case.work)(handle, &log)).1
    });
    assert!(!steps.is_empty(), "{}: no steps", case.name);
    let outcome = |number| {
        let set_up = set_up.clone();
        once(move || {
            let (mut others, handle, log) = set_up();
            let result = Rc::new(RefCell::new(None));
            let (meanwhile, back) = (result.clone(), Rc::new(RefCell::new(None)));
            let give_back = back.clone();
            let others_proceed = move || {
                *meanwhile.borrow_mut() = Some(others.proceed());
                *give_back.borrow_mut() = Some(others);
            };
            let ((), stopped) = stop(At::Step(number), others_proceed, || {
                (case.work)(handle, &log)
            });
            assert!(stopped);
            let mut others: Others = back.borrow_mut().take().unwrap();
            let outcome = result.borrow_mut().take().unwrap();
            let of_the_stopped = |gap: u64| others.log.borrow().claimed.contains(&gap);
            assert!(outcome.gap.is_none_or(of_the_stopped));
            others.assert_all_proceed();
            outcome
        })
    };
    let outcomes: Vec<_> = (0..steps.len()).map(outcome).collect();
    steps.into_iter().zip(outcomes).collect()
}

/// Runs a model of a single thread, which has one execution.
pub(crate) fn once<R: Send + 'static>(model: impl Fn() -> R + Send + Sync + 'static) -> R {
    let result = Arc::new(Mutex::new(None));
    let out = result.clone();
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.check(move || {
        let before = out.lock().unwrap().replace(model());
        assert!(
            before.is_none(),
            "a single thread has more than one execution"
        );
    });
    report_sites();
    result.lock().unwrap().take().unwrap()
}
