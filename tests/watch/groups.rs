//! Groups in a snapshot: owners, committed offsets, lag and lost records.

use super::common::{TOPIC, make, subscribed};
use super::{named, send, small, stats_of};
use ringlog::{Overflow, Record, TopicPartition};
use std::time::Duration;

#[test]
fn a_group_shows_owners_commits_and_lag() {
    let (broker, topic) = make(small().partitions(2));
    let config = |name| named(name).group("g").max_poll_records(3);
    let mut a = subscribed(&broker, config("a"));
    let mut b = subscribed(&broker, config("b"));
    for _ in 0..4 {
        a.try_poll().unwrap();
        b.try_poll().unwrap();
    }
    let mut producer = topic.producer();
    for i in 0..10u64 {
        let record = i.to_ne_bytes();
        producer.send(Record::new(&record).partition(0)).unwrap();
        producer.send(Record::new(&record).partition(1)).unwrap();
    }
    a.try_poll().unwrap(); // reads 0 to 2,
    a.try_poll().unwrap(); // commits that, and reads 3
    let snapshot = broker.snapshot();
    let group = &snapshot.groups[0];
    assert_eq!((&*group.name, group.members), ("g", 2));
    assert_eq!(group.generation, a.generation().unwrap());
    let own = a.assignment()[0].partition;
    let row = &group.partitions[own as usize];
    assert_eq!((row.owner.as_deref(), row.position), (Some("a"), Some(3)));
    assert_eq!(
        (row.committed, row.lag, row.lead),
        (Some(3), Some(7), Some(3))
    );
    assert_eq!((row.log_start, row.log_end, row.lost), (0, 10, 0));
    let other = &group.partitions[1 - own as usize];
    assert_eq!(
        (other.owner.as_deref(), other.committed, other.lag),
        (Some("b"), Some(0), Some(10))
    );
    // The same for the member.
    let member = stats_of(&snapshot, "a");
    assert_eq!((member.partition, member.committed), (own, Some(3)));
    assert_eq!((member.position, member.position_max), (3, 4));
    assert_eq!(a.stats().partitions[0].position, 4);
    assert_eq!(a.stats().partitions[0].committed, Some(3));

    a.close(); // commits the rest
    drop(b);
    let group = &broker.snapshot().groups[0];
    assert_eq!(
        (group.members, group.partitions[own as usize].committed),
        (0, Some(4))
    );
    assert_eq!(
        (&group.partitions[0].owner, group.partitions[0].position),
        (&None, None)
    );
}

#[test]
fn a_group_sums_the_losses_of_its_members() {
    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let lost = || {
        let group = &broker.snapshot().groups[0];
        (group.partitions[0].lost, group.partitions[0].committed)
    };
    for (member, total) in [(1, 8), (2, 20)] {
        let mut consumer = subscribed(&broker, named("m").group("g"));
        consumer.try_poll().unwrap(); // is assigned the partition; the second reads 12 to 15
        send(&topic, if member == 1 { 17 } else { 20 });
        let batch = consumer.try_poll().unwrap();
        assert!(batch.lost() > 0);
        assert_eq!(lost().0, total, "member {member}");
        assert_eq!(consumer.stats().lost, if member == 1 { 8 } else { 12 });
        consumer.close();
    }
    assert_eq!(lost(), (20, Some(32)));
}

#[test]
fn an_assigned_consumer_shows_the_commits_of_its_group() {
    let (broker, topic) = make(small());
    send(&topic, 5);
    let mut consumer = broker.consumer(named("c").group("g")).unwrap();
    consumer.assign([TopicPartition::new(TOPIC, 0)]).unwrap();
    while !consumer.poll(Duration::from_micros(1)).unwrap().is_empty() {}
    assert_eq!(stats_of(&broker.snapshot(), "c").committed, None);
    consumer.commit().unwrap();
    let row = stats_of(&broker.snapshot(), "c");
    assert_eq!((row.committed, row.position), (Some(5), 5));
    let group = &broker.snapshot().groups[0];
    assert_eq!((group.members, group.partitions[0].lag), (0, Some(0)));
    assert_eq!(
        group.partitions[0].owner, None,
        "an assigned consumer is not a member"
    );
}
