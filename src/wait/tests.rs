//! The wait strategies, the schedule of a wait and the waiter together.

use super::asymmetric_fence;
use super::event_count::EventCount;
use super::schedule::{NextStep, WaitSchedule};
use super::strategy::{WaitAction, WaitPolicy, WaitStrategy};
use super::waiter::Waiter;
use core::fmt::Debug;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

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
        NextStep::Retry => {}
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
    assert_eq!(
        waiter.may_miss_wakeups(),
        !asymmetric_fence::is_asymmetric()
    );
    waiter.unsure = true;
    let start = Instant::now();
    waiter.sleep(Duration::from_secs(60), true);
    assert!(start.elapsed() < Duration::from_secs(30));
}
