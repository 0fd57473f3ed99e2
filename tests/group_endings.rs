//! Groups: subscriptions that end or change while something of them is still in hand.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ringlog::{
    Assignment, Assignor, Broker, ConsumeError, Consumer, ConsumerConfig,
    CooperativeStickyAssignor, GroupError, GroupView, Protocol, RangeAssignor, Rebalance,
    RebalanceListener, Record, Topic, TopicConfig, TopicPartition,
};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

fn now() -> Duration {
    Duration::from_millis(NOW.get())
}

/// The time goes on, for the consumers of `timed`.
fn pass(milliseconds: u64) {
    NOW.set(NOW.get() + milliseconds);
}

fn config() -> ConsumerConfig {
    ConsumerConfig::new().group("g")
}

/// Fenced after a second without a poll.
fn timed() -> ConsumerConfig {
    let second = Duration::from_secs(1);
    config().max_poll_interval(second).clock(now)
}

/// A broker with topics of one partition each.
fn make(names: &[&str]) -> (Broker, Vec<Topic>) {
    let broker = Broker::new();
    let create = |name: &&str| broker.create_topic(name, TopicConfig::new()).unwrap();
    let topics = names.iter().map(create).collect();
    (broker, topics)
}

fn member(broker: &Broker, config: ConsumerConfig, topics: &[&str]) -> Consumer {
    let mut consumer = broker.consumer(config);
    consumer.subscribe(topics).unwrap();
    consumer
}

fn send(topic: &Topic, records: usize) {
    let mut producer = topic.producer();
    for _ in 0..records {
        producer.try_send(Record::new(b"x")).unwrap();
    }
}

/// How many records a few polls return.
fn read(consumer: &mut Consumer) -> usize {
    let mut poll = || consumer.try_poll().unwrap().iter().count();
    (0..8).map(|_| poll()).sum()
}

fn names(consumer: &Consumer) -> Vec<String> {
    let assignment = consumer.assignment().into_iter();
    assignment.map(|at| at.topic).collect()
}

/// The errors of a few polls, in order.
fn errors(consumer: &mut Consumer) -> Vec<ConsumeError> {
    (0..4).filter_map(|_| consumer.try_poll().err()).collect()
}

/// What this comes to, if it does so in time: where something waits for itself, it fails.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(work()));
    let limit = Duration::from_secs(20);
    told.recv_timeout(limit).expect("it hangs, or has failed")
}

// ---- offsets that are deleted -----------------------------------------------------------

#[test]
fn offsets_of_a_topic_that_is_still_owned_are_not_deleted() {
    let (broker, topics) = make(&["a", "b"]);
    let mut consumer = member(&broker, config().auto_commit(false), &["a"]);
    send(&topics[0], 2);
    assert_eq!(read(&mut consumer), 2);
    consumer.subscribe(&["b"]).unwrap();

    let refused = GroupError::Subscribed {
        name: "g".into(),
        topic: "a".into(),
    };
    assert_eq!(broker.delete_group_offsets("g", "a"), Err(refused));
    consumer.commit().unwrap();
    assert_eq!(consumer.committed("a", 0), Ok(Some(2)));

    // After its next polls it owns nothing of it any more.
    assert_eq!(read(&mut consumer), 0);
    assert_eq!(names(&consumer), ["b"]);
    assert_eq!(broker.delete_group_offsets("g", "a"), Ok(()));
    assert_eq!(consumer.committed("a", 0), Ok(None));
}

#[test]
fn a_partition_has_one_owner_when_its_offsets_were_to_be_deleted() {
    let (broker, topics) = make(&["a", "b"]);
    let mut old = member(&broker, config(), &["a"]);
    assert_eq!(read(&mut old), 0);
    old.subscribe(&["b"]).unwrap();
    assert!(broker.delete_group_offsets("g", "a").is_err());
    let mut new = member(&broker, config(), &["a"]);
    for _ in 0..3 {
        assert_eq!((read(&mut old), read(&mut new)), (0, 0));
    }
    assert_eq!(
        (names(&old), names(&new)),
        (vec!["b".into()], vec!["a".into()])
    );
    send(&topics[0], 2);
    assert_eq!((read(&mut old), read(&mut new)), (0, 2));
}

