//! One run: two pinned threads, one clock, and a tally that checks every message.

use crate::system::{Receiver, Sender, System};
use core_affinity::CoreId;
use std::hint::{black_box, spin_loop};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What went wrong, in words.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Payload bytes that runs are compiled for.
pub(crate) const SIZES: [usize; 4] = [8, 64, 256, 1024];

/// How to measure.
pub(crate) struct Plan {
    /// Room for so many payload bytes in every system.
    pub(crate) ring_bytes: usize,
    /// Counted runs of each system.
    pub(crate) runs: usize,
    pub(crate) quick: bool,
    pub(crate) cores: Cores,
}

impl Plan {
    /// Messages of one run, a multiple of every batch: enough for some tens of milliseconds.
    pub(crate) fn messages(&self, size: usize, batch: usize) -> u64 {
        let (most, bytes) = if batch == 1 {
            (1 << 23, 1 << 30)
        } else {
            (1 << 26, 1 << 31)
        };
        let all = (bytes / size as u64).min(most);
        if self.quick { all / 4 } else { all }
    }
}

/// The cores that the threads are pinned to.
pub(crate) struct Cores {
    /// The cores that this process may use.
    pub(crate) available: usize,
    pub(crate) producer: Option<CoreId>,
    pub(crate) consumer: Option<CoreId>,
}

impl Cores {
    /// Takes the cores asked for, or the first two. With one core both threads share it.
    ///
    /// To be called before anything is pinned: a pinned thread is told of its own core only.
    pub(crate) fn choose(asked: &[usize]) -> Result<Cores, Failure> {
        let all = core_affinity::get_core_ids().unwrap_or_default();
        let mut chosen = Vec::new();
        for &id in asked {
            let core = all.iter().find(|core| core.id == id);
            chosen.push(*core.ok_or_else(|| format!("there is no core {id} for this process"))?);
        }
        if chosen.is_empty() {
            chosen.extend(all.iter().take(2));
        }
        Ok(Cores {
            available: all.len(),
            producer: chosen.first().copied(),
            consumer: chosen.get(1).or(chosen.first()).copied(),
        })
    }

    /// The threads have a core each.
    pub(crate) fn apart(&self) -> bool {
        self.producer != self.consumer
    }
}

fn pin(core: Option<CoreId>) -> Result<(), Failure> {
    match core {
        Some(core) if !core_affinity::set_for_current(core) => {
            Err(format!("cannot pin a thread to core {}", core.id).into())
        }
        // Without a list of cores nothing is pinned, and the head of the report says so.
        _ => Ok(()),
    }
}

/// What the consumer found: how many, in which order, and the sum of all their words.
pub(crate) struct Tally {
    next: u64,
    sum: u64,
    disorder: u64,
}

impl Tally {
    /// Reads all bytes of a message.
    #[inline]
    pub(crate) fn count<const N: usize>(&mut self, message: &[u8; N]) {
        let mut sum = 0u64;
        for bytes in message.chunks_exact(8) {
            sum = sum.wrapping_add(word(bytes));
        }
        self.sum = self.sum.wrapping_add(sum);
        self.disorder |= word(&message[..8]) ^ self.next;
        self.next += 1;
    }

    #[inline]
    pub(crate) fn count_all<const N: usize>(&mut self, messages: &[[u8; N]]) {
        for message in messages {
            self.count(message);
        }
    }

    fn check<const N: usize>(&self, messages: u64) -> Result<(), Failure> {
        // 0 + 1 + .. + (messages - 1) in the first words; the filler in the others.
        let numbers = u128::from(messages) * u128::from(messages - 1) / 2;
        let filler = (1..N / 8).fold(0, |sum: u64, word| sum.wrapping_add(filler(word)));
        let sum = (numbers as u64).wrapping_add(filler.wrapping_mul(messages));
        if self.next != messages {
            return Err(format!("{} messages came instead of {messages}", self.next).into());
        }
        if self.disorder != 0 {
            return Err("messages came out of order".into());
        }
        if self.sum != sum {
            return Err(format!("the messages' words sum to {}, not {sum}", self.sum).into());
        }
        Ok(())
    }
}

/// Eight bytes as a number.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

