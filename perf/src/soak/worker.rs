//! Threads that are watched: how they fail, how they are told to stop, and how it shows that
//! one hangs.

use super::ledger::Wrong;
use super::tally::Tally;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What all threads of a round know: whether it goes on.
#[derive(Default)]
pub(crate) struct Control {
    stop: AtomicBool,
    failed: AtomicBool,
    failure: Mutex<Option<Wrong>>,
}

impl Control {
    /// Producers and transient consumers are to end; steady ones read on to the end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Everybody is to end: a check has failed.
    #[inline]
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// The first failure is the one that is told: others may follow from it.
    pub(crate) fn fail(&self, wrong: Wrong) {
        let mut first = self.failure.lock().unwrap_or_else(|e| e.into_inner());
        first.get_or_insert(wrong);
        self.failed.store(true, Ordering::Relaxed);
        self.stop();
    }

    pub(crate) fn failure(&self) -> Option<Wrong> {
        let failure = self.failure.lock().unwrap_or_else(|e| e.into_inner());
        failure.clone()
    }
}

/// Where a thread is: for the watchdog. On cache lines of its own, since each thread writes its
/// own all the time.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Station {
    moved: AtomicU64,
    doing: AtomicU64,
    partition: AtomicU64,
    offset: AtomicU64,
}

/// What a thread does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Doing {
    Starting,
    Sending,
    Napping,
    Polling,
    Holding,
    Seeking,
}

const DOING: [Doing; 6] = [
    Doing::Starting,
    Doing::Sending,
    Doing::Napping,
    Doing::Polling,
    Doing::Holding,
    Doing::Seeking,
];

impl Station {
    #[inline]
    pub(crate) fn doing(&self, doing: Doing) {
        self.doing.store(doing as u64, Ordering::Relaxed);
    }

    /// So many records were sent or read, the last before `offset`.
    #[inline]
    pub(crate) fn moved(&self, records: u64, partition: u32, offset: u64) {
        // One thread writes it, so there is nothing to add atomically.
        let moved = self.moved.load(Ordering::Relaxed);
        self.moved.store(moved + records, Ordering::Relaxed);
        self.partition.store(partition.into(), Ordering::Relaxed);
        self.offset.store(offset, Ordering::Relaxed);
    }
}

/// A thread, watched.
pub(crate) struct Worker {
    name: String,
    station: Arc<Station>,
    thread: JoinHandle<Tally>,
}

/// Starts a thread. What it answers as wrong, or panics with, fails the round.
pub(crate) fn spawn(
    name: String,
    control: &Arc<Control>,
    body: impl FnOnce(&Control, &Station) -> Result<Tally, Wrong> + Send + 'static,
) -> std::io::Result<Worker> {
    let station = Arc::new(Station::default());
    let (control, at) = (control.clone(), station.clone());
    let builder = thread::Builder::new().name(name.clone());
    let own_name = name.clone();
    let thread = builder.spawn(move || {
        let done = catch_unwind(AssertUnwindSafe(|| body(&control, &at)));
        let done = done.unwrap_or_else(|panic| Err(format!("panicked: {}", message(&*panic))));
        done.unwrap_or_else(|wrong| {
            control.fail(format!("{own_name}: {wrong}"));
            Tally::default()
        })
    })?;
    Ok(Worker {
        name,
        station,
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

/// How often the watchdog looks.
const LOOK: Duration = Duration::from_millis(5);

/// Lets the workers run for `time`, and waits until they are done. When nothing moves for
/// longer than `patience`, it answers what is known, and leaves them as they are.
pub(crate) fn watch(
    workers: Vec<Worker>,
    control: &Control,
    time: Duration,
    patience: Duration,
) -> Result<Tally, Wrong> {
    let start = Instant::now();
    let moved = || -> u64 {
        let stations = workers.iter().map(|worker| &worker.station);
        stations.map(|at| at.moved.load(Ordering::Relaxed)).sum()
    };
    let (mut last, mut since) = (moved(), Instant::now());
    while !workers.iter().all(|worker| worker.thread.is_finished()) {
        thread::sleep(LOOK);
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
    let mut all = Tally::default();
    for worker in workers {
        match worker.thread.join() {
            Ok(tally) => all.add(&tally),
            Err(panic) => control.fail(format!("{}: {}", worker.name, message(&*panic))),
        }
    }
    match control.failure() {
        Some(wrong) => Err(wrong),
        None => Ok(all),
    }
}

/// What is known of threads that hang.
fn hang(workers: &[Worker], control: &Control, patience: Duration) -> Wrong {
    let mut report = format!("nothing has moved for {patience:?}");
    if let Some(failure) = control.failure() {
        report = format!("{failure}; and after that {report}");
    }
    for worker in workers {
        let at = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let station = &worker.station;
        let doing = match worker.thread.is_finished() {
            true => "Done".to_owned(),
            false => format!("{:?}", DOING[at(&station.doing) as usize % DOING.len()]),
        };
        report += &format!(
            "\n  {}: {doing}, {} records, last at partition {} before offset {}",
            worker.name,
            at(&station.moved),
            at(&station.partition),
            at(&station.offset)
        );
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(body: fn(&Control, &Station) -> Result<Tally, Wrong>) -> Result<Tally, Wrong> {
        let control = Arc::new(Control::default());
        let workers = ["one", "two"].map(|name| spawn(name.to_owned(), &control, body).unwrap());
        let patience = Duration::from_millis(200);
        watch(
            workers.into(),
            &control,
            Duration::from_millis(20),
            patience,
        )
    }

    #[test]
    fn what_is_done_adds_up() {
        let tally = run(|_, _| {
            Ok(Tally {
                sent: 3,
                ..Tally::default()
            })
        });
        assert_eq!(tally.unwrap().sent, 6);
    }

    #[test]
    fn a_thread_that_finds_something_wrong_ends_the_round() {
        let wrong = run(|control, _| {
            while thread::current().name() == Some("two") && !control.has_failed() {
                thread::yield_now();
            }
            Err("torn".to_owned())
        });
        assert_eq!(wrong.unwrap_err(), "one: torn");
    }

    #[test]
    fn a_panic_ends_the_round() {
        let wrong = run(|_, _| std::panic::resume_unwind(Box::new("a bug")));
        assert!(wrong.unwrap_err().ends_with(": panicked: a bug"));
    }

    #[test]
    fn threads_that_stand_are_told_with_where_they_stand() {
        let wrong = run(|_, station| {
            station.doing(Doing::Polling);
            station.moved(5, 2, 77);
            thread::sleep(Duration::from_secs(2));
            Ok(Tally::default())
        });
        let wrong = wrong.unwrap_err();
        assert!(wrong.contains("nothing has moved"), "{wrong}");
        let two = "two: Polling, 5 records, last at partition 2 before offset 77";
        assert!(wrong.contains(two), "{wrong}");
    }
}
