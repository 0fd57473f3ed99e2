//! Handles used where they cannot be: positions, subscriptions, exclusive producers and
//! deleted topics.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{TOPIC, drain, make, subscribed};
use ringlog::{
    ConsumeError, ConsumerConfig, OffsetReset, Overflow, Record, Route, SendError, TopicConfig,
    TopicError, TopicPartition,
};
use std::time::Duration;

fn small() -> TopicConfig {
    TopicConfig::new().segments(2).segment_records(4)
}

/// A topic that retains offsets 4 to 15.
fn lapped() -> (ringlog::Broker, ringlog::Topic) {
    let (broker, topic) = make(small().segments(3).overflow(Overflow::DropOldest));
    let mut producer = topic.producer();
    for i in 0..16u8 {
        producer.send(Record::new(&[i])).unwrap();
    }
    assert_eq!(topic.log_start_offset(0), Ok(4));
    assert_eq!(topic.log_end_offset(0), Ok(16));
    (broker, topic)
}

#[test]
fn a_seek_past_either_end_follows_the_reset_policy() {
    for offset in [0, 3, 17, 1000, u64::MAX] {
        let (broker, topic) = lapped();
        let reset = |reset| ConsumerConfig::new().offset_reset(reset);

        let mut earliest = subscribed(&broker, reset(OffsetReset::Earliest));
        earliest.seek(TOPIC, 0, offset).unwrap();
        assert_eq!(earliest.position(TOPIC, 0), Ok(offset));
        let batch = earliest.try_poll().unwrap();
        assert_eq!(batch.iter().next().unwrap().offset(), 4);
        // It was told to go there: it has lost nothing.
        assert_eq!(batch.lost(), 0);
        drop(batch);

        let mut latest = subscribed(&broker, reset(OffsetReset::Latest));
        latest.seek(TOPIC, 0, offset).unwrap();
        assert!(latest.try_poll().unwrap().is_empty());
        assert_eq!(latest.position(TOPIC, 0), Ok(16));

        let mut none = subscribed(&broker, reset(OffsetReset::None));
        none.seek(TOPIC, 0, offset).unwrap();
        let outside = ConsumeError::OffsetOutOfRange {
            topic: TOPIC.into(),
            partition: 0,
            position: offset,
            log_start: 4,
            log_end: 16,
        };
        // Again and again, until it is told where to go.
        assert_eq!(none.try_poll().unwrap_err(), outside);
        assert_eq!(none.try_poll().unwrap_err(), outside);
        none.seek(TOPIC, 0, 16).unwrap();
        assert!(none.try_poll().unwrap().is_empty());
        topic.producer().send(Record::new("new")).unwrap();
        assert_eq!(none.try_poll().unwrap().iter().next().unwrap().offset(), 16);
    }
}

#[test]
fn without_a_reset_policy_a_lapped_reader_is_told_and_not_moved() {
    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let config = ConsumerConfig::new().offset_reset(OffsetReset::None);
    let mut consumer = subscribed(&broker, config);
    let no_position = ConsumeError::NoPosition {
        topic: TOPIC.into(),
        partition: 0,
    };
    assert_eq!(consumer.try_poll().unwrap_err(), no_position);
    consumer.seek(TOPIC, 0, 0).unwrap();
    assert!(consumer.try_poll().unwrap().is_empty());
    let mut producer = topic.producer();
    for i in 0..20u8 {
        producer.send(Record::new(&[i])).unwrap();
    }
    let outside = ConsumeError::OffsetOutOfRange {
        topic: TOPIC.into(),
        partition: 0,
        position: 0,
        log_start: 12,
        log_end: 20,
    };
    assert_eq!(consumer.try_poll().unwrap_err(), outside);
    assert_eq!(consumer.position(TOPIC, 0), Ok(0));
    consumer.seek_to_beginning(TOPIC, 0).unwrap();
    assert_eq!(drain(&mut consumer).len(), 8);
}

#[test]
fn subscribe_and_assign_do_not_mix_until_unsubscribe() {
    let (broker, _topic) = make(small());
    let partition = [TopicPartition::new(TOPIC, 0)];
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mixed = |given, asked| Err(ConsumeError::MixedAssignment { given, asked });
    assert_eq!(consumer.assign(&partition), mixed("subscribe", "assign"));
    assert_eq!(consumer.assignment(), partition);
    consumer.unsubscribe();
    assert!(consumer.assignment().is_empty());
    consumer.assign(&partition).unwrap();
    assert_eq!(consumer.subscribe(&[TOPIC]), mixed("assign", "subscribe"));
    consumer.unsubscribe();
    consumer.subscribe(&[TOPIC]).unwrap();
    // No topics is as good as unsubscribing.
    consumer.subscribe::<&str>(&[]).unwrap();
    consumer.assign(&partition).unwrap();
}

