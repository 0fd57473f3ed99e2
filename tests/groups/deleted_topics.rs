//! Topics and offsets that are deleted while a group still uses them.

use super::clock::pass;
use super::common::grouped;
use super::support::{
    count_polled, member, owned_topics, poll_errors, send_to, timed, topics, within_time,
};
use ringlog::{
    Assignment, Assignor, Broker, ConsumeError, CooperativeStickyAssignor, GroupError, GroupView,
    RangeAssignor, Rebalance, RebalanceListener, RebalanceProtocol, Record, TopicConfig,
    TopicPartition,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[test]
fn offsets_of_a_topic_that_is_still_owned_are_not_deleted() {
    let (broker, topics) = topics(&["a", "b"]);
    let mut consumer = member(&broker, grouped().auto_commit(false), &["a"]);
    send_to(&topics[0], 2);
    assert_eq!(count_polled(&mut consumer), 2);
    consumer.subscribe(["b"]).unwrap();

    let refused = GroupError::Subscribed {
        name: "g".into(),
        topic: "a".into(),
    };
    assert_eq!(broker.delete_group_offsets("g", "a"), Err(refused));
    consumer.commit().unwrap();
    assert_eq!(consumer.committed(("a", 0)), Ok(Some(2)));

    // After its next polls it owns no partition of a.
    assert_eq!(count_polled(&mut consumer), 0);
    assert_eq!(owned_topics(&consumer), ["b"]);
    assert_eq!(broker.delete_group_offsets("g", "a"), Ok(()));
    assert_eq!(consumer.committed(("a", 0)), Ok(None));
}

#[test]
fn a_refused_deletion_of_offsets_leaves_each_partition_one_owner() {
    let (broker, topics) = topics(&["a", "b"]);
    let mut old = member(&broker, grouped(), &["a"]);
    assert_eq!(count_polled(&mut old), 0);
    old.subscribe(["b"]).unwrap();
    assert!(broker.delete_group_offsets("g", "a").is_err());
    let mut new = member(&broker, grouped(), &["a"]);
    for _ in 0..3 {
        assert_eq!((count_polled(&mut old), count_polled(&mut new)), (0, 0));
    }
    assert_eq!(
        (owned_topics(&old), owned_topics(&new)),
        (vec!["b".into()], vec!["a".into()])
    );
    send_to(&topics[0], 2);
    assert_eq!((count_polled(&mut old), count_polled(&mut new)), (0, 2));
}

/// Records the calls that a listener gets.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    fn record(&self, call: &str, partitions: &[TopicPartition]) {
        let names: Vec<_> = partitions.iter().map(|at| &*at.topic).collect();
        self.0
            .lock()
            .unwrap()
            .push(format!("{call} {}", names.join(" ")));
    }

    fn take(&self) -> Vec<String> {
        core::mem::take(&mut self.0.lock().unwrap())
    }
}

impl RebalanceListener for Calls {
    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        self.record("revoked", rebalance.partitions());
        rebalance.commit().unwrap();
    }

    fn lost(&mut self, partitions: &[TopicPartition]) {
        self.record("lost", partitions);
    }
}

#[test]
fn a_topic_created_again_is_read_after_subscribing_again() {
    let (broker, topics) = topics(&["a"]);
    let mut consumer = member(&broker, grouped(), &["a"]);
    send_to(&topics[0], 2);
    assert_eq!(count_polled(&mut consumer), 2);
    broker.delete_topic("a").unwrap();
    let topic = broker.create_topic("a", TopicConfig::new()).unwrap();
    send_to(&topic, 3);
    consumer.subscribe(["a"]).unwrap();
    assert_eq!(count_polled(&mut consumer), 3);
    assert_eq!(owned_topics(&consumer), ["a"]);
}

#[test]
fn another_topic_is_read_after_the_previous_one_was_deleted() {
    let (broker, topics) = topics(&["a", "b"]);
    let calls = Calls::default();
    let mut consumer = member(&broker, grouped(), &["a"]);
    assert_eq!(count_polled(&mut consumer), 0);
    broker.delete_topic("a").unwrap();
    consumer.subscribe_with(["b"], calls.clone()).unwrap();
    send_to(&topics[1], 3);
    assert_eq!(count_polled(&mut consumer), 3);
    assert_eq!(owned_topics(&consumer), ["b"]);
    assert_eq!(calls.take(), ["lost a"]);
}

