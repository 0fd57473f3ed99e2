//! What a group holds back: producers wait for its commits, or its losses are counted.

use super::common::{TOPIC, grouped, make, subscribed};
use super::support::{read, send};
use ringlog::{HoldBack, Overflow, Record, TopicConfig, TopicPartition};

#[test]
fn what_a_group_has_to_read_again_is_held_while_it_has_no_members() {
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
    // An abandoned group is deleted.
    while producer.try_send(Record::new(b"x")).is_ok() {}
    broker.delete_group("g").unwrap();
    send(&mut producer, 0, 100);
    let before = topic.memory_bytes();
    for _ in 0..20 {
        let mut d = subscribed(&broker, grouped());
        read(&mut d);
    }
    broker.delete_group("g").unwrap();
    assert_eq!(topic.memory_bytes(), before, "spares do not pile up");
}

#[test]
fn a_commit_lets_producers_go_on_as_far_as_it_goes() {
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
    a.commit_offsets(&[(TopicPartition::new(TOPIC, 0), 3)])
        .unwrap();
    assert_eq!(room(), 0);
    a.commit().unwrap();
    assert_eq!(room(), 4);
}

#[test]
fn with_hold_back_read_what_was_read_may_go() {
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
fn a_group_that_was_overtaken_is_told_what_it_lost() {
    let config = TopicConfig::new().segments(2).segment_records(4);
    let (broker, topic) = make(config.overflow(Overflow::DropOldest));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, self::grouped());
    send(&mut producer, 0, 2);
    assert_eq!(read(&mut a).len(), 2);
    drop(a);
    send(&mut producer, 0, 40);
    let mut b = subscribed(&broker, self::grouped());
    let batch = b.try_poll().unwrap();
    let start = topic.log_start_offset(0).unwrap();
    assert_eq!(batch.iter().next().unwrap().offset(), start);
    assert_eq!(batch.lost(), start - 2);
}

#[test]
fn what_was_deleted_is_lost_to_a_group_and_holds_nothing_back() {
    let (broker, topic) = make(TopicConfig::new().segments(2).segment_records(4));
    let mut producer = topic.producer();
    let mut a = subscribed(&broker, grouped().auto_commit(false));
    read(&mut a);
    send(&mut producer, 0, 8);
    topic.delete_records(0, 6).unwrap();
    let batch = a.try_poll().unwrap();
    assert_eq!((batch.len(), batch.lost()), (2, 6));
    drop(batch);
    assert_eq!(topic.delete_records(0, 7).unwrap(), 7);
    assert_eq!(read(&mut a), []);
    send(&mut producer, 0, 4);
    drop(a);
    // Nothing was committed: the group begins where it did, and that is gone.
    topic.delete_records(0, 9).unwrap();
    let mut b = subscribed(&broker, grouped());
    let batch = b.try_poll().unwrap();
    assert_eq!((batch.len(), batch.lost()), (3, 9));
    drop(batch);
    send(&mut producer, 0, 4);
}
