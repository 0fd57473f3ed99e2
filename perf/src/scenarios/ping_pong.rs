//! Round trips between two threads, through two instances of a system.

use super::scenario::{Candidate, Case, MessageCount, PAYLOAD, Scenario, ScenarioOptions};
use crate::failure::Failure;
use crate::machine::cores::{consumer_core, producer_core};
use crate::measure::backoff::{Backoff, LATENCY_SPINS};
use crate::measure::job::{Job, Outcome};
use crate::measure::latency::{histogram, record};
use crate::measure::threads::{Worker, elapsed, run_together};
use crate::message::source::Source;
use crate::message::tally::{OneStreamTally, Reader, Tally};
use crate::systems::atomics::Atomics;
use crate::systems::channels::CrossbeamArrayQueue;
use crate::systems::channels::CrossbeamChannel;
use crate::systems::channels::CrossfireSpsc;
use crate::systems::channels::Flume;
use crate::systems::channels::Kanal;
use crate::systems::channels::NexusSpsc;
use crate::systems::disruptor::{DisruptorMulti, DisruptorSingle};
use crate::systems::ringlog::{RinglogExclusive, RinglogShared};
use crate::systems::rtrb::Rtrb;
use crate::systems::system::{Receiver, Sender, Shape, System, open};
use hdrhistogram::Histogram;
use std::time::Instant;

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    Scenario {
        name: "ping-pong",
        about: "round trips of one message between two threads, through two topics or rings; \
                64 B (the bare words carry 8)",
        cases: vec![Case {
            label: String::new(),
            payload: PAYLOAD,
            batch: 1,
            shape: Shape::one_to_one(options.ring_bytes),
            rate: None,
            messages: MessageCount::Fit {
                least: 1 << 10,
                most: 1 << 20,
            },
            candidates: vec![
                candidate::<RinglogExclusive>(),
                candidate::<RinglogShared>(),
                candidate::<DisruptorSingle>(),
                candidate::<DisruptorMulti>(),
                candidate::<Rtrb>(),
                candidate::<NexusSpsc>(),
                candidate::<CrossfireSpsc>(),
                candidate::<CrossbeamArrayQueue>(),
                candidate::<CrossbeamChannel>(),
                candidate::<Kanal>(),
                candidate::<Flume>(),
                Candidate::with_run::<Atomics>(Box::new(ping_pong::<Atomics, 8>)),
            ],
        }],
    }
}

fn candidate<S: System>() -> Candidate {
    Candidate::with_run::<S>(Box::new(ping_pong::<S, PAYLOAD>))
}

/// Counts messages, and keeps the last one to send it back.
struct Echo<const N: usize> {
    tally: OneStreamTally,
    last: [u8; N],
}

impl<const N: usize> Reader<N> for Echo<N> {
    #[inline]
    fn read(&mut self, message: &[u8; N]) {
        self.tally.read(message);
        self.last = *message;
    }
}

fn ping_pong<S: System, const N: usize>(job: &Job<'_>) -> Result<Outcome, Failure> {
    let (there_tx, there_rx) = open::<S, N, 1>(&job.shape)?;
    let (back_tx, back_rx) = open::<S, N, 1>(&job.shape)?;
    let ends = there_tx.into_iter().zip(there_rx);
    let ends = ends.zip(back_tx.into_iter().zip(back_rx)).next();
    let ((there_tx, there_rx), (back_tx, back_rx)) = ends.ok_or("no producer or no consumer")?;
    let mut latency = histogram()?;
    let spans = {
        let latency = &mut latency;
        let pong = Worker::new(consumer_core(0, 1), move |ready, backoff| {
            ready.wait();
            let begin = Instant::now();
            pong(back_tx, there_rx, job.messages, backoff)?;
            Ok((begin, Instant::now()))
        });
        let ping = Worker::new(producer_core(0), move |ready, backoff| {
            ready.wait();
            let begin = Instant::now();
            ping(there_tx, back_rx, job.messages, latency, backoff)?;
            Ok((begin, Instant::now()))
        });
        run_together(job, LATENCY_SPINS, vec![pong, ping])?
    };
    Ok(Outcome {
        messages: job.messages,
        time: elapsed(&spans),
        producer_time: None,
        latency: Some(latency),
    })
}

fn ping<const N: usize>(
    mut tx: impl Sender<N, 1>,
    mut rx: impl Receiver<N>,
    messages: u64,
    latency: &mut Histogram<u64>,
    mut backoff: Backoff<'_>,
) -> Result<(), Failure> {
    let mut source = Source::<N, 1>::new(0, 1);
    let mut tally = <OneStreamTally as Tally<N>>::new(1);
    while Tally::<N>::count(&tally) < messages {
        for send in source.next() {
            let before = Tally::<N>::count(&tally);
            let start = Instant::now();
            while !tx.send(send)? {
                backoff.wait()?;
            }
            while Tally::<N>::count(&tally) == before {
                if !rx.receive(&mut tally)? {
                    backoff.wait()?;
                }
            }
            record(latency, start.elapsed());
            backoff.reset();
        }
    }
    Tally::<N>::check(&tally, messages)
}

fn pong<const N: usize>(
    mut tx: impl Sender<N, 1>,
    mut rx: impl Receiver<N>,
    messages: u64,
    mut backoff: Backoff<'_>,
) -> Result<(), Failure> {
    let mut echo = Echo {
        tally: Tally::<N>::new(1),
        last: [0; N],
    };
    while Tally::<N>::count(&echo.tally) < messages {
        if rx.receive(&mut echo)? {
            while !tx.send(&[echo.last])? {
                backoff.wait()?;
            }
            backoff.reset();
        } else {
            backoff.wait()?;
        }
    }
    Tally::<N>::check(&echo.tally, messages)
}
