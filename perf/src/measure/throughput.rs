//! A run at full speed: producers send and consumers read as fast as they can.
//!
//! Compiled for each system, size and batch, so that every send and every read is inlined.

use super::backoff::{Backoff, SPINS};
use super::job::{Job, Outcome, Run};
use super::threads::{Span, Worker, elapsed, run_together};
use crate::failure::Failure;
use crate::machine::cores::{consumer_core, producer_core};
use crate::message::source::{Source, stride};
use crate::message::tally::Tally;
use crate::systems::system::{Receiver, Sender, System, open};
use std::time::Instant;

/// Payload bytes that runs are compiled for.
pub(crate) const SIZES: [usize; 4] = [8, 64, 256, 1024];

/// The run of system `S` for a payload that is known at run time.
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

/// Runs system `S` once. Every thread is ready before the first send.
pub(crate) fn run<S: System, T: Tally<N>, const N: usize, const B: usize>(
    job: &Job<'_>,
) -> Result<Outcome, Failure> {
    let (senders, receivers) = open::<S, N, B>(&job.shape)?;
    let (producers, consumers) = (senders.len(), receivers.len());
    let each = job.messages / producers as u64;
    let streams = job.shape.streams;
    let of_stream = each / streams as u64;
    // The consumers come first, since the first failure is reported: a producer mostly gives up
    // because of a consumer.
    let mut workers = Vec::new();
    for (i, rx) in receivers.into_iter().enumerate() {
        let core = consumer_core(i, producers);
        workers.push(Worker::new(core, move |ready, backoff| {
            let tally = T::new(streams * producers);
            let part = rx.streams().map(<[usize]>::to_vec);
            let messages = part
                .as_ref()
                .map_or(job.messages, |part| part.len() as u64 * of_stream);
            ready.wait();
            let begin = Instant::now();
            let tally = consume(rx, tally, messages, backoff)?;
            let end = Instant::now();
            match part {
                None => tally.check(messages)?,
                Some(part) => tally.check_part(&part, of_stream)?,
            }
            Ok((begin, end))
        }));
    }
    for (i, tx) in senders.into_iter().enumerate() {
        workers.push(Worker::new(producer_core(i), move |ready, backoff| {
            let source = Source::<N, B>::new(i, streams);
            ready.wait();
            let begin = Instant::now();
            produce(tx, source, each, backoff)?;
            Ok((begin, Instant::now()))
        }));
    }
    let spans = run_together(job, SPINS, workers)?;
    outcome(job, &spans[..consumers], &spans[consumers..])
}

/// The time runs from the first producer's begin to the last consumer's end.
fn outcome(job: &Job<'_>, consumers: &[Span], producers: &[Span]) -> Result<Outcome, Failure> {
    let begin = producers.iter().map(|&(begin, _)| begin).min();
    let end = consumers.iter().map(|&(_, end)| end).max();
    match (begin, end) {
        (Some(begin), Some(end)) => Ok(Outcome {
            messages: job.messages,
            time: end.duration_since(begin),
            producer_time: Some(elapsed(producers)),
            latency: None,
        }),
        _ => Err("a run needs a producer and a consumer".into()),
    }
}

fn produce<const N: usize, const B: usize>(
    mut tx: impl Sender<N, B>,
    mut source: Source<N, B>,
    messages: u64,
    mut backoff: Backoff<'_>,
) -> Result<(), Failure> {
    let mut sent = 0u64;
    while sent < messages {
        for send in source.next() {
            if !tx.send(send)? {
                backoff.retry(|| tx.send(send))?;
            }
        }
        sent += stride(B);
    }
    if !tx.finish()? {
        backoff.retry(|| tx.finish())?;
    }
    Ok(())
}

fn consume<T: Tally<N>, const N: usize>(
    mut rx: impl Receiver<N>,
    mut tally: T,
    messages: u64,
    mut backoff: Backoff<'_>,
) -> Result<T, Failure> {
    while tally.count() < messages {
        if !rx.receive(&mut tally)? {
            backoff.retry(|| rx.receive(&mut tally))?;
        }
    }
    Ok(tally)
}
