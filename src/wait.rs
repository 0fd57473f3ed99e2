//! How a thread waits: consumers for records, producers for room.
//!
//! A [`WaitSchedule`] says what to do next, from its first look to its last; a [`Waiter`] is the thread,
//! or the task, that is put on the lists of [`EventCount`] when it comes to sleeping. Whoever waits
//! does the same in all cases: look; ask the waiter; and when that says [`NextStep::Sleep`], enrol, look
//! once more, and only then sleep (row P15 in `sleepers.rs`).

use crate::barrier;
use crate::sleepers::EventCount;
use crate::sync::{AtomicU64, Thread, current_thread, ord, park, spin_loop, yield_now};
use core::fmt::Debug;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

/// How the threads of a topic wait, consumers for records and producers for room alike.
///
/// While nobody sleeps, appending and polling cost the same under all of them. A consumer of
/// several topics waits as the most patient of them asks: the last of this list.
///
/// Timeouts are kept to within a millisecond or so, as the system's timers allow.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// Spins: the least latency, a whole core a waiting thread.
    BusySpin,
    /// Spins a little, then gives the core to whoever else wants it.
    Yield,
    /// Spins, then yields, then sleeps 50 µs to 1 ms at a time. Nobody has to wake anybody, so
    /// that a send never makes a system call.
    Backoff,
    /// Spins and yields a little, then sleeps until it is woken. Whoever appends wakes who sleeps,
    /// which costs that one send some microseconds.
    #[default]
    Block,
    /// Your own.
    Custom(Arc<dyn WaitPolicy>),
}

/// A way of waiting of your own: see [`WaitStrategy::Custom`].
///
/// It only says what to do next; ringlog does it, looks again, and keeps the time.
///
/// ```
/// use ringlog::{Broker, Pause, TopicConfig, WaitPolicy, WaitStrategy};
/// use std::sync::Arc;
///
/// /// Spins for longer than `Block` does, and then sleeps.
/// #[derive(Debug)]
/// struct SpinThenSleep;
///
/// impl WaitPolicy for SpinThenSleep {
///     fn next(&self, looks: u32) -> Pause {
///         if looks < 10_000 { Pause::Spin(16) } else { Pause::Sleep }
///     }
/// }
///
/// let wait = WaitStrategy::Custom(Arc::new(SpinThenSleep));
/// let topic = Broker::new().create_topic("orders", TopicConfig::new().wait(wait))?;
/// # Ok::<(), ringlog::TopicError>(())
/// ```
pub trait WaitPolicy: Debug + Send + Sync {
    /// What to do after so many looks in vain, 1 or more. Called at every look of a wait, so it
    /// should be quick. If it panics, so does the poll or send that waits, and nothing else is
    /// touched.
    fn next(&self, looks: u32) -> WaitAction;
}

/// What to do until the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitAction {
    /// So many spin hints, 1,000 at most.
    Spin(u32),
    /// Gives the core to whoever wants it.
    Yield,
    /// Sleeps so long, 1 ms at most.
    Nap(Duration),
    /// Sleeps until there is something to look for.
    Sleep,
    /// Nothing: the policy has passed the time itself.
    Nothing,
}

/// Spin hints between two looks: an eager look steals the line that a producer writes.
const SPINS: u32 = 16;
const MOST_SPINS: u32 = 1_000;
/// Looks while spinning, before anything gentler.
const SPINNING: u32 = 128;
/// Looks while yielding, before naps.
const YIELDING: u32 = 64;
/// Looks while yielding, before sleeping until woken.
const YIELDING_FIRST: u32 = 8;
const NAP: Duration = Duration::from_micros(50);
const LONGEST_NAP: Duration = Duration::from_millis(1);

