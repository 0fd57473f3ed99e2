//! The one loop in which threads and tasks wait: producers for room, consumers for records.
//!
//! ```text
//! attempt ── ready ──────────────────────────────► Ready
//!    │ pending
//!    ├─ thread: spin, yield or nap, then attempt again; out of time ► TimedOut
//!    │          or, when the strategy says sleep: enrol, attempt once more, park
//!    └─ task:   enrol, attempt once more ────────► Pending (still enrolled)
//! ```
//!
//! The attempt between enrolling and sleeping is the second half of the event count's handshake
//! (row P15 in `event_count.rs`): what was made ready before it is found by the attempt, and what
//! is made ready after it wakes the waiter.

use super::event_count::EventCount;
use super::schedule::{NextStep, WaitSchedule};
use super::strategy::WaitStrategy;
use super::waiter::Waiter;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

/// How long a caller is willing to wait.
#[derive(Clone, Copy)]
pub(crate) enum Patience<'w> {
    /// It blocks its thread, up to this time. Zero: it does not wait.
    UpTo(Duration),
    /// It is a task, which does not block and is woken by this waker.
    Task(&'w Waker),
}

/// What one attempt found.
pub(crate) enum Attempt<T> {
    Ready(T),
    Pending {
        /// An event count of [`WaitFor::enrolment`] is notified when this changes. Otherwise the
        /// waiter has to look again by itself.
        notified: bool,
    },
}

/// How a wait ended.
pub(crate) enum Waited<T> {
    Ready(T),
    /// The time is up, after this much of it.
    TimedOut(Duration),
    /// Only for a task: it is enrolled, and will be woken for another attempt.
    Pending,
}

/// What a thread or a task can wait for.
pub(crate) trait WaitFor {
    type Output;

    /// One attempt, which does not wait.
    fn attempt(&mut self) -> Attempt<Self::Output>;

    /// What the caller waits with.
    fn waiter(&mut self) -> &mut Waiter;

    /// The waiter, and the event counts that are notified when another attempt may succeed. They
    /// may differ from attempt to attempt.
    fn enrolment(&mut self) -> (&mut Waiter, impl Iterator<Item = &Arc<EventCount>>);

    /// How a thread waits. (A task just enrols.)
    fn strategy(&self) -> WaitStrategy;

    /// The longest that a thread may park without another attempt.
    fn longest_park(&self) -> Duration {
        Duration::MAX
    }

    fn is_enrolled(&mut self) -> bool {
        let (waiter, event_counts) = self.enrolment();
        waiter.is_enrolled(event_counts)
    }
}

/// Attempts until the target is ready or the caller's patience has run out.
pub(crate) fn wait<W: WaitFor>(target: &mut W, patience: Patience<'_>) -> Waited<W::Output> {
    // An earlier wait may have left an enrolment behind (a future that was leaked, a panic in the
    // user's code). It belongs to another thread or task.
    target.waiter().withdraw();
    let waited = match patience {
        Patience::UpTo(limit) => wait_in_thread(target, limit),
        Patience::Task(waker) => wait_as_task(target, waker),
    };
    if !matches!(waited, Waited::Pending) {
        target.waiter().withdraw();
    }
    waited
}

fn wait_in_thread<W: WaitFor>(target: &mut W, limit: Duration) -> Waited<W::Output> {
    let mut schedule = WaitSchedule::new(target.strategy(), limit);
    loop {
        let notified = match target.attempt() {
            Attempt::Ready(output) => return Waited::Ready(output),
            Attempt::Pending { notified } => notified,
        };
        match schedule.next() {
            NextStep::TimeUp => return Waited::TimedOut(schedule.waited()),
            NextStep::Retry => {}
            NextStep::Sleep(limit) => {
                let limit = limit.min(target.longest_park());
                let is_enrolled = target.is_enrolled();
                let (waiter, event_counts) = target.enrolment();
                if is_enrolled {
                    waiter.sleep(limit, notified);
                } else {
                    waiter.enrol_thread(event_counts);
                }
            }
        }
    }
}

