//! Assignment: partitions are shared, handed over and added, and read from the right offset.

use super::common::{TOPIC, grouped, make, subscribed};
use super::support::{partitions, read, send};
use ringlog::{
    Broker, ConsumeError, Consumer, OffsetReset, Overflow, Producer, RangeAssignor, Record,
    TopicConfig, TopicPartition,
};

#[test]
fn members_share_the_partitions_and_hand_them_over() {
    let (broker, topic) = make(TopicConfig::new().partitions(4));
    let mut producer = topic.producer();
    for p in 0..4 {
        send(&mut producer, p, 3);
    }
    let mut a = subscribed(&broker, grouped());
    assert_eq!(read(&mut a).len(), 12);
    let mut b = subscribed(&broker, grouped());
    assert_eq!(read(&mut b), []);
    assert_eq!(read(&mut a), []);
    assert_eq!(read(&mut b), []);
    assert_eq!(partitions(&a).len(), 2);
    assert_eq!(partitions(&b).len(), 2);
    for p in 0..4 {
        send(&mut producer, p, 1);
    }
    let (of_a, of_b) = (read(&mut a), read(&mut b));
    assert_eq!((of_a.len(), of_b.len()), (2, 2));
    drop(a);
    for p in 0..4 {
        send(&mut producer, p, 1);
    }
    // The last batch of a is uncommitted, as a has not polled since: b reads it again.
    assert_eq!(read(&mut b).len(), 4);
}

#[test]
fn each_member_reads_the_topics_it_subscribes_to() {
    let broker = Broker::new();
    for name in ["a", "b"] {
        let config = TopicConfig::new().partitions(2);
        broker.create_topic(name, config).unwrap();
    }
    let of = |consumer: &Consumer| {
        let all = consumer.assignment().into_iter();
        let mut all: Vec<_> = all.map(|p| format!("{}{}", p.topic, p.partition)).collect();
        all.sort();
        all
    };
    let mut a = broker.consumer(grouped()).unwrap();
    a.subscribe(["a"]).unwrap();
    let mut b = broker.consumer(grouped()).unwrap();
    b.subscribe(["a", "b", "b"]).unwrap();
    let rounds = |a: &mut Consumer, b: &mut Consumer| {
        for _ in 0..3 {
            assert!(read(a).is_empty() && read(b).is_empty());
        }
    };
    rounds(&mut a, &mut b);
    assert_eq!(
        (of(&a), of(&b)),
        (
            vec!["a0".into(), "a1".into()],
            vec!["b0".into(), "b1".into()]
        )
    );
    a.subscribe(["b"]).unwrap();
    rounds(&mut a, &mut b);
    assert_eq!(of(&a).len() + of(&b).len(), 4);
    assert!(of(&a).iter().all(|p| p.starts_with('b')));
    // A deleted topic is reported once to each member that reads it; other topics are read on.
    broker.delete_topic("a").unwrap();
    assert_eq!(a.try_poll().map(|b| b.len()), Ok(0));
    let closed = ConsumeError::Closed { topic: "a".into() };
    assert_eq!(b.try_poll().err(), Some(closed));
    rounds(&mut a, &mut b);
    assert_eq!((of(&a).len(), of(&b).len()), (1, 1));
    broker.delete_topic("b").unwrap();
    for _ in 0..3 {
        let closed = ConsumeError::Closed { topic: "b".into() };
        assert_eq!(a.try_poll().err(), Some(closed));
    }
    assert_eq!(broker.describe_group("g").unwrap().partitions, []);
    // A topic that is created again under the same name is another topic.
    let topic = broker.create_topic("b", TopicConfig::new()).unwrap();
    topic.producer().send(Record::new(b"x")).unwrap();
    a.subscribe(["b"]).unwrap();
    assert_eq!(read(&mut a).len(), 1);
}

#[test]
fn a_pause_survives_a_rebalance_that_keeps_the_partition() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped());
    read(&mut a);
    a.pause((TOPIC, 0)).unwrap();
    let mut b = subscribed(&broker, grouped());
    for _ in 0..3 {
        assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
    }
    assert_eq!(partitions(&a), [0]);
    send(&mut producer, 0, 1);
    assert!(read(&mut a).is_empty());
    a.resume((TOPIC, 0)).unwrap();
    assert_eq!(read(&mut a), [(0, 0)]);
}

