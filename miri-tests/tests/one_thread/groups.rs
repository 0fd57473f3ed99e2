//! Groups: members join, share, hand over, leave, and are fenced off.

use miri_tests::{TOPIC, drain, make, member, small, subscribed};
use ringlog::{
    Assignor, ConsumeError, Consumer, ConsumerConfig, CooperativeStickyAssignor, RangeAssignor,
    Rebalance, RebalanceListener, Record, RoundRobinAssignor, StickyAssignor, Topic,
    TopicPartition,
};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn send(topic: &Topic, each: u64) {
    let mut producer = topic.producer();
    for partition in (0..topic.partitions()).cycle().take((each * 3) as usize) {
        let record = Record::new("x").partition(partition);
        producer.try_send(record).unwrap();
    }
}

fn settle(members: &mut [&mut Consumer]) -> usize {
    let polls = (0..5).flat_map(|_| {
        members
            .iter_mut()
            .map(|m| drain(m).len())
            .collect::<Vec<_>>()
    });
    polls.sum()
}

fn share_and_hand_over(assignor: impl Assignor + Clone + 'static) {
    let (broker, topic) = make(small().partitions(3));
    let config = || ConsumerConfig::new().group("g").assignor(assignor.clone());
    let mut first = subscribed(&broker, config());
    assert_eq!(settle(&mut [&mut first]), 0);
    send(&topic, 2);
    assert_eq!(settle(&mut [&mut first]), 6);
    let mut second = subscribed(&broker, config());
    assert_eq!(settle(&mut [&mut first, &mut second]), 0);
    assert_eq!(first.assignment().len() + second.assignment().len(), 3);
    for _ in 0..3 {
        send(&topic, 3);
        assert_eq!(settle(&mut [&mut first, &mut second]), 9);
    }
    first.commit().unwrap();
    first.close();
    assert_eq!(settle(&mut [&mut second]), 0);
    assert_eq!(second.assignment().len(), 3);
    send(&topic, 1);
    assert_eq!(settle(&mut [&mut second]), 3);
    second.unsubscribe();
    assert_eq!(broker.describe_group("g").unwrap().members.len(), 0);
    broker.delete_group("g").unwrap();
}

#[test]
fn members_share_and_hand_over_with_the_range_assignor() {
    share_and_hand_over(RangeAssignor);
}

#[test]
fn members_share_and_hand_over_with_the_round_robin_assignor() {
    share_and_hand_over(RoundRobinAssignor);
}

#[test]
fn members_share_and_hand_over_with_the_sticky_assignor() {
    share_and_hand_over(StickyAssignor);
}

#[test]
fn members_share_and_hand_over_with_the_cooperative_assignor() {
    share_and_hand_over(CooperativeStickyAssignor);
}

thread_local! {
    static MILLISECONDS: Cell<u64> = const { Cell::new(0) };
}

#[test]
fn a_member_that_stops_polling_is_fenced_off_with_its_batch_in_hand() {
    let (broker, topic) = make(small().partitions(2));
    let config = || {
        ConsumerConfig::new()
            .group("g")
            .max_poll_interval(Duration::from_secs(1))
            .clock(|| Duration::from_millis(MILLISECONDS.get()))
    };
    let mut slow = subscribed(&broker, config());
    let mut other = subscribed(&broker, config());
    settle(&mut [&mut slow, &mut other]);
    send(&topic, 4);
    let batch = slow.try_poll().unwrap();
    let held = batch.iter().next().unwrap();
    let mut read = 0;
    for _ in 0..8 {
        MILLISECONDS.set(MILLISECONDS.get() + 300);
        read += drain(&mut other).len();
    }
    assert_eq!(read, 12, "the other reads what was not committed");
    // Its segment may be wanted by now.
    let mut producer = topic.producer();
    for partition in [0, 1].repeat(3) {
        let _ = producer.try_send_batch(&[Record::new("yyyyy").partition(partition); 4]);
        drain(&mut other);
    }
    assert_eq!(miri_tests::bytes(&held), b"x");
    let fenced = slow.try_poll().map(|batch| batch.len()).unwrap_err();
    assert!(matches!(fenced, ConsumeError::Fenced { .. }));
    settle(&mut [&mut slow, &mut other]);
    assert_eq!(slow.assignment().len(), 1);
}

#[test]
fn a_static_member_is_replaced_by_its_name() {
    let (broker, topic) = make(small());
    let named = || ConsumerConfig::new().group("g").instance_id("a");
    let mut old = subscribed(&broker, named());
    settle(&mut [&mut old]);
    send(&topic, 1);
    assert_eq!(old.try_poll().unwrap().len(), 3);
    let mut new = subscribed(&broker, named());
    assert_eq!(drain(&mut new).len(), 3);
    assert!(matches!(old.commit(), Err(ConsumeError::Fenced { .. })));
    drop(old);
    drop(new);
    assert_eq!(drain(&mut subscribed(&broker, named())).len(), 0);
}

#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl RebalanceListener for Calls {
    fn assigned(&mut self, rebalance: &mut Rebalance<'_>) {
        self.0
            .fetch_add(rebalance.partitions().len(), Ordering::Relaxed);
    }
    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        rebalance.commit().unwrap();
        self.0
            .fetch_add(rebalance.partitions().len(), Ordering::Relaxed);
    }
    fn lost(&mut self, _: &[TopicPartition]) {}
}

#[test]
fn a_listener_commits_at_the_handover() {
    let (broker, topic) = make(small().partitions(2));
    let calls = Calls::default();
    let config = ConsumerConfig::new().group("g").auto_commit(false);
    let mut first = broker.consumer(config).unwrap();
    first.subscribe_with([TOPIC], calls.clone()).unwrap();
    settle(&mut [&mut first]);
    send(&topic, 2);
    assert_eq!(settle(&mut [&mut first]), 6);
    let mut second = member(&broker);
    assert_eq!(settle(&mut [&mut first, &mut second]), 0);
    assert_eq!(calls.0.load(Ordering::Relaxed), 3);
}

#[test]
fn a_group_reads_a_closed_topic_to_its_end() {
    let (broker, topic) = make(small().partitions(2));
    let mut members = [member(&broker), member(&broker)];
    let [a, b] = &mut members;
    settle(&mut [a, b]);
    send(&topic, 2);
    topic.close();
    let read: usize = members.iter_mut().map(miri_tests::read_to_end).sum();
    assert_eq!(read, 6);
}
