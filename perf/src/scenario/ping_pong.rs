//! Round trips between two threads, through two systems of one kind.

use super::{Case, Choice, Entry, Messages, PAYLOAD, Scenario};
use crate::cores::{consumer_place, producer_place};
use crate::latency::{histogram, record};
use crate::measure::{Failure, Job, Outcome};
use crate::pause::{LATENCY_SPINS, Pause};
use crate::source::Source;
use crate::system::array_queue::CrossbeamArrayQueue;
use crate::system::atomics::Atomics;
use crate::system::crossbeam_channel::CrossbeamChannel;
use crate::system::crossfire::CrossfireSpsc;
use crate::system::disruptor::{DisruptorMulti, DisruptorSingle};
use crate::system::flume::Flume;
use crate::system::kanal::Kanal;
use crate::system::nexus_logbuf::NexusSpsc;
use crate::system::ringlog::{RinglogExclusive, RinglogShared};
use crate::system::rtrb::Rtrb;
use crate::system::{Receiver, Sender, Shape, System, open};
use crate::tally::{InOrder, Reader, Tally};
use crate::threads::{Worker, together, whole};
use hdrhistogram::Histogram;
use std::time::Instant;

pub(super) fn scenario(choice: &Choice) -> Scenario {
    Scenario {
        name: "ping-pong",
        about: "round trips of one message between two threads, through two topics or rings; \
                64 B (the bare words carry 8)",
        cases: vec![Case {
            label: String::new(),
            payload: PAYLOAD,
            batch: 1,
            shape: Shape::one_to_one(choice.ring_bytes),
            rate: None,
            messages: Messages::Fit {
                least: 1 << 10,
                most: 1 << 20,
            },
            entries: vec![
                entry::<RinglogExclusive>(),
                entry::<RinglogShared>(),
                entry::<DisruptorSingle>(),
                entry::<DisruptorMulti>(),
                entry::<Rtrb>(),
                entry::<NexusSpsc>(),
                entry::<CrossfireSpsc>(),
                entry::<CrossbeamArrayQueue>(),
                entry::<CrossbeamChannel>(),
                entry::<Kanal>(),
                entry::<Flume>(),
                Entry::running::<Atomics>(Box::new(ping_pong::<Atomics, 8>)),
            ],
        }],
    }
}

fn entry<S: System>() -> Entry {
    Entry::running::<S>(Box::new(ping_pong::<S, PAYLOAD>))
}

/// Counts messages, and keeps the last to send it back.
struct Echo<const N: usize> {
    tally: InOrder,
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
        let pong = Worker::new(consumer_place(0, 1), move |ready, pause| {
            ready.wait();
            let begin = Instant::now();
            pong(back_tx, there_rx, job.messages, pause)?;
            Ok((begin, Instant::now()))
        });
        let ping = Worker::new(producer_place(0), move |ready, pause| {
            ready.wait();
            let begin = Instant::now();
            ping(there_tx, back_rx, job.messages, latency, pause)?;
            Ok((begin, Instant::now()))
        });
        together(job, LATENCY_SPINS, vec![pong, ping])?
    };
    Ok(Outcome {
        messages: job.messages,
        time: whole(&spans),
        producers: None,
        latency: Some(latency),
    })
}

fn ping<const N: usize>(
    mut tx: impl Sender<N, 1>,
    mut rx: impl Receiver<N>,
    messages: u64,
    latency: &mut Histogram<u64>,
    mut pause: Pause<'_>,
) -> Result<(), Failure> {
    let mut source = Source::<N, 1>::new(0, 1);
    let mut tally = <InOrder as Tally<N>>::new(1);
    while Tally::<N>::count(&tally) < messages {
        for send in source.next() {
            let before = Tally::<N>::count(&tally);
            let start = Instant::now();
            while !tx.send(send)? {
                pause.wait()?;
            }
            while Tally::<N>::count(&tally) == before {
                if !rx.receive(&mut tally)? {
                    pause.wait()?;
                }
            }
            record(latency, start.elapsed());
            pause.reset();
        }
    }
    Tally::<N>::check(&tally, messages)
}

fn pong<const N: usize>(
    mut tx: impl Sender<N, 1>,
    mut rx: impl Receiver<N>,
    messages: u64,
    mut pause: Pause<'_>,
) -> Result<(), Failure> {
    let mut echo = Echo {
        tally: Tally::<N>::new(1),
        last: [0; N],
    };
    while Tally::<N>::count(&echo.tally) < messages {
        if rx.receive(&mut echo)? {
            while !tx.send(&[echo.last])? {
                pause.wait()?;
            }
            pause.reset();
        } else {
            pause.wait()?;
        }
    }
    Tally::<N>::check(&echo.tally, messages)
}
