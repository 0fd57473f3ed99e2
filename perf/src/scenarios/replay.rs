//! Reading a full log from its first offset, with no producer running.
//!
//! The peers cannot read a message twice, so they are filled again before each pass, untimed.

use super::scenario::{Candidate, Case, MessageCount, Scenario, ScenarioOptions};
use crate::failure::Failure;
use crate::machine::cores::consumer_core;
use crate::measure::job::{Job, Outcome};
use crate::message::source::Source;
use crate::message::tally::{OneStreamTally, Reader, Tally};
use crate::systems::channels::CrossbeamArrayQueue;
use crate::systems::channels::NexusSpsc;
use crate::systems::disruptor::DisruptorSingle;
use crate::systems::ringlog::RinglogExclusive;
use crate::systems::rtrb::Rtrb;
use crate::systems::system::{Receiver, Sender, Shape, System, SystemKind, open};
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    let shape = Shape {
        producers: 0,
        ..Shape::one_to_one(options.ring_bytes)
    };
    let case = |payload, candidates| Case {
        label: String::new(),
        payload,
        batch: 1,
        shape,
        rate: None,
        messages: MessageCount::Fit {
            least: shape.slots(payload) as u64,
            most: 1 << 26,
        },
        candidates,
    };
    Scenario {
        name: "replay",
        about: "a full log read from offset 0, no producer running; 1 consumer; 64 B and 1 KiB. \
                The peers are drained instead, and filled again untimed",
        cases: vec![
            case(64, candidates::<64>()),
            case(1024, candidates::<1024>()),
        ],
    }
}

fn candidates<const N: usize>() -> Vec<Candidate> {
    vec![
        candidate::<RinglogExclusive, N>(),
        candidate::<DisruptorSingle, N>(),
        candidate::<Rtrb, N>(),
        candidate::<NexusSpsc, N>(),
        candidate::<CrossbeamArrayQueue, N>(),
        Candidate {
            system: "a slice in memory".to_owned(),
            version: String::new(),
            kind: SystemKind::Floor,
            run: Box::new(|job| on_consumer_core(job, || slice::<N>(job))),
        },
    ]
}

fn candidate<S: System, const N: usize>() -> Candidate {
    Candidate::with_run::<S>(Box::new(|job| {
        on_consumer_core(job, || replay::<S, N>(job))
    }))
}

/// Runs `run` on a thread that is pinned to the core of the first consumer.
fn on_consumer_core(
    job: &Job<'_>,
    run: impl FnOnce() -> Result<Outcome, Failure> + Send,
) -> Result<Outcome, Failure> {
    let cores = &job.plan.cores;
    thread::scope(|scope| {
        let consumer = scope.spawn(move || cores.pin(consumer_core(0, 1)).and_then(|()| run()));
        consumer.join().map_err(|_| "the consumer panicked")?
    })
}

/// Reads the whole log, pass after pass, until enough messages are read.
fn replay<S: System, const N: usize>(job: &Job<'_>) -> Result<Outcome, Failure> {
    let shape = Shape::one_to_one(job.shape.ring_bytes);
    let (senders, receivers) = open::<S, N, 1>(&shape)?;
    let no_endpoint = || format!("{} has no producer or no consumer", S::NAME);
    let mut tx = senders.into_iter().next().ok_or_else(no_endpoint)?;
    let mut rx = receivers.into_iter().next().ok_or_else(no_endpoint)?;
    let (mut time, mut messages) = (Duration::ZERO, 0);
    let mut filled = fill(&mut tx, &shape)?;
    loop {
        let mut tally = <OneStreamTally as Tally<N>>::new(1);
        let start = Instant::now();
        while rx.receive(&mut tally)? {}
        time += start.elapsed();
        Tally::<N>::check(&tally, filled)?;
        messages += filled;
        if messages >= job.messages {
            return Ok(Outcome::of_time(messages, time));
        }
        if !rx.rewind()? {
            filled = fill(&mut tx, &shape)?;
        }
    }
}

/// Sends messages, numbered from 0, until there is no room; returns how many.
fn fill<const N: usize>(tx: &mut impl Sender<N, 1>, shape: &Shape) -> Result<u64, Failure> {
    let mut source = Source::<N, 1>::new(0, 1);
    let mut sent = 0;
    loop {
        for send in source.next() {
            if sent == shape.slots(N) as u64 || !tx.send(send)? {
                return Ok(sent);
            }
            sent += 1;
        }
    }
}

/// The floor: the same messages, back to back in memory.
fn slice<const N: usize>(job: &Job<'_>) -> Result<Outcome, Failure> {
    let slots = job.shape.slots(N) as u64;
    let mut source = Source::<N, 1>::new(0, 1);
    let mut log: Vec<[u8; N]> = Vec::new();
    while (log.len() as u64) < slots {
        log.extend(source.next().iter().flatten());
    }
    let (mut time, mut messages) = (Duration::ZERO, 0);
    while messages < job.messages {
        let mut tally = <OneStreamTally as Tally<N>>::new(1);
        let start = Instant::now();
        tally.read_all(&log);
        time += start.elapsed();
        Tally::<N>::check(&tally, log.len() as u64)?;
        messages += log.len() as u64;
    }
    Ok(Outcome::of_time(messages, time))
}
