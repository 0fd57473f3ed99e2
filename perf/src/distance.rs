//! How far the first two cores are from each other, asked before each run.
//!
//! It decides more than the systems do what a message takes; and on a virtual machine it may change
//! between two runs: now the two cores share a cache, now they do not.

use crate::cores::Cores;
use crate::measure::Failure;
use crate::report::{Row, Spread};
use crossbeam_utils::CachePadded;
use serde::Serialize;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// Round trips before the time is taken, and after: half a millisecond where the cores are far.
const WARM_UP: u64 = 200;
const COUNTED: u64 = 1000;

/// Runs differ in their distance, and not only in their noise, where it differs by this.
const APART: f64 = 2.0;

/// What a bare word takes from the first core to the second and back, in nanoseconds. Nothing where
/// the two are one.
pub(crate) fn round_trip(cores: &Cores) -> Result<Option<f64>, Failure> {
    if !cores.apart(2) {
        return Ok(None);
    }
    let words = [const { CachePadded::new(AtomicU64::new(0)) }; 2];
    let [there, back] = &words;
    thread::scope(|scope| {
        let echo = scope.spawn(|| {
            let pinned = cores.pin(1);
            for i in 1..=WARM_UP + COUNTED {
                wait_for(there, i);
                back.store(i, Ordering::Release);
            }
            pinned
        });
        let ask = scope.spawn(|| {
            let pinned = cores.pin(0);
            let mut begin = Instant::now();
            for i in 1..=WARM_UP + COUNTED {
                if i == WARM_UP + 1 {
                    begin = Instant::now();
                }
                there.store(i, Ordering::Release);
                wait_for(back, i);
            }
            let ns = begin.elapsed().as_secs_f64() * 1e9 / COUNTED as f64;
            pinned.map(|()| ns)
        });
        let told = "the threads that ask how far the cores are panicked";
        echo.join().map_err(|_| told)??;
        Ok(Some(ask.join().map_err(|_| told)??))
    })
}

fn wait_for(word: &AtomicU64, value: u64) {
    while word.load(Ordering::Acquire) != value {
        spin_loop();
    }
}

/// Where rows met both near cores and far ones: what a run of each is told apart by.
#[derive(Clone, Copy)]
pub(crate) struct Split(f64);

/// A row's runs of one distance.
#[derive(Clone, Copy, Serialize, PartialEq, Debug)]
pub(crate) struct Part {
    pub(crate) runs: usize,
    #[serde(flatten)]
    pub(crate) spread: Spread,
    /// `Block::times_best_peer`, by these runs and the peers' of the same distance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) times_best_peer: Option<f64>,
}

impl Split {
    /// Of rows that were measured in turns; nothing where all of their runs met the same.
    pub(crate) fn of(rows: &[Row]) -> Option<Split> {
        let all = rows.iter().flat_map(|row| &row.round_trips);
        let least = all.clone().copied().reduce(f64::min)?;
        let most = all.copied().reduce(f64::max)?;
        (most >= APART * least).then(|| Split((least * most).sqrt()))
    }

    /// The runs of a row that met near cores, and those that met far ones.
    pub(crate) fn parts(self, row: &Row) -> [Option<Part>; 2] {
        [false, true].map(|far| {
            let runs = row.runs.iter().zip(&row.round_trips);
            let runs = runs.filter(|&(_, &trip)| (trip > self.0) == far);
            let runs: Vec<f64> = runs.map(|(&ns, _)| ns).collect();
            let spread = Spread::of(&runs)?;
            Some(Part {
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
    use crate::system::Kind;

    fn row(runs: &[f64], round_trips: &[f64]) -> Row {
        Row {
            system: String::new(),
            version: String::new(),
            kind: Kind::Peer,
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
        assert!(Split::of(&[]).is_none());
        assert!(Split::of(&[row(&[1.0, 9.0], &[])]).is_none());
        let rows = [row(&[1.0], &[70.0]), row(&[9.0], &[139.0])];
        assert!(Split::of(&rows).is_none());
    }

    #[test]
    fn runs_are_told_apart_by_what_was_asked_before_them() {
        let rows = [
            row(&[4.0, 9.0, 5.0, 8.0], &[80.0, 400.0, 70.0, 420.0]),
            row(&[3.0], &[75.0]),
        ];
        let split = Split::of(&rows).unwrap();
        let [near, far] = split.parts(&rows[0]).map(Option::unwrap);
        assert_eq!((near.runs, near.spread.median), (2, 4.5));
        assert_eq!((far.runs, far.spread.median), (2, 8.5));
        let [near, far] = split.parts(&rows[1]);
        assert_eq!((near.unwrap().spread.median, far), (3.0, None));
    }

    #[test]
    fn two_cores_have_a_distance_and_one_has_none() {
        let cores = Cores::choose(&[]).unwrap();
        let trip = round_trip(&cores).unwrap();
        assert_eq!(trip.is_some(), cores.apart(2));
        assert!(trip.is_none_or(|ns| ns > 1.0), "{trip:?}");
        let one = Cores::choose(&cores.ids()[..1]).unwrap();
        assert_eq!(round_trip(&one).unwrap(), None);
    }
}
