//! Runs on near cores apart from runs on far ones, where a case met both.

use super::row::{Row, Spread};
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
}

impl DistanceSplit {
    /// The split of rows whose runs alternated; `None` if all runs met the same distance.
    pub(crate) fn of(rows: &[Row]) -> Option<DistanceSplit> {
        let all = rows.iter().flat_map(|row| &row.round_trips);
        let least = all.clone().copied().reduce(f64::min)?;
        let most = all.copied().reduce(f64::max)?;
        (most >= FACTOR * least).then(|| DistanceSplit((least * most).sqrt()))
    }

    /// The runs of a row that met near cores, then its runs that met far ones.
    pub(crate) fn parts(self, row: &Row) -> [Option<DistancePart>; 2] {
        [false, true].map(|far| {
            let runs = row.runs.iter().zip(&row.round_trips);
            let runs = runs.filter(|&(_, &trip)| (trip > self.0) == far);
            let runs: Vec<f64> = runs.map(|(&ns, _)| ns).collect();
            let spread = Spread::of(&runs)?;
            Some(DistancePart {
                runs: runs.len(),
                spread,
                times_best_peer: None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systems::system::SystemKind;

    fn row(runs: &[f64], round_trips: &[f64]) -> Row {
        Row {
            system: String::new(),
            version: String::new(),
            kind: SystemKind::Peer,
            messages: 1,
            runs: runs.to_vec(),
            round_trips: round_trips.to_vec(),
            producer_runs: Vec::new(),
            latency: None,
            failure: None,
            oversubscribed: false,
        }
    }

    #[test]
    fn runs_of_one_distance_are_not_split() {
        assert!(DistanceSplit::of(&[]).is_none());
        assert!(DistanceSplit::of(&[row(&[1.0, 9.0], &[])]).is_none());
        let rows = [row(&[1.0], &[70.0]), row(&[9.0], &[139.0])];
        assert!(DistanceSplit::of(&rows).is_none());
    }

    #[test]
    fn runs_are_split_by_the_round_trip_before_them() {
        let rows = [
            row(&[4.0, 9.0, 5.0, 8.0], &[80.0, 400.0, 70.0, 420.0]),
            row(&[3.0], &[75.0]),
        ];
        let split = DistanceSplit::of(&rows).unwrap();
        let [near, far] = split.parts(&rows[0]).map(Option::unwrap);
        assert_eq!((near.runs, near.spread.median), (2, 4.5));
        assert_eq!((far.runs, far.spread.median), (2, 8.5));
        let [near, far] = split.parts(&rows[1]);
        assert_eq!((near.unwrap().spread.median, far), (3.0, None));
    }
}
