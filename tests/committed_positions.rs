//! With auto-commit, what is committed is the position, wherever it came from.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{TOPIC, grouped, make, subscribed};
use ringlog::{Broker, Consumer, ConsumerConfig, Record, Topic, TopicConfig};

/// Two partitions with four records each, with the timestamps 0 to 3.
fn setup() -> (Broker, Topic) {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut producer = topic.producer();
    for n in 0..4 {
        for partition in 0..2 {
            let record = Record::new("x").partition(partition);
            producer.send(record.timestamp(n)).unwrap();
        }
    }
    (broker, topic)
}

fn committed(broker: &Broker, partition: u32) -> Option<u64> {
    let reader = broker.consumer(grouped()).unwrap();
    reader.committed((TOPIC, partition)).unwrap()
}

/// A member that has read both partitions to their ends. Returns the partition read first.
fn reader(broker: &Broker) -> (Consumer, u32) {
    let mut member = subscribed(broker, grouped());
    let first = member.try_poll().unwrap().partition().unwrap();
    assert_eq!(member.try_poll().unwrap().partition(), Some(1 - first));
    (member, first)
}

/// Each way to move a position, and the position that it leads to.
type Seek = fn(&mut Consumer, u32);

const SEEKS: [(Seek, u64); 4] = [
    (|member, p| member.seek((TOPIC, p), 2).unwrap(), 2),
    (|member, p| member.seek_to_beginning((TOPIC, p)).unwrap(), 0),
    (|member, p| member.seek_to_end((TOPIC, p)).unwrap(), 4),
    (
        |member, p| assert_eq!(member.seek_to_time((TOPIC, p), 3), Ok(3)),
        3,
    ),
];

#[test]
fn a_seek_is_committed_on_close_and_on_unsubscribe() {
    for (seek, position) in SEEKS {
        let (broker, _topic) = setup();
        let (mut member, first) = reader(&broker);
        seek(&mut member, first);
        member.close();
        assert_eq!(committed(&broker, first), Some(position));
        let (mut member, first) = (subscribed(&broker, grouped()), 0);
        member.try_poll().unwrap();
        seek(&mut member, first);
        member.unsubscribe();
        assert_eq!(committed(&broker, first), Some(position));
    }
}

#[test]
fn a_seek_is_committed_when_the_partition_moves_to_another_member() {
    for (seek, position) in SEEKS {
        let (broker, _topic) = setup();
        let (mut member, _) = reader(&broker);
        (0..2).for_each(|p| member.pause((TOPIC, p)).unwrap());
        (0..2).for_each(|p| seek(&mut member, p));
        let mut other = subscribed(&broker, grouped());
        for _ in 0..3 {
            member.try_poll().unwrap();
            other.try_poll().unwrap();
        }
        let moved = other.assignment();
        assert_eq!(moved.len(), 1);
        let begin = committed(&broker, moved[0].partition);
        assert!(begin >= Some(position), "{begin:?} {position}");
        assert_eq!(other.position(&moved[0]), Ok(4));
        assert_eq!(member.assignment().len(), 1);
    }
}

/// As Kafka's client does: also in the partitions that the poll does not read.
#[test]
fn each_poll_commits_the_positions_that_were_sought() {
    for (seek, position) in SEEKS {
        for also_at_first in [false, true] {
            let (broker, _topic) = setup();
            let (mut member, first) = reader(&broker);
            member.try_poll().unwrap();
            let sought = if also_at_first { first } else { 1 - first };
            member.pause((TOPIC, sought)).unwrap();
            seek(&mut member, sought);
            member.try_poll().unwrap();
            assert_eq!(committed(&broker, sought), Some(position));
            assert_eq!(committed(&broker, 1 - sought), Some(4));
        }
    }
}

#[test]
fn a_position_past_the_end_is_not_committed() {
    let (broker, _topic) = setup();
    let (mut member, first) = reader(&broker);
    member.try_poll().unwrap();
    member.seek((TOPIC, first), 5).unwrap();
    member.close();
    assert_eq!(committed(&broker, first), Some(4));
}

#[test]
fn without_auto_commit_a_seek_commits_nothing() {
    let (broker, _topic) = setup();
    let config = || -> ConsumerConfig { grouped().auto_commit(false) };
    let mut member = subscribed(&broker, config());
    member.try_poll().unwrap();
    member.seek((TOPIC, 0), 2).unwrap();
    member.try_poll().unwrap();
    member.close();
    assert_eq!((committed(&broker, 0), committed(&broker, 1)), (None, None));
}

/// The poll reads another partition's next record, and has nothing else to do.
#[test]
fn a_seek_is_committed_by_a_poll_that_reads_elsewhere() {
    for (seek, position) in SEEKS {
        let (broker, topic) = setup();
        topic.add_partitions(3).unwrap();
        for n in 0..4 {
            let record = Record::new("x").partition(2).timestamp(n);
            topic.producer().send(record).unwrap();
        }
        let mut member = subscribed(&broker, grouped().max_poll_records(1));
        let poll = |member: &mut Consumer| member.try_poll().unwrap().partition().unwrap();
        // They are read in turn, in this order.
        let order: Vec<u32> = (0..3).map(|_| poll(&mut member)).collect();
        assert_eq!((poll(&mut member), poll(&mut member)), (order[0], order[1]));
        seek(&mut member, order[0]);
        assert_eq!(poll(&mut member), order[2]);
        assert_eq!(committed(&broker, order[0]), Some(position));
    }
}
