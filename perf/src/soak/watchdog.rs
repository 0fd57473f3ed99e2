//! The watchdog of a round: it stops the threads, collects their faults, and reports a thread
//! that hangs.

use crate::soak::counts::Counts;
use crate::soak::fault::Fault;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The state that all threads of a round share: whether it continues.
#[derive(Default)]
pub(crate) struct RoundControl {
    stop: AtomicBool,
    failed: AtomicBool,
    failure: Mutex<Option<Fault>>,
}

impl RoundControl {
    /// Ends producers and transient consumers; steady consumers read on to the end of the logs.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether a check has failed. Then all threads end.
    #[inline]
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Fails the round. The first fault is reported, since others may follow from it.
    pub(crate) fn fail(&self, fault: Fault) {
        let mut first = self.failure.lock().unwrap_or_else(|e| e.into_inner());
        first.get_or_insert(fault);
        self.failed.store(true, Ordering::Relaxed);
        self.stop();
    }

    pub(crate) fn failure(&self) -> Option<Fault> {
        let failure = self.failure.lock().unwrap_or_else(|e| e.into_inner());
        failure.clone()
    }
}

/// The progress of a thread, for the watchdog. On cache lines of its own, to avoid false sharing:
/// each thread writes its heartbeat all the time.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Heartbeat {
    records: AtomicU64,
    activity: AtomicU64,
    partition: AtomicU64,
    offset: AtomicU64,
}

/// The activity of a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Activity {
    Starting,
    Sending,
    Napping,
    Polling,
    Holding,
    Seeking,
}

const ACTIVITIES: [Activity; 6] = [
    Activity::Starting,
    Activity::Sending,
    Activity::Napping,
    Activity::Polling,
    Activity::Holding,
    Activity::Seeking,
];

impl Heartbeat {
    #[inline]
    pub(crate) fn set_activity(&self, activity: Activity) {
        self.activity.store(activity as u64, Ordering::Relaxed);
    }

    /// Adds `records` sent or read; the last one is before `offset`.
    #[inline]
    pub(crate) fn advance(&self, records: u64, partition: u32, offset: u64) {
        // One thread writes it, so the addition need not be atomic.
        let before = self.records.load(Ordering::Relaxed);
        self.records.store(before + records, Ordering::Relaxed);
        self.partition.store(partition.into(), Ordering::Relaxed);
        self.offset.store(offset, Ordering::Relaxed);
    }
}

/// A thread of a round, with its heartbeat.
pub(crate) struct WatchedThread {
    name: String,
    heartbeat: Arc<Heartbeat>,
    thread: JoinHandle<Counts>,
}

