//! Calls about groups that are refused: the error has the facts, and nothing is half done.

use super::common::{TOPIC, drain, grouped, make, subscribed};
use super::support::at;
use ringlog::{
    ConsumeError, ConsumerConfig, GroupError, RebalanceListener, Record, TopicConfig,
    TopicPartition,
};
use std::time::Duration;

#[test]
fn invalid_names_are_refused_and_create_no_group() {
    let (broker, _topic) = make(TopicConfig::new());
    let long = "x".repeat(250);
    for (name, reason) in [
        ("", "it is empty"),
        (&*long, "it is longer than 249 bytes"),
        ("a\nb", "it has a character that does not print"),
    ] {
        let error = |setting| ConsumeError::InvalidName {
            setting,
            name: name.to_owned(),
            reason,
        };
        let refused = broker.consumer(ConsumerConfig::new().group(name));
        assert_eq!(refused.err(), Some(error("group")));
        let refused = broker.consumer(grouped().instance_id(name));
        assert_eq!(refused.err(), Some(error("instance_id")));
    }
    assert_eq!(broker.group_names(), [""; 0]);
    let mut consumer = broker
        .consumer(ConsumerConfig::new().group("x".repeat(249)))
        .unwrap();
    consumer.subscribe([TOPIC]).unwrap();
    assert_eq!(broker.group_names(), ["x".repeat(249)]);
}

struct Ignore;

impl RebalanceListener for Ignore {}

#[test]
fn calls_that_need_a_group_are_refused_without_one() {
    let (broker, _topic) = make(TopicConfig::new());
    let no_group = |asked| Err(ConsumeError::NoGroup { asked });
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    assert_eq!(
        consumer.subscribe_with([TOPIC], Ignore),
        no_group("subscribe_with")
    );
    consumer.subscribe([TOPIC]).unwrap();
    assert_eq!(consumer.commit(), no_group("commit"));
    let offsets = [(at(0), 0)];
    assert_eq!(consumer.commit_offsets(offsets), no_group("commit_offsets"));
    assert_eq!(
        consumer.committed((TOPIC, 0)).err(),
        no_group("committed").err()
    );
    assert_eq!((consumer.generation(), consumer.member_id()), (None, None));
    let named = broker.consumer(ConsumerConfig::new().instance_id("a"));
    assert_eq!(named.err(), no_group("instance_id").err());
}

#[test]
fn a_poll_interval_that_is_too_short_is_refused() {
    let (broker, _topic) = make(TopicConfig::new());
    let refused = broker.consumer(grouped().max_poll_interval(Duration::from_millis(9)));
    assert_eq!(
        refused.err(),
        Some(ConsumeError::InvalidConfig {
            setting: "max_poll_interval (ms)",
            value: 9,
            min: 10,
            max: u64::MAX
        })
    );
    let shortest = grouped().max_poll_interval(Duration::from_millis(10));
    assert!(broker.consumer(shortest).is_ok());
    assert_eq!(broker.group_names(), [""; 0]);
}

