//! An administrator's calls: groups made before their members, and offsets set and listed from
//! outside.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{TOPIC, drain, grouped, make, subscribed};
use ringlog::{
    Broker, Consumer, GroupError, OffsetReset, Overflow, Producer, Record, Topic, TopicConfig,
    TopicPartition,
};
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};
use std::time::Duration;

/// Two segments of four records in each of two partitions.
fn small(overflow: Overflow) -> (Broker, Topic, Producer) {
    let config = TopicConfig::new()
        .partitions(2)
        .segments(2)
        .segment_records(4)
        .overflow(overflow);
    let (broker, topic) = make(config);
    let producer = topic.producer();
    (broker, topic, producer)
}

/// Sends up to `records` to a partition; returns how many it took.
fn send(producer: &mut Producer, partition: u32, records: usize) -> usize {
    let mut sends = (0..records).map(|_| producer.try_send(Record::new("x").partition(partition)));
    sends.position(|sent| sent.is_err()).unwrap_or(records)
}

/// Offsets that a consumer reads until a batch is empty, by partition.
fn read(consumer: &mut Consumer) -> BTreeMap<u32, Vec<u64>> {
    let mut read: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for (partition, offset, _) in drain(consumer) {
        read.entry(partition).or_default().push(offset);
    }
    read
}

fn offsets(offsets: &[(u32, u64)]) -> BTreeMap<TopicPartition, u64> {
    let offsets = offsets
        .iter()
        .map(|&(p, offset)| ((TOPIC, p).into(), offset));
    offsets.collect()
}

// ---- create_group ------------------------------------------------------------------------

#[test]
fn a_group_that_has_no_member_yet_holds_back_what_it_is_to_read() {
    let (broker, topic, mut producer) = small(Overflow::Backpressure);
    // Without a group, the oldest records are evicted.
    assert_eq!(send(&mut producer, 0, 14), 14);
    let start = topic.log_start_offset(0).unwrap();
    broker
        .create_group("g", [TOPIC], OffsetReset::Earliest)
        .unwrap();
    let expected = offsets(&[(0, start), (1, 0)]);
    assert_eq!(broker.list_group_offsets("g"), Ok(expected));
    let group = broker.describe_group("g").unwrap();
    assert_eq!((group.members.len(), group.assignor), (0, None));
    assert_eq!(group.partitions[0].lag(), Some(14 - start));
    let filled = send(&mut producer, 0, 100);
    assert!(
        filled <= 2,
        "the records that wait for the group were overwritten"
    );
    assert_eq!(send(&mut producer, 1, 100), 8);

    let mut member = subscribed(&broker, grouped());
    let all: Vec<u64> = (start..14 + filled as u64).collect();
    let expected = BTreeMap::from([(0, all), (1, (0..8).collect())]);
    assert_eq!(read(&mut member), expected);
    assert!(send(&mut producer, 0, 4) > 0);
}

#[test]
fn a_group_made_at_the_end_gets_what_comes_after_that() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let (broker, _topic, mut producer) = small(overflow);
        assert_eq!(send(&mut producer, 0, 3), 3);
        broker
            .create_group("g", [TOPIC], OffsetReset::Latest)
            .unwrap();
        assert_eq!(send(&mut producer, 0, 2), 2);
        let expected = offsets(&[(0, 3), (1, 0)]);
        assert_eq!(broker.list_group_offsets("g"), Ok(expected));
        let mut member = subscribed(&broker, grouped().offset_reset(OffsetReset::Earliest));
        assert_eq!(read(&mut member), BTreeMap::from([(0, vec![3, 4])]));
    }
}

#[test]
fn a_group_without_offsets_holds_back_only_partitions_that_are_added() {
    let (broker, topic, mut producer) = small(Overflow::Backpressure);
    broker
        .create_group("g", [TOPIC], OffsetReset::None)
        .unwrap();
    assert_eq!(broker.list_group_offsets("g"), Ok(BTreeMap::new()));
    assert_eq!(send(&mut producer, 0, 100), 100);
    topic.add_partitions(3).unwrap();
    assert_eq!(send(&mut producer, 2, 100), 8);
    let mut member = subscribed(&broker, grouped().offset_reset(OffsetReset::Latest));
    assert_eq!(read(&mut member), BTreeMap::from([(2, (0..8).collect())]));
}