/// Two of your own are the same if they are one.
impl PartialEq for WaitStrategy {
    fn eq(&self, other: &WaitStrategy) -> bool {
        match (self, other) {
            (WaitStrategy::Custom(a), WaitStrategy::Custom(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.patience() == b.patience(),
        }
    }
}

impl Eq for WaitStrategy {}

impl WaitStrategy {
    fn next(&self, looks: u32) -> WaitAction {
        let spinning = looks <= SPINNING;
        match self {
            // A model has nothing to spin for.
            #[cfg(loom)]
            WaitStrategy::Block => WaitAction::Sleep,
            WaitStrategy::Custom(policy) => policy.next(looks),
            WaitStrategy::BusySpin => WaitAction::Spin(SPINS),
            _ if spinning => WaitAction::Spin(SPINS),
            WaitStrategy::Yield => WaitAction::Yield,
            WaitStrategy::Backoff if looks <= SPINNING + YIELDING => WaitAction::Yield,
            WaitStrategy::Backoff => {
                WaitAction::Nap(NAP.saturating_mul(looks - SPINNING - YIELDING))
            }
            #[cfg(not(loom))]
            WaitStrategy::Block if looks <= SPINNING + YIELDING_FIRST => WaitAction::Yield,
            #[cfg(not(loom))]
            WaitStrategy::Block => WaitAction::Sleep,
        }
    }

    fn patience(&self) -> u32 {
        match self {
            WaitStrategy::BusySpin => 0,
            WaitStrategy::Yield => 1,
            WaitStrategy::Backoff => 2,
            WaitStrategy::Block => 3,
            WaitStrategy::Custom(_) => 4,
        }
    }

    /// The most patient of them; of two of the same patience the first.
    pub(crate) fn most_patient<'a>(all: impl Iterator<Item = &'a WaitStrategy>) -> WaitStrategy {
        let patient = all.reduce(|a, b| if b.patience() > a.patience() { b } else { a });
        patient.cloned().unwrap_or_default()
    }

    /// Whether its topics' notifiers are to fence where that cannot be left to the sleepers: their
    /// threads may come to sleep. (Tasks that wait for another topic then keep looking.)
    pub(crate) fn may_sleep(&self) -> bool {
        if cfg!(loom) {
            return matches!(self, WaitStrategy::Block);
        }
        self.patience() > 1
    }
}

/// One wait, from its first look to its last.
pub(crate) struct WaitSchedule {
    strategy: WaitStrategy,
    limit: Duration,
    start: Option<Instant>,
    /// Looks in vain; stays at the end.
    looks: u32,
    unclocked: u8,
}

/// What to do after a look in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// Give up.
    TimeUp,
    /// Look again: some time has passed.
    Look,
    /// Sleep until woken, this long at most.
    Sleep(Duration),
}

impl WaitSchedule {
    #[inline]
    pub(crate) fn new(strategy: WaitStrategy, limit: Duration) -> WaitSchedule {
        WaitSchedule {
            strategy,
            limit,
            start: None,
            looks: 0,
            unclocked: 0,
        }
    }

    /// Passes some time, or says what else is to be done.
    #[cold]
    pub(crate) fn next(&mut self) -> NextStep {
        if self.limit.is_zero() {
            return NextStep::TimeUp;
        }
        let start = *self.start.get_or_insert_with(Instant::now);
        self.looks = self.looks.saturating_add(1);
        let pause = self.strategy.next(self.looks);
        if let WaitAction::Spin(hints) = pause {
            for _ in 0..hints.min(MOST_SPINS) {
                spin_loop();
            }
            // The clock costs more than the spins: look at it now and then.
            self.unclocked = self.unclocked.wrapping_add(1);
            if self.unclocked % 16 != 0 {
                return NextStep::Look;
            }
        }
        let Some(left) = self.limit.checked_sub(start.elapsed()) else {
            return NextStep::TimeUp;
        };
        if left.is_zero() {
            return NextStep::TimeUp;
        }
        match pause {
            WaitAction::Spin(_) | WaitAction::Nothing => {}
            WaitAction::Yield => yield_now(),
            WaitAction::Nap(nap) => std::thread::sleep(nap.min(LONGEST_NAP).min(left)),
            WaitAction::Sleep => return NextStep::Sleep(left),
        }
        NextStep::Look
    }

    /// How long this wait has taken.
    pub(crate) fn waited(&self) -> Duration {
        self.start.map_or(Duration::ZERO, |start| start.elapsed())
    }
}

