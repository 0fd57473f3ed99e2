//! Tests of the wait strategies, the schedule and the waiter together.

use super::asymmetric_fence;
use super::event_count::EventCount;
use super::schedule::{NextStep, WaitSchedule};
use super::strategy::{WaitAction, WaitPolicy, WaitStrategy};
use super::wait_loop::{Attempt, Patience, WaitFor, Waited, wait};
use super::waiter::Waiter;
use core::fmt::Debug;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

fn every_strategy() -> [WaitStrategy; 5] {
    #[derive(Debug)]
    struct EveryAction;
    impl WaitPolicy for EveryAction {
        fn next(&self, attempts: u32) -> WaitAction {
            match attempts % 5 {
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
        WaitStrategy::Custom(Arc::new(EveryAction)),
    ]
}

/// One failed attempt of a wait and its next step; `false` when the time is up.
fn fail_once(
    schedule: &mut WaitSchedule,
    waiter: &mut Waiter,
    event_counts: &[Arc<EventCount>],
) -> bool {
    match schedule.next() {
        NextStep::TimeUp => return false,
        NextStep::Retry => {}
        NextStep::Sleep(limit) if waiter.is_enrolled(event_counts.iter()) => {
            waiter.sleep(limit, true)
        }
        NextStep::Sleep(_) => waiter.enrol_thread(event_counts.iter()),
    }
    true
}

/// A target that is never ready.
struct Never {
    strategy: WaitStrategy,
    waiter: Waiter,
    event_counts: [Arc<EventCount>; 1],
}

impl WaitFor for Never {
    type Output = ();

    fn attempt(&mut self) -> Attempt<()> {
        Attempt::Pending { notified: true }
    }

    fn strategy(&self) -> WaitStrategy {
        self.strategy.clone()
    }

    fn waiter(&mut self) -> &mut Waiter {
        &mut self.waiter
    }

    fn enrolment(&mut self) -> (&mut Waiter, impl Iterator<Item = &Arc<EventCount>>) {
        (&mut self.waiter, self.event_counts.iter())
    }
}

#[test]
fn every_strategy_ends_after_its_limit_and_leaves_no_enrolment() {
    const LIMIT: Duration = Duration::from_millis(20);
    for strategy in every_strategy() {
        let mut target = Never {
            strategy,
            waiter: Waiter::default(),
            event_counts: [Arc::new(EventCount::new(true))],
        };
        let Waited::TimedOut(waited) = wait(&mut target, Patience::UpTo(LIMIT)) else {
            panic!("{:?} did not time out", target.strategy);
        };
        assert!(waited >= LIMIT, "{:?} ended early", target.strategy);
        assert_eq!(target.event_counts[0].len(), 0, "{:?}", target.strategy);
    }
}

#[test]
fn a_wait_whose_time_ends_while_it_is_enrolled_leaves_no_enrolment() {
    /// Enrols after the first attempt, and never parks.
    #[derive(Debug)]
    struct EnrolThenYield;
    impl WaitPolicy for EnrolThenYield {
        fn next(&self, attempts: u32) -> WaitAction {
            match attempts {
                1 => WaitAction::Sleep,
                _ => WaitAction::Yield,
            }
        }
    }
    let mut target = Never {
        strategy: WaitStrategy::Custom(Arc::new(EnrolThenYield)),
        waiter: Waiter::default(),
        event_counts: [Arc::new(EventCount::new(true))],
    };
    let waited = wait(&mut target, Patience::UpTo(Duration::from_millis(5)));
    assert!(matches!(waited, Waited::TimedOut(_)));
    assert_eq!(target.event_counts[0].len(), 0);
}

#[test]
fn a_wait_ends_however_many_attempts_came_before() {
    let event_counts = [Arc::new(EventCount::new(true))];
    for strategy in every_strategy() {
        let mut schedule = WaitSchedule::new(strategy.clone(), Duration::from_millis(5));
        let mut waiter = Waiter::default();
        schedule.attempts = u32::MAX - 3;
        let attempts =
            (0..100_000_000).take_while(|_| fail_once(&mut schedule, &mut waiter, &event_counts));
        assert!(attempts.count() < 100_000_000, "{strategy:?} waits forever");
    }
}

#[test]
fn no_time_to_wait_means_no_wait() {
    for strategy in every_strategy() {
        let mut schedule = WaitSchedule::new(strategy, Duration::ZERO);
        assert_eq!(schedule.next(), NextStep::TimeUp);
        assert_eq!(schedule.waited(), Duration::ZERO);
    }
}

#[test]
fn the_most_patient_strategy_is_chosen() {
    let name = |strategy: WaitStrategy| format!("{strategy:?}");
    let all = every_strategy();
    for (i, strategy) in all.iter().enumerate() {
        let patient = WaitStrategy::most_patient(all[..=i].iter().rev());
        assert_eq!(name(patient), name(strategy.clone()));
    }
    let none = WaitStrategy::most_patient([].iter());
    assert_eq!(name(none), name(WaitStrategy::default()));
}

#[test]
fn a_thread_sleeps_until_one_of_its_event_counts_is_notified() {
    let event_counts = [(); 3].map(|()| Arc::new(EventCount::new(true)));
    for event_count in &event_counts {
        let mut waiter = Waiter::default();
        waiter.enrol_thread(event_counts.iter());
        assert!(waiter.is_enrolled(event_counts.iter()));
        assert!(!waiter.is_enrolled(event_counts[1..].iter()));
        let other = event_count.clone();
        let start = Instant::now();
        let notifier = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            other.notify();
        });
        waiter.sleep(Duration::from_secs(60), true);
        assert!(start.elapsed() >= Duration::from_millis(20));
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(
            event_counts
                .iter()
                .all(|event_count| event_count.len() == 0)
        );
        notifier.join().unwrap();
    }
}

#[test]
fn an_unpark_meant_for_the_caller_is_restored() {
    let event_count = [Arc::new(EventCount::new(true))];
    let this = thread::current();
    let mut waiter = Waiter::default();
    waiter.enrol_thread(event_count.iter());
    this.unpark(); // the token that this thread must find when it parks for itself
    let start = Instant::now();
    waiter.sleep(Duration::from_millis(50), true);
    assert!(start.elapsed() >= Duration::from_millis(50));
    thread::park_timeout(Duration::from_secs(60));
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_waiter_that_may_miss_its_wake_up_does_not_sleep_long() {
    let event_counts = [Arc::new(EventCount::new(false))];
    let mut waiter = Waiter::default();
    waiter.enrol_thread(event_counts.iter());
    assert_eq!(
        waiter.may_miss_wakeups(),
        !asymmetric_fence::is_asymmetric()
    );
    waiter.may_miss_wakeups = true;
    let start = Instant::now();
    waiter.sleep(Duration::from_secs(60), true);
    assert!(start.elapsed() < Duration::from_secs(30));
}
