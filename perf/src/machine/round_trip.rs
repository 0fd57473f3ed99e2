//! The distance of the first two cores: the round trip of a bare word, measured before and after
//! each run.
//!
//! The distance has more influence on the time of a message than the choice of the system. On a
//! virtual machine it may change between two runs: the two cores share a cache in one run, and
//! do not in the next.

use super::cores::Cores;
use crate::failure::Failure;
use crossbeam_utils::CachePadded;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// Untimed and timed round trips: half a millisecond where the cores are far.
const WARM_UP: u64 = 200;
const COUNTED: u64 = 1000;

/// The mean time in nanoseconds that a bare word takes from the first core to the second and
/// back; `None` where both are the same core.
pub(crate) fn round_trip(cores: &Cores) -> Result<Option<f64>, Failure> {
    if !cores.suffice(2) {
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
        let panicked = "the threads that measure the distance of the cores panicked";
        echo.join().map_err(|_| panicked)??;
        Ok(Some(ask.join().map_err(|_| panicked)??))
    })
}

fn wait_for(word: &AtomicU64, value: u64) {
    while word.load(Ordering::Acquire) != value {
        spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cores_have_a_distance_and_one_has_none() {
        let cores = Cores::choose(&[]).unwrap();
        let trip = round_trip(&cores).unwrap();
        assert_eq!(trip.is_some(), cores.suffice(2));
        assert!(trip.is_none_or(|ns| ns > 1.0), "{trip:?}");
        let one = Cores::choose(&cores.ids()[..1]).unwrap();
        assert_eq!(round_trip(&one).unwrap(), None);
    }
}