/// A thread that sleeps, as a waker.
struct Parker {
    thread: Thread,
    woken: AtomicU64,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(1, ord!(Relaxed));
        self.thread.unpark();
    }
}

/// What a producer or consumer has to sleep with.
#[derive(Default)]
pub(crate) struct Waiter {
    parker: Option<Arc<Parker>>,
    /// The lists that it is on, with its number there.
    enrolled: Vec<(Arc<EventCount>, u64)>,
    /// Something may happen without its being woken.
    unsure: bool,
}

/// A sleeper that may not be woken looks so often.
const UNSURE: Duration = Duration::from_millis(1);

impl Waiter {
    /// Has this waker woken when any of these is notified. What it waits for has to be looked for
    /// once more afterwards.
    pub(crate) fn enrol<'s>(
        &mut self,
        waker: &Waker,
        lists: impl Iterator<Item = &'s Arc<EventCount>>,
    ) {
        self.withdraw();
        self.unsure = false;
        for list in lists {
            self.unsure |= !list.wakes();
            self.enrolled
                .push((list.clone(), list.enrol(waker.clone())));
        }
        // Between the lists and the look (P15).
        self.unsure |= !barrier::heavy();
    }

    /// The same for this thread, which is then to [`sleep`](Self::sleep).
    pub(crate) fn enrol_thread<'s>(&mut self, lists: impl Iterator<Item = &'s Arc<EventCount>>) {
        let thread = current_thread();
        let parker = match self.parker.take() {
            Some(parker) if parker.thread.id() == thread.id() => parker,
            _ => Arc::new(Parker {
                thread,
                woken: AtomicU64::new(0),
            }),
        };
        parker.woken.store(0, ord!(Relaxed));
        let waker = Waker::from(parker.clone());
        self.parker = Some(parker);
        self.enrol(&waker, lists);
    }

    /// Whether it is on exactly these lists, or has been woken from them.
    pub(crate) fn is_enrolled<'s>(&self, lists: impl Iterator<Item = &'s Arc<EventCount>>) -> bool {
        let here = self.enrolled.iter().map(|(list, _)| Arc::as_ptr(list));
        !self.enrolled.is_empty() && here.eq(lists.map(Arc::as_ptr))
    }

    /// Whether it may have to look again without having been woken.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Sleeps until woken, or so long, and is on no list any more. Not long if what it waits for
    /// is not always told.
    pub(crate) fn sleep(&mut self, limit: Duration, told: bool) {
        let limit = if self.unsure || !told {
            limit.min(UNSURE)
        } else {
            limit
        };
        if let Some(parker) = &self.parker {
            let start = Instant::now();
            let mut other = false;
            while parker.woken.load(ord!(Relaxed)) == 0 {
                let Some(left) = limit.checked_sub(start.elapsed()) else {
                    break;
                };
                if left.is_zero() {
                    break;
                }
                park(left);
                other |= parker.woken.load(ord!(Relaxed)) == 0 && start.elapsed() < limit;
            }
            if other {
                // Perhaps somebody else has unparked this thread for what it does elsewhere.
                parker.thread.unpark();
            }
        }
        self.withdraw();
    }

    /// Is on no list any more.
    pub(crate) fn withdraw(&mut self) {
        for (list, id) in self.enrolled.drain(..) {
            list.withdraw(id);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.withdraw();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn all() -> [WaitStrategy; 5] {
        #[derive(Debug)]
        struct InTurns;
        impl WaitPolicy for InTurns {
            fn next(&self, looks: u32) -> WaitAction {
                match looks % 5 {
                    0 => WaitAction::Spin(u32::MAX),
                    1 => WaitAction::Yield,
                    2 => WaitAction::Nap(Duration::MAX),
                    3 => WaitAction::Nothing,
                    _ => WaitAction::Sleep,
                }
            }
        }
        [
            WaitStrategy::BusySpin,
            WaitStrategy::Yield,
            WaitStrategy::Backoff,
            WaitStrategy::Block,
            WaitStrategy::Custom(Arc::new(InTurns)),
        ]
    }

    /// One turn of a wait that finds nothing; `false` when the time is up.
    fn turn(schedule: &mut WaitSchedule, waiter: &mut Waiter, lists: &[Arc<EventCount>]) -> bool {
        match schedule.next() {
            NextStep::TimeUp => return false,
            NextStep::Look => {}
            NextStep::Sleep(limit) if waiter.is_enrolled(lists.iter()) => waiter.sleep(limit, true),
            NextStep::Sleep(_) => waiter.enrol_thread(lists.iter()),
        }
        true
    }

    #[test]
    fn every_strategy_ends_soon_after_its_limit() {
        for strategy in all() {
            let lists = [Arc::new(EventCount::new(true))];
            let mut waiter = Waiter::default();
            let mut schedule = WaitSchedule::new(strategy.clone(), Duration::from_millis(20));
            while turn(&mut schedule, &mut waiter, &lists) {}
            assert!(
                schedule.waited() >= Duration::from_millis(20),
                "{strategy:?}"
            );
            assert!(schedule.waited() < Duration::from_secs(5), "{strategy:?}");
            assert_eq!(lists[0].len(), 0, "{strategy:?}");
        }
    }

    #[test]
    fn a_wait_ends_however_many_looks_came_before() {
        let lists = [Arc::new(EventCount::new(true))];
        for strategy in all() {
            let mut schedule = WaitSchedule::new(strategy.clone(), Duration::from_millis(5));
            let mut waiter = Waiter::default();
            schedule.looks = u32::MAX - 3;
            let looks = (0..100_000_000).take_while(|_| turn(&mut schedule, &mut waiter, &lists));
            assert!(looks.count() < 100_000_000, "{strategy:?} waits for ever");
        }
    }

    #[test]
    fn no_time_to_wait_means_no_wait() {
        for strategy in all() {
            let mut schedule = WaitSchedule::new(strategy, Duration::ZERO);
            assert_eq!(schedule.next(), NextStep::TimeUp);
            assert_eq!(schedule.waited(), Duration::ZERO);
        }
    }

    #[test]
    fn the_most_patient_is_chosen() {
        let name = |strategy: WaitStrategy| format!("{strategy:?}");
        let all = all();
        for (i, strategy) in all.iter().enumerate() {
            let patient = WaitStrategy::most_patient(all[..=i].iter().rev());
            assert_eq!(name(patient), name(strategy.clone()));
        }
        let none = WaitStrategy::most_patient([].iter());
        assert_eq!(name(none), name(WaitStrategy::default()));
    }

    #[test]
    fn a_thread_sleeps_until_one_of_its_lists_is_notified() {
        let lists = [(); 3].map(|()| Arc::new(EventCount::new(true)));
        for list in &lists {
            let mut waiter = Waiter::default();
            waiter.enrol_thread(lists.iter());
            assert!(waiter.is_enrolled(lists.iter()));
            assert!(!waiter.is_enrolled(lists[1..].iter()));
            let other = list.clone();
            let notifier = thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                other.notify();
            });
            let start = Instant::now();
            waiter.sleep(Duration::from_secs(60), true);
            assert!(start.elapsed() >= Duration::from_millis(20));
            assert!(start.elapsed() < Duration::from_secs(30));
            assert!(lists.iter().all(|list| list.len() == 0));
            notifier.join().unwrap();
        }
    }

    #[test]
    fn a_wake_up_for_something_else_is_handed_on() {
        let list = [Arc::new(EventCount::new(true))];
        let this = thread::current();
        let mut waiter = Waiter::default();
        waiter.enrol_thread(list.iter());
        this.unpark(); // what this thread is to find when it parks for itself
        let start = Instant::now();
        waiter.sleep(Duration::from_millis(50), true);
        assert!(start.elapsed() >= Duration::from_millis(50));
        thread::park_timeout(Duration::from_secs(60));
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_sleeper_that_nobody_is_sure_to_wake_does_not_sleep_long() {
        let unsure = EventCount::new(false);
        let lists = [Arc::new(unsure)];
        let mut waiter = Waiter::default();
        waiter.enrol_thread(lists.iter());
        assert_eq!(waiter.is_unsure(), !barrier::is_asymmetric());
        waiter.unsure = true;
        let start = Instant::now();
        waiter.sleep(Duration::from_secs(60), true);
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
