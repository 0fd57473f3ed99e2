//! Members that wait: they are alive, and notice that others are not.

use super::clock::pass;
use super::common::conditions::{CountSleepers, LONG, woken};
use super::common::{grouped, make, subscribed};
use super::support::{is_fenced, partitions, poll_for, read, send, timed};
use ringlog::{
    Consumer, ConsumerConfig, FenceReason, Record, Topic, TopicConfig, WaitAction, WaitPolicy,
    WaitStrategy,
};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long a wait may take that is to end by itself.
const LIMIT: Duration = Duration::from_secs(60);

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Two members, each of which has one of two partitions.
fn two_members(configs: [ConsumerConfig; 2], wait: WaitStrategy) -> (Topic, [Consumer; 2]) {
    let (broker, topic) = make(TopicConfig::new().partitions(2).wait(wait));
    let mut members = configs.map(|config| subscribed(&broker, config));
    for _ in 0..3 {
        assert!(members.iter_mut().all(|member| read(member).is_empty()));
    }
    assert!(members.iter().all(|member| partitions(member).len() == 1));
    (topic, members)
}

#[test]
fn a_member_whose_task_waits_in_a_poll_is_alive() {
    let (_topic, [mut a, mut b]) = two_members([timed(), timed()], WaitStrategy::Block);
    {
        let mut waits = pin!(a.poll_async());
        for _ in 0..3 {
            assert!(waits.as_mut().poll(&mut context()).is_pending());
            poll_for(&mut b, 3000);
        }
        assert_eq!(partitions(&b).len(), 1, "a was fenced off while it waited");
    }
    // The interval begins at the end of the wait.
    poll_for(&mut b, 900);
    assert_eq!(partitions(&b).len(), 1, "the end of the wait is no poll");
    poll_for(&mut b, 400);
    assert_eq!(partitions(&b), [0, 1]);
    assert!(is_fenced(a.try_poll(), FenceReason::MaxPollInterval));
}

#[test]
fn the_interval_of_a_waiting_task_begins_when_it_gets_records() {
    let (topic, [mut a, mut b]) = two_members([timed(), timed()], WaitStrategy::Block);
    {
        let mine = partitions(&a)[0];
        let mut waits = pin!(a.poll_async());
        assert!(waits.as_mut().poll(&mut context()).is_pending());
        poll_for(&mut b, 3000);
        send(&mut topic.producer(), mine, 1);
        assert!(waits.as_mut().poll(&mut context()).is_ready());
        poll_for(&mut b, 900);
        assert_eq!(partitions(&b).len(), 1);
        poll_for(&mut b, 400);
        assert_eq!(partitions(&b), [0, 1]);
    }
    assert!(is_fenced(a.try_poll(), FenceReason::MaxPollInterval));
}

#[test]
fn a_future_that_was_not_polled_or_is_leaked_keeps_its_member_no_longer_than_its_next_poll() {
    let (_topic, [mut a, mut b]) = two_members([timed(), timed()], WaitStrategy::Block);
    drop(a.poll_async());
    poll_for(&mut b, 900);
    assert!(a.try_poll().unwrap().is_empty());
    let mut leaked = ManuallyDrop::new(a.poll_async());
    assert!(Pin::new(&mut *leaked).poll(&mut context()).is_pending());
    poll_for(&mut b, 3000);
    assert_eq!(partitions(&b).len(), 1);
    assert!(a.try_poll().unwrap().is_empty());
    poll_for(&mut b, 1300);
    assert_eq!(partitions(&b), [0, 1]);
}

