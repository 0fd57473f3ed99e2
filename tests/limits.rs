//! What comes after years: the ends of offsets and of segment numbers, reached from near by.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)]

mod common;

use common::TOPIC;
use ringlog::{Broker, ConsumerConfig, Overflow, Record, Route, SendError, TopicConfig};

/// Two records a segment, beginning at this segment number and offset.
fn config(segment: u64, offset: u64) -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(2)
        .overflow(Overflow::DropOldest)
        .begin_at(segment, offset)
}

/// Sends until it is refused, and answers the offsets it got and why it ended.
fn send_all(config: TopicConfig) -> (Broker, Vec<u64>, SendError) {
    let broker = Broker::new();
    let mut producer = broker.create_topic(TOPIC, config).unwrap().producer();
    let mut offsets = Vec::new();
    loop {
        match producer.try_send(Record::new(&offsets.len().to_le_bytes())) {
            Ok(metadata) => offsets.push(metadata.offset),
            Err(end) => return (broker, offsets, end),
        }
        assert!(offsets.len() < 1000, "no end");
    }
}

fn read_all(broker: &Broker) -> Vec<u64> {
    let mut consumer = broker.consumer(ConsumerConfig::new());
    consumer.subscribe(&[TOPIC]).unwrap();
    let mut offsets = Vec::new();
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            return offsets;
        }
        offsets.extend(batch.iter().map(|record| record.offset()));
    }
}

#[test]
fn the_last_offsets_are_given_once_and_then_the_partition_is_exhausted() {
    let first = u64::MAX - 9;
    let (broker, offsets, end) = send_all(config(0, first));
    assert!(matches!(end, SendError::Exhausted { partition: 0, .. }));
    assert!(offsets.len() >= 6, "{offsets:?}");
    assert!(offsets.iter().zip(first..).all(|(&a, b)| a == b));
    let retained = read_all(&broker);
    assert_eq!(retained, offsets[offsets.len() - retained.len()..]);
    assert!(retained.len() >= 3);
}

#[test]
fn the_last_segment_numbers_are_used_once_and_then_the_partition_is_exhausted() {
    let last = (1 << 48) - 2;
    let (broker, offsets, end) = send_all(config(last - 3, 7));
    assert!(matches!(end, SendError::Exhausted { partition: 0, .. }));
    // Four segments of two records.
    assert_eq!(offsets, (7..15).collect::<Vec<_>>());
    assert_eq!(read_all(&broker), (11..15).collect::<Vec<_>>());
    assert!(end.to_string().contains("no offsets left"));
}

#[test]
fn seeks_and_bounds_are_right_at_the_far_end() {
    let first = u64::MAX - 9;
    let (broker, offsets, _) = send_all(config((1 << 48) - 20, first));
    let topic = broker.topic(TOPIC).unwrap();
    let end = offsets.last().unwrap() + 1;
    assert_eq!(topic.log_end_offset(0).unwrap(), end);
    let mut consumer = broker.consumer(ConsumerConfig::new());
    consumer.subscribe(&[TOPIC]).unwrap();
    for offset in topic.log_start_offset(0).unwrap()..end {
        consumer.seek(TOPIC, 0, offset).unwrap();
        let batch = consumer.try_poll().unwrap();
        assert_eq!(batch.iter().next().unwrap().offset(), offset);
    }
    consumer.seek(TOPIC, 0, u64::MAX).unwrap();
    assert!(
        !consumer.try_poll().unwrap().is_empty(),
        "reset to the earliest"
    );
}

#[test]
fn a_reader_at_the_end_of_the_last_segment_waits_there() {
    let broker = Broker::new();
    let config = TopicConfig::new()
        .segments(4)
        .segment_records(4)
        .begin_at(u64::MAX, 0);
    let mut producer = broker.create_topic(TOPIC, config).unwrap().producer();
    for _ in 0..4 {
        producer.try_send(Record::new(b"x")).unwrap();
    }
    let end = producer.try_send(Record::new(b"x")).unwrap_err();
    assert!(matches!(end, SendError::Exhausted { .. }));
    assert_eq!(read_all(&broker), [0, 1, 2, 3]);
}

#[test]
fn values_without_a_size_are_counted_all_the_same() {
    let broker = Broker::new();
    let topic = broker.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let sent = topic.producer().send_values(Route::Any, &[(); 3]).unwrap();
    assert_eq!((sent.base_offset, sent.records), (0, 3));
    let mut consumer = broker.consumer(ConsumerConfig::new());
    consumer.subscribe(&[TOPIC]).unwrap();
    let batch = consumer.try_poll().unwrap();
    assert_eq!(batch.values::<()>().unwrap().count(), 3);
    assert!(batch.values::<u8>().is_err());
}

#[test]
fn segments_of_any_size_work_not_only_powers_of_two() {
    for segments in [2, 3, 5, 7] {
        for records in [1, 3, 6, 11] {
            let broker = Broker::new();
            let config = TopicConfig::new()
                .segments(segments)
                .segment_records(records)
                .segment_bytes(24 * records as usize + 8)
                .overflow(Overflow::DropOldest);
            let mut producer = broker.create_topic(TOPIC, config).unwrap().producer();
            for n in 0..200u64 {
                let sent = producer.send(Record::new(&n.to_le_bytes())).unwrap();
                assert_eq!(sent.offset, n);
            }
            let offsets = read_all(&broker);
            assert_eq!(*offsets.last().unwrap(), 199);
            assert!(offsets.windows(2).all(|w| w[0] + 1 == w[1]));
            assert!(offsets.len() as u32 > (segments - 1) * records);
            assert!(offsets.len() as u32 <= segments * records);
        }
    }
}
