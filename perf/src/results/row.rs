//! The counted runs of one system, and their minimum, median and maximum.

use crate::measure::latency::Percentiles;
use crate::systems::system::SystemKind;
use hdrhistogram::Histogram;

/// A system's counted runs.
pub(crate) struct Row {
    pub(crate) system: String,
    pub(crate) version: String,
    pub(crate) kind: SystemKind,
    /// Messages of each run.
    pub(crate) messages: u64,
    /// Nanoseconds per message, in the order of the runs.
    pub(crate) runs: Vec<f64>,
    /// The round trip of a bare word between the cores before and after each of the runs. Empty
    /// if a run has one thread, or if all threads share a core.
    pub(crate) round_trips: Vec<[f64; 2]>,
    /// The same as `runs`, up to the last send.
    pub(crate) producer_runs: Vec<f64>,
    /// The latencies of each of the runs, where they are measured.
    pub(crate) latencies: Vec<Histogram<u64>>,
    /// Why the system could not be measured, or which check failed.
    pub(crate) failure: Option<String>,
    /// Its threads shared cores.
    pub(crate) oversubscribed: bool,
}

/// The minimum, median and maximum of some runs.
#[derive(Clone, Copy, serde::Serialize, PartialEq, Debug)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` for no runs.
    pub(crate) fn of(runs: &[f64]) -> Option<Spread> {
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = if sorted.len() % 2 == 1 {
            upper
        } else {
            f64::midpoint(sorted[middle - 1], upper)
        };
        Some(Spread {
            min: *sorted.first()?,
            median,
            max: *sorted.last()?,
        })
    }
}

impl Row {
    pub(crate) fn spread(&self) -> Option<Spread> {
        Spread::of(&self.runs)
    }

    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        Percentiles::of_all(&self.latencies)
    }

    /// Whether every run's messages were counted, in order, with all their bytes.
    pub(crate) fn verified(&self) -> bool {
        self.failure.is_none() && !self.runs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_of_its_runs() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(&[4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(&[]), None);
    }
}
