//! The command `soak`: runs round after round, and reports the result.

use super::counts::Counts;
use super::plan::RoundPlan;
use super::producer::calls::FillerPanic;
use super::summary::Summary;
use super::{rng, round};
use crate::failure::Failure;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Once;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The arguments of `soak`.
#[derive(clap::Args)]
pub(crate) struct Soak {
    /// How long to run, in minutes.
    #[arg(long, value_parser = at_least_one())]
    #[arg(required_unless_present = "seconds", conflicts_with = "seconds")]
    minutes: Option<u64>,
    /// How long to run, in seconds.
    #[arg(long, value_parser = at_least_one())]
    seconds: Option<u64>,
    /// The seed that all rounds follow from. Default: from the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// The first round. Repeats a failed round, together with its seed.
    #[arg(long, default_value_t = 0)]
    round: u64,
    /// Seconds without any progress after which the run fails.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// Writes the result to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn at_least_one() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

/// A round takes a sixth of the run, so that a short run has all combinations, within these
/// bounds.
const LONGEST_ROUND: Duration = Duration::from_secs(3);
const SHORTEST_ROUND: Duration = Duration::from_millis(200);

impl Soak {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let seconds = self
            .minutes
            .map_or(self.seconds, |minutes| Some(minutes.saturating_mul(60)));
        let time = Duration::from_secs(seconds.unwrap_or(60));
        let seed = self.seed.unwrap_or_else(seed_from_clock);
        println!("seed {seed}; for each topic: policy partitions x segments x records/bytes,");
        println!("producers (x: exclusive) > steady consumers + transient consumers");
        let summary = self.rounds(seed, time);
        summary.print();
        if let Some(file) = &self.json {
            std::fs::write(file, serde_json::to_string_pretty(&summary)?)?;
        }
        match summary.failure {
            None => Ok(()),
            Some(_) => Err("the soak is not clean".into()),
        }
    }

    /// Runs round after round until the time is up or one fails.
    fn rounds(&self, seed: u64, time: Duration) -> Summary {
        silence_fillers();
        let start = Instant::now();
        let round_time = (time / 6).clamp(SHORTEST_ROUND, LONGEST_ROUND);
        let mut all = Counts::default();
        let mut number = self.round;
        let mut failure = None;
        while failure.is_none() && start.elapsed() < time {
            let plan = RoundPlan::new(seed, number);
            print!("{plan}");
            // Printed before the round, so that its plan is known even if it hangs. A closed
            // pipe is no reason to stop.
            let _ = std::io::stdout().flush();
            let began = Instant::now();
            match round::run(&plan, round_time, Duration::from_secs(self.patience)) {
                Ok(counts) => {
                    let rate = counts.read as f64 / 1e6 / began.elapsed().as_secs_f64();
                    println!(": {rate:.1} M/s checked");
                    all.add(&counts);
                }
                Err(fault) => {
                    println!(": FAILED");
                    failure = Some(format!("round {number} of seed {seed}: {fault}"));
                }
            }
            number += 1;
        }
        Summary::new(seed, self.round..number, start.elapsed(), all, failure)
    }
}

fn seed_from_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // Short enough to type.
    rng::mix(since.unwrap_or_default().as_nanos() as u64) >> 32
}

/// Silences the panics of fillers, which belong to the run. All others are reported as usual.
fn silence_fillers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default_hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload().is::<FillerPanic>() {
                default_hook(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two seconds have every combination, so that everything happens. A busy machine needs longer.
    #[test]
    fn a_short_soak_is_clean() {
        let soak = Soak {
            minutes: None,
            seconds: Some(2),
            seed: None,
            round: 0,
            patience: 60,
            json: None,
        };
        for seconds in [2, 8, 60] {
            let summary = soak.rounds(11, Duration::from_secs(seconds));
            assert_eq!(summary.failure, None);
            if summary.never.is_empty() {
                return;
            }
            assert!(seconds < 60, "never happened: {:?}", summary.never);
        }
    }
}
