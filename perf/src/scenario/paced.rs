//! A fixed rate, with each latency from the moment at which the message was to be sent.

use super::{Case, Choice, Entry, Messages, PAYLOAD, Scenario};
use crate::cores::{consumer_place, producer_place};
use crate::latency::{SinceIntended, histogram};
use crate::measure::{Failure, Job, Outcome};
use crate::pause::{LATENCY_SPINS, Pause};
use crate::source::Source;
use crate::system::crossbeam_channel::CrossbeamChannel;
use crate::system::disruptor::{DisruptorMulti, DisruptorSingle};
use crate::system::kanal::Kanal;
use crate::system::ringlog::{RinglogExclusive, RinglogShared};
use crate::system::rtrb::Rtrb;
use crate::system::{Receiver, Sender, Shape, System, open};
use crate::tally::Tally;
use crate::threads::{Worker, together, whole};
use std::hint::spin_loop;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Messages a second.
const RATES: [u64; 2] = [100_000, 1_000_000];

pub(super) fn scenario(choice: &Choice) -> Scenario {
    let case = |rate| Case {
        label: format!("{} k messages a second", rate / 1000),
        payload: PAYLOAD,
        batch: 1,
        shape: Shape::one_to_one(choice.ring_bytes),
        rate: Some(rate),
        messages: Messages::Rate,
        entries: vec![
            entry::<RinglogExclusive>(),
            entry::<RinglogShared>(),
            entry::<DisruptorSingle>(),
            entry::<DisruptorMulti>(),
            entry::<Rtrb>(),
            entry::<CrossbeamChannel>(),
            entry::<Kanal>(),
        ],
    };
    Scenario {
        name: "paced",
        about: "a fixed rate; latency from the moment at which a message was to be sent, so \
                that a stall counts; 1 producer, 1 consumer; 64 B",
        cases: RATES.map(case).into(),
    }
}

fn entry<S: System>() -> Entry {
    Entry::running::<S>(Box::new(paced::<S>))
}

fn paced<S: System>(job: &Job<'_>) -> Result<Outcome, Failure> {
    let (tx, rx) = open::<S, PAYLOAD, 1>(&job.shape)?;
    let ends = tx.into_iter().zip(rx).next();
    let (tx, rx) = ends.ok_or("no producer or no consumer")?;
    let rate = job.rate.filter(|&rate| rate > 0).ok_or("no rate")?;
    let interval_ns = 1_000_000_000 / rate;
    let mut latency = Some(histogram()?);
    // The first that is ready sets the moment for both.
    let start = OnceLock::new();
    let spans = {
        let (start, latency) = (&start, &mut latency);
        let consumer = Worker::new(consumer_place(0, 1), move |ready, pause| {
            let histogram = latency.take().ok_or("no histogram")?;
            ready.wait();
            let mut reader = SinceIntended {
                tally: Tally::<PAYLOAD>::new(1),
                histogram,
                start: *start.get_or_init(Instant::now),
                interval_ns,
            };
            consume(rx, &mut reader, job.messages, pause)?;
            let end = Instant::now();
            Tally::<PAYLOAD>::check(&reader.tally, job.messages)?;
            *latency = Some(reader.histogram);
            Ok((reader.start, end))
        });
        let producer = Worker::new(producer_place(0), move |ready, pause| {
            ready.wait();
            let start = *start.get_or_init(Instant::now);
            produce(tx, job, start, interval_ns, pause)?;
            Ok((start, Instant::now()))
        });
        together(job, LATENCY_SPINS, vec![consumer, producer])?
    };
    Ok(Outcome {
        messages: job.messages,
        time: whole(&spans),
        producers: None,
        latency,
    })
}

fn produce(
    mut tx: impl Sender<PAYLOAD, 1>,
    job: &Job<'_>,
    start: Instant,
    interval_ns: u64,
    mut pause: Pause<'_>,
) -> Result<(), Failure> {
    let mut source = Source::<PAYLOAD, 1>::new(0, 1);
    let mut sent = 0;
    while sent < job.messages {
        for send in source.next() {
            let intended = Duration::from_nanos(sent * interval_ns);
            while start.elapsed() < intended {
                if job.apart() {
                    spin_loop();
                } else {
                    thread::yield_now();
                }
            }
            while !tx.send(send)? {
                pause.wait()?;
            }
            pause.reset();
            sent += 1;
        }
    }
    Ok(())
}

fn consume(
    mut rx: impl Receiver<PAYLOAD>,
    reader: &mut SinceIntended,
    messages: u64,
    mut pause: Pause<'_>,
) -> Result<(), Failure> {
    while Tally::<PAYLOAD>::count(&reader.tally) < messages {
        if rx.receive(reader)? {
            pause.reset();
        } else {
            pause.wait()?;
        }
    }
    Ok(())
}