#[test]
fn a_refused_group_is_not_created() {
    let (broker, _topic, mut producer) = small(Overflow::Backpressure);
    let unknown = |name: &str| Err(GroupError::UnknownTopic { name: name.into() });
    let earliest = OffsetReset::Earliest;
    assert_eq!(
        broker.create_group("g", [TOPIC, "none"], earliest),
        unknown("none")
    );
    for (name, reason) in [
        ("", "it is empty"),
        ("a\nb", "it has a character that does not print"),
    ] {
        let invalid = Err(GroupError::InvalidName {
            name: name.into(),
            reason,
        });
        assert_eq!(broker.create_group(name, [TOPIC], earliest), invalid);
        assert_eq!(broker.alter_group_offsets(name, [((TOPIC, 0), 0)]), invalid);
    }
    assert!(broker.group_names().is_empty());
    assert_eq!(send(&mut producer, 0, 100), 100, "nothing is held back");

    assert_eq!(
        broker.create_group("g", [TOPIC], OffsetReset::Latest),
        Ok(())
    );
    let before = broker.list_group_offsets("g").unwrap();
    let exists = GroupError::GroupExists { name: "g".into() };
    assert_eq!(broker.create_group("g", [TOPIC], earliest), Err(exists));
    assert_eq!(broker.list_group_offsets("g").unwrap(), before);
    broker
        .create_group("empty", [] as [&str; 0], earliest)
        .unwrap();
    assert_eq!(broker.group_names(), ["empty", "g"]);
    broker.delete_group("empty").unwrap();
}

#[test]
fn a_group_forgets_a_topic_that_is_deleted_before_its_first_member() {
    let (broker, _topic, _producer) = small(Overflow::Backpressure);
    broker
        .create_group("g", [TOPIC], OffsetReset::Earliest)
        .unwrap();
    broker.delete_topic(TOPIC).unwrap();
    assert_eq!(broker.list_group_offsets("g"), Ok(BTreeMap::new()));
    assert!(broker.describe_group("g").unwrap().partitions.is_empty());
}

// ---- alter_group_offsets -----------------------------------------------------------------

#[test]
fn offsets_are_set_back_and_forward_and_the_gate_follows() {
    let (broker, topic, mut producer) = small(Overflow::Backpressure);
    assert_eq!(send(&mut producer, 0, 8), 8);
    let alter = |offset| broker.alter_group_offsets("g", [((TOPIC, 0), offset)]);
    // The group is created with the first offset.
    alter(0).unwrap();
    assert_eq!(send(&mut producer, 0, 100), 0);
    alter(4).unwrap();
    assert_eq!(send(&mut producer, 0, 100), 4, "the first segment is free");
    alter(12).unwrap();
    assert_eq!(send(&mut producer, 0, 2), 2);
    let start = topic.log_start_offset(0).unwrap();
    alter(start).unwrap();
    assert_eq!(send(&mut producer, 0, 100), 2, "what is retained is held");
    assert_eq!(broker.list_group_offsets("g"), Ok(offsets(&[(0, start)])));
    let mut member = subscribed(&broker, grouped());
    let expected = BTreeMap::from([(0, (start..16).collect())]);
    assert_eq!(read(&mut member), expected);
}

#[test]
fn offsets_outside_the_log_are_refused_and_nothing_is_changed() {
    let (broker, topic, mut producer) = small(Overflow::DropOldest);
    assert_eq!(send(&mut producer, 0, 20), 20);
    assert_eq!(send(&mut producer, 1, 2), 2);
    topic.delete_records(0, 15).unwrap();
    let refused = |offset| {
        Err(GroupError::OffsetOutOfRange {
            topic: TOPIC.into(),
            partition: 0,
            offset,
            log_start: 15,
            log_end: 20,
        })
    };
    for existing in [false, true] {
        if existing {
            broker.alter_group_offsets("g", [((TOPIC, 1), 1)]).unwrap();
        }
        for offset in [0, 14, 21, u64::MAX] {
            // The other one alone would be good, whichever comes first.
            for changes in [[(1, 2), (0, offset)], [(0, offset), (1, 2)]] {
                let changes = changes.map(|(partition, offset)| ((TOPIC, partition), offset));
                let altered = broker.alter_group_offsets("g", changes);
                assert_eq!(altered, refused(offset));
            }
        }
        let listed = broker.list_group_offsets("g");
        if existing {
            assert_eq!(listed, Ok(offsets(&[(1, 1)])));
        } else {
            let unknown = GroupError::UnknownGroup { name: "g".into() };
            assert_eq!(listed, Err(unknown));
        }
    }
    for good in [15, 20] {
        broker
            .alter_group_offsets("g", [((TOPIC, 0), good)])
            .unwrap();
        assert_eq!(
            broker.list_group_offsets("g"),
            Ok(offsets(&[(0, good), (1, 1)]))
        );
    }
    // The last one counts.
    let twice = [((TOPIC, 0), 99), ((TOPIC, 0), 16)];
    broker.alter_group_offsets("g", twice).unwrap();
    assert_eq!(
        broker.list_group_offsets("g").unwrap()[&(TOPIC, 0).into()],
        16
    );
}

