//! The threads of a run: pinned, ready together, and told when one of them gave up.
//!
//! Apart from what is compiled for each system and size, which is much already.

use crate::measure::{Failure, Job};
use crate::pause::Pause;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// When a thread began and ended what is timed.
pub(crate) type Span = (Instant, Instant);

/// What a thread does: it readies itself, waits for the others at the barrier, and works.
pub(crate) type Work<'w> =
    Box<dyn FnOnce(&Barrier, Pause<'_>) -> Result<Span, Failure> + Send + 'w>;

/// A thread: where it is pinned (`cores.rs`), and what it does.
pub(crate) struct Worker<'w> {
    pub(crate) place: usize,
    pub(crate) work: Work<'w>,
}

impl<'w> Worker<'w> {
    pub(crate) fn new(
        place: usize,
        work: impl FnOnce(&Barrier, Pause<'_>) -> Result<Span, Failure> + Send + 'w,
    ) -> Self {
        let work = Box::new(work);
        Worker { place, work }
    }
}

/// Runs all of them at once, waiting with so many spin hints between looks. Of several that
/// fail the first is told: the others mostly gave up because of it.
pub(crate) fn together(
    job: &Job<'_>,
    spins: u32,
    workers: Vec<Worker<'_>>,
) -> Result<Vec<Span>, Failure> {
    let stop = AtomicBool::new(false);
    let ready = Barrier::new(workers.len());
    let (stop, ready) = (&stop, &ready);
    let spans: Vec<_> = thread::scope(|scope| {
        let spawn = |Worker { place, work }| {
            let pause = Pause::new(stop, job.apart(), spins);
            scope.spawn(move || {
                let done = match job.plan.cores.pin(place) {
                    Ok(()) => work(ready, pause),
                    Err(failure) => {
                        ready.wait();
                        Err(failure)
                    }
                };
                stop.fetch_or(done.is_err(), Ordering::Relaxed);
                done
            })
        };
        let threads: Vec<_> = workers.into_iter().map(spawn).collect();
        threads.into_iter().map(|t| t.join()).collect()
    });
    let mut all = Vec::new();
    for span in spans {
        all.push(span.map_err(|_| "a thread panicked")??);
    }
    Ok(all)
}

/// From the first begin to the last end.
pub(crate) fn whole(spans: &[Span]) -> Duration {
    let begin = spans.iter().map(|&(begin, _)| begin).min();
    let end = spans.iter().map(|&(_, end)| end).max();
    match (begin, end) {
        (Some(begin), Some(end)) => end.duration_since(begin),
        _ => Duration::ZERO,
    }
}
