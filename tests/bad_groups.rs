//! Groups: what is refused, with its facts, and that nothing is half done then.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{TOPIC, drain, grouped, make, subscribed};
use ringlog::{
    Assignment, Assignor, ConsumeError, ConsumerConfig, CooperativeStickyAssignor, GroupError,
    GroupView, MemberId, Protocol, RangeAssignor, RebalanceListener, Record, TopicConfig,
    TopicPartition,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn at(partition: u32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

#[test]
fn names_that_cannot_be_are_refused_and_no_group_is_made() {
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
        let mut consumer = broker.consumer(ConsumerConfig::new().group(name));
        assert_eq!(consumer.subscribe(&[TOPIC]), Err(error("group")));
        assert_eq!(consumer.assign(&[at(0)]), Err(error("group")));
        let mut consumer = broker.consumer(grouped().instance_id(name));
        assert_eq!(consumer.subscribe(&[TOPIC]), Err(error("instance_id")));
    }
    assert_eq!(broker.group_names(), [""; 0]);
    let mut consumer = broker.consumer(ConsumerConfig::new().group("x".repeat(249)));
    consumer.subscribe(&[TOPIC]).unwrap();
    assert_eq!(broker.group_names(), ["x".repeat(249)]);
}

struct Nothing;

impl RebalanceListener for Nothing {}

#[test]
fn what_needs_a_group_is_refused_without_one() {
    let (broker, _topic) = make(TopicConfig::new());
    let no_group = |asked| Err(ConsumeError::NoGroup { asked });
    let mut consumer = broker.consumer(ConsumerConfig::new());
    assert_eq!(
        consumer.subscribe_with(&[TOPIC], Nothing),
        no_group("subscribe_with")
    );
    consumer.subscribe(&[TOPIC]).unwrap();
    assert_eq!(consumer.commit(), no_group("commit"));
    let offsets = [(at(0), 0)];
    assert_eq!(
        consumer.commit_offsets(&offsets),
        no_group("commit_offsets")
    );
    assert_eq!(
        consumer.committed(TOPIC, 0).err(),
        no_group("committed").err()
    );
    assert_eq!((consumer.generation(), consumer.member_id()), (None, None));
    let mut named = broker.consumer(ConsumerConfig::new().instance_id("a"));
    assert_eq!(named.subscribe(&[TOPIC]), no_group("instance_id"));
}

#[test]
fn an_interval_too_short_to_poll_in_is_refused() {
    let (broker, _topic) = make(TopicConfig::new());
    let mut consumer = broker.consumer(grouped().max_poll_interval(Duration::from_millis(9)));
    assert_eq!(
        consumer.subscribe(&[TOPIC]),
        Err(ConsumeError::InvalidConfig {
            setting: "max_poll_interval (ms)",
            value: 9,
            min: 10,
            max: u64::MAX
        })
    );
    assert_eq!(broker.group_names(), [""; 0]);
}

#[test]
fn a_commit_that_cannot_be_commits_nothing() {
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
    let mine = a.assignment()[0].partition;
    let other = b.assignment()[0].partition;
    let not_assigned = |topic: &str, partition| ConsumeError::NotAssigned {
        topic: topic.to_owned(),
        partition,
    };
    let refused = a.commit_offsets(&[(at(mine), 1), (at(other), 1)]);
    assert_eq!(refused, Err(not_assigned(TOPIC, other)));
    let refused = a.commit_offsets(&[(at(mine), 1), (at(9), 1)]);
    assert_eq!(refused, Err(not_assigned(TOPIC, 9)));
    let nowhere = TopicPartition::new("nowhere", 0);
    let refused = a.commit_offsets(&[(at(mine), 1), (nowhere, 1)]);
    assert_eq!(refused, Err(not_assigned("nowhere", 0)));
    let past = |offset| ConsumeError::CommitPastEnd {
        topic: TOPIC.to_owned(),
        partition: mine,
        offset,
        log_end: 1,
    };
    assert_eq!(a.commit_offsets(&[(at(mine), 2)]), Err(past(2)));
    assert_eq!(
        a.commit_offsets(&[(at(mine), u64::MAX)]),
        Err(past(u64::MAX))
    );
    a.seek(TOPIC, mine, 7).unwrap();
    assert_eq!(a.commit(), Err(past(7)));
    for p in 0..4 {
        assert_eq!(a.committed(TOPIC, p), Ok(None));
    }
    a.commit_offsets(&[(at(mine), 1), (at(mine), 0)]).unwrap();
    assert_eq!(b.committed(TOPIC, mine), Ok(Some(0)), "the last one counts");
    assert_eq!(
        a.committed(TOPIC, 4),
        Err(ConsumeError::PartitionOutOfRange {
            topic: TOPIC.into(),
            partition: 4,
            partitions: 4
        })
    );
    let unknown = ConsumeError::UnknownTopic {
        name: "nowhere".to_owned(),
    };
    assert_eq!(a.committed("nowhere", 0), Err(unknown));
    // Nor can it seek, pause or resume what is another's; its own it can seek while paused.
    assert_eq!(a.seek(TOPIC, other, 0), Err(not_assigned(TOPIC, other)));
    assert_eq!(a.pause(TOPIC, other), Err(not_assigned(TOPIC, other)));
    assert_eq!(a.resume(TOPIC, other), Err(not_assigned(TOPIC, other)));
    a.pause(TOPIC, mine).unwrap();
    a.seek(TOPIC, mine, 0).unwrap();
    assert_eq!(drain(&mut a), []);
    a.resume(TOPIC, mine).unwrap();
    assert_eq!(drain(&mut a).len(), 1);
    broker.delete_topic(TOPIC).unwrap();
    let closed = ConsumeError::Closed {
        topic: TOPIC.into(),
    };
    assert_eq!(a.commit_offsets(&[(at(mine), 1)]), Err(closed));
}

#[test]
fn the_two_ways_of_getting_partitions_do_not_mix_in_a_group_either() {
    let (broker, _topic) = make(TopicConfig::new());
    let mut a = subscribed(&broker, grouped());
    let mixed = |given, asked| Err(ConsumeError::MixedAssignment { given, asked });
    assert_eq!(a.assign(&[at(0)]), mixed("subscribe", "assign"));
    a.unsubscribe();
    assert_eq!(broker.describe_group("g").unwrap().members, []);
    a.assign(&[at(0)]).unwrap();
    assert_eq!(a.subscribe(&[TOPIC]), mixed("assign", "subscribe"));
    let unknown = ConsumeError::UnknownTopic {
        name: "nowhere".to_owned(),
    };
    let mut b = subscribed(&broker, grouped());
    drain(&mut b);
    assert_eq!(b.subscribe(&["nowhere"]), Err(unknown));
    assert_eq!(b.assignment(), [at(0)], "the old subscription stays");
    b.subscribe(&[""; 0]).unwrap();
    assert_eq!(b.try_poll().err(), Some(ConsumeError::NotSubscribed));
}

#[test]
fn all_members_use_the_same_assignor() {
    let (broker, _topic) = make(TopicConfig::new());
    let a = subscribed(&broker, grouped());
    let other = grouped().assignor(RangeAssignor);
    let mut b = broker.consumer(other.clone());
    assert_eq!(
        b.subscribe(&[TOPIC]),
        Err(ConsumeError::OtherAssignor {
            group: "g".into(),
            assignor: "cooperative-sticky".to_owned(),
            asked: "range".to_owned()
        })
    );
    assert_eq!(b.try_poll().err(), Some(ConsumeError::NotSubscribed));
    drop(a);
    drain(&mut subscribed(&broker, other));
}

#[test]
fn groups_are_deleted_only_when_nobody_is_there() {
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
    a.subscribe(&[TOPIC]).unwrap();
    drop(a); // its place is kept, and goes with the group
    broker.delete_group("g").unwrap();
    assert_eq!(broker.group_names(), [""; 0]);
}

// ---- assignors --------------------------------------------------------------------------

type Answer = Box<dyn Fn(&GroupView) -> Assignment + Send>;

/// Answers what it is told to, or what the default would.
#[derive(Clone)]
struct Odd(Arc<Mutex<Option<Answer>>>);

impl std::fmt::Debug for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Odd")
    }
}