#[test]
fn a_refused_change_leaves_the_gates_as_they_were() {
    let (broker, _topic, mut producer) = small(Overflow::Backpressure);
    assert_eq!(send(&mut producer, 0, 8), 8);
    assert_eq!(send(&mut producer, 1, 8), 8);
    broker
        .create_group("g", [TOPIC], OffsetReset::Earliest)
        .unwrap();
    let changes = [((TOPIC, 0), 8), ((TOPIC, 1), 9)];
    assert!(broker.alter_group_offsets("g", changes).is_err());
    assert_eq!(
        (send(&mut producer, 0, 1), send(&mut producer, 1, 1)),
        (0, 0)
    );
    // And the opposite: no gate stays where a refused change would have held.
    let changes = [((TOPIC, 0), 8), ((TOPIC, 1), 8)];
    broker.alter_group_offsets("g", changes).unwrap();
    assert_eq!(send(&mut producer, 0, 4), 4);
    let refused = [((TOPIC, 0), 4), ((TOPIC, 1), 99)];
    assert!(broker.alter_group_offsets("g", refused).is_err());
    broker.alter_group_offsets("g", [((TOPIC, 0), 8)]).unwrap();
    assert_eq!(send(&mut producer, 0, 4), 4);
}

#[test]
fn partitions_that_do_not_exist_are_refused() {
    let (broker, _topic, _producer) = small(Overflow::Backpressure);
    let missing = GroupError::PartitionOutOfRange {
        topic: TOPIC.into(),
        partition: 2,
        partitions: 2,
    };
    let changes = [((TOPIC, 0), 0), ((TOPIC, 2), 0)];
    assert_eq!(broker.alter_group_offsets("g", changes), Err(missing));
    let unknown = GroupError::UnknownTopic {
        name: "none".into(),
    };
    let changes = [((TOPIC, 0), 0), (("none", 0), 0)];
    assert_eq!(broker.alter_group_offsets("g", changes), Err(unknown));
    assert!(broker.group_names().is_empty());
}

#[test]
fn a_partition_of_a_live_member_is_not_pulled_from_under_it() {
    let (broker, _topic, mut producer) = small(Overflow::Backpressure);
    for partition in 0..2 {
        assert_eq!(send(&mut producer, partition, 4), 4);
    }
    let mut a = subscribed(&broker, grouped());
    // It has joined, and is not assigned anything yet.
    broker.alter_group_offsets("g", [((TOPIC, 0), 2)]).unwrap();
    assert_eq!(
        read(&mut a),
        BTreeMap::from([(0, vec![2, 3]), (1, (0..4).collect())])
    );
    let alter = |partition, offset| broker.alter_group_offsets("g", [((TOPIC, partition), offset)]);
    let in_use = |partition, member: &Consumer| {
        Err(GroupError::PartitionInUse {
            name: "g".into(),
            topic: TOPIC.into(),
            partition,
            member: member.member_id().unwrap().to_string(),
        })
    };
    let before = broker.list_group_offsets("g").unwrap();
    assert_eq!(alter(0, 0), in_use(0, &a));
    // All or nothing: partition 1 of another group's view is not touched either.
    let both = [((TOPIC, 0), 1), ((TOPIC, 1), 1)];
    assert_eq!(broker.alter_group_offsets("g", both), in_use(0, &a));
    assert_eq!(broker.list_group_offsets("g").unwrap(), before);

    // A partition that is on its way to another member is that one's already, once it is released.
    let mut b = subscribed(&broker, grouped());
    assert!(read(&mut b).is_empty() && read(&mut a).is_empty());
    let moved = b.member_id();
    let owned: Vec<u32> = a.assignment().iter().map(|p| p.partition).collect();
    let on_its_way = 1 - owned[0];
    assert!(b.assignment().is_empty() && moved.is_some());
    assert_eq!(alter(on_its_way, 0), in_use(on_its_way, &b));
    assert!(read(&mut b).is_empty());

    // Members that are gone own nothing; one that is to come back by its name is not live.
    drop((a, b));
    assert_eq!(alter(0, 1), Ok(()));
    let mut named = subscribed(&broker, grouped().instance_id("x"));
    let _ = read(&mut named);
    assert_eq!(alter(0, 1), in_use(0, &named));
    named.close();
    assert_eq!(alter(0, 1), Ok(()));
    let mut named = subscribed(&broker, grouped().instance_id("x"));
    assert_eq!(read(&mut named), BTreeMap::from([(0, vec![1, 2, 3])]));
}

