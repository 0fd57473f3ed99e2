//! A fixed rate: each latency counts from the moment at which the message was to be sent.

use super::scenario::{Candidate, Case, MessageCount, PAYLOAD, Scenario, ScenarioOptions};
use crate::failure::Failure;
use crate::machine::cores::{consumer_core, producer_core};
use crate::measure::backoff::{Backoff, LATENCY_SPINS};
use crate::measure::job::{Job, Outcome};
use crate::measure::latency::{LatencyReader, histogram};
use crate::measure::threads::{Worker, elapsed, run_together};
use crate::message::source::Source;
use crate::message::tally::Tally;
use crate::systems::channels::CrossbeamChannel;
use crate::systems::channels::Kanal;
use crate::systems::disruptor::{DisruptorMulti, DisruptorSingle};
use crate::systems::ringlog::{RinglogExclusive, RinglogShared};
use crate::systems::rtrb::Rtrb;
use crate::systems::system::{Receiver, Sender, Shape, System, open};
use std::hint::spin_loop;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Messages per second.
const RATES: [u64; 2] = [100_000, 1_000_000];

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    let case = |rate| Case {
        label: format!("{} k messages a second", rate / 1000),
        payload: PAYLOAD,
        batch: 1,
        shape: Shape::one_to_one(options.ring_bytes),
        rate: Some(rate),
        messages: MessageCount::Rate,
        candidates: vec![
            candidate::<RinglogExclusive>(),
            candidate::<RinglogShared>(),
            candidate::<DisruptorSingle>(),
            candidate::<DisruptorMulti>(),
            candidate::<Rtrb>(),
            candidate::<CrossbeamChannel>(),
            candidate::<Kanal>(),
        ],
    };
    Scenario {
        name: "paced",
        about: "a fixed rate; latency from the moment at which a message was to be sent, so \
                that a stall counts; 1 producer, 1 consumer; 64 B",
        cases: RATES.map(case).into(),
    }
}

fn candidate<S: System>() -> Candidate {
    Candidate::with_run::<S>(Box::new(paced::<S>))
}

fn paced<S: System>(job: &Job<'_>) -> Result<Outcome, Failure> {
    let (tx, rx) = open::<S, PAYLOAD, 1>(&job.shape)?;
    let ends = tx.into_iter().zip(rx).next();
    let (tx, rx) = ends.ok_or("no producer or no consumer")?;
    let rate = job.rate.filter(|&rate| rate > 0).ok_or("no rate")?;
    let interval_ns = 1_000_000_000 / rate;
    let mut latency = Some(histogram()?);
    // The first thread that is ready sets the start of both.
    let start = OnceLock::new();
    let spans = {
        let (start, latency) = (&start, &mut latency);
        let consumer = Worker::new(consumer_core(0, 1), move |ready, backoff| {
            let histogram = latency.take().ok_or("no histogram")?;
            ready.wait();
            let mut reader = LatencyReader {
                tally: Tally::<PAYLOAD>::new(1),
                histogram,
                start: *start.get_or_init(Instant::now),
                interval_ns,
            };
            consume(rx, &mut reader, job.messages, backoff)?;
            let end = Instant::now();
            Tally::<PAYLOAD>::check(&reader.tally, job.messages)?;
            *latency = Some(reader.histogram);
            Ok((reader.start, end))
        });
        let producer = Worker::new(producer_core(0), move |ready, backoff| {
            ready.wait();
            let start = *start.get_or_init(Instant::now);
            produce(tx, job, start, interval_ns, backoff)?;
            Ok((start, Instant::now()))
        });
        run_together(job, LATENCY_SPINS, vec![consumer, producer])?
    };
    Ok(Outcome {
        messages: job.messages,
        time: elapsed(&spans),
        producer_time: None,
        latency,
    })
}

fn produce(
    mut tx: impl Sender<PAYLOAD, 1>,
    job: &Job<'_>,
    start: Instant,
    interval_ns: u64,
    mut backoff: Backoff<'_>,
) -> Result<(), Failure> {
    let mut source = Source::<PAYLOAD, 1>::new(0, 1);
    let mut sent = 0;
    while sent < job.messages {
        for send in source.next() {
            let intended = Duration::from_nanos(sent * interval_ns);
            while start.elapsed() < intended {
                if job.has_core_per_thread() {
                    spin_loop();
                } else {
                    thread::yield_now();
                }
            }
            while !tx.send(send)? {
                backoff.wait()?;
            }
            backoff.reset();
            sent += 1;
        }
    }
    Ok(())
}

fn consume(
    mut rx: impl Receiver<PAYLOAD>,
    reader: &mut LatencyReader,
    messages: u64,
    mut backoff: Backoff<'_>,
) -> Result<(), Failure> {
    while Tally::<PAYLOAD>::count(&reader.tally) < messages {
        if rx.receive(reader)? {
            backoff.reset();
        } else {
            backoff.wait()?;
        }
    }
    Ok(())
}