// ---- members that are fenced ------------------------------------------------------------

#[test]
fn polls_of_a_member_that_was_replaced_do_not_count_for_its_successor() {
    let (broker, topics) = make(&["a"]);
    let mut old = member(&broker, timed().instance_id("x"), &["a"]);
    assert_eq!(read(&mut old), 0);
    let mut new = member(&broker, timed().instance_id("x"), &["a"]);
    assert_eq!(read(&mut new), 0);
    let mut other = member(&broker, timed(), &["a"]);
    assert_eq!(read(&mut other), 0);
    drop(new);

    send(&topics[0], 1);
    let mut found = 0;
    for _ in 0..100 {
        pass(50);
        assert!(old.try_poll().is_err());
        found += other.try_poll().unwrap().iter().count();
    }
    assert_eq!(found, 1);
}

#[test]
fn a_fenced_member_that_is_refused_keeps_its_subscription() {
    let (broker, _topics) = make(&["a"]);
    let mut consumer = member(&broker, timed(), &["a"]);
    assert_eq!(read(&mut consumer), 0);
    let mut other = member(&broker, timed(), &["a"]);
    for _ in 0..100 {
        pass(50);
        assert!(other.try_poll().unwrap().is_empty());
    }
    drop(other);
    let ranged = member(&broker, timed().assignor(RangeAssignor), &["a"]);

    let refused = consumer.subscribe(&["a"]).unwrap_err();
    assert!(matches!(refused, ConsumeError::OtherAssignor { .. }));
    let fenced = consumer.try_poll().unwrap_err();
    assert!(matches!(fenced, ConsumeError::Fenced { .. }));
    assert_eq!(errors(&mut consumer), vec![refused; 4]);
    drop(ranged);
    assert_eq!(read(&mut consumer), 0);
    assert_eq!(names(&consumer), ["a"]);
}

// ---- joining ----------------------------------------------------------------------------

/// Has the name of an eager one, and is not.
#[derive(Debug)]
struct Namesake;

impl Assignor for Namesake {
    fn name(&self) -> &str {
        RangeAssignor.name()
    }

    fn protocol(&self) -> Protocol {
        Protocol::Cooperative
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        RangeAssignor.assign(group)
    }
}

#[test]
fn an_assignor_of_the_same_name_and_another_protocol_is_another() {
    let (broker, _topics) = make(&["a"]);
    let _first = member(&broker, config().assignor(RangeAssignor), &["a"]);
    let mut consumer = broker.consumer(config().assignor(Namesake));
    let refused = ConsumeError::OtherAssignor {
        group: "g".into(),
        assignor: "range (eager)".into(),
        asked: "range (cooperative)".into(),
    };
    assert_eq!(consumer.subscribe(&["a"]), Err(refused));
}

/// Asks the broker of its groups, wherever it runs.
#[derive(Debug)]
struct Curious(Broker);

impl Assignor for Curious {
    fn name(&self) -> &str {
        self.0.group_names();
        "curious"
    }

    fn protocol(&self) -> Protocol {
        self.0.describe_group("g").ok();
        Protocol::Cooperative
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        CooperativeStickyAssignor.assign(group)
    }
}

#[test]
fn an_assignor_is_asked_its_name_without_a_lock() {
    let found = in_time(|| {
        let (broker, _topics) = make(&["a"]);
        let assignor = Curious(broker.clone());
        let mut consumer = member(&broker, config().assignor(assignor), &["a"]);
        read(&mut consumer)
    });
    assert_eq!(found, 0);
}

// ---- topics that are deleted ------------------------------------------------------------