#[test]
fn a_refused_commit_commits_nothing() {
    let (broker, topic) = make(TopicConfig::new().partitions(4));
    let mut producer = topic.producer();
    for p in 0..4 {
        producer.send(Record::new(b"x").partition(p)).unwrap();
    }
    let manual = grouped().auto_commit(false);
    let (mut a, mut b) = (
        subscribed(&broker, manual.clone()),
        subscribed(&broker, manual),
    );
    for _ in 0..2 {
        drain(&mut a);
        drain(&mut b);
    }
    let own = a.assignment()[0].partition;
    let other = b.assignment()[0].partition;
    let not_assigned = |topic: &str, partition| ConsumeError::NotAssigned {
        topic: topic.to_owned(),
        partition,
    };
    let refused = a.commit_offsets([(at(own), 1), (at(other), 1)]);
    assert_eq!(refused, Err(not_assigned(TOPIC, other)));
    let refused = a.commit_offsets([(at(own), 1), (at(9), 1)]);
    assert_eq!(refused, Err(not_assigned(TOPIC, 9)));
    let nowhere = TopicPartition::new("nowhere", 0);
    let refused = a.commit_offsets([(at(own), 1), (nowhere, 1)]);
    assert_eq!(refused, Err(not_assigned("nowhere", 0)));
    let past = |offset| ConsumeError::CommitPastEnd {
        topic: TOPIC.to_owned(),
        partition: own,
        offset,
        log_end: 1,
    };
    assert_eq!(a.commit_offsets([(at(own), 2)]), Err(past(2)));
    assert_eq!(a.commit_offsets([(at(own), u64::MAX)]), Err(past(u64::MAX)));
    a.seek((TOPIC, own), 7).unwrap();
    assert_eq!(a.commit(), Err(past(7)));
    for p in 0..4 {
        assert_eq!(a.committed((TOPIC, p)), Ok(None));
    }
    a.commit_offsets([(at(own), 1), (at(own), 0)]).unwrap();
    assert_eq!(
        b.committed((TOPIC, own)),
        Ok(Some(0)),
        "the last offset counts"
    );
    assert_eq!(
        a.committed((TOPIC, 4)),
        Err(ConsumeError::PartitionOutOfRange {
            topic: TOPIC.into(),
            partition: 4,
            partitions: 4
        })
    );
    let unknown = ConsumeError::UnknownTopic {
        name: "nowhere".to_owned(),
    };
    assert_eq!(a.committed(("nowhere", 0)), Err(unknown));
    // Another member's partition cannot be sought, paused or resumed; its own can be sought while
    // paused.
    assert_eq!(a.seek((TOPIC, other), 0), Err(not_assigned(TOPIC, other)));
    assert_eq!(a.pause((TOPIC, other)), Err(not_assigned(TOPIC, other)));
    assert_eq!(a.resume((TOPIC, other)), Err(not_assigned(TOPIC, other)));
    a.pause((TOPIC, own)).unwrap();
    a.seek((TOPIC, own), 0).unwrap();
    assert_eq!(drain(&mut a), []);
    a.resume((TOPIC, own)).unwrap();
    assert_eq!(drain(&mut a).len(), 1);
    broker.delete_topic(TOPIC).unwrap();
    let closed = ConsumeError::Closed {
        topic: TOPIC.into(),
    };
    assert_eq!(a.commit_offsets([(at(own), 1)]), Err(closed));
}

#[test]
fn subscribe_and_assign_do_not_mix_in_a_group_either() {
    let (broker, _topic) = make(TopicConfig::new());
    let mut a = subscribed(&broker, grouped());
    let mixed = |given, asked| Err(ConsumeError::MixedAssignment { given, asked });
    assert_eq!(a.assign([at(0)]), mixed("subscribe", "assign"));
    a.unsubscribe();
    assert_eq!(broker.describe_group("g").unwrap().members, []);
    a.assign([at(0)]).unwrap();
    assert_eq!(a.subscribe([TOPIC]), mixed("assign", "subscribe"));
    let unknown = ConsumeError::UnknownTopic {
        name: "nowhere".to_owned(),
    };
    let mut b = subscribed(&broker, grouped());
    drain(&mut b);
    assert_eq!(b.subscribe(["nowhere"]), Err(unknown));
    assert_eq!(b.assignment(), [at(0)], "the old subscription stays");
    b.subscribe([""; 0]).unwrap();
    assert_eq!(b.try_poll().err(), Some(ConsumeError::NotSubscribed));
}

#[test]
fn only_groups_without_members_are_deleted() {
    let (broker, topic) = make(TopicConfig::new());
    let unknown = |name: &str| GroupError::UnknownGroup {
        name: name.to_owned(),
    };
    assert_eq!(broker.delete_group("h"), Err(unknown("h")));
    assert_eq!(broker.describe_group("h").err(), Some(unknown("h")));
    assert_eq!(broker.delete_group_offsets("h", TOPIC), Err(unknown("h")));
    topic.producer().send(Record::new(b"x")).unwrap();
    let mut a = subscribed(&broker, grouped().instance_id("a"));
    drain(&mut a);
    let not_empty = GroupError::NotEmpty {
        name: "g".to_owned(),
        members: 1,
    };
    assert_eq!(broker.delete_group("g"), Err(not_empty));
    let subscribed = GroupError::Subscribed {
        name: "g".to_owned(),
        topic: TOPIC.to_owned(),
    };
    assert_eq!(broker.delete_group_offsets("g", TOPIC), Err(subscribed));
    let group = broker.describe_group("g").unwrap();
    let partition = &group.partitions[0];
    assert_eq!((partition.committed, partition.lag()), (Some(1), Some(0)));
    a.unsubscribe();
    broker.delete_group_offsets("g", TOPIC).unwrap();
    assert_eq!(broker.describe_group("g").unwrap().partitions, []);
    a.subscribe([TOPIC]).unwrap();
    drop(a); // its partitions are kept, and deleted with the group
    broker.delete_group("g").unwrap();
    assert_eq!(broker.group_names(), [""; 0]);
}
