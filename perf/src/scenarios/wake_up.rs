//! The time to wake a sleeping consumer.

use super::scenario::{Candidate, Case, MessageCount, Scenario, ScenarioOptions};
use crate::failure::Failure;
use crate::machine::cores::{consumer_core, producer_core};
use crate::measure::backoff::LATENCY_SPINS;
use crate::measure::job::{Job, Outcome};
use crate::measure::latency::{histogram, record};
use crate::measure::threads::{Worker, run_together};
use crate::systems::system::{Shape, SystemKind};
use crate::versions::version;
use crossbeam_utils::CachePadded;
use ringlog::{
    Broker, Consumer, ConsumerConfig, ExclusiveProducer, Record, TopicConfig, WaitStrategy,
};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The time between a message and the next one: longer than any system spins before it sleeps.
const INTERVAL: Duration = Duration::from_micros(300);

/// The timeout of a poll: longer than a run.
const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn scenario(options: &ScenarioOptions) -> Scenario {
    Scenario {
        name: "wake-up",
        about: "from a send to the end of the poll of a sleeping thread; 8 B (the floor is std's \
                park and unpark of a thread: a futex)",
        cases: vec![Case {
            label: String::new(),
            payload: 8,
            batch: 1,
            shape: Shape::one_to_one(options.ring_bytes),
            rate: None,
            messages: MessageCount::Fit {
                least: 1 << 6,
                most: 1 << 14,
            },
            candidates: vec![
                candidate("ringlog, Block", "ringlog", SystemKind::Ringlog, || {
                    open_ringlog(WaitStrategy::Block)
                }),
                candidate("ringlog, Backoff", "ringlog", SystemKind::Ringlog, || {
                    open_ringlog(WaitStrategy::Backoff)
                }),
                candidate(
                    "crossbeam-channel",
                    "crossbeam-channel",
                    SystemKind::Peer,
                    || Ok(crossbeam_channel::bounded::<u64>(64)),
                ),
                candidate("kanal", "kanal", SystemKind::Peer, || {
                    Ok(kanal::bounded::<u64>(64))
                }),
                candidate("flume", "flume", SystemKind::Peer, || {
                    Ok(flume::bounded::<u64>(64))
                }),
                candidate("park and unpark", "", SystemKind::Floor, || {
                    let word = Arc::new(CachePadded::new(AtomicU64::new(0)));
                    Ok((UnparkingSender(word.clone(), None), ParkingReceiver(word)))
                }),
            ],
        }],
    }
}

/// Sends, and wakes the consumer.
trait WakingSender: Send {
    /// Sets the thread of the consumer.
    fn set_consumer(&mut self, _consumer: Thread) {}
    fn send_and_wake(&mut self, message: u64) -> Result<(), Failure>;
}

/// Sleeps until a message arrives.
trait SleepingReceiver: Send {
    fn receive(&mut self) -> Result<u64, Failure>;
}

fn candidate<W: WakingSender + 'static, S: SleepingReceiver + 'static>(
    system: &str,
    package: &str,
    kind: SystemKind,
    open: impl Fn() -> Result<(W, S), Failure> + 'static,
) -> Candidate {
    Candidate {
        system: system.to_owned(),
        version: version(package).to_owned(),
        kind,
        run: Box::new(move |job| {
            let (sender, receiver) = open()?;
            wake_up(job, sender, receiver)
        }),
    }
}

