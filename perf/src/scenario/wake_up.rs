//! How long it takes to wake who sleeps, and what sleeping costs.

use super::{Case, Choice, Entry, Messages, Scenario};
use crate::cores::{consumer_place, producer_place};
use crate::latency::{histogram, record};
use crate::measure::{Failure, Job, Outcome};
use crate::system::{Kind, Shape};
use crate::threads::{Worker, together};
use crate::versions::version;
use crossbeam_utils::CachePadded;
use ringlog::{
    Broker, Consumer, ConsumerConfig, ExclusiveProducer, Record, TopicConfig, WaitStrategy,
};
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Between a message that was received and the next: longer than any system spins before it sleeps.
const APART: Duration = Duration::from_micros(300);

/// Longer than a run.
const LONG: Duration = Duration::from_secs(60);

pub(super) fn scenario(choice: &Choice) -> Scenario {
    Scenario {
        name: "wake-up",
        about: "from a send to the end of the poll of a thread that sleeps; 8 B (the least is \
                std's park and unpark of a thread: a futex)",
        cases: vec![Case {
            label: String::new(),
            payload: 8,
            batch: 1,
            shape: Shape::one_to_one(choice.ring_bytes),
            rate: None,
            messages: Messages::Fit {
                least: 1 << 6,
                most: 1 << 14,
            },
            entries: vec![
                entry("ringlog, Block", "ringlog", Kind::Ringlog, || {
                    ringlog(WaitStrategy::Block)
                }),
                entry("ringlog, Backoff", "ringlog", Kind::Ringlog, || {
                    ringlog(WaitStrategy::Backoff)
                }),
                entry("crossbeam-channel", "crossbeam-channel", Kind::Peer, || {
                    Ok(crossbeam_channel::bounded::<u64>(64))
                }),
                entry("kanal", "kanal", Kind::Peer, || {
                    Ok(kanal::bounded::<u64>(64))
                }),
                entry("flume", "flume", Kind::Peer, || {
                    Ok(flume::bounded::<u64>(64))
                }),
                entry("park and unpark", "", Kind::Floor, || {
                    let word = Arc::new(CachePadded::new(AtomicU64::new(0)));
                    Ok((Unparks(word.clone(), None), Parks(word)))
                }),
            ],
        }],
    }
}

/// Sends, and wakes who sleeps.
trait Wakes: Send {
    /// Who will sleep.
    fn meet(&mut self, _sleeper: Thread) {}
    fn wake(&mut self, message: u64) -> Result<(), Failure>;
}

/// Sleeps until something comes.
trait Sleeps: Send {
    fn sleep(&mut self) -> Result<u64, Failure>;
}

fn entry<W: Wakes + 'static, S: Sleeps + 'static>(
    system: &str,
    package: &str,
    kind: Kind,
    open: impl Fn() -> Result<(W, S), Failure> + 'static,
) -> Entry {
    Entry {
        system: system.to_owned(),
        version: version(package).to_owned(),
        kind,
        run: Box::new(move |job| {
            let (wakes, sleeps) = open()?;
            wake_up(job, wakes, sleeps)
        }),
    }
}

fn wake_up(
    job: &Job<'_>,
    mut wakes: impl Wakes,
    mut sleeps: impl Sleeps,
) -> Result<Outcome, Failure> {
    let mut latency = histogram()?;
    let base = Instant::now();
    let since = move || base.elapsed().as_nanos() as u64;
    let received = CachePadded::new(AtomicU64::new(0));
    let sleeper = std::sync::OnceLock::new();
    let mut total = Duration::ZERO;
    {
        let (received, sleeper, latency, total) = (&received, &sleeper, &mut latency, &mut total);
        let consumer = Worker::new(consumer_place(0, 1), move |ready, _| {
            sleeper.get_or_init(thread::current);
            ready.wait();
            let begin = Instant::now();
            for n in 1..=job.messages {
                let sent = sleeps.sleep()?;
                let took = Duration::from_nanos(since().saturating_sub(sent));
                record(latency, took);
                *total += took;
                received.store(n, Ordering::Release);
            }
            Ok((begin, Instant::now()))
        });
        let producer = Worker::new(producer_place(0), move |ready, mut pause| {
            ready.wait();
            if let Some(thread) = sleeper.get() {
                wakes.meet(thread.clone());
            }
            let begin = Instant::now();
            for n in 0..job.messages {
                while received.load(Ordering::Acquire) < n {
                    pause.wait()?;
                }
                pause.reset();
                let now = Instant::now();
                while now.elapsed() < APART {
                    spin_loop();
                }
                wakes.wake(since())?;
            }
            Ok((begin, Instant::now()))
        });
        together(job, 1, vec![consumer, producer])?;
    }
    Ok(Outcome {
        messages: job.messages,
        time: total,
        producers: None,
        latency: Some(latency),
    })
}