#[test]
fn a_poll_without_partitions_and_a_partition_that_is_not_assigned_are_errors() {
    let (broker, _topic) = make(small().partitions(2));
    let mut consumer = broker.consumer(ConsumerConfig::new());
    assert_eq!(
        consumer.try_poll().unwrap_err(),
        ConsumeError::NotSubscribed
    );
    let long = Duration::from_secs(60);
    assert_eq!(
        consumer.poll(long).unwrap_err(),
        ConsumeError::NotSubscribed
    );
    consumer.assign(&[TopicPartition::new(TOPIC, 1)]).unwrap();
    let not = |topic: &str, partition| ConsumeError::NotAssigned {
        topic: topic.to_owned(),
        partition,
    };
    assert_eq!(consumer.seek(TOPIC, 0, 0), Err(not(TOPIC, 0)));
    assert_eq!(consumer.seek_to_beginning(TOPIC, 2), Err(not(TOPIC, 2)));
    assert_eq!(consumer.seek_to_end("x", 1), Err(not("x", 1)));
    assert_eq!(consumer.position(TOPIC, 0), Err(not(TOPIC, 0)));
    assert_eq!(consumer.lag(TOPIC, 0), Err(not(TOPIC, 0)));
    assert_eq!(consumer.pause(TOPIC, 0), Err(not(TOPIC, 0)));
    assert_eq!(consumer.resume(TOPIC, 0), Err(not(TOPIC, 0)));
    consumer.unsubscribe();
    assert_eq!(
        consumer.try_poll().unwrap_err(),
        ConsumeError::NotSubscribed
    );
}

#[test]
fn a_refused_subscription_leaves_the_old_one() {
    let (broker, _topic) = make(small());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    assert!(consumer.subscribe(&["nope"]).is_err());
    assert_eq!(consumer.assignment(), [TopicPartition::new(TOPIC, 0)]);
    let mut none = broker.consumer(ConsumerConfig::new().max_poll_records(0));
    let invalid = ConsumeError::InvalidConfig {
        setting: "max_poll_records",
        value: 0,
        min: 1,
        max: u32::MAX.into(),
    };
    assert_eq!(none.subscribe(&[TOPIC]), Err(invalid.clone()));
    assert_eq!(none.assign(&[TopicPartition::new(TOPIC, 0)]), Err(invalid));
}

#[test]
fn an_exclusive_producer_is_alone() {
    let (_broker, topic) = make(small().overflow(Overflow::DropOldest));
    let exist = |shared, exclusive| TopicError::ProducersExist {
        topic: TOPIC.into(),
        shared,
        exclusive,
    };
    let shared = topic.producer();
    let second = shared.clone();
    assert_eq!(topic.exclusive_producer().unwrap_err(), exist(2, 0));
    drop((shared, second));

    let mut exclusive = topic.exclusive_producer().unwrap();
    assert_eq!(topic.exclusive_producer().unwrap_err(), exist(0, 1));
    let mut shared = topic.producer();
    assert_eq!(topic.exclusive_producer().unwrap_err(), exist(1, 1));
    let refused = SendError::ExclusiveProducer {
        topic: TOPIC.into(),
    };
    assert_eq!(shared.send(Record::new("x")), Err(refused.clone()));
    assert_eq!(shared.try_send(Record::new("x")), Err(refused.clone()));
    assert_eq!(shared.claim(Route::Any, None, 1).unwrap_err(), refused);
    assert_eq!(shared.send_values(Route::Any, &[1u8]), Err(refused.clone()));
    let batch = shared.send_batch(&[Record::new("x")]).unwrap_err();
    assert_eq!((batch.cause, batch.refused), (refused, vec![0]));
    assert_eq!(exclusive.send(Record::new("x")).unwrap().offset, 0);

    drop(exclusive);
    assert_eq!(shared.send(Record::new("x")).unwrap().offset, 1);
    assert_eq!(topic.exclusive_producer().unwrap_err(), exist(1, 0));
    drop(shared);
    let mut exclusive = topic.exclusive_producer().unwrap();
    assert_eq!(exclusive.send(Record::new("x")).unwrap().offset, 2);
}

#[test]
fn handles_of_a_deleted_topic_report_closed_and_a_held_batch_stays_readable() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let (broker, topic) = make(small().overflow(overflow));
        let mut producer = topic.producer();
        producer.send(Record::new("held")).unwrap();
        let mut holder = subscribed(&broker, ConsumerConfig::new());
        let mut other = subscribed(&broker, ConsumerConfig::new());
        let batch = holder.try_poll().unwrap();

        broker.delete_topic(TOPIC).unwrap();
        let closed = SendError::Closed {
            topic: TOPIC.into(),
        };
        assert_eq!(producer.send(Record::new("x")), Err(closed.clone()));
        assert_eq!(producer.claim(Route::Any, None, 1).unwrap_err(), closed);
        assert_eq!(
            producer.send_values(Route::Any, &[1u8]),
            Err(closed.clone())
        );
        let refused = producer.send_batch(&[Record::new("x")]).unwrap_err();
        assert_eq!(refused.cause, closed);
        assert_eq!(topic.producer().send(Record::new("x")), Err(closed));
        let closed = ConsumeError::Closed {
            topic: TOPIC.into(),
        };
        assert_eq!(other.try_poll().unwrap_err(), closed);
        assert_eq!(other.poll(Duration::from_secs(60)).unwrap_err(), closed);
        drop(producer);
        let closed_topic = TopicError::Closed {
            topic: TOPIC.into(),
        };
        assert_eq!(topic.exclusive_producer().unwrap_err(), closed_topic);
        assert!(broker.topic(TOPIC).is_err());

        // The name is free, and the new topic is another one.
        let again = broker.create_topic(TOPIC, small()).unwrap();
        assert_eq!(again.log_end_offset(0), Ok(0));
        drop((topic, other));
        assert_eq!(batch.iter().next().unwrap().value(), b"held");
        drop(batch);
        assert_eq!(holder.try_poll().unwrap_err(), closed);
        // Subscribed again by name, it reads the new one.
        holder.subscribe(&[TOPIC]).unwrap();
        again.producer().send(Record::new("new")).unwrap();
        assert_eq!(drain(&mut holder), [(0, 0, b"new".to_vec())]);
    }
}
