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
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
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
    let cores = &job.plan.cores;
    let stop = AtomicBool::new(false);
    let ready = Barrier::new(2);
    let pause = || Pause::new(&stop, job.apart(), LATENCY_SPINS);
    let (pinged, ponged) = thread::scope(|scope| {
        let (stop, ready) = (&stop, &ready);
        let (ping_pause, pong_pause) = (pause(), pause());
        let pinger = scope.spawn(move || {
            let pinned = cores.pin(producer_place(0));
            ready.wait();
            let done = pinned.and_then(|()| ping(there_tx, back_rx, job.messages, ping_pause));
            stop.fetch_or(done.is_err(), Ordering::Relaxed);
            done
        });
        let ponger = scope.spawn(move || {
            let pinned = cores.pin(consumer_place(0, 1));
            ready.wait();
            let done = pinned.and_then(|()| pong(back_tx, there_rx, job.messages, pong_pause));
            stop.fetch_or(done.is_err(), Ordering::Relaxed);
            done
        });
        (pinger.join(), ponger.join())
    });
    ponged.map_err(|_| "the echoing thread panicked")??;
    pinged.map_err(|_| "the sending thread panicked")?
}

fn ping<const N: usize>(
    mut tx: impl Sender<N, 1>,
    mut rx: impl Receiver<N>,
    messages: u64,
    mut pause: Pause<'_>,
) -> Result<Outcome, Failure> {
    let mut source = Source::<N, 1>::new(0, 1);
    let mut tally = <InOrder as Tally<N>>::new(1);
    let mut latency = histogram()?;
    let begin = Instant::now();
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
            record(&mut latency, start.elapsed());
            pause.reset();
        }
    }
    let time = begin.elapsed();
    Tally::<N>::check(&tally, messages)?;
    Ok(Outcome {
        messages,
        time,
        producers: None,
        latency: Some(latency),
    })
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
