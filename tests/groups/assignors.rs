//! Assignors of the application: one for the whole group, its answers checked, its panic contained.

use super::common::{TOPIC, drain, grouped, make, subscribed};
use super::support::{at, count_polled, member, topics, within_time};
use ringlog::{
    Assignment, Assignor, Broker, ConsumeError, CooperativeStickyAssignor, GroupView, MemberId,
    RangeAssignor, RebalanceProtocol, Record, RoundRobinAssignor, StickyAssignor, TopicConfig,
    TopicPartition,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

#[test]
fn all_members_use_the_same_assignor() {
    let (broker, _topic) = make(TopicConfig::new());
    let a = subscribed(&broker, grouped());
    let other = grouped().assignor(RangeAssignor);
    let mut b = broker.consumer(other.clone()).unwrap();
    assert_eq!(
        b.subscribe([TOPIC]),
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

type Answer = Box<dyn Fn(&GroupView) -> Assignment + Send>;

/// Returns a prepared assignment once, and otherwise that of the default assignor.
#[derive(Clone)]
struct Scripted(Arc<Mutex<Option<Answer>>>);

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl Assignor for Scripted {
    fn name(&self) -> &str {
        "odd"
    }
    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }
    fn assign(&self, group: &GroupView) -> Assignment {
        let answer = self.0.lock().unwrap().take();
        match answer {
            Some(answer) => answer(group),
            None => CooperativeStickyAssignor.assign(group),
        }
    }
}

type Grants = Vec<(MemberId, TopicPartition)>;

fn ids(group: &GroupView) -> Vec<MemberId> {
    group.members().iter().map(|member| member.id()).collect()
}

#[test]
fn an_invalid_assignment_is_refused_and_the_old_one_kept() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    broker.create_topic("u", TopicConfig::new()).unwrap();
    let scripted = Scripted(Arc::default());
    let config = grouped().assignor(scripted.clone());
    let mut a = subscribed(&broker, config.clone());
    drain(&mut a);
    let former = {
        let mut gone = subscribed(&broker, config.clone());
        drain(&mut gone);
        gone.member_id().unwrap()
    };
    drain(&mut a);
    let answer = |grants: fn(&[MemberId], MemberId) -> Grants| -> Answer {
        Box::new(move |group| {
            let mut assignment = Assignment::new();
            for (id, partition) in grants(&ids(group), former) {
                assignment.entry(id).or_default().push(partition);
            }
            assignment
        })
    };
    let cases = [
        (
            answer(|_, gone| vec![(gone, at(0))]),
            "member-1 is not a member",
        ),
        (
            answer(|ids, _| vec![(ids[0], at(2))]),
            "partition 2 is not one of the 2 of topic \"t\"",
        ),
        (
            answer(|ids, _| vec![(ids[0], TopicPartition::new("u", 0))]),
            "no member reads a topic \"u\"",
        ),
        (
            answer(|ids, _| vec![(ids[0], at(1)), (ids[1], at(1))]),
            "partition 1 of topic \"t\" is given to member-0 and to",
        ),
        (
            answer(|ids, _| vec![(ids[0], at(1)), (ids[0], at(1))]),
            "partition 1 of topic \"t\" is given to member-0 and to member-0",
        ),
    ];
    for (answer, expected) in cases {
        let generation = a.generation();
        *scripted.0.lock().unwrap() = Some(answer);
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
        // The assignor is not called again, and the old assignment stays.
        for _ in 0..3 {
            assert_eq!((drain(&mut b).len(), drain(&mut a).len()), (0, 0));
        }
        assert_eq!((a.assignment().len(), b.assignment().len()), (2, 0));
        assert_eq!(a.generation(), generation);
        drop(b);
        drain(&mut a);
    }
    // A partition that it leaves out has no owner.
    *scripted.0.lock().unwrap() = Some(answer(|ids, _| vec![(ids[0], at(1))]));
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
fn a_partition_of_a_topic_its_member_does_not_read_is_refused() {
    let (broker, _topic) = make(TopicConfig::new());
    broker.create_topic("u", TopicConfig::new()).unwrap();
    let scripted = Scripted(Arc::default());
    let config = grouped().assignor(scripted.clone());
    let mut a = subscribed(&broker, config.clone());
    drain(&mut a);
    let mut b = broker.consumer(config).unwrap();
    b.subscribe(["u"]).unwrap();
    *scripted.0.lock().unwrap() = Some(Box::new(|group| {
        let u = TopicPartition::new("u", 0);
        Assignment::from([(ids(group)[0], vec![u])])
    }));
    let refused = b.try_poll().map(|batch| batch.len());
    let expected = "assignor \"odd\" of group \"g\": member-0 does not read topic \"u\"";
    assert_eq!(refused.unwrap_err().to_string(), expected);
}

/// The payload of a deliberate panic, which prints no message.
struct OnPurpose;

#[test]
fn a_member_whose_assignor_panics_leaves_and_the_others_go_on() {
    let (broker, _topic) = make(TopicConfig::new().partitions(2));
    let scripted = Scripted(Arc::default());
    let config = grouped().assignor(scripted.clone());
    let mut a = subscribed(&broker, config.clone());
    drain(&mut a);
    *scripted.0.lock().unwrap() = Some(Box::new(|_| resume_unwind(Box::new(OnPurpose))));
    let mut b = subscribed(&broker, config);
    let panic = catch_unwind(AssertUnwindSafe(|| drain(&mut b)));
    assert!(panic.err().unwrap().is::<OnPurpose>());
    assert_eq!(b.try_poll().err(), Some(ConsumeError::NotSubscribed));
    drain(&mut a);
    assert_eq!(a.assignment().len(), 2);
    b.subscribe([TOPIC]).unwrap();
    for _ in 0..2 {
        assert!(drain(&mut b).is_empty() && drain(&mut a).is_empty());
    }
    drain(&mut b);
    assert_eq!((a.assignment().len(), b.assignment().len()), (1, 1));
}

/// Has the name of an eager assignor, and is cooperative.
#[derive(Debug)]
struct Namesake;

impl Assignor for Namesake {
    fn name(&self) -> &str {
        RangeAssignor.name()
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        RangeAssignor.assign(group)
    }
}

#[test]
fn assignors_of_one_name_and_two_protocols_are_different() {
    let (broker, _topics) = topics(&["a"]);
    let _first = member(&broker, grouped().assignor(RangeAssignor), &["a"]);
    let mut consumer = broker.consumer(grouped().assignor(Namesake)).unwrap();
    let refused = ConsumeError::OtherAssignor {
        group: "g".into(),
        assignor: "range (eager)".into(),
        asked: "range (cooperative)".into(),
    };
    assert_eq!(consumer.subscribe(["a"]), Err(refused));
}

/// Queries the broker's groups in every method.
#[derive(Debug)]
struct Querying(Broker);

impl Assignor for Querying {
    fn name(&self) -> &str {
        self.0.group_names();
        "querying"
    }

    fn protocol(&self) -> RebalanceProtocol {
        self.0.describe_group("g").ok();
        RebalanceProtocol::Cooperative
    }

    fn assign(&self, group: &GroupView) -> Assignment {
        CooperativeStickyAssignor.assign(group)
    }
}

#[test]
fn an_assignors_name_and_protocol_are_read_without_a_lock() {
    let found = within_time(|| {
        let (broker, _topics) = topics(&["a"]);
        let assignor = Querying(broker.clone());
        let mut consumer = member(&broker, grouped().assignor(assignor), &["a"]);
        count_polled(&mut consumer)
    });
    assert_eq!(found, 0);
}

#[test]
fn the_assignors_have_kafkas_names() {
    let names = [
        RangeAssignor.name(),
        RoundRobinAssignor.name(),
        StickyAssignor.name(),
        CooperativeStickyAssignor.name(),
    ];
    assert_eq!(
        names,
        ["range", "roundrobin", "sticky", "cooperative-sticky"]
    );
}

#[test]
fn an_assignor_sees_the_topics_and_the_members_with_what_they_own() {
    let broker = Broker::new();
    for (name, partitions) in [("a", 2), ("b", 1)] {
        let config = TopicConfig::new().partitions(partitions);
        broker.create_topic(name, config).unwrap();
    }
    let scripted = Scripted(Arc::default());
    let config = grouped().assignor(scripted.clone());
    let mut first = member(&broker, config.clone().instance_id("x"), &["a"]);
    assert_eq!(count_polled(&mut first), 0);

    let seen = Arc::new(Mutex::new(None));
    let keep = seen.clone();
    *scripted.0.lock().unwrap() = Some(Box::new(move |group: &GroupView| {
        *keep.lock().unwrap() = Some(group.clone());
        CooperativeStickyAssignor.assign(group)
    }));
    let mut second = member(&broker, config, &["a", "b"]);
    assert_eq!(count_polled(&mut second), 0);

    let group = seen.lock().unwrap().take().unwrap();
    let topics = group.topics().iter();
    let topics: Vec<_> = topics.map(|t| (t.name(), t.partitions())).collect();
    assert_eq!(topics, [("a", 2), ("b", 1)]);
    let partitions = [0, 1].map(|partition| TopicPartition::new("a", partition));
    assert!(group.topics()[0].all_partitions().eq(partitions.clone()));
    let [x, other] = group.members() else {
        panic!("two members: {group:?}")
    };
    assert_eq!((x.instance_id(), other.instance_id()), (Some("x"), None));
    assert_eq!((x.reads("a"), x.reads("b")), (true, false));
    assert_eq!((other.reads("a"), other.reads("b")), (true, true));
    assert_eq!((x.owned(), other.owned()), (&partitions[..], &[][..]));
}

#[test]
fn an_assignment_made_before_a_member_joined_is_not_installed() {
    let (broker, _topic) = make(TopicConfig::new().partitions(2));
    let scripted = Scripted(Arc::default());
    let config = grouped().assignor(scripted.clone());
    let mut member = subscribed(&broker, config.clone());
    let late = Arc::new(Mutex::new(None));
    let joins = late.clone();
    *scripted.0.lock().unwrap() = Some(Box::new(move |group: &GroupView| {
        *joins.lock().unwrap() = Some(subscribed(&broker, config.clone()));
        CooperativeStickyAssignor.assign(group)
    }));
    drain(&mut member);
    assert!(late.lock().unwrap().is_some());
    assert_eq!(member.generation(), Some(1));
    assert_eq!(member.assignment().len(), 1);
}
