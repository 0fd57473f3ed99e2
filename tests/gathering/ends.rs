//! What the end of a producer does with the records that it has gathered.

use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn a_drop_and_a_close_send_what_is_gathered() {
    let (_broker, topic) = make(TopicConfig::new().partitions(2));
    let mut dropped = topic.producer().gathering(by_four());
    dropped.send(Record::new("x").partition(0)).unwrap();
    dropped.send(Record::new("x").partition(1)).unwrap();
    drop(dropped);
    assert_eq!((logged(&topic), topic.log_end_offset(1)), (1, Ok(1)));
    let mut closed = topic.producer().gathering(by_four());
    closed.send(Record::new("x").partition(1)).unwrap();
    closed.close().unwrap();
    assert_eq!(topic.log_end_offset(1), Ok(2));
    let exclusive = topic.exclusive_producer();
    assert!(exclusive.is_ok(), "no producer is left behind");
    let mut exclusive = exclusive.unwrap().gathering(by_four());
    exclusive.send(Record::new("x").partition(0)).unwrap();
    drop(exclusive);
    assert_eq!(logged(&topic), 2);
}

#[test]
fn a_drop_waits_for_room() {
    let (broker, topic) = make(tiny().max_block(common::conditions::LONG));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four().batch_records(2));
    send_numbers(&mut producer, 0..6);
    read_while_it_is_dropped(&topic, &mut consumer, producer);
}

/// Reads only when the drop waits for room.
fn read_while_it_is_dropped<P: Send>(topic: &Topic, consumer: &mut ringlog::Consumer, producer: P) {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            common::conditions::woken("the drop of a producer", || drop(producer));
        });
        common::conditions::wait_until("the drop waits", || {
            topic.stats().partitions[0].blocked_sends == 1
        });
        let mut read = Vec::new();
        common::conditions::wait_until("all six are read", || {
            read.extend(values(consumer));
            read.len() == 6
        });
        assert_eq!(read, ["0", "1", "2", "3", "4", "5"]);
    });
}

#[test]
fn the_drop_of_the_last_clone_waits_for_room_as_the_topic_says() {
    let (broker, topic) = make(tiny().max_block(common::conditions::LONG));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let shared = topic.shared_producer();
    let mut handle = shared.gathering(by_four().batch_records(2));
    handle.set_max_block(Duration::ZERO);
    for number in 0..6 {
        handle.send(Record::new(&number.to_string())).unwrap();
    }
    read_while_it_is_dropped(&topic, &mut consumer, handle);
}

#[test]
fn a_drop_by_a_panic_sends_what_has_room_and_does_not_wait() {
    let (broker, topic) = make(tiny().partitions(2).max_block(common::conditions::LONG));
    let _consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four().batch_records(2));
    for _ in 0..6 {
        producer.send(Record::new("x").partition(0)).unwrap();
    }
    producer.send(Record::new("y").partition(1)).unwrap();
    common::conditions::woken("the unwinding", || {
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _owned = producer;
            panic!("of the test");
        }));
        assert!(unwound.is_err());
    });
    assert_eq!((logged(&topic), topic.log_end_offset(1)), (4, Ok(1)));
}