/// Creates the topic again when its partitions are lost.
struct Recreate(Broker);

impl RebalanceListener for Recreate {
    fn lost(&mut self, _: &[TopicPartition]) {
        self.0.delete_topic("a").unwrap();
        self.0.create_topic("a", TopicConfig::new()).unwrap();
    }
}

#[test]
fn a_topic_deleted_during_subscribe_leaves_its_successor_readable() {
    let (broker, _topics) = topics(&["a"]);
    let mut consumer = broker.consumer(timed()).unwrap();
    consumer
        .subscribe_with(["a"], Recreate(broker.clone()))
        .unwrap();
    assert_eq!(count_polled(&mut consumer), 0);
    let mut other = member(&broker, timed(), &["a"]);
    for _ in 0..100 {
        pass(50);
        assert!(other.try_poll().unwrap().is_empty());
    }
    drop(other);

    // The consumer has been expelled meanwhile: `subscribe` calls its listener after looking up the
    // topic.
    consumer.subscribe(["a"]).ok();
    send_to(&broker.topic("a").unwrap(), 4);
    let mut other = member(&broker, timed(), &["a"]);
    let mut found = 0;
    for _ in 0..100 {
        pass(50);
        consumer.try_poll().ok();
        found += other.try_poll().unwrap().iter().count();
    }
    assert_eq!(found, 4);
}

#[test]
fn all_deleted_topics_are_released_together() {
    let (broker, _topics) = topics(&["a", "b"]);
    let calls = Calls::default();
    let mut consumer = broker.consumer(grouped()).unwrap();
    consumer.subscribe_with(["a", "b"], calls.clone()).unwrap();
    assert_eq!(count_polled(&mut consumer), 0);
    assert_eq!(owned_topics(&consumer), ["a", "b"]);
    broker.delete_topic("a").unwrap();
    broker.delete_topic("b").unwrap();
    let closed = ConsumeError::Closed { topic: "a".into() };
    assert_eq!(poll_errors(&mut consumer), vec![closed; 4]);
    assert!(consumer.assignment().is_empty());
    assert_eq!(calls.take(), ["lost a b"]);
}

#[test]
fn a_deleted_topic_does_not_prevent_other_commits() {
    let (broker, topics) = topics(&["a", "b", "c"]);
    let calls = Calls::default();
    let mut consumer = broker.consumer(grouped().auto_commit(false)).unwrap();
    let all = ["a", "b", "c"];
    consumer.subscribe_with(all, calls.clone()).unwrap();
    assert_eq!(count_polled(&mut consumer), 0);
    send_to(&topics[0], 2);
    assert_eq!(count_polled(&mut consumer), 2);
    broker.delete_topic("b").unwrap();

    let closed = ConsumeError::Closed { topic: "b".into() };
    let named = ["a", "b"].map(|topic| (TopicPartition::new(topic, 0), 0));
    assert_eq!(consumer.commit_offsets(named), Err(closed));
    assert_eq!(consumer.committed(("a", 0)), Ok(None));
    assert_eq!(consumer.commit(), Ok(()));
    assert_eq!(consumer.committed(("a", 0)), Ok(Some(2)));

    // The listener commits as well, when partitions are revoked.
    consumer.unsubscribe();
    assert_eq!(calls.take(), ["revoked a b c"]);
}

/// Creates the topic again, once, when its name is read.
#[derive(Debug)]
struct Recreating(Broker, AtomicBool);

impl Assignor for Recreating {
    fn name(&self) -> &str {
        if self.1.swap(false, Ordering::Relaxed) {
            self.0.delete_topic("a").unwrap();
            self.0.create_topic("a", TopicConfig::new()).unwrap();
        }
        CooperativeStickyAssignor.name()
    }

    fn protocol(&self) -> RebalanceProtocol {
        CooperativeStickyAssignor.protocol()
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        CooperativeStickyAssignor.assign(group)
    }
}

