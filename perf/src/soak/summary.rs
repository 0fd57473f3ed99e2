//! The result of a soak, as text and as JSON.

use crate::soak::counts::{Counts, grouped};
use serde::Serialize;
use std::ops::Range;
use std::time::Duration;

/// The result of a soak. The field names are those of the JSON.
#[derive(Serialize)]
pub(crate) struct Summary {
    seed: u64,
    first_round: u64,
    rounds: u64,
    seconds: f64,
    checked_per_second: f64,
    /// The counts of the clean rounds.
    counts: Counts,
    /// What never happened. Empty after a run of some seconds.
    pub(crate) never: Vec<&'static str>,
    pub(crate) failure: Option<String>,
}

impl Summary {
    pub(crate) fn new(
        seed: u64,
        rounds: Range<u64>,
        time: Duration,
        counts: Counts,
        failure: Option<String>,
    ) -> Summary {
        let seconds = time.as_secs_f64();
        Summary {
            seed,
            first_round: rounds.start,
            rounds: rounds.end - rounds.start,
            seconds,
            checked_per_second: counts.read as f64 / seconds,
            never: counts.missing(),
            counts,
            failure,
        }
    }

    pub(crate) fn print(&self) {
        println!();
        let row = |label: &str, value: String| println!("{label:32} {value:>20}");
        row("seed", self.seed.to_string());
        row("minutes", format!("{:.2}", self.seconds / 60.0));
        row("rounds", grouped(self.rounds));
        for (label, count) in self.counts.rows() {
            row(label, grouped(count));
        }
        row("checked a second", grouped(self.checked_per_second as u64));
        if self.failure.is_none() && !self.never.is_empty() {
            println!("never happened: {}", self.never.join(", "));
        }
        match &self.failure {
            None => println!("clean"),
            Some(failure) => println!("FAILED: {failure}"),
        }
    }
}
