//! Hold-back: producers wait for the commits of a group, or its losses are counted.

use super::common::{TOPIC, grouped, make, subscribed};
use super::support::{at, read, send};
use ringlog::{
    ConsumerConfig, HoldBack, OffsetReset, Overflow, Record, TopicConfig, TopicPartition,
};

#[test]
fn uncommitted_records_are_held_back_while_a_group_has_no_members() {
    let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped());
    send(&mut producer, 0, 8);
    assert_eq!(a.try_poll().unwrap().len(), 4);
    drop(a);
    assert!(producer.try_send(Record::new(b"x")).is_err());
    let mut b = subscribed(&broker, grouped());
    assert_eq!(read(&mut b).len(), 8);
    drop(b);
    send(&mut producer, 0, 4);
    let mut c = subscribed(&broker, grouped());
    assert_eq!(read(&mut c), [8, 9, 10, 11].map(|offset| (0, offset)));
    drop(c);
    // Deleting a group releases what it held back.
    while producer.try_send(Record::new(b"x")).is_ok() {}
    broker.delete_group("g").unwrap();
    send(&mut producer, 0, 100);
    let before = topic.memory_bytes();
    for _ in 0..20 {
        let mut d = subscribed(&broker, grouped());
        read(&mut d);
    }
    broker.delete_group("g").unwrap();
    assert_eq!(
        topic.memory_bytes(),
        before,
        "spare segments do not pile up"
    );
}

#[test]
fn producers_may_overwrite_what_is_committed_and_no_more() {
    let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped().auto_commit(false));
    read(&mut a);
    let mut room = || {
        let sent = (0..100).take_while(|_| producer.try_send(Record::new(b"x")).is_ok());
        sent.count()
    };
    assert_eq!(room(), 8);
    assert_eq!((read(&mut a).len(), room()), (8, 0));
    a.commit_offsets([(TopicPartition::new(TOPIC, 0), 3)])
        .unwrap();
    assert_eq!(room(), 0);
    a.commit().unwrap();
    assert_eq!(room(), 4);
}

#[test]
fn with_hold_back_read_records_that_were_read_may_be_overwritten() {
    for (hold_back, more) in [(HoldBack::Committed, 0), (HoldBack::Read, 4)] {
        let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
        let mut producer = topic.producer();
        let config = grouped().auto_commit(false).hold_back(hold_back);
        let mut a = subscribed(&broker, config.clone());
        send(&mut producer, 0, 8);
        assert_eq!(read(&mut a).len(), 8);
        let sent = (0..4).take_while(|_| producer.try_send(Record::new(b"x")).is_ok());
        assert_eq!(sent.count(), more);
        drop(a);
        let mut b = subscribed(&broker, config);
        let batch = b.try_poll().unwrap();
        let first = batch.iter().next().unwrap().offset();
        assert_eq!(first - batch.lost(), 0);
        assert_eq!(batch.lost() > 0, more > 0);
    }
}

#[test]
fn an_overtaken_group_gets_the_number_of_lost_records() {
    let config = TopicConfig::new().segments(2).segment_records(4);
    let (broker, topic) = make(config.overflow(Overflow::DropOldest));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped());
    send(&mut producer, 0, 2);
    assert_eq!(read(&mut a).len(), 2);
    drop(a);
    send(&mut producer, 0, 40);
    let mut b = subscribed(&broker, grouped());
    let batch = b.try_poll().unwrap();
    let start = topic.log_start_offset(0).unwrap();
    assert_eq!(batch.iter().next().unwrap().offset(), start);
    assert_eq!(batch.lost(), start - 2);
}

#[test]
fn deleted_records_count_as_lost_and_hold_nothing_back() {
    let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped().auto_commit(false));
    read(&mut a);
    send(&mut producer, 0, 8);
    topic.delete_records(0, 6).unwrap();
    let batch = a.try_poll().unwrap();
    assert_eq!((batch.len(), batch.lost()), (2, 6));
    assert_eq!(topic.delete_records(0, 7).unwrap(), 7);
    assert_eq!(read(&mut a), []);
    send(&mut producer, 0, 4);
    drop(a);
    // Nothing was committed: the group begins at its first offset again, which is deleted.
    topic.delete_records(0, 9).unwrap();
    let mut b = subscribed(&broker, grouped());
    let batch = b.try_poll().unwrap();
    assert_eq!((batch.len(), batch.lost()), (3, 9));
    send(&mut producer, 0, 4);
}

