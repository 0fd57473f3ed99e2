//! Reading a full log from its first offset, with no producer running.
//!
//! The peers cannot read anything twice: they are filled again before each pass, which is not
//! timed.

use super::{Case, Choice, Entry, Messages, Scenario};
use crate::cores::consumer_place;
use crate::measure::{Failure, Job, Outcome};
use crate::source::Source;
use crate::system::array_queue::CrossbeamArrayQueue;
use crate::system::disruptor::DisruptorSingle;
use crate::system::nexus_logbuf::NexusSpsc;
use crate::system::ringlog::RinglogExclusive;
use crate::system::rtrb::Rtrb;
use crate::system::{Kind, Receiver, Sender, Shape, System, open};
use crate::tally::{InOrder, Reader, Tally};
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn scenario(choice: &Choice) -> Scenario {
    let shape = Shape {
        producers: 0,
        ..Shape::one_to_one(choice.ring_bytes)
    };
    let case = |payload, entries| Case {
        label: String::new(),
        payload,
        batch: 1,
        shape,
        rate: None,
        messages: Messages::Fit {
            least: shape.slots(payload) as u64,
            most: 1 << 26,
        },
        entries,
    };
    Scenario {
        name: "replay",
        about: "a full log read from offset 0, no producer running; 1 consumer; 64 B and 1 KiB. \
                The peers are drained instead, and filled again untimed",
        cases: vec![case(64, entries::<64>()), case(1024, entries::<1024>())],
    }
}

fn entries<const N: usize>() -> Vec<Entry> {
    vec![
        entry::<RinglogExclusive, N>(),
        entry::<DisruptorSingle, N>(),
        entry::<Rtrb, N>(),
        entry::<NexusSpsc, N>(),
        entry::<CrossbeamArrayQueue, N>(),
        Entry {
            system: "a slice in memory".to_owned(),
            version: String::new(),
            kind: Kind::Floor,
            run: Box::new(|job| on_the_consumers_core(job, || slice::<N>(job))),
        },
    ]
}

fn entry<S: System, const N: usize>() -> Entry {
    Entry::running::<S>(Box::new(|job| {
        on_the_consumers_core(job, || replay::<S, N>(job))
    }))
}

fn on_the_consumers_core(
    job: &Job<'_>,
    run: impl FnOnce() -> Result<Outcome, Failure> + Send,
) -> Result<Outcome, Failure> {
    let cores = &job.plan.cores;
    thread::scope(|scope| {
        let consumer = scope.spawn(move || cores.pin(consumer_place(0, 1)).and_then(|()| run()));
        consumer.join().map_err(|_| "the consumer panicked")?
    })
}

/// Passes over the whole log until the messages are read.
fn replay<S: System, const N: usize>(job: &Job<'_>) -> Result<Outcome, Failure> {
    let shape = Shape::one_to_one(job.shape.ring_bytes);
    let (senders, receivers) = open::<S, N, 1>(&shape)?;
    let one = || format!("{} has no producer or no consumer", S::NAME);
    let mut tx = senders.into_iter().next().ok_or_else(one)?;
    let mut rx = receivers.into_iter().next().ok_or_else(one)?;
    let (mut time, mut messages) = (Duration::ZERO, 0);
    let mut there = fill(&mut tx, &shape)?;
    loop {
        let mut tally = <InOrder as Tally<N>>::new(1);
        let start = Instant::now();
        while rx.receive(&mut tally)? {}
        time += start.elapsed();
        Tally::<N>::check(&tally, there)?;
        messages += there;
        if messages >= job.messages {
            return Ok(Outcome {
                messages,
                time,
                producers: None,
                latency: None,
            });
        }
        if !rx.rewind()? {
            there = fill(&mut tx, &shape)?;
        }
    }
}

/// Sends messages, numbered from 0, until there is no room: how many.
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

/// The floor: the same messages, back to back.
fn slice<const N: usize>(job: &Job<'_>) -> Result<Outcome, Failure> {
    let slots = job.shape.slots(N) as u64;
    let mut source = Source::<N, 1>::new(0, 1);
    let mut log: Vec<[u8; N]> = Vec::new();
    while (log.len() as u64) < slots {
        log.extend(source.next().iter().flatten());
    }
    let (mut time, mut messages) = (Duration::ZERO, 0);
    while messages < job.messages {
        let mut tally = <InOrder as Tally<N>>::new(1);
        let start = Instant::now();
        tally.read_all(&log);
        time += start.elapsed();
        Tally::<N>::check(&tally, log.len() as u64)?;
        messages += log.len() as u64;
    }
    Ok(Outcome {
        messages,
        time,
        producers: None,
        latency: None,
    })
}
