//! Subscriptions, seeks and reads that cannot be carried out.

use super::common::{TOPIC, drain, make, subscribed};
use super::{small, tiny};
use ringlog::{
    ConsumeError, ConsumerConfig, Destination, OffsetReset, Overflow, Record, TopicPartition,
    ViewError,
};
use std::time::Duration;
use zerocopy::{FromBytes, Immutable};

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
        earliest.seek((TOPIC, 0), offset).unwrap();
        assert_eq!(earliest.position((TOPIC, 0)), Ok(offset));
        let batch = earliest.try_poll().unwrap();
        assert_eq!(batch.iter().next().unwrap().offset(), 4);
        // A seek was requested, so nothing counts as lost.
        assert_eq!(batch.lost(), 0);

        let mut latest = subscribed(&broker, reset(OffsetReset::Latest));
        latest.seek((TOPIC, 0), offset).unwrap();
        assert!(latest.try_poll().unwrap().is_empty());
        assert_eq!(latest.position((TOPIC, 0)), Ok(16));

        let mut none = subscribed(&broker, reset(OffsetReset::None));
        none.seek((TOPIC, 0), offset).unwrap();
        let outside = ConsumeError::OffsetOutOfRange {
            topic: TOPIC.into(),
            partition: 0,
            position: offset,
            log_start: 4,
            log_end: 16,
        };
        // Every poll fails until the next seek.
        assert_eq!(none.try_poll().unwrap_err(), outside);
        assert_eq!(none.try_poll().unwrap_err(), outside);
        none.seek((TOPIC, 0), 16).unwrap();
        assert!(none.try_poll().unwrap().is_empty());
        topic.producer().send(Record::new("new")).unwrap();
        assert_eq!(none.try_poll().unwrap().iter().next().unwrap().offset(), 16);
    }
}

#[test]
fn without_a_reset_policy_a_lapped_reader_gets_an_error_and_is_not_moved() {
    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let config = ConsumerConfig::new().offset_reset(OffsetReset::None);
    let mut consumer = subscribed(&broker, config);
    let no_position = ConsumeError::NoPosition {
        topic: TOPIC.into(),
        partition: 0,
    };
    assert_eq!(consumer.try_poll().unwrap_err(), no_position);
    consumer.seek((TOPIC, 0), 0).unwrap();
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
    assert_eq!(consumer.position((TOPIC, 0)), Ok(0));
    consumer.seek_to_beginning((TOPIC, 0)).unwrap();
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
    assert_eq!(consumer.subscribe([TOPIC]), mixed("assign", "subscribe"));
    consumer.unsubscribe();
    consumer.subscribe([TOPIC]).unwrap();
    // Subscribing to no topics unsubscribes.
    consumer.subscribe([""; 0]).unwrap();
    consumer.assign(&partition).unwrap();
}

#[test]
fn polling_without_partitions_and_using_unassigned_ones_are_errors() {
    let (broker, _topic) = make(small().partitions(2));
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    assert_eq!(
        consumer.try_poll().unwrap_err(),
        ConsumeError::NotSubscribed
    );
    let long = Duration::from_secs(60);
    assert_eq!(
        consumer.poll(long).unwrap_err(),
        ConsumeError::NotSubscribed
    );
    consumer.assign([TopicPartition::new(TOPIC, 1)]).unwrap();
    let not = |topic: &str, partition| ConsumeError::NotAssigned {
        topic: topic.to_owned(),
        partition,
    };
    assert_eq!(consumer.seek((TOPIC, 0), 0), Err(not(TOPIC, 0)));
    assert_eq!(consumer.seek_to_beginning((TOPIC, 2)), Err(not(TOPIC, 2)));
    assert_eq!(consumer.seek_to_end(("x", 1)), Err(not("x", 1)));
    assert_eq!(consumer.position((TOPIC, 0)), Err(not(TOPIC, 0)));
    assert_eq!(consumer.lag((TOPIC, 0)), Err(not(TOPIC, 0)));
    assert_eq!(consumer.pause((TOPIC, 0)), Err(not(TOPIC, 0)));
    assert_eq!(consumer.resume((TOPIC, 0)), Err(not(TOPIC, 0)));
    consumer.unsubscribe();
    assert_eq!(
        consumer.try_poll().unwrap_err(),
        ConsumeError::NotSubscribed
    );
}

#[test]
fn a_refused_subscription_keeps_the_old_one() {
    let (broker, _topic) = make(small());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    assert!(consumer.subscribe(["nope"]).is_err());
    assert_eq!(consumer.assignment(), [TopicPartition::new(TOPIC, 0)]);
}

#[test]
fn an_invalid_configuration_is_refused_when_the_consumer_is_made() {
    let (broker, _topic) = make(small());
    let refused = broker.consumer(ConsumerConfig::new().max_poll_records(0));
    let invalid = ConsumeError::InvalidConfig {
        setting: "max_poll_records",
        value: 0,
        min: 1,
        max: u32::MAX.into(),
    };
    assert_eq!(refused.err(), Some(invalid));
}

#[test]
fn a_typed_view_that_does_not_fit_reports_why() {
    #[derive(FromBytes, Immutable)]
    #[repr(C, align(16))]
    struct Wide([u8; 16]);
    let (broker, topic) = make(tiny());
    let mut producer = topic.producer();
    producer.send_values(Destination::Any, &[1u64, 2]).unwrap();
    producer.send(Record::new("short")).unwrap();
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let batch = consumer.try_poll().unwrap();
    assert_eq!(batch.len(), 3);
    let size = |offset, length, size| ViewError::Size {
        offset,
        length,
        size,
    };
    assert_eq!(batch.values::<u64>().unwrap_err(), size(2, 5, 8));
    assert_eq!(batch.values::<u32>().unwrap_err(), size(0, 8, 4));
    let align = ViewError::Alignment { align: 16, max: 8 };
    assert_eq!(batch.values::<Wide>().unwrap_err(), align);
}