/// A position past the end is out of range, and a poll sets it back to the first retained offset.
#[test]
fn what_a_poll_is_set_back_to_is_held_back() {
    let configs = [
        (grouped(), false),
        (grouped().auto_commit(false), true),
        (grouped().hold_back(HoldBack::Read), false),
        (ConsumerConfig::new(), false),
    ];
    for (config, commits) in configs {
        let shown = format!("{config:?}");
        let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
        let mut producer = topic.producer();
        let mut a = subscribed(&broker, config);
        send(&mut producer, 0, 8);
        assert_eq!(read(&mut a).len(), 8);
        if commits {
            a.commit().unwrap();
        }
        a.seek((TOPIC, 0), 100).unwrap();
        assert_eq!(a.try_poll().unwrap().first_offset(), Some(0), "{shown}");
        assert!(producer.try_send(Record::new(b"x")).is_err(), "{shown}");
        let batch = a.try_poll().unwrap();
        assert_eq!(
            (batch.first_offset(), batch.lost()),
            (Some(4), 0),
            "{shown}"
        );
    }
}

#[test]
fn a_group_holds_back_nothing_of_a_partition_in_which_it_has_no_offset() {
    let config = TopicConfig::new().segments(2).segment_records(4);
    let (broker, topic) = make(config.partitions(2));
    let config = grouped().hold_back(HoldBack::Nothing);
    let mut member = subscribed(&broker, config.offset_reset(OffsetReset::None));
    assert!(member.try_poll().is_err(), "no offset to begin at");
    drop(member);
    // With this commit the group begins to hold back.
    let mut assigned = broker.consumer(grouped()).unwrap();
    assigned.assign([at(1)]).unwrap();
    assigned.commit_offsets([(at(1), 0)]).unwrap();
    drop(assigned);
    let mut producer = topic.producer();
    send(&mut producer, 0, 100);
    send(&mut producer, 1, 8);
    assert!(producer.try_send(Record::new("x").partition(1)).is_err());
}

#[test]
fn a_seek_back_holds_at_once() {
    let (broker, topic) = make(TopicConfig::new().segments(3).segment_records(4));
    let mut producer = topic.producer();
    let mut member = subscribed(&broker, grouped());
    send(&mut producer, 0, 8);
    assert_eq!(read(&mut member).len(), 8);
    // All of it is committed, and retained so far.
    member.seek((TOPIC, 0), 2).unwrap();
    let more = (0..100).take_while(|_| producer.try_send(Record::new("x")).is_ok());
    let end = 8 + more.count() as u64;
    let expected: Vec<_> = (2..end).map(|offset| (0, offset)).collect();
    assert_eq!(read(&mut member), expected);
}

#[test]
fn a_lower_commit_holds_again_what_is_retained() {
    let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
    let mut producer = topic.producer();
    let mut member = subscribed(&broker, grouped().auto_commit(false));
    send(&mut producer, 0, 8);
    assert_eq!(read(&mut member).len(), 8);
    member.commit().unwrap();
    member.commit_offsets([(at(0), 3)]).unwrap();
    assert!(producer.try_send(Record::new("x")).is_err());
}

#[test]
fn a_partition_without_an_owner_is_held_with_the_memory_of_its_last_owner() {
    let (broker, topic) = make(TopicConfig::new());
    let mut member = subscribed(&broker, grouped());
    read(&mut member);
    let owned = topic.memory_bytes();
    member.unsubscribe();
    assert_eq!(topic.memory_bytes(), owned);
}

#[test]
fn a_partition_that_is_added_takes_the_same_memory_if_nothing_of_it_is_held_back() {
    let added = |overflow, hold_back| {
        let (broker, topic) = make(TopicConfig::new().overflow(overflow));
        let mut member = subscribed(&broker, grouped().hold_back(hold_back));
        read(&mut member);
        let before = topic.memory_bytes();
        topic.add_partitions(2).unwrap();
        read(&mut member);
        assert_eq!(member.assignment().len(), 2);
        topic.memory_bytes() - before
    };
    let expected = added(Overflow::DropOldest, HoldBack::Nothing);
    assert_eq!(added(Overflow::DropOldest, HoldBack::Committed), expected);
    assert_eq!(added(Overflow::Backpressure, HoldBack::Nothing), expected);
}