/// What a listener was told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn note(&self, what: &str, partitions: &[TopicPartition]) {
        let names: Vec<_> = partitions.iter().map(|at| at.topic.as_str()).collect();
        self.0
            .lock()
            .unwrap()
            .push(format!("{what} {}", names.join(" ")));
    }

    fn take(&self) -> Vec<String> {
        core::mem::take(&mut self.0.lock().unwrap())
    }
}

impl RebalanceListener for Told {
    fn revoked(&mut self, rebalance: &mut Rebalance<'_>) {
        self.note("revoked", rebalance.partitions());
        rebalance.commit().unwrap();
    }

    fn lost(&mut self, partitions: &[TopicPartition]) {
        self.note("lost", partitions);
    }
}

#[test]
fn the_next_topic_of_a_deleted_name_is_read_after_subscribing_anew() {
    let (broker, topics) = make(&["a"]);
    let mut consumer = member(&broker, config(), &["a"]);
    send(&topics[0], 2);
    assert_eq!(read(&mut consumer), 2);
    broker.delete_topic("a").unwrap();
    let topic = broker.create_topic("a", TopicConfig::new()).unwrap();
    send(&topic, 3);
    consumer.subscribe(&["a"]).unwrap();
    assert_eq!(read(&mut consumer), 3);
    assert_eq!(names(&consumer), ["a"]);
}

#[test]
fn another_topic_is_read_after_the_one_before_was_deleted() {
    let (broker, topics) = make(&["a", "b"]);
    let told = Told::default();
    let mut consumer = member(&broker, config(), &["a"]);
    assert_eq!(read(&mut consumer), 0);
    broker.delete_topic("a").unwrap();
    consumer.subscribe_with(&["b"], told.clone()).unwrap();
    send(&topics[1], 3);
    assert_eq!(read(&mut consumer), 3);
    assert_eq!(names(&consumer), ["b"]);
    assert_eq!(told.take(), ["lost a"]);
}

/// Makes the topic anew when it is told of a loss.
struct Remake(Broker);

impl RebalanceListener for Remake {
    fn lost(&mut self, _: &[TopicPartition]) {
        self.0.delete_topic("a").unwrap();
        self.0.create_topic("a", TopicConfig::new()).unwrap();
    }
}