#[test]
fn a_topic_deleted_before_the_join_is_not_joined() {
    let (broker, _topics) = topics(&["a"]);
    let assignor = Recreating(broker.clone(), AtomicBool::new(true));
    let mut consumer = broker.consumer(grouped().assignor(assignor)).unwrap();
    let (mut consumer, refused) = within_time(move || {
        let refused = consumer.subscribe(["a"]);
        (consumer, refused)
    });
    let closed = ConsumeError::Closed { topic: "a".into() };
    assert_eq!(refused, Err(closed));
    assert_eq!(broker.describe_group("g").unwrap().members.len(), 0);
    consumer.subscribe(["a"]).unwrap();
    send_to(&broker.topic("a").unwrap(), 4);
    assert_eq!(count_polled(&mut consumer), 4);
}

#[test]
fn a_waiting_member_goes_on_when_the_last_unreturned_partition_is_deleted() {
    let (broker, _topics) = topics(&["a"]);
    let two = TopicConfig::new().partitions(2);
    let topic = broker.create_topic("b", two).unwrap();
    let eager = || grouped().assignor(RangeAssignor);
    let mut holder = member(&broker, eager(), &["a"]);
    let mut waiting = member(&broker, eager(), &["b"]);
    for _ in 0..3 {
        assert_eq!(
            (count_polled(&mut holder), count_polled(&mut waiting)),
            (0, 0)
        );
    }
    // It does not poll, and so does not return the partition that the other waits for.
    holder.subscribe(["b"]).unwrap();
    assert_eq!(count_polled(&mut waiting), 0);
    assert!(waiting.assignment().is_empty());
    broker.delete_topic("a").unwrap();
    for partition in 0..2 {
        let record = Record::new(b"x").partition(partition);
        topic.producer().try_send(record).unwrap();
    }
    assert_eq!(count_polled(&mut waiting), 1);
    assert_eq!(owned_topics(&waiting), ["b"]);
}

#[test]
fn a_topic_created_again_is_assigned_at_the_committed_offset() {
    let (broker, topics) = topics(&["a"]);
    let at = TopicPartition::new("a", 0);
    let mut consumer = broker.consumer(grouped()).unwrap();
    consumer.assign(std::slice::from_ref(&at)).unwrap();
    send_to(&topics[0], 2);
    assert_eq!(count_polled(&mut consumer), 2);
    broker.delete_topic("a").unwrap();
    let topic = broker.create_topic("a", TopicConfig::new()).unwrap();
    send_to(&topic, 5);
    let mut other = broker.consumer(grouped()).unwrap();
    other.assign(std::slice::from_ref(&at)).unwrap();
    other.commit_offsets([(at.clone(), 3)]).unwrap();
    consumer.assign([at]).unwrap();
    assert_eq!(consumer.position(("a", 0)), Ok(3));
    assert_eq!(count_polled(&mut consumer), 2);
}

#[test]
fn after_a_topic_is_deleted_members_get_partitions_added_to_another() {
    let (broker, topics) = topics(&["a", "b"]);
    let mut consumer = member(&broker, grouped(), &["a", "b"]);
    assert_eq!(count_polled(&mut consumer), 0);
    broker.delete_topic("b").unwrap();
    poll_errors(&mut consumer);
    topics[0].add_partitions(2).unwrap();
    let mut producer = topics[0].producer();
    producer.try_send(Record::new("x").partition(1)).unwrap();
    assert_eq!(count_polled(&mut consumer), 1);
    assert_eq!(owned_topics(&consumer), ["a", "a"]);
}

#[test]
fn after_a_topic_is_deleted_partitions_added_to_another_are_held_back() {
    let broker = Broker::new();
    let config = TopicConfig::new().segments(2).segment_records(4);
    let [kept, _deleted] = ["a", "b"].map(|n| broker.create_topic(n, config.clone()).unwrap());
    let mut consumer = member(&broker, grouped(), &["a", "b"]);
    assert_eq!(count_polled(&mut consumer), 0);
    broker.delete_topic("b").unwrap();
    kept.add_partitions(2).unwrap();
    let mut producer = kept.producer();
    let mut send = || producer.try_send(Record::new("x").partition(1)).is_ok();
    assert_eq!((0..100).take_while(|_| send()).count(), 8);
    poll_errors(&mut consumer);
    assert!(!consumer.is_finished(), "it reads a");
}
