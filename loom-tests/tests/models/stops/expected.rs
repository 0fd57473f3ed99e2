//! What a stopped thread may hold up.

use super::others::{Outcome, SENDS};
use ringlog_loom::Overflow;
use ringlog_loom::ordering_sites::Step;
use std::ops::Range;

/// Whether the thread holds an unpublished claim, before each of its steps.
fn claimed(steps: &[(Step, Outcome)]) -> Vec<bool> {
    let mut held = false;
    let step = |(i, (step, _)): (usize, &(Step, Outcome))| {
        let before = held;
        match step.site {
            Some("segment.claim_exclusive") => held = true,
            // The last try before the frame is published is the one that claims.
            Some("segment.claim") => {
                let later = steps[i + 1..].iter().filter_map(|(s, _)| s.site);
                held = later
                    .take_while(|&s| s != "segment.publish")
                    .all(|s| s != "segment.claim");
            }
            Some("segment.publish") => held = false,
            _ => {}
        }
        before
    };
    steps.iter().enumerate().map(step).collect()
}

/// The steps before which a consumer is on the list of holds.
fn listed(steps: &[(Step, Outcome)], subscribed: bool) -> Range<usize> {
    let replaced = |(step, _): &(Step, Outcome)| step.site == Some("holds.replace");
    let joins = if subscribed {
        Some(0)
    } else {
        steps.iter().position(replaced)
    };
    let leaves = steps.iter().rposition(replaced);
    match (joins, leaves) {
        (Some(first), Some(last)) => (if subscribed { 0 } else { first + 1 })..last + 1,
        _ => panic!("the consumer is never on the list"),
    }
}

/// Checks a producer's case. Only an unpublished claim holds up other threads.
pub(super) fn check_producer(
    overflow: Overflow,
    name: &str,
    others: usize,
    steps: &[(Step, Outcome)],
) {
    let claimed = claimed(steps);
    assert!(claimed.contains(&true));
    let sends = if others == 0 { 0 } else { SENDS };
    for (i, (step, outcome)) in steps.iter().enumerate() {
        let at = format!("{overflow:?}, {name}, step {i}: {step:?}: {outcome:?}");
        if overflow == Overflow::DropOldest && others > 0 {
            // The gap is retired with its segment, and the records after it in the segment are
            // lost.
            assert!(outcome.sent == sends && outcome.read_all, "{at}");
            assert_eq!(outcome.lost > 0, claimed[i], "{at}");
        } else {
            assert_eq!(outcome.lost, 0, "{at}");
            assert_eq!(outcome.gap.is_some(), claimed[i], "{at}");
            // The reader stops before the gap, and the producers proceed until the ring is full.
            assert_eq!(outcome.sent == SENDS, !claimed[i] && others > 0, "{at}");
            assert_eq!(outcome.sent > 0, others > 0, "{at}");
        }
    }
}

/// Checks a consumer's case. Under `Backpressure` it holds up producers while it is on the list.
pub(super) fn check_consumer(
    overflow: Overflow,
    name: &str,
    subscribed: bool,
    steps: &[(Step, Outcome)],
) {
    let listed = listed(steps, subscribed);
    for (i, (step, outcome)) in steps.iter().enumerate() {
        let at = format!("{overflow:?}, {name}, step {i}: {step:?}: {outcome:?}");
        // Other readers get everything, wherever this one is stopped.
        assert!(outcome.read_all && outcome.lost == 0, "{at}");
        let gated = overflow == Overflow::Backpressure && listed.contains(&i);
        assert_eq!(outcome.sent < SENDS, gated, "{at}");
        assert!(outcome.sent > 0, "{at}");
    }
}

/// Checks a case that holds up no other thread.
pub(super) fn check_bystander(overflow: Overflow, name: &str, steps: &[(Step, Outcome)]) {
    for (i, (step, outcome)) in steps.iter().enumerate() {
        let at = format!("{overflow:?}, {name}, step {i}: {step:?}: {outcome:?}");
        let all = (outcome.sent, outcome.read_all, outcome.lost);
        assert_eq!(all, (SENDS, true, 0), "{at}");
    }
}