#[test]
fn a_topic_that_is_deleted_during_a_subscribe_keeps_nothing_from_the_next_of_its_name() {
    let (broker, _topics) = make(&["a"]);
    let mut consumer = broker.consumer(timed());
    consumer
        .subscribe_with(&["a"], Remake(broker.clone()))
        .unwrap();
    assert_eq!(read(&mut consumer), 0);
    let mut other = member(&broker, timed(), &["a"]);
    for _ in 0..100 {
        pass(50);
        assert!(other.try_poll().unwrap().is_empty());
    }
    drop(other);

    // It was fenced meanwhile: its listener is told so now, between look-up and return.
    consumer.subscribe(&["a"]).ok();
    send(&broker.topic("a").unwrap(), 4);
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
fn all_topics_that_were_deleted_are_let_go_of_at_once() {
    let (broker, _topics) = make(&["a", "b"]);
    let told = Told::default();
    let mut consumer = broker.consumer(config());
    consumer.subscribe_with(&["a", "b"], told.clone()).unwrap();
    assert_eq!(read(&mut consumer), 0);
    assert_eq!(names(&consumer), ["a", "b"]);
    broker.delete_topic("a").unwrap();
    broker.delete_topic("b").unwrap();
    let closed = ConsumeError::Closed { topic: "a".into() };
    assert_eq!(errors(&mut consumer), vec![closed; 4]);
    assert!(consumer.assignment().is_empty());
    assert_eq!(told.take(), ["lost a b"]);
}

#[test]
fn a_deleted_topic_keeps_nothing_else_from_being_committed() {
    let (broker, topics) = make(&["a", "b", "c"]);
    let told = Told::default();
    let mut consumer = broker.consumer(config().auto_commit(false));
    let all = ["a", "b", "c"];
    consumer.subscribe_with(&all, told.clone()).unwrap();
    assert_eq!(read(&mut consumer), 0);
    send(&topics[0], 2);
    assert_eq!(read(&mut consumer), 2);
    broker.delete_topic("b").unwrap();

    let closed = ConsumeError::Closed { topic: "b".into() };
    let named = ["a", "b"].map(|topic| (TopicPartition::new(topic, 0), 0));
    assert_eq!(consumer.commit_offsets(&named), Err(closed));
    assert_eq!(consumer.committed("a", 0), Ok(None));
    assert_eq!(consumer.commit(), Ok(()));
    assert_eq!(consumer.committed("a", 0), Ok(Some(2)));

    // Also from its listener, which commits when something is revoked.
    consumer.unsubscribe();
    assert_eq!(told.take(), ["revoked a b c"]);
}

/// Makes the topic anew, once, when it is asked its name.
#[derive(Debug)]
struct Meddler(Broker, AtomicBool);

impl Assignor for Meddler {
    fn name(&self) -> &str {
        if self.1.swap(false, Ordering::Relaxed) {
            self.0.delete_topic("a").unwrap();
            self.0.create_topic("a", TopicConfig::new()).unwrap();
        }
        CooperativeStickyAssignor.name()
    }

    fn protocol(&self) -> Protocol {
        CooperativeStickyAssignor.protocol()
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        CooperativeStickyAssignor.assign(group)
    }
}

#[test]
fn a_topic_that_is_closed_by_then_is_not_joined() {
    let (broker, _topics) = make(&["a"]);
    let meddler = Meddler(broker.clone(), AtomicBool::new(true));
    let mut consumer = broker.consumer(config().assignor(meddler));
    let (mut consumer, refused) = in_time(move || {
        let refused = consumer.subscribe(&["a"]);
        (consumer, refused)
    });
    let closed = ConsumeError::Closed { topic: "a".into() };
    assert_eq!(refused, Err(closed));
    assert_eq!(broker.describe_group("g").unwrap().members.len(), 0);
    consumer.subscribe(&["a"]).unwrap();
    send(&broker.topic("a").unwrap(), 4);
    assert_eq!(read(&mut consumer), 4);
}

#[test]
fn whoever_waits_goes_on_when_the_last_partition_in_hand_is_deleted() {
    let (broker, _topics) = make(&["a"]);
    let two = TopicConfig::new().partitions(2);
    let topic = broker.create_topic("b", two).unwrap();
    let eager = || config().assignor(RangeAssignor);
    let mut holder = member(&broker, eager(), &["a"]);
    let mut waiting = member(&broker, eager(), &["b"]);
    for _ in 0..3 {
        assert_eq!((read(&mut holder), read(&mut waiting)), (0, 0));
    }
    // It does not poll, and so does not give back what all others wait for.
    holder.subscribe(&["b"]).unwrap();
    assert_eq!(read(&mut waiting), 0);
    assert!(waiting.assignment().is_empty());
    broker.delete_topic("a").unwrap();
    for partition in 0..2 {
        let record = Record::new(b"x").partition(partition);
        topic.producer().try_send(record).unwrap();
    }
    assert_eq!(read(&mut waiting), 1);
    assert_eq!(names(&waiting), ["b"]);
}

#[test]
fn the_next_topic_of_a_deleted_name_is_assigned_where_the_group_has_committed() {
    let (broker, topics) = make(&["a"]);
    let at = TopicPartition::new("a", 0);
    let mut consumer = broker.consumer(config());
    consumer.assign(std::slice::from_ref(&at)).unwrap();
    send(&topics[0], 2);
    assert_eq!(read(&mut consumer), 2);
    broker.delete_topic("a").unwrap();
    let topic = broker.create_topic("a", TopicConfig::new()).unwrap();
    send(&topic, 5);
    let mut other = broker.consumer(config());
    other.assign(std::slice::from_ref(&at)).unwrap();
    other.commit_offsets(&[(at.clone(), 3)]).unwrap();
    consumer.assign(&[at]).unwrap();
    assert_eq!(consumer.position("a", 0), Ok(3));
    assert_eq!(read(&mut consumer), 2);
}
