//! What an administrator's calls on a group do to the other threads, and to partitions that no member
//! has seen yet.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::conditions::{CountSleepers, LONG, wait_until, woken};
use common::{TOPIC, drain, grouped, make, subscribed};
use ringlog::{Broker, GroupDescription, GroupError, OffsetReset, Record, Topic, TopicConfig};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;

/// Two segments of four records in each partition.
fn small() -> TopicConfig {
    TopicConfig::new().segments(2).segment_records(4)
}

fn send(topic: &Topic, partition: u32, count: u32) {
    let mut producer = topic.producer();
    for _ in 0..count {
        producer
            .try_send(Record::new("x").partition(partition))
            .unwrap();
    }
}

/// How many records there is room for, at most `max`. They are sent.
fn room(topic: &Topic, partition: u32, max: usize) -> usize {
    let mut producer = topic.producer();
    let mut send = || producer.try_send(Record::new("x").partition(partition));
    (0..max).take_while(|_| send().is_ok()).count()
}

/// All that can be seen of the groups.
fn seen(broker: &Broker) -> Vec<GroupDescription> {
    let names = broker.group_names().into_iter();
    names
        .map(|name| broker.describe_group(&name).unwrap())
        .collect()
}

/// A group without members, and a partition that was added to its topic since.
fn group_with_an_added_partition() -> (Broker, Topic) {
    let (broker, topic) = make(small());
    broker
        .create_group("g", [TOPIC], OffsetReset::Latest)
        .unwrap();
    topic.add_partitions(2).unwrap();
    (broker, topic)
}

#[test]
fn a_created_group_holds_partitions_that_are_added() {
    let (broker, topic) = make(small());
    // A topic named twice counts once.
    broker
        .create_group("g", [TOPIC, TOPIC], OffsetReset::Latest)
        .unwrap();
    topic.add_partitions(2).unwrap();
    assert_eq!(room(&topic, 1, 20), 8);
    let group = broker.describe_group("g").unwrap();
    assert_eq!(group.partitions[1].topic_partition, (TOPIC, 1).into());
    assert_eq!(broker.snapshot().groups[0].partitions.len(), 2);
    assert_eq!(drain(&mut subscribed(&broker, grouped())).len(), 8);
    assert!(room(&topic, 1, 4) > 0);
}

#[test]
fn a_snapshot_shows_added_partitions_of_a_group_without_members() {
    let (broker, _topic) = group_with_an_added_partition();
    assert_eq!(broker.snapshot().groups[0].partitions.len(), 2);
}

#[test]
fn deleting_a_created_group_or_its_offsets_releases_what_it_held() {
    let delete_group = |broker: &Broker| broker.delete_group("g");
    let delete_offsets = |broker: &Broker| broker.delete_group_offsets("g", TOPIC);
    for delete in [delete_group, delete_offsets] {
        let (broker, topic) = make(small());
        broker
            .create_group("g", [TOPIC], OffsetReset::Earliest)
            .unwrap();
        topic.add_partitions(2).unwrap();
        assert_eq!((room(&topic, 0, 20), room(&topic, 1, 20)), (8, 8));
        delete(&broker).unwrap();
        assert_eq!((room(&topic, 0, 20), room(&topic, 1, 20)), (20, 20));
    }
}

#[test]
fn setting_forward_frees_partitions_that_no_member_has_seen() {
    let (broker, topic) = group_with_an_added_partition();
    assert_eq!(room(&topic, 1, 20), 8);
    broker.alter_group_offsets("g", [((TOPIC, 1), 8)]).unwrap();
    assert!(room(&topic, 1, 8) > 0);
}

#[test]
fn a_commit_without_members_frees_partitions_that_no_member_has_seen() {
    let (broker, topic) = group_with_an_added_partition();
    assert_eq!(room(&topic, 1, 20), 8);
    let mut reader = broker.consumer(grouped()).unwrap();
    reader.assign([(TOPIC, 1)]).unwrap();
    assert_eq!(drain(&mut reader).len(), 8);
    reader.commit().unwrap();
    drop(reader);
    assert!(room(&topic, 1, 8) > 0);
}

#[test]
fn setting_forward_wakes_a_blocked_producer() {
    let sleepers = CountSleepers::default();
    let config = small().wait(sleepers.strategy()).max_block(LONG);
    let (broker, topic) = make(config);
    broker
        .create_group("g", [TOPIC], OffsetReset::Earliest)
        .unwrap();
    send(&topic, 0, 8);
    let mut producer = topic.producer();
    thread::scope(|scope| {
        let blocked = sleepers.asleep(|| scope.spawn(|| producer.send(Record::new("x"))));
        broker.alter_group_offsets("g", [((TOPIC, 0), 4)]).unwrap();
        let sent = woken("a producer that waits for room", || blocked.join());
        assert_eq!(sent.unwrap().unwrap().offset, 8);
    });
}

/// Calls the broker about the group that was changed.
struct AskBroker(Broker, AtomicBool);

impl Wake for AskBroker {
    fn wake(self: Arc<Self>) {
        self.0.group_names();
        self.0.describe_group("g").unwrap();
        self.1.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_waker_may_call_the_broker() {
    let (broker, topic) = make(small());
    broker
        .create_group("g", [TOPIC], OffsetReset::Earliest)
        .unwrap();
    send(&topic, 0, 8);
    let asks = Arc::new(AskBroker(broker.clone(), AtomicBool::new(false)));
    let waker = Waker::from(asks.clone());
    let mut producer = topic.producer();
    let mut send = pin!(producer.send_async(Record::new("x")));
    let mut context = Context::from_waker(&waker);
    assert!(send.as_mut().poll(&mut context).is_pending());
    let set = thread::spawn(move || broker.alter_group_offsets("g", [((TOPIC, 0), 8)]));
    wait_until("the offset is set", || set.is_finished());
    set.join().unwrap().unwrap();
    assert!(asks.1.load(Ordering::SeqCst));
    assert!(send.as_mut().poll(&mut context).is_ready());
}

/// A name that panics when it is read.
struct Panics;

impl AsRef<str> for Panics {
    fn as_ref(&self) -> &str {
        panic!("the user's code");
    }
}

#[test]
fn a_panic_of_the_users_code_leaves_nothing_behind() {
    let (broker, topic) = make(small());
    send(&topic, 0, 8);
    broker
        .create_group("g", [TOPIC], OffsetReset::Latest)
        .unwrap();
    let before = seen(&broker);
    let panics = |call: &dyn Fn() -> Result<(), GroupError>| {
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
        assert_eq!(seen(&broker), before);
    };
    let failing = || {
        (0..2).map(|i| {
            if i == 0 {
                TOPIC
            } else {
                panic!("the user's code")
            }
        })
    };
    panics(&|| broker.create_group("h", failing(), OffsetReset::Earliest));
    panics(&|| broker.create_group("h", [Panics], OffsetReset::Earliest));
    panics(&|| broker.alter_group_offsets("g", failing().map(|topic| ((topic, 0), 0))));
    panics(&|| broker.alter_group_offsets("g", [((Panics, 0), 0)]));
    assert_eq!(room(&topic, 0, 8), 4, "nothing is held from offset 0");
}