/// Starts a thread. A fault that it returns, or a panic, fails the round.
pub(crate) fn spawn(
    name: String,
    control: &Arc<RoundControl>,
    body: impl FnOnce(&RoundControl, &Heartbeat) -> Result<Counts, Fault> + Send + 'static,
) -> std::io::Result<WatchedThread> {
    let heartbeat = Arc::new(Heartbeat::default());
    let (control, at) = (control.clone(), heartbeat.clone());
    let builder = thread::Builder::new().name(name.clone());
    let own_name = name.clone();
    let thread = builder.spawn(move || {
        let done = catch_unwind(AssertUnwindSafe(|| body(&control, &at)));
        let done = done.unwrap_or_else(|panic| Err(format!("panicked: {}", message(&*panic))));
        done.unwrap_or_else(|fault| {
            control.fail(format!("{own_name}: {fault}"));
            Counts::default()
        })
    })?;
    Ok(WatchedThread {
        name,
        heartbeat,
        thread,
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (None, Some(message)) => message,
        (None, None) => "without a message",
    }
}

/// The interval of the watchdog.
const INTERVAL: Duration = Duration::from_millis(5);

/// Lets the threads run for `time`, and waits until they are done. If none moves for longer than
/// `patience`, returns what is known of them, and abandons them.
pub(crate) fn watch(
    workers: Vec<WatchedThread>,
    control: &RoundControl,
    time: Duration,
    patience: Duration,
) -> Result<Counts, Fault> {
    let start = Instant::now();
    let moved = || -> u64 {
        let stations = workers.iter().map(|worker| &worker.heartbeat);
        stations
            .map(|heartbeat| heartbeat.records.load(Ordering::Relaxed))
            .sum()
    };
    let (mut last, mut since) = (moved(), Instant::now());
    while !workers.iter().all(|worker| worker.thread.is_finished()) {
        thread::sleep(INTERVAL);
        if start.elapsed() >= time {
            control.stop();
        }
        let now = moved();
        if now != last {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > patience {
            return Err(hang(&workers, control, patience));
        }
    }
    let mut all = Counts::default();
    for worker in workers {
        match worker.thread.join() {
            Ok(counts) => all.add(&counts),
            Err(panic) => control.fail(format!("{}: {}", worker.name, message(&*panic))),
        }
    }
    match control.failure() {
        Some(fault) => Err(fault),
        None => Ok(all),
    }
}

/// Describes threads that hang.
fn hang(workers: &[WatchedThread], control: &RoundControl, patience: Duration) -> Fault {
    let mut report = format!("nothing has moved for {patience:?}");
    if let Some(failure) = control.failure() {
        report = format!("{failure}; and after that {report}");
    }
    for worker in workers {
        let at = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let heartbeat = &worker.heartbeat;
        let activity = match worker.thread.is_finished() {
            true => "Done".to_owned(),
            false => format!(
                "{:?}",
                ACTIVITIES[at(&heartbeat.activity) as usize % ACTIVITIES.len()]
            ),
        };
        report += &format!(
            "\n  {}: {activity}, {} records, last at partition {} before offset {}",
            worker.name,
            at(&heartbeat.records),
            at(&heartbeat.partition),
            at(&heartbeat.offset)
        );
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    type Body = fn(&RoundControl, &Heartbeat) -> Result<Counts, Fault>;

    fn start(control: &Arc<RoundControl>, body: Body) -> Vec<WatchedThread> {
        let workers = ["one", "two"].map(|name| spawn(name.to_owned(), control, body).unwrap());
        workers.into()
    }

    /// For threads that do not hang, however late they are scheduled.
    fn run(body: Body) -> Result<Counts, Fault> {
        let control = Arc::new(RoundControl::default());
        let workers = start(&control, body);
        let (time, patience) = (Duration::from_millis(20), Duration::from_secs(60));
        watch(workers, &control, time, patience)
    }

    #[test]
    fn counts_of_all_threads_add_up() {
        let counts = run(|_, _| {
            Ok(Counts {
                sent: 3,
                ..Counts::default()
            })
        });
        assert_eq!(counts.unwrap().sent, 6);
    }

    #[test]
    fn a_thread_that_finds_something_wrong_ends_the_round() {
        let fault = run(|control, _| {
            while thread::current().name() == Some("two") && !control.has_failed() {
                thread::yield_now();
            }
            Err("torn".to_owned())
        });
        assert_eq!(fault.unwrap_err(), "one: torn");
    }

    #[test]
    fn a_panic_ends_the_round() {
        let fault = run(|_, _| std::panic::resume_unwind(Box::new("a bug")));
        assert!(fault.unwrap_err().ends_with(": panicked: a bug"));
    }

    #[test]
    fn a_hanging_thread_is_reported_with_its_position() {
        let control = Arc::new(RoundControl::default());
        let workers = start(&control, |control, heartbeat| {
            heartbeat.set_activity(Activity::Polling);
            heartbeat.advance(5, 2, 77);
            while !control.has_failed() {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(Counts::default())
        });
        let moved = |worker: &WatchedThread| worker.heartbeat.records.load(Ordering::Relaxed) > 0;
        let began = Instant::now();
        while !workers.iter().all(moved) {
            assert!(began.elapsed() < Duration::from_secs(60), "never started");
            thread::yield_now();
        }
        let patience = Duration::from_millis(20);
        let fault = watch(workers, &control, patience, patience).unwrap_err();
        control.fail(fault.clone()); // ends the threads
        assert!(fault.contains("nothing has moved"), "{fault}");
        let two = "two: Polling, 5 records, last at partition 2 before offset 77";
        assert!(fault.contains(two), "{fault}");
    }
}