fn wake_up(
    job: &Job<'_>,
    mut sender: impl WakingSender,
    mut receiver: impl SleepingReceiver,
) -> Result<Outcome, Failure> {
    let mut latency = histogram()?;
    let base = Instant::now();
    let since = move || base.elapsed().as_nanos() as u64;
    let received = CachePadded::new(AtomicU64::new(0));
    let sleeping_thread = OnceLock::new();
    let mut total = Duration::ZERO;
    {
        let (received, sleeping_thread, latency, total) =
            (&received, &sleeping_thread, &mut latency, &mut total);
        let consumer = Worker::new(consumer_core(0, 1), move |ready, _| {
            sleeping_thread.get_or_init(thread::current);
            ready.wait();
            let begin = Instant::now();
            for n in 1..=job.messages {
                let sent = receiver.receive()?;
                let took = Duration::from_nanos(since().saturating_sub(sent));
                record(latency, took);
                *total += took;
                received.store(n, Ordering::Release);
            }
            Ok((begin, Instant::now()))
        });
        let producer = Worker::new(producer_core(0), move |ready, mut backoff| {
            ready.wait();
            if let Some(thread) = sleeping_thread.get() {
                sender.set_consumer(thread.clone());
            }
            let begin = Instant::now();
            for n in 0..job.messages {
                while received.load(Ordering::Acquire) < n {
                    backoff.wait()?;
                }
                backoff.reset();
                let now = Instant::now();
                while now.elapsed() < INTERVAL {
                    spin_loop();
                }
                sender.send_and_wake(since())?;
            }
            Ok((begin, Instant::now()))
        });
        run_together(job, LATENCY_SPINS, vec![consumer, producer])?;
    }
    Ok(Outcome {
        messages: job.messages,
        time: total,
        producer_time: None,
        latency: Some(latency),
    })
}

/// A topic with this wait strategy: its producer and its consumer.
pub(super) fn open_ringlog(wait: WaitStrategy) -> Result<(ExclusiveProducer, Consumer), Failure> {
    let broker = Broker::new();
    let topic = broker.create_topic("wake-up", TopicConfig::new().wait(wait))?;
    let mut consumer = broker.consumer(ConsumerConfig::new())?;
    consumer.subscribe(["wake-up"])?;
    Ok((topic.exclusive_producer()?, consumer))
}

impl WakingSender for ExclusiveProducer {
    fn send_and_wake(&mut self, message: u64) -> Result<(), Failure> {
        self.send(Record::new(&message.to_le_bytes()))?;
        Ok(())
    }
}

impl SleepingReceiver for Consumer {
    fn receive(&mut self) -> Result<u64, Failure> {
        let batch = self.poll(TIMEOUT)?;
        let record = batch.iter().next().ok_or("nothing arrived")?;
        Ok(u64::from_le_bytes(record.value_bytes().try_into()?))
    }
}

/// The endpoints of a channel.
macro_rules! channel {
    ($($sender:ty, $receiver:ty;)*) => {$(
        impl WakingSender for $sender {
            fn send_and_wake(&mut self, message: u64) -> Result<(), Failure> {
                Ok(self.send(message)?)
            }
        }

        impl SleepingReceiver for $receiver {
            fn receive(&mut self) -> Result<u64, Failure> {
                Ok(self.recv()?)
            }
        }
    )*};
}

channel! {
    crossbeam_channel::Sender<u64>, crossbeam_channel::Receiver<u64>;
    kanal::Sender<u64>, kanal::Receiver<u64>;
    flume::Sender<u64>, flume::Receiver<u64>;
}

/// Stores a message in a word, and unparks the thread that waits for it.
struct UnparkingSender(Arc<CachePadded<AtomicU64>>, Option<Thread>);

/// Parks its thread until the word holds a message.
struct ParkingReceiver(Arc<CachePadded<AtomicU64>>);

impl WakingSender for UnparkingSender {
    fn set_consumer(&mut self, consumer: Thread) {
        self.1 = Some(consumer);
    }

    fn send_and_wake(&mut self, message: u64) -> Result<(), Failure> {
        self.0.store(message, Ordering::Release);
        self.1.as_ref().ok_or("no consumer sleeps")?.unpark();
        Ok(())
    }
}

impl SleepingReceiver for ParkingReceiver {
    fn receive(&mut self) -> Result<u64, Failure> {
        loop {
            match self.0.swap(0, Ordering::Acquire) {
                0 => thread::park(),
                message => return Ok(message),
            }
        }
    }
}