#[test]
fn a_group_applies_its_offset_reset_once() {
    let (broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer();
    send(&mut producer, 0, 3);
    let latest = grouped()
        .offset_reset(OffsetReset::Latest)
        .auto_commit(false);
    let mut a = subscribed(&broker, latest.clone());
    assert!(read(&mut a).is_empty());
    drop(a);
    send(&mut producer, 0, 2);
    // Nothing was committed, so nothing is skipped.
    let mut b = subscribed(&broker, latest);
    assert_eq!(read(&mut b), [(0, 3), (0, 4)]);
    b.unsubscribe();
    broker.delete_group("g").unwrap();
    let mut c = subscribed(&broker, grouped().offset_reset(OffsetReset::None));
    assert!(matches!(
        c.try_poll().err(),
        Some(ConsumeError::NoPosition { .. })
    ));
    c.seek((TOPIC, 0), 1).unwrap();
    assert_eq!(read(&mut c).len(), 4);
}

#[test]
fn an_assigned_consumer_commits_for_a_group_without_members() {
    let (broker, topic) = make(
        TopicConfig::new()
            .partitions(2)
            .segments(2)
            .segment_records(4),
    );
    let mut producer = topic.producer();
    send(&mut producer, 0, 6);
    let here = [TopicPartition::new(TOPIC, 0)];
    let mut assigned = broker.consumer(grouped()).unwrap();
    assigned.assign(&here).unwrap();
    assert_eq!(read(&mut assigned).len(), 6);
    assigned.commit_offsets([(here[0].clone(), 5)]).unwrap();
    assert_eq!(assigned.committed((TOPIC, 0)), Ok(Some(5)));
    assert_eq!(assigned.committed((TOPIC, 1)), Ok(None));
    drop(assigned);
    let full = |producer: &mut Producer| {
        let to = |_: &i32| producer.try_send(Record::new(b"x").partition(0)).is_ok();
        (0..100).take_while(to).count()
    };
    assert_eq!(full(&mut producer), 6, "held back from offset 5 on");
    let mut again = broker.consumer(grouped()).unwrap();
    again.assign(&here).unwrap();
    assert_eq!(again.position((TOPIC, 0)), Ok(5));
    let mut b = subscribed(&broker, grouped().assignor(RangeAssignor));
    assert_eq!(read(&mut b).len(), 7);
    let refused = again.commit();
    assert!(matches!(
        refused,
        Err(ConsumeError::NotAMember { members: 1, .. })
    ));
}

#[test]
fn added_partitions_are_shared_and_read_from_their_start() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let small = TopicConfig::new().segments(2).segment_records(4);
        let (broker, topic) = make(small.overflow(overflow));
        let latest = grouped().offset_reset(OffsetReset::Latest);
        let (mut a, mut b) = (
            subscribed(&broker, latest.clone()),
            subscribed(&broker, latest),
        );
        for _ in 0..3 {
            assert!(read(&mut a).is_empty() && read(&mut b).is_empty());
        }
        assert_eq!((partitions(&a), partitions(&b)), (vec![0], vec![]));
        topic.add_partitions(4).unwrap();
        let mut producer = topic.producer();
        for p in 1..4 {
            send(&mut producer, p, 8);
        }
        if overflow == Overflow::Backpressure {
            // Held back from the first record on, before any member has polled.
            let record = Record::new(b"x").partition(3);
            assert!(producer.try_send(record).is_err());
        }
        let mut seen = [read(&mut b), read(&mut a), read(&mut b)].concat();
        seen.sort_unstable();
        let all = (1..4).flat_map(|p| (0..8).map(move |offset| (p, offset)));
        assert!(seen.into_iter().eq(all));
        assert_eq!((partitions(&a).len(), partitions(&b).len()), (2, 2));
        // The same for a group that had no members when the partition was added.
        drop(a);
        drop(b);
        topic.add_partitions(5).unwrap();
        let mut producer = topic.producer();
        send(&mut producer, 4, 8);
        let mut c = subscribed(&broker, grouped());
        let seen = read(&mut c);
        assert_eq!(seen.iter().filter(|&&(p, _)| p == 4).count(), 8);
    }
}

#[test]
fn a_limit_of_the_pauses_leaves_a_member_as_it_is_configured() {
    let (broker, _topic) = make(TopicConfig::new());
    let config = grouped().max_poll_pause(std::time::Duration::ZERO);
    let mut member = subscribed(&broker, config);
    assert!(read(&mut member).is_empty());
    assert_eq!(broker.describe_group("g").unwrap().members.len(), 1);
}