fn wait_as_task<W: WaitFor>(target: &mut W, waker: &Waker) -> Waited<W::Output> {
    loop {
        let notified = match target.attempt() {
            Attempt::Ready(output) => return Waited::Ready(output),
            Attempt::Pending { notified } => notified,
        };
        let is_enrolled = target.is_enrolled();
        let (waiter, event_counts) = target.enrolment();
        if is_enrolled {
            if waiter.may_miss_wakeups() || !notified {
                waker.wake_by_ref();
            }
            return Waited::Pending;
        }
        waiter.enrol(waker, event_counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::task::Wake;
    use std::thread;

    /// Ready at attempt number `ready_at`.
    struct Target {
        waiter: Waiter,
        event_counts: Vec<Arc<EventCount>>,
        attempts: usize,
        ready_at: usize,
        notified: bool,
    }

    impl Target {
        fn new(ready_at: usize) -> Target {
            Target {
                waiter: Waiter::default(),
                event_counts: vec![Arc::new(EventCount::new(true))],
                attempts: 0,
                ready_at,
                notified: true,
            }
        }

        fn enrolled(&self) -> usize {
            self.event_counts.iter().map(|count| count.len()).sum()
        }
    }

    impl WaitFor for Target {
        type Output = usize;

        fn attempt(&mut self) -> Attempt<usize> {
            self.attempts += 1;
            if self.attempts >= self.ready_at {
                Attempt::Ready(self.attempts)
            } else {
                let notified = self.notified;
                Attempt::Pending { notified }
            }
        }

        fn strategy(&self) -> WaitStrategy {
            WaitStrategy::Block
        }

        fn waiter(&mut self) -> &mut Waiter {
            &mut self.waiter
        }

        fn enrolment(&mut self) -> (&mut Waiter, impl Iterator<Item = &Arc<EventCount>>) {
            (&mut self.waiter, self.event_counts.iter())
        }
    }

    #[derive(Default)]
    struct Wakes(Mutex<usize>);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    #[test]
    fn a_target_that_is_ready_is_not_waited_for_and_leaves_no_enrolment() {
        for patience in [
            Patience::UpTo(Duration::ZERO),
            Patience::Task(Waker::noop()),
        ] {
            let mut target = Target::new(1);
            let waited = wait(&mut target, patience);
            assert!(matches!(waited, Waited::Ready(1)));
            assert_eq!(target.enrolled(), 0);
        }
    }

    #[test]
    fn without_time_there_is_one_attempt() {
        let mut target = Target::new(usize::MAX);
        let waited = wait(&mut target, Patience::UpTo(Duration::ZERO));
        assert!(matches!(waited, Waited::TimedOut(Duration::ZERO)));
        assert_eq!((target.attempts, target.enrolled()), (1, 0));
    }

    #[test]
    fn a_task_attempts_once_more_after_enrolling_and_stays_enrolled() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut target = Target::new(3);
        let waited = wait(&mut target, Patience::Task(&waker));
        assert!(matches!(waited, Waited::Pending));
        assert_eq!((target.attempts, target.enrolled()), (2, 1));
        target.event_counts[0].notify();
        assert_eq!(*wakes.0.lock().unwrap(), 1);
        // The enrolment of the wait before is not taken for one of this wait.
        let waited = wait(&mut target, Patience::Task(&waker));
        assert!(matches!(waited, Waited::Ready(3)));
        assert_eq!(target.enrolled(), 0);
    }

    #[test]
    fn a_task_that_no_event_count_tells_wakes_itself() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut target = Target::new(usize::MAX);
        target.notified = false;
        let waited = wait(&mut target, Patience::Task(&waker));
        assert!(matches!(waited, Waited::Pending));
        assert_eq!(*wakes.0.lock().unwrap(), 1);
    }

    #[test]
    fn a_thread_parks_no_longer_than_its_target_allows() {
        struct Watchful(Target);
        impl WaitFor for Watchful {
            type Output = usize;
            fn attempt(&mut self) -> Attempt<usize> {
                self.0.attempt()
            }
            fn strategy(&self) -> WaitStrategy {
                WaitStrategy::Block
            }

            fn waiter(&mut self) -> &mut Waiter {
                self.0.waiter()
            }

            fn enrolment(&mut self) -> (&mut Waiter, impl Iterator<Item = &Arc<EventCount>>) {
                self.0.enrolment()
            }
            fn longest_park(&self) -> Duration {
                Duration::from_millis(1)
            }
        }
        // Nothing notifies it: it comes to its attempts by the limit alone.
        let mut target = Watchful(Target::new(200));
        let waited = wait(&mut target, Patience::UpTo(Duration::MAX));
        assert!(matches!(waited, Waited::Ready(200)));
        assert_eq!(target.0.enrolled(), 0);
    }

    #[test]
    fn a_notification_ends_a_park() {
        let mut target = Target::new(usize::MAX);
        let event_count = target.event_counts[0].clone();
        let ready = Arc::new(Mutex::new(false));
        struct UntilNotified(Target, Arc<Mutex<bool>>);
        impl WaitFor for UntilNotified {
            type Output = ();
            fn attempt(&mut self) -> Attempt<()> {
                match *self.1.lock().unwrap() {
                    false => Attempt::Pending { notified: true },
                    true => Attempt::Ready(()),
                }
            }
            fn strategy(&self) -> WaitStrategy {
                WaitStrategy::Block
            }

            fn waiter(&mut self) -> &mut Waiter {
                self.0.waiter()
            }

            fn enrolment(&mut self) -> (&mut Waiter, impl Iterator<Item = &Arc<EventCount>>) {
                self.0.enrolment()
            }
        }
        target.notified = true;
        let mut target = UntilNotified(target, ready.clone());
        let notifier = thread::spawn(move || {
            while event_count.len() == 0 {
                thread::yield_now();
            }
            *ready.lock().unwrap() = true;
            event_count.notify();
        });
        let waited = wait(&mut target, Patience::UpTo(Duration::MAX));
        assert!(matches!(waited, Waited::Ready(())));
        notifier.join().unwrap();
    }
}