impl Assignor for Odd {
    fn name(&self) -> &str {
        "odd"
    }
    fn protocol(&self) -> Protocol {
        Protocol::Cooperative
    }
    fn assign(&self, group: &GroupView) -> Assignment {
        let answer = self.0.lock().unwrap().take();
        match answer {
            Some(answer) => answer(group),
            None => CooperativeStickyAssignor.assign(group),
        }
    }
}

type Shares = Vec<(MemberId, TopicPartition)>;

fn ids(group: &GroupView) -> Vec<MemberId> {
    group.members().iter().map(|member| member.id()).collect()
}

#[test]
fn nonsense_of_an_assignor_is_refused_and_the_old_assignment_kept() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    broker.create_topic("u", TopicConfig::new()).unwrap();
    let odd = Odd(Arc::default());
    let config = grouped().assignor(odd.clone());
    let mut a = subscribed(&broker, config.clone());
    drain(&mut a);
    let stranger = {
        let mut gone = subscribed(&broker, config.clone());
        drain(&mut gone);
        gone.member_id().unwrap()
    };
    drain(&mut a);
    let give = |what: fn(&[MemberId], MemberId) -> Shares| -> Answer {
        Box::new(move |group| {
            let mut assignment = Assignment::new();
            for (id, partition) in what(&ids(group), stranger) {
                assignment.entry(id).or_default().push(partition);
            }
            assignment
        })
    };
    let cases = [
        (
            give(|_, gone| vec![(gone, at(0))]),
            "member-1 is not a member",
        ),
        (
            give(|ids, _| vec![(ids[0], at(2))]),
            "partition 2 is not one of the 2 of topic \"t\"",
        ),
        (
            give(|ids, _| vec![(ids[0], TopicPartition::new("u", 0))]),
            "no member reads a topic \"u\"",
        ),
        (
            give(|ids, _| vec![(ids[0], at(1)), (ids[1], at(1))]),
            "partition 1 of topic \"t\" is given to member-0 and to",
        ),
        (
            give(|ids, _| vec![(ids[0], at(1)), (ids[0], at(1))]),
            "partition 1 of topic \"t\" is given to member-0 and to member-0",
        ),
    ];
    for (answer, expected) in cases {
        let generation = a.generation();
        *odd.0.lock().unwrap() = Some(answer);
        let mut b = subscribed(&broker, config.clone());
        match b.try_poll().map(|batch| batch.len()) {
            Err(ConsumeError::BadAssignment {
                group,
                assignor,
                reason,
            }) => {
                assert_eq!((&*group, &*assignor), ("g", "odd"));
                assert!(reason.starts_with(expected), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        // It is not asked again, and everything is as it was.
        for _ in 0..3 {
            assert_eq!((drain(&mut b).len(), drain(&mut a).len()), (0, 0));
        }
        assert_eq!((a.assignment().len(), b.assignment().len()), (2, 0));
        assert_eq!(a.generation(), generation);
        drop(b);
        drain(&mut a);
    }
    // What it leaves out is read by nobody.
    *odd.0.lock().unwrap() = Some(give(|ids, _| vec![(ids[0], at(1))]));
    let mut b = subscribed(&broker, config);
    drain(&mut a);
    drain(&mut b);
    assert_eq!((a.assignment(), b.assignment()), (vec![at(1)], vec![]));
    topic
        .producer()
        .send(Record::new(b"x").partition(0))
        .unwrap();
    assert_eq!((drain(&mut a).len(), drain(&mut b).len()), (0, 0));
}

#[test]
fn a_partition_of_a_topic_that_its_member_does_not_read_is_refused() {
    let (broker, _topic) = make(TopicConfig::new());
    broker.create_topic("u", TopicConfig::new()).unwrap();
    let odd = Odd(Arc::default());
    let config = grouped().assignor(odd.clone());
    let mut a = subscribed(&broker, config.clone());
    drain(&mut a);
    let mut b = broker.consumer(config);
    b.subscribe(&["u"]).unwrap();
    *odd.0.lock().unwrap() = Some(Box::new(|group| {
        let u = TopicPartition::new("u", 0);
        Assignment::from([(ids(group)[0], vec![u])])
    }));
    let refused = b.try_poll().map(|batch| batch.len());
    let expected = "assignor \"odd\" of group \"g\": member-0 does not read topic \"u\"";
    assert_eq!(refused.unwrap_err().to_string(), expected);
}

/// What panics here, on purpose: without a message.
struct OnPurpose;

#[test]
fn a_member_whose_assignor_panics_leaves_and_the_others_go_on() {
    let (broker, _topic) = make(TopicConfig::new().partitions(2));
    let odd = Odd(Arc::default());
    let config = grouped().assignor(odd.clone());
    let mut a = subscribed(&broker, config.clone());
    drain(&mut a);
    *odd.0.lock().unwrap() = Some(Box::new(|_| resume_unwind(Box::new(OnPurpose))));
    let mut b = subscribed(&broker, config);
    let panic = catch_unwind(AssertUnwindSafe(|| drain(&mut b)));
    assert!(panic.err().unwrap().is::<OnPurpose>());
    assert_eq!(b.try_poll().err(), Some(ConsumeError::NotSubscribed));
    drain(&mut a);
    assert_eq!(a.assignment().len(), 2);
    b.subscribe(&[TOPIC]).unwrap();
    for _ in 0..2 {
        assert!(drain(&mut b).is_empty() && drain(&mut a).is_empty());
    }
    drain(&mut b);
    assert_eq!((a.assignment().len(), b.assignment().len()), (1, 1));
}
