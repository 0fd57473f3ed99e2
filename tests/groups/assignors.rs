//! Assignors of the application: one for the whole group, its answers checked, its panic contained.

use super::common::{TOPIC, drain, grouped, make, subscribed};
use super::support::{at, count_polled, member, topics, within_time};
use ringlog::{
    Assignment, Assignor, Broker, ConsumeError, CooperativeStickyAssignor, GroupView, MemberId,
    Protocol, RangeAssignor, Record, TopicConfig, TopicPartition,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

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
    let (broker, _topics) = topics(&["a"]);
    let _first = member(&broker, grouped().assignor(RangeAssignor), &["a"]);
    let mut consumer = broker.consumer(grouped().assignor(Namesake));
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
    let found = within_time(|| {
        let (broker, _topics) = topics(&["a"]);
        let assignor = Curious(broker.clone());
        let mut consumer = member(&broker, grouped().assignor(assignor), &["a"]);
        count_polled(&mut consumer)
    });
    assert_eq!(found, 0);
}