fn ringlog(wait: WaitStrategy) -> Result<(ExclusiveProducer, Consumer), Failure> {
    let broker = Broker::new();
    let topic = broker.create_topic("wake-up", TopicConfig::new().wait(wait))?;
    let mut consumer = broker.consumer(ConsumerConfig::new());
    consumer.subscribe(&["wake-up"])?;
    Ok((topic.exclusive_producer()?, consumer))
}

impl Wakes for ExclusiveProducer {
    fn wake(&mut self, message: u64) -> Result<(), Failure> {
        self.send(Record::new(&message.to_le_bytes()))?;
        Ok(())
    }
}

impl Sleeps for Consumer {
    fn sleep(&mut self) -> Result<u64, Failure> {
        let batch = self.poll(LONG)?;
        let record = batch.iter().next().ok_or("nothing came")?;
        Ok(u64::from_le_bytes(record.value().try_into()?))
    }
}

/// A channel's two ends.
macro_rules! channel {
    ($($sender:ty, $receiver:ty;)*) => {$(
        impl Wakes for $sender {
            fn wake(&mut self, message: u64) -> Result<(), Failure> {
                Ok(self.send(message)?)
            }
        }

        impl Sleeps for $receiver {
            fn sleep(&mut self) -> Result<u64, Failure> {
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

/// A word, and a thread that sleeps until there is something in it.
struct Unparks(Arc<CachePadded<AtomicU64>>, Option<Thread>);
struct Parks(Arc<CachePadded<AtomicU64>>);

impl Wakes for Unparks {
    fn meet(&mut self, sleeper: Thread) {
        self.1 = Some(sleeper);
    }

    fn wake(&mut self, message: u64) -> Result<(), Failure> {
        self.0.store(message, Ordering::Release);
        self.1.as_ref().ok_or("nobody sleeps")?.unpark();
        Ok(())
    }
}

impl Sleeps for Parks {
    fn sleep(&mut self) -> Result<u64, Failure> {
        loop {
            match self.0.swap(0, Ordering::Acquire) {
                0 => thread::park(),
                message => return Ok(message),
            }
        }
    }
}

/// What waiting costs.
pub(super) fn asleep(choice: &Choice) -> Scenario {
    let entry = |name: &str, wait: WaitStrategy| Entry {
        system: format!("ringlog, {name}"),
        version: version("ringlog").to_owned(),
        kind: Kind::Ringlog,
        run: Box::new(move |job| wait_for_nothing(job, wait.clone())),
    };
    Scenario {
        name: "asleep",
        about: "the time on a core that a consumer takes for each millisecond in which nothing \
                comes (10,000 ns are 1 % of a core)",
        cases: vec![Case {
            label: String::new(),
            payload: 8,
            batch: 1,
            shape: Shape::one_to_one(choice.ring_bytes),
            rate: None,
            // Milliseconds.
            messages: Messages::Fit {
                least: 250,
                most: 250,
            },
            entries: vec![
                entry("Block", WaitStrategy::Block),
                entry("Backoff", WaitStrategy::Backoff),
                entry("Yield", WaitStrategy::Yield),
            ],
        }],
    }
}

fn wait_for_nothing(job: &Job<'_>, wait: WaitStrategy) -> Result<Outcome, Failure> {
    let (_producer, mut consumer) = ringlog(wait)?;
    let mut time = Duration::ZERO;
    {
        let time = &mut time;
        let waits = Worker::new(consumer_place(0, 1), move |ready, _| {
            ready.wait();
            let (begin, before) = (Instant::now(), on_core()?);
            if !consumer
                .poll(Duration::from_millis(job.messages))?
                .is_empty()
            {
                return Err("something came".into());
            }
            *time = on_core()?
                .saturating_sub(before)
                .max(Duration::from_nanos(1));
            Ok((begin, Instant::now()))
        });
        together(job, 1, vec![waits])?;
    }
    Ok(Outcome {
        messages: job.messages,
        time,
        producers: None,
        latency: None,
    })
}

/// How long this thread has been on a core.
fn on_core() -> Result<Duration, Failure> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = told
        .split_whitespace()
        .next()
        .ok_or("no time in schedstat")?;
    Ok(Duration::from_nanos(ns.parse()?))
}