thread_local! {
    /// What [`DuringTheWait`] runs in the next wait of this thread.
    static WORK: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A strategy by which a test does something on the waiting thread, while its poll waits.
#[derive(Debug)]
struct DuringTheWait;

impl WaitPolicy for DuringTheWait {
    fn next(&self, _: u32) -> WaitAction {
        if let Some(work) = WORK.take() {
            work();
        }
        WaitAction::Nothing
    }
}

#[test]
fn a_member_whose_thread_waits_in_a_poll_is_alive() {
    let wait = WaitStrategy::Custom(Arc::new(DuringTheWait));
    let (topic, [mut a, mut b]) = two_members([timed(), timed()], wait);
    let mine = partitions(&a)[0];
    WORK.set(Some(Box::new(move || {
        // The thread makes no attempt meanwhile, as if it were not scheduled.
        poll_for(&mut b, 3000);
        assert_eq!(partitions(&b).len(), 1, "a was fenced off while it waited");
        send(&mut topic.producer(), mine, 1);
    })));
    assert_eq!(a.poll(LIMIT).unwrap().len(), 1);
    assert!(WORK.take().is_none());
}

#[test]
fn a_poll_that_ends_without_records_ends_its_wait() {
    let (_topic, [mut a, mut b]) = two_members([timed(), timed()], WaitStrategy::Block);
    assert!(a.poll(Duration::from_millis(1)).unwrap().is_empty());
    poll_for(&mut b, 900);
    assert_eq!(partitions(&b).len(), 1);
    poll_for(&mut b, 400);
    assert_eq!(partitions(&b), [0, 1]);
}

// ---- members that are asleep while another dies ------------------------------------------

thread_local! {
    /// Milliseconds of [`ticking`], and what each reading adds to them.
    static TICKS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// A clock by which time passes only as it is read.
fn ticking() -> Duration {
    let (now, step) = TICKS.get();
    TICKS.set((now + step, step));
    Duration::from_millis(now + step)
}

/// Sleeps at once, so that attempts after the second need the end of a sleep.
#[derive(Debug)]
struct SleepAtOnce;

impl WaitPolicy for SleepAtOnce {
    fn next(&self, _: u32) -> WaitAction {
        WaitAction::Sleep
    }
}

/// One member stops polling, and one sleeps in a single long poll: it gets the other's partition
/// by the interval of the other, whatever its own is.
fn asleep_takes_over(dead_interval: Duration, own_interval: Duration) {
    TICKS.set((0, 0));
    let config = |interval| grouped().clock(ticking).max_poll_interval(interval);
    let wait = WaitStrategy::Custom(Arc::new(SleepAtOnce));
    let configs = [config(dead_interval), config(own_interval)];
    let (topic, [dead, mut asleep]) = two_members(configs, wait);
    send(&mut topic.producer(), partitions(&dead)[0], 1);
    // The member is taken for dead 250 ms after the first reading: at the fourth. Two attempts, and
    // so two readings, come before the first sleep.
    TICKS.set((0, 100));
    let batch = asleep.poll(LIMIT).unwrap();
    assert_eq!(batch.len(), 1, "it has slept through the other's death");
    drop(dead);
}

#[test]
fn a_member_asleep_in_a_long_poll_takes_over_from_one_that_died() {
    let interval = Duration::from_millis(250);
    asleep_takes_over(interval, interval);
}

#[test]
fn a_member_with_a_long_interval_of_its_own_looks_as_often_as_the_others_need() {
    asleep_takes_over(Duration::from_millis(250), Duration::from_secs(3600));
    asleep_takes_over(Duration::from_millis(250), Duration::ZERO); // no interval at all
}

#[test]
fn a_waiting_task_that_is_polled_now_and_then_takes_over_from_one_that_died() {
    let (topic, [dead, mut waits]) = two_members([timed(), timed()], WaitStrategy::Block);
    let theirs = partitions(&dead)[0];
    topic
        .producer()
        .send(Record::new("x").partition(theirs))
        .unwrap();
    for _ in 0..100 {
        pass(50);
        // As a timer would: the wait is given up, and begun again.
        let mut poll = pin!(waits.poll_async());
        if let Poll::Ready(found) = poll.as_mut().poll(&mut context()) {
            let batch = found.unwrap();
            assert_eq!((batch.partition(), batch.len()), (Some(theirs), 1));
            return;
        }
    }
    panic!("the other's partition was not taken over");
}

#[test]
fn a_waiting_member_that_is_replaced_is_woken() {
    let sleepers = CountSleepers::default();
    let (broker, _topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    // Without an interval a member sleeps until it is woken.
    let config = grouped().instance_id("x").max_poll_interval(Duration::ZERO);
    let mut old = subscribed(&broker, config.clone());
    assert!(read(&mut old).is_empty());
    let waiting = sleepers
        .asleep(|| std::thread::spawn(move || is_fenced(old.poll(LONG), FenceReason::InstanceId)));
    let _new = subscribed(&broker, config);
    assert!(woken("the replaced member", || waiting.join().unwrap()));
}
