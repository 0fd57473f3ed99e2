//! One run: pinned threads, one clock, and tallies that check every message.

use crate::cores::{Cores, consumer_place, producer_place};
use crate::pause::{Pause, SPINS};
use crate::source::{Source, stride};
use crate::system::{Receiver, Sender, Shape, System, open};
use crate::tally::Tally;
use crate::threads::{Span, Worker, together, whole};
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// What went wrong, in words.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Payload bytes that runs are compiled for.
pub(crate) const SIZES: [usize; 4] = [8, 64, 256, 1024];

/// How to measure.
pub(crate) struct Plan {
    /// Room for so many payload bytes in every system.
    pub(crate) ring_bytes: usize,
    /// Counted runs of each system.
    pub(crate) runs: usize,
    /// How long a run should take.
    pub(crate) budget: Duration,
    pub(crate) quick: bool,
    pub(crate) cores: Cores,
}

/// What one run is to do.
pub(crate) struct Job<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) shape: Shape,
    /// Bytes of a message.
    pub(crate) payload: usize,
    /// Messages of a send.
    pub(crate) batch: usize,
    /// Messages that all producers send together: a multiple of `Job::step`.
    pub(crate) messages: u64,
    /// Messages a second, where they are sent at a fixed rate.
    pub(crate) rate: Option<u64>,
}

/// What one run took.
pub(crate) struct Outcome {
    /// Messages that the time is of.
    pub(crate) messages: u64,
    /// From the first send to the last message read.
    pub(crate) time: Duration,
    /// From the first send to the last one done, where producers run beside consumers.
    pub(crate) producers: Option<Duration>,
    /// Each message's latency in nanoseconds, where it is measured.
    pub(crate) latency: Option<Histogram<u64>>,
}

/// The run of one system.
pub(crate) type Run = Box<dyn Fn(&Job<'_>) -> Result<Outcome, Failure>>;

impl Job<'_> {
    /// Messages come in multiples of this, so that every lane gets the same number.
    pub(crate) fn step(&self) -> u64 {
        let lanes = self.shape.lanes * self.shape.producers.max(1);
        stride(self.batch) * lanes as u64
    }

    /// Every thread has a core of its own.
    pub(crate) fn apart(&self) -> bool {
        self.plan.cores.apart(self.shape.threads())
    }
}

/// The run of system `S` for a payload known at run time.
pub(crate) fn run_sized<S: System, T, const B: usize>() -> Run
where
    T: Tally<8> + Tally<64> + Tally<256> + Tally<1024>,
{
    Box::new(|job| match job.payload {
        8 => run::<S, T, 8, B>(job),
        64 => run::<S, T, 64, B>(job),
        256 => run::<S, T, 256, B>(job),
        1024 => run::<S, T, 1024, B>(job),
        size => Err(format!("{size} is not one of the sizes {SIZES:?}").into()),
    })
}

impl Outcome {
    pub(crate) fn ns_per_message(&self) -> f64 {
        self.time.as_secs_f64() * 1e9 / self.messages as f64
    }

    pub(crate) fn producer_ns_per_message(&self) -> Option<f64> {
        let time = self.producers?;
        Some(time.as_secs_f64() * 1e9 / self.messages as f64)
    }
}

/// From the first send to the last message read, with all threads ready beforehand.
pub(crate) fn run<S: System, T: Tally<N>, const N: usize, const B: usize>(
    job: &Job<'_>,
) -> Result<Outcome, Failure> {
    let (senders, receivers) = open::<S, N, B>(&job.shape)?;
    let (producers, consumers) = (senders.len(), receivers.len());
    let each = job.messages / producers as u64;
    let lanes = job.shape.lanes;
    // The consumers first, as the first failure is told: a producer that gave up mostly did
    // so because of them.
    let mut workers = Vec::new();
    for (i, rx) in receivers.into_iter().enumerate() {
        let place = consumer_place(i, producers);
        workers.push(Worker::new(place, move |ready, pause| {
            let tally = T::new(lanes * producers);
            ready.wait();
            let begin = Instant::now();
            let tally = consume(rx, tally, job.messages, pause)?;
            let end = Instant::now();
            tally.check(job.messages)?;
            Ok((begin, end))
        }));
    }
    for (i, tx) in senders.into_iter().enumerate() {
        workers.push(Worker::new(producer_place(i), move |ready, pause| {
            let source = Source::<N, B>::new(i, lanes);
            ready.wait();
            let begin = Instant::now();
            produce(tx, source, each, pause)?;
            Ok((begin, Instant::now()))
        }));
    }
    let spans = together(job, SPINS, workers)?;
    outcome(job, &spans[..consumers], &spans[consumers..])
}

fn outcome(job: &Job<'_>, consumers: &[Span], producers: &[Span]) -> Result<Outcome, Failure> {
    let begin = producers.iter().map(|&(begin, _)| begin).min();
    let end = consumers.iter().map(|&(_, end)| end).max();
    match (begin, end) {
        (Some(begin), Some(end)) => Ok(Outcome {
            messages: job.messages,
            time: end.duration_since(begin),
            producers: Some(whole(producers)),
            latency: None,
        }),
        _ => Err("a run needs a producer and a consumer".into()),
    }
}

fn produce<const N: usize, const B: usize>(
    mut tx: impl Sender<N, B>,
    mut source: Source<N, B>,
    messages: u64,
    mut pause: Pause<'_>,
) -> Result<(), Failure> {
    let mut sent = 0u64;
    while sent < messages {
        for send in source.next() {
            if !tx.send(send)? {
                pause.until(|| tx.send(send))?;
            }
        }
        sent += stride(B);
    }
    Ok(())
}

fn consume<T: Tally<N>, const N: usize>(
    mut rx: impl Receiver<N>,
    mut tally: T,
    messages: u64,
    mut pause: Pause<'_>,
) -> Result<T, Failure> {
    while tally.count() < messages {
        if !rx.receive(&mut tally)? {
            pause.until(|| rx.receive(&mut tally))?;
        }
    }
    Ok(tally)
}
