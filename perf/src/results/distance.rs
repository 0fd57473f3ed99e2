//! Runs on near cores apart from runs on far ones, where a case met both.
//!
//! A run counts as near or as far if the round trips before it and after it agree. Between them the
//! distance may have changed twice; mostly it has not changed.

use super::row::{Row, Spread};
use crate::measure::latency::Percentiles;
use serde::Serialize;

/// Two round trips are of different distances, beyond noise, if they differ by this factor.
const FACTOR: f64 = 2.0;

/// The round trip in nanoseconds that separates the near runs of a case from the far ones.
#[derive(Clone, Copy)]
pub(crate) struct DistanceSplit(f64);

/// A row's runs of one distance.
#[derive(Clone, Copy, Serialize, PartialEq, Debug)]
pub(crate) struct DistancePart {
    pub(crate) runs: usize,
    #[serde(flatten)]
    pub(crate) spread: Spread,
    /// `Block::times_best_peer`, from these runs and the peers' runs of the same distance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) times_best_peer: Option<f64>,
    /// Where latencies are measured.
    #[serde(skip)]
    pub(crate) percentiles: Option<Percentiles>,
}

impl DistanceSplit {
    /// The split of rows whose runs alternated; `None` if all runs met the same distance.
    pub(crate) fn of(rows: &[Row]) -> Option<DistanceSplit> {
        let all = rows.iter().flat_map(|row| row.round_trips.as_flattened());
        let least = all.clone().copied().reduce(f64::min)?;
        let most = all.copied().reduce(f64::max)?;
        (most >= FACTOR * least).then(|| DistanceSplit((least * most).sqrt()))
    }

    /// The runs of a row that met near cores, then its runs that met far ones. The runs during
    /// which the distance changed are in neither.
    pub(crate) fn parts(self, row: &Row) -> [Option<DistancePart>; 2] {
        [false, true].map(|far| {
            let trips = row.round_trips.iter().enumerate();
            let of_part = trips.filter(|(_, trips)| trips.iter().all(|&t| (t > self.0) == far));
            let of_part: Vec<usize> = of_part.map(|(run, _)| run).collect();
            let runs = of_part.iter().filter_map(|&run| row.runs.get(run).copied());
            let runs: Vec<f64> = runs.collect();
            let latencies = of_part.iter().filter_map(|&run| row.latencies.get(run));
            Some(DistancePart {
                runs: runs.len(),
                spread: Spread::of(&runs)?,
                times_best_peer: None,
                percentiles: Percentiles::of_all(latencies),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::latency::{histogram, record};
    use crate::systems::system::SystemKind;
    use std::time::Duration;

    fn row(runs: &[f64], round_trips: &[[f64; 2]]) -> Row {
        Row {
            system: String::new(),
            version: String::new(),
            kind: SystemKind::Peer,
            messages: 1,
            runs: runs.to_vec(),
            round_trips: round_trips.to_vec(),
            producer_runs: Vec::new(),
            latencies: Vec::new(),
            failure: None,
            oversubscribed: false,
        }
    }

    #[test]
    fn runs_of_one_distance_are_not_split() {
        assert!(DistanceSplit::of(&[]).is_none());
        assert!(DistanceSplit::of(&[row(&[1.0, 9.0], &[])]).is_none());
        let rows = [row(&[1.0], &[[70.0, 75.0]]), row(&[9.0], &[[139.0, 80.0]])];
        assert!(DistanceSplit::of(&rows).is_none());
    }

    #[test]
    fn runs_are_split_by_the_round_trips_around_them() {
        let trips = [[80.0, 75.0], [400.0, 420.0], [70.0, 80.0], [420.0, 390.0]];
        let rows = [
            row(&[4.0, 9.0, 5.0, 8.0], &trips),
            row(&[3.0], &[[75.0, 80.0]]),
        ];
        let split = DistanceSplit::of(&rows).unwrap();
        let [near, far] = split.parts(&rows[0]).map(Option::unwrap);
        assert_eq!((near.runs, near.spread.median), (2, 4.5));
        assert_eq!((far.runs, far.spread.median), (2, 8.5));
        let [near, far] = split.parts(&rows[1]);
        assert_eq!((near.unwrap().spread.median, far), (3.0, None));
    }

    #[test]
    fn a_run_during_which_the_distance_changed_is_neither_near_nor_far() {
        let trips = [[80.0, 75.0], [75.0, 420.0], [400.0, 70.0]];
        let rows = [row(&[4.0, 6.0, 7.0], &trips)];
        let split = DistanceSplit::of(&rows).unwrap();
        let [near, far] = split.parts(&rows[0]);
        assert_eq!((near.unwrap().runs, far), (1, None));
    }

    #[test]
    fn latencies_are_split_with_their_runs() {
        let mut rows = [row(&[4.0, 9.0], &[[80.0, 75.0], [400.0, 420.0]])];
        for ns in [100, 500] {
            let mut latencies = histogram().unwrap();
            record(&mut latencies, Duration::from_nanos(ns));
            rows[0].latencies.push(latencies);
        }
        let parts = DistanceSplit::of(&rows).unwrap().parts(&rows[0]);
        let percentiles = parts.map(|part| part.unwrap().percentiles.unwrap());
        assert_eq!(percentiles.map(|part| part.p50), [100, 500]);
        assert_eq!(percentiles.map(|part| part.max), [100, 500]);
    }
}
