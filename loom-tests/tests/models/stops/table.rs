//! The table of `docs/verification.md`.

use super::others::{Outcome, SENDS};
use ringlog_loom::Overflow;
use ringlog_loom::ordering_sites::Step;
use std::fmt::Write as _;

/// Adds one row for each run of steps with the same outcome.
pub(super) fn rows(
    table: &mut String,
    overflow: Overflow,
    name: &str,
    others: usize,
    steps: &[(Step, Outcome)],
) {
    let mut first = 0;
    while first < steps.len() {
        let outcome = in_words(others, &steps[first].1);
        let run = steps[first..]
            .iter()
            .take_while(|(_, o)| in_words(others, o) == outcome);
        let last = first + run.count();
        let mut sites: Vec<String> = Vec::new();
        for site in steps[first..last].iter().filter_map(|(step, _)| step.site) {
            let site = format!("`{site}`");
            if !sites.contains(&site) {
                sites.push(site);
            }
        }
        let sites = sites.join(", ");
        let (producers, readers) = outcome;
        let first_step = first + 1;
        let _ = writeln!(
            table,
            "| `{overflow:?}` | {name} | {first_step} to {last}: {sites} | {producers} | {readers} |",
        );
        first = last;
    }
}

/// The outcome for other producers and other readers, in words.
fn in_words(others: usize, outcome: &Outcome) -> (&'static str, &'static str) {
    let producers = match outcome.sent {
        _ if others == 0 => "there are none",
        SENDS => "go on",
        _ => "go on until the ring is full",
    };
    let readers = match (outcome.gap, outcome.lost) {
        (None, 0) => "read everything",
        (None, _) => {
            "read everything before the claim, and on from the log start when that is past it"
        }
        (Some(_), _) => "read everything before the claim",
    };
    (producers, readers)
}