#[test]
fn offsets_of_a_topic_made_again_are_those_of_the_new_one() {
    let (broker, _topic, mut producer) = small(Overflow::DropOldest);
    assert_eq!(send(&mut producer, 0, 5), 5);
    broker.alter_group_offsets("g", [((TOPIC, 0), 5)]).unwrap();
    broker.delete_topic(TOPIC).unwrap();
    assert_eq!(broker.list_group_offsets("g"), Ok(BTreeMap::new()));
    let unknown = GroupError::UnknownTopic { name: TOPIC.into() };
    let altered = broker.alter_group_offsets("g", [((TOPIC, 0), 0)]);
    assert_eq!(altered, Err(unknown));
    broker.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let altered = broker.alter_group_offsets("g", [((TOPIC, 0), 1)]);
    assert!(matches!(
        altered,
        Err(GroupError::OffsetOutOfRange { log_end: 0, .. })
    ));
    broker.alter_group_offsets("g", [((TOPIC, 0), 0)]).unwrap();
    assert_eq!(broker.list_group_offsets("g"), Ok(offsets(&[(0, 0)])));
}

#[test]
fn changed_offsets_bring_no_memory_that_stays() {
    let (broker, topic, mut producer) = small(Overflow::Backpressure);
    assert_eq!(send(&mut producer, 0, 8), 8);
    let alter = |offset| broker.alter_group_offsets("g", [((TOPIC, 0), offset)]);
    alter(0).unwrap();
    alter(1).unwrap();
    let before = topic.memory_bytes();
    for offset in (0..9).cycle().take(50) {
        alter(offset).unwrap_or_else(|error| panic!("{error}"));
        assert!(alter(99).is_err());
    }
    assert_eq!(topic.memory_bytes(), before);
}

#[test]
fn the_errors_say_what_is_wrong_with_the_facts() {
    let topic: Arc<str> = TOPIC.into();
    let in_use = GroupError::PartitionInUse {
        name: "g".into(),
        topic: topic.clone(),
        partition: 3,
        member: "member-7".into(),
    };
    assert_eq!(
        in_use.to_string(),
        "partition 3 of topic \"t\" belongs to member-7 of group \"g\""
    );
    let outside = GroupError::OffsetOutOfRange {
        topic,
        partition: 3,
        offset: 9,
        log_start: 10,
        log_end: 20,
    };
    assert_eq!(
        outside.to_string(),
        "offset 9 of partition 3 of topic \"t\" is outside the log (10 to 20)"
    );
    let exists = GroupError::GroupExists { name: "g".into() };
    assert_eq!(exists.to_string(), "there already is a group named \"g\"");
}

// ---- wakers that panic -------------------------------------------------------------------

/// Panics when it is woken, without a message.
#[derive(Default)]
struct Panics(AtomicUsize);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        resume_unwind(Box::new("on purpose"));
    }
}

#[test]
fn a_members_waker_that_panics_harms_neither_its_group_nor_who_woke_it() {
    let (broker, topic, mut producer) = small(Overflow::Backpressure);
    let mut a = subscribed(&broker, grouped());
    let mut b = subscribed(&broker, grouped());
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    let panics = Arc::new(Panics::default());
    let waker = panics.clone().into();
    let mut context = Context::from_waker(&waker);
    let mut woken = 0;
    let mut is_woken = |what: &str| {
        let now = panics.0.load(Ordering::Relaxed);
        assert!(now > woken, "{what}");
        woken = now;
    };
    let mut wait = |a: &mut Consumer| {
        // Leaked, so that it stays enrolled.
        let mut poll = std::mem::ManuallyDrop::new(a.poll_async());
        let poll = std::pin::Pin::new(&mut *poll);
        assert!(std::future::Future::poll(poll, &mut context).is_pending());
    };
    // Under the group's lock, and under that of all groups.
    wait(&mut a);
    let mut c = subscribed(&broker, grouped());
    is_woken("a member that joins");
    for _ in 0..4 {
        for member in [&mut a, &mut b, &mut c] {
            assert!(read(member).is_empty());
        }
    }
    wait(&mut a);
    drop(c);
    is_woken("a member that leaves");
    for _ in 0..4 {
        for member in [&mut a, &mut b] {
            assert!(read(member).is_empty());
        }
    }
    wait(&mut a);
    topic.add_partitions(3).unwrap();
    is_woken("partitions that are added");
    for _ in 0..4 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    let owned = a.assignment().len() + b.assignment().len();
    assert_eq!(owned, 3);
    for partition in 0..3 {
        assert_eq!(send(&mut producer, partition, 2), 2);
    }
    let read: usize = [read(&mut a), read(&mut b)]
        .iter()
        .flat_map(BTreeMap::values)
        .map(Vec::len)
        .sum();
    assert_eq!(read, 6);
    assert!(a.poll(Duration::ZERO).unwrap().is_empty());
}