/// What word `word` of every message holds; word 0 holds the message's number.
fn filler(word: usize) -> u64 {
    (word as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Waits between looks that found nothing: a look without a pause would take the other
/// side's cache line from it again and again.
struct Pause<'a> {
    /// The other side has given up.
    stop: &'a AtomicBool,
    alone: bool,
    looks: u32,
    since: Option<Instant>,
}

impl Pause<'_> {
    const SPINS: u32 = 16;
    const LIMIT: Duration = Duration::from_secs(20);

    fn reset(&mut self) {
        self.looks = 0;
        self.since = None;
    }

    #[cold]
    fn wait(&mut self) -> Result<(), Failure> {
        self.looks += 1;
        // On a shared core the other side cannot run before this one lets it.
        if self.alone && self.looks <= 1024 {
            for _ in 0..Self::SPINS {
                spin_loop();
            }
            return Ok(());
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err("the other side gave up".into());
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() > Self::LIMIT {
            return Err("nothing moved for 20 s".into());
        }
        thread::yield_now();
        Ok(())
    }
}

/// One run with messages of `size` bytes: nanoseconds a message.
pub(crate) fn run_sized<S: System, const B: usize>(
    size: usize,
    plan: &Plan,
) -> Result<f64, Failure> {
    match size {
        8 => run::<S, 8, B>(plan),
        64 => run::<S, 64, B>(plan),
        256 => run::<S, 256, B>(plan),
        1024 => run::<S, 1024, B>(plan),
        _ => Err(format!("{size} is not one of the sizes {SIZES:?}").into()),
    }
}

/// From the first send to the last message read, with both threads ready beforehand.
fn run<S: System, const N: usize, const B: usize>(plan: &Plan) -> Result<f64, Failure> {
    let messages = plan.messages(N, B);
    let (tx, rx) = S::open::<N, B>(plan.ring_bytes)?;
    let stop = AtomicBool::new(false);
    let ready = Barrier::new(2);
    let pause = || Pause {
        stop: &stop,
        alone: plan.cores.apart(),
        looks: 0,
        since: None,
    };
    let (sent, received) = thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let pinned = pin(plan.cores.producer);
            let source = Source::<N, B>::new();
            ready.wait();
            let start = Instant::now();
            let done = pinned.and_then(|()| produce(tx, source, messages, pause()));
            stop.fetch_or(done.is_err(), Ordering::Relaxed);
            done.map(|()| start)
        });
        let consumer = scope.spawn(|| {
            let pinned = pin(plan.cores.consumer);
            ready.wait();
            let done = pinned.and_then(|()| consume(rx, messages, pause()));
            let end = Instant::now();
            stop.fetch_or(done.is_err(), Ordering::Relaxed);
            done.map(|tally| (tally, end))
        });
        (producer.join(), consumer.join())
    });
    // The consumer's word first: a producer that "gave up" mostly did so because of it.
    let (tally, end) = received.map_err(|_| "the consumer panicked")??;
    let start = sent.map_err(|_| "the producer panicked")??;
    tally.check::<N>(messages)?;
    Ok(end.duration_since(start).as_secs_f64() * 1e9 / messages as f64)
}

/// The messages that a producer sends: it writes their numbers into some of them, then
/// sends them, so that a send never loads bytes that were stored just before it.
struct Source<const N: usize, const B: usize> {
    sends: Vec<[[u8; N]; B]>,
}

impl<const N: usize, const B: usize> Source<N, B> {
    fn new() -> Self {
        let mut message = [0; N];
        for (i, word) in message.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&filler(i).to_ne_bytes());
        }
        let sends = vec![[message; B]; if B == 1 { 16 } else { 1 }];
        // What the messages hold is not for the compiler to know.
        Source {
            sends: black_box(sends),
        }
    }
}

fn produce<const N: usize, const B: usize>(
    mut tx: impl Sender<N, B>,
    mut source: Source<N, B>,
    messages: u64,
    mut pause: Pause<'_>,
) -> Result<(), Failure> {
    let mut next = 0u64;
    while next < messages {
        for message in source.sends.iter_mut().flatten() {
            message[..8].copy_from_slice(&next.to_ne_bytes());
            next += 1;
        }
        for send in &source.sends {
            while !tx.send(send)? {
                pause.wait()?;
            }
            pause.reset();
        }
    }
    Ok(())
}

fn consume<const N: usize>(
    mut rx: impl Receiver<N>,
    messages: u64,
    mut pause: Pause<'_>,
) -> Result<Tally, Failure> {
    let mut tally = Tally {
        next: 0,
        sum: 0,
        disorder: 0,
    };
    while tally.next < messages {
        if rx.receive(&mut tally)? {
            pause.reset();
        } else {
            pause.wait()?;
        }
    }
    Ok(tally)
}
