//! The threads of a run: each is pinned, all start together, and all end if one gives up.
//!
//! This code is compiled once, unlike `throughput`, which is compiled for each system and size.

use super::backoff::Backoff;
use super::job::Job;
use crate::failure::Failure;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The begin and the end of what a thread times.
pub(crate) type Span = (Instant, Instant);

/// The body of a thread: it prepares, waits for the others at the barrier, and works.
pub(crate) type Work<'w> =
    Box<dyn FnOnce(&Barrier, Backoff<'_>) -> Result<Span, Failure> + Send + 'w>;

/// A thread: its core index (`machine::cores`) and its body.
pub(crate) struct Worker<'w> {
    core: usize,
    work: Work<'w>,
}

impl<'w> Worker<'w> {
    pub(crate) fn new(
        core: usize,
        work: impl FnOnce(&Barrier, Backoff<'_>) -> Result<Span, Failure> + Send + 'w,
    ) -> Self {
        let work = Box::new(work);
        Worker { core, work }
    }
}

/// Runs all workers at once. Each waits with `spins` spin hints between its attempts.
///
/// If several fail, returns the failure of the first in the list: the others mostly gave up
/// because of it.
pub(crate) fn run_together(
    job: &Job<'_>,
    spins: u32,
    workers: Vec<Worker<'_>>,
) -> Result<Vec<Span>, Failure> {
    let stop = AtomicBool::new(false);
    let ready = Barrier::new(workers.len());
    let (stop, ready) = (&stop, &ready);
    let spans: Vec<_> = thread::scope(|scope| {
        let spawn = |Worker { core, work }| {
            let backoff = Backoff::new(stop, job.has_core_per_thread(), spins);
            scope.spawn(move || {
                let done = match job.plan.cores.pin(core) {
                    Ok(()) => work(ready, backoff),
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
pub(crate) fn elapsed(spans: &[Span]) -> Duration {
    let begin = spans.iter().map(|&(begin, _)| begin).min();
    let end = spans.iter().map(|&(_, end)| end).max();
    match (begin, end) {
        (Some(begin), Some(end)) => end.duration_since(begin),
        _ => Duration::ZERO,
    }
}
