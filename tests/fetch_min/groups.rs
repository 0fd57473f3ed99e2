//! Members of groups that wait for several records.

use super::common::conditions::{CountSleepers, LONG, woken};
use super::common::{TOPIC, grouped, make, subscribed};
use super::{after_the_timeout, at_once, poll_asleep, send};
use ringlog::{
    Consumer, ConsumerConfig, Record, Topic, TopicConfig, WaitAction, WaitPolicy, WaitStrategy,
};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

fn patient(records: u32) -> ConsumerConfig {
    grouped().fetch_min_records(records).fetch_max_wait(LONG)
}

/// Two members, each of which has one of two partitions.
fn two_members(configs: [ConsumerConfig; 2], wait: WaitStrategy) -> (Topic, [Consumer; 2]) {
    let (broker, topic) = make(TopicConfig::new().partitions(2).wait(wait));
    let mut members = configs.map(|config| subscribed(&broker, config));
    for _ in 0..3 {
        for member in &mut members {
            assert!(member.try_poll().unwrap().is_empty());
        }
    }
    (topic, members)
}

fn own(member: &Consumer) -> u32 {
    let owned = member.assignment();
    assert_eq!(owned.len(), 1);
    owned[0].partition
}

#[test]
fn the_partition_of_a_member_that_leaves_counts() {
    let sleepers = CountSleepers::default();
    let (topic, [a, b]) = two_members([patient(3), grouped()], sleepers.strategy());
    let (mine, theirs) = (own(&a), own(&b));
    send(&topic, mine, 1);
    send(&topic, theirs, 2);
    let polling = poll_asleep(&sleepers, a);
    b.close();
    let (mut a, read) = polling.join().unwrap();
    assert_eq!(read.unwrap() + at_once(&mut a).unwrap(), 3);
}

#[test]
fn a_partition_that_moves_away_during_the_wait_does_not_count() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().partitions(2).wait(sleepers.strategy()));
    let mut a = subscribed(&broker, patient(4));
    assert!(a.try_poll().unwrap().is_empty());
    send(&topic, 0, 2);
    send(&topic, 1, 1);
    let polling = poll_asleep(&sleepers, a);
    // The member that waits takes part in the rebalance: `b` gets one of its partitions.
    let mut b = subscribed(&broker, grouped());
    let mut read = 0;
    woken("the rebalance", || {
        while read == 0 {
            read = b.poll(Duration::from_millis(1)).unwrap().len();
        }
    });
    let left = 3 - read;
    send(&topic, 1 - own(&b), 4 - left);
    assert_eq!(polling.join().unwrap().1, Ok(4));
}

#[test]
fn a_wait_commits_what_the_poll_before_has_returned() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let mut member = subscribed(&broker, patient(2));
    let other = broker.consumer(grouped()).unwrap();
    send(&topic, 0, 2);
    assert_eq!(at_once(&mut member), Ok(2));
    send(&topic, 0, 1);
    let polling = poll_asleep(&sleepers, member);
    assert_eq!(other.committed((TOPIC, 0)), Ok(Some(2)));
    send(&topic, 0, 1);
    assert_eq!(polling.join().unwrap().1, Ok(2));
}

/// What the group has not committed is held, and leaves producers no room.
#[test]
fn a_member_that_has_not_committed_does_not_wait_for_what_cannot_come() {
    let (broker, topic) = make(TopicConfig::new().segment_records(4));
    let mut member = subscribed(&broker, patient(3).auto_commit(false));
    send(&topic, 0, 14);
    let mut read = 0;
    while read < 14 {
        read += member.try_poll().unwrap().len();
    }
    let mut producer = topic.producer();
    while producer.try_send(Record::new("order")).is_ok() {}
    assert_eq!(at_once(&mut member), Ok(2));
    member.commit().unwrap();
    send(&topic, 0, 2);
    assert_eq!(after_the_timeout(&mut member), 2);
}

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
    /// What [`DuringTheWait`] runs in the next wait of this thread.
    static WORK: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

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
fn a_member_that_waits_for_more_records_is_alive() {
    let timed = |config: ConsumerConfig| {
        config
            .max_poll_interval(Duration::from_secs(1))
            .clock(|| Duration::from_millis(NOW.get()))
    };
    let configs = [timed(patient(3)), timed(grouped())];
    let wait = WaitStrategy::Custom(Arc::new(DuringTheWait));
    let (topic, [mut a, mut b]) = two_members(configs, wait);
    let mine = own(&a);
    send(&topic, mine, 1);
    let mut pass = move |milliseconds: u64| {
        for _ in 0..milliseconds / 50 {
            NOW.set(NOW.get() + 50);
            for _ in 0..64 {
                assert!(b.try_poll().unwrap().is_empty());
            }
        }
        b.assignment().len()
    };
    WORK.set(Some(Box::new(move || {
        assert_eq!(pass(3000), 1, "it was fenced off while it waited");
        send(&topic, mine, 2);
        // The interval begins at the end of the wait.
        WORK.set(Some(Box::new(move || drop(pass))));
    })));
    assert_eq!(at_once(&mut a), Ok(3));
    WORK.take();
    // It was not fenced off: the poll that joins again would be an error.
    assert!(a.try_poll().unwrap().is_empty());
}
