//! Every way to read.

use miri_tests::{POLICIES, TOPIC, bytes, drain, make, reader, small, subscribed};
use ringlog::{
    ConsumerConfig, Destination, OffsetReset, Overflow, Record, Timestamps, Topic, TopicPartition,
};
use std::time::Duration;

fn send(topic: &Topic, numbers: std::ops::Range<u8>) {
    let mut producer = topic.producer();
    for n in numbers {
        let sent = producer.try_send(Record::new(&[n; 9]).key("k").timestamp(n.into()));
        sent.unwrap();
    }
}

/// The references are taken before the ring wraps, and used after it: where a segment is reused
/// under them, Miri reports it.
#[test]
fn a_held_batch_stays_while_the_ring_wraps() {
    for policy in POLICIES {
        let (broker, topic) = make(small().overflow(policy));
        let mut consumer = reader(&broker);
        let mut producer = topic.producer();
        for round in 0..3u8 {
            for n in 0..3 {
                producer
                    .try_send(Record::new(&[round + n; 9]).key("k"))
                    .unwrap();
            }
            let batch = consumer.try_poll().unwrap();
            let held: Vec<_> = batch.iter().map(|r| (r.key(), bytes(&r))).collect();
            let again = batch.iter();
            // Until it is full, or over and over.
            for n in 100..130u8 {
                let _ = producer.try_send(Record::new(&[n; 17]));
            }
            let first = held[0].1[0];
            for (n, (key, value)) in (first..).zip(held) {
                assert_eq!((key, value), (Some(&b"k"[..]), &[n; 9][..]));
            }
            assert!(again.count() > 0);
            consumer.seek_to_end((TOPIC, 0)).unwrap();
            assert!(consumer.try_poll().unwrap().is_empty());
        }
    }
}

#[test]
fn held_values_stay_while_the_ring_wraps() {
    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let mut consumer = reader(&broker);
    let mut producer = topic.producer();
    producer
        .send_values(Destination::Any, &[1u64, 2, 3])
        .unwrap();
    let batch = consumer.try_poll().unwrap();
    let held: Vec<&u64> = batch.values().unwrap().collect();
    for n in 0..20u64 {
        producer.send_values(Destination::Any, &[n; 2]).unwrap();
    }
    assert_eq!(held, [&1, &2, &3]);
}

#[test]
fn positions_move_to_any_offset_and_time() {
    for policy in POLICIES {
        let config = small().overflow(policy).segments(4);
        let (broker, topic) = make(config.timestamps(Timestamps::Given));
        send(&topic, 0..14);
        let one = ConsumerConfig::new().max_poll_records(1);
        let mut consumer = subscribed(&broker, one);
        for offset in [0, 3, 4, 13, 7, 14] {
            consumer.seek((TOPIC, 0), offset).unwrap();
            let read = drain(&mut consumer);
            assert!(read.iter().map(|r| r.0).eq(offset..14));
        }
        consumer.seek_to_beginning((TOPIC, 0)).unwrap();
        assert_eq!(consumer.try_poll().unwrap().len(), 1);
        consumer.seek_to_time((TOPIC, 0), 6).unwrap();
        assert_eq!(drain(&mut consumer)[0], (6, vec![6; 9]));
        consumer.seek_to_end((TOPIC, 0)).unwrap();
        assert_eq!(consumer.lag((TOPIC, 0)), Ok(0));
        assert_eq!(consumer.lead((TOPIC, 0)), Ok(14));
        assert_eq!(topic.offset_for_time(0, 5).unwrap().unwrap().offset, 5);
        let all = [TopicPartition::new(TOPIC, 0)];
        assert_eq!(consumer.beginning_offsets(&all).unwrap()[&all[0]], 0);
        assert_eq!(consumer.end_offsets(&all).unwrap()[&all[0]], 14);
        consumer.seek_to_beginning((TOPIC, 0)).unwrap();
        consumer.pause((TOPIC, 0)).unwrap();
        assert!(drain(&mut consumer).is_empty());
        consumer.resume((TOPIC, 0)).unwrap();
        assert_eq!(drain(&mut consumer).len(), 14);
    }
}

#[test]
fn a_new_consumer_begins_where_its_policy_says() {
    let (broker, topic) = make(small());
    send(&topic, 0..5);
    for (reset, first) in [(OffsetReset::Earliest, 0), (OffsetReset::Latest, 5)] {
        let config = ConsumerConfig::new().offset_reset(reset);
        let mut consumer = subscribed(&broker, config);
        consumer.try_poll().unwrap();
        consumer.seek_to_end((TOPIC, 0)).unwrap();
        assert_eq!(consumer.position((TOPIC, 0)), Ok(5), "{first}");
    }
    let config = ConsumerConfig::new().offset_reset(OffsetReset::None);
    let mut consumer = subscribed(&broker, config);
    let _ = consumer.try_poll().map(|batch| batch.len());
    consumer.seek((TOPIC, 0), 99).unwrap();
    assert!(consumer.try_poll().is_err());
}

#[test]
fn deleted_and_retired_records_are_stepped_over() {
    let config = small().overflow(Overflow::DropOldest).segments(4);
    let (broker, topic) = make(config.retention(Duration::ZERO));
    let mut consumer = subscribed(&broker, ConsumerConfig::new().max_poll_records(1));
    send(&topic, 0..10);
    let batch = consumer.try_poll().unwrap();
    let held = batch.iter().next().unwrap();
    topic.apply_retention();
    topic.delete_records(0, 9).unwrap();
    send(&topic, 10..20);
    assert!(bytes(&held).iter().all(|byte| *byte == bytes(&held)[0]));
    let all = drain(&mut consumer);
    assert_eq!(all.last().unwrap().0, 19);
}

#[test]
fn added_partitions_are_read() {
    let (broker, topic) = make(small());
    let mut consumer = reader(&broker);
    send(&topic, 0..3);
    assert_eq!(drain(&mut consumer).len(), 3);
    for total in 2..5 {
        topic.add_partitions(total).unwrap();
        let mut producer = topic.producer();
        for partition in 0..total {
            let record = Record::new("x").partition(partition);
            producer.try_send(record).unwrap();
        }
        assert_eq!(drain(&mut consumer).len(), total as usize);
    }
    assert_eq!(consumer.assignment().len(), 4);
}

#[test]
fn statistics_are_read_beside_handles() {
    let (broker, topic) = make(small());
    send(&topic, 0..6);
    let mut consumer = reader(&broker);
    let batch = consumer.try_poll().unwrap();
    let snapshot = broker.snapshot();
    assert_eq!(snapshot.topics[0].partitions[0].appended_records, 6);
    assert_eq!(snapshot.consumers.len(), 1);
    assert_eq!(batch.len(), 4);
    assert_eq!(consumer.stats().partitions[0].lag, 2);
    assert!(!format!("{broker:?} {topic:?} {consumer:?}").is_empty());
}
