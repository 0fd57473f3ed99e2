//! Everything at once for as long as one likes, with every record checked.
//!
//! Rounds of some seconds, each with topics of its own (`plan.rs`): producers that come and go
//! and send by every call (`producer.rs`, `calls.rs`), consumers that stay (`steady.rs`) and
//! that come and go (`transient.rs`, `seeks.rs`). What a record must be follows from its
//! identity (`identity.rs`), what a reader must see from the rules of `checker.rs`, and what
//! there was from the producers' accounts (`ledger.rs`).

mod calls;
mod checker;
#[cfg(test)]
mod checker_tests;
mod dice;
mod handle;
mod identity;
mod ledger;
mod parts;
mod plan;
mod producer;
mod round;
mod seeks;
mod steady;
mod summary;
mod tally;
mod transient;
mod worker;

use crate::measure::Failure;
use calls::FillerPanic;
use plan::RoundPlan;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Once;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use summary::Summary;
use tally::Tally;

#[derive(clap::Args)]
pub(crate) struct Soak {
    /// How long.
    #[arg(long, value_parser = at_least_one())]
    #[arg(required_unless_present = "seconds", conflicts_with = "seconds")]
    minutes: Option<u64>,
    /// How long, for short runs.
    #[arg(long, value_parser = at_least_one())]
    seconds: Option<u64>,
    /// What the rounds are made from. From the clock, unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// The first round: to repeat one that failed, with its seed.
    #[arg(long, default_value_t = 0)]
    round: u64,
    /// Seconds in which nothing moves before the run has failed.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// Writes the result here as well.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn at_least_one() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

/// A round is a sixth of a short run, so that it has all mixes, and this long at most.
const LONGEST_ROUND: Duration = Duration::from_secs(3);
const SHORTEST_ROUND: Duration = Duration::from_millis(200);

impl Soak {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let seconds = self
            .minutes
            .map_or(self.seconds, |minutes| Some(minutes.saturating_mul(60)));
        let time = Duration::from_secs(seconds.unwrap_or(60));
        let seed = self.seed.unwrap_or_else(seed_from_clock);
        println!("seed {seed}; of each topic: policy partitions x segments x records/bytes,");
        println!("producers (x: exclusive) > consumers that stay + that come and go");
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

    /// Round after round until the time is up or one fails.
    fn rounds(&self, seed: u64, time: Duration) -> Summary {
        silence_fillers();
        let start = Instant::now();
        let round_time = (time / 6).clamp(SHORTEST_ROUND, LONGEST_ROUND);
        let mut all = Tally::default();
        let mut number = self.round;
        let mut failure = None;
        while failure.is_none() && start.elapsed() < time {
            let plan = RoundPlan::new(seed, number);
            print!("{plan}");
            // Before the round, so that it is known whatever becomes of it; a closed pipe
            // is no reason to stop.
            let _ = std::io::stdout().flush();
            let began = Instant::now();
            match round::run(&plan, round_time, Duration::from_secs(self.patience)) {
                Ok(tally) => {
                    let rate = tally.read as f64 / 1e6 / began.elapsed().as_secs_f64();
                    println!(": {rate:.1} M/s checked");
                    all.add(&tally);
                }
                Err(wrong) => {
                    println!(": FAILED");
                    failure = Some(format!("round {number} of seed {seed}: {wrong}"));
                }
            }
            number += 1;
        }
        Summary::new(seed, self.round..number, start.elapsed(), all, failure)
    }
}

fn seed_from_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // Short enough to be typed.
    dice::mix(since.unwrap_or_default().as_nanos() as u64) >> 32
}

/// Panics of fillers belong to the run and say nothing; all others are told as ever.
fn silence_fillers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload().is::<FillerPanic>() {
                others(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two seconds have every mix, so that everything happens.
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
        let summary = soak.rounds(11, Duration::from_secs(2));
        assert_eq!(summary.failure, None);
        assert_eq!(summary.never, [""; 0]);
    }
}
