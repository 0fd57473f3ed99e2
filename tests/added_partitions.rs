//! Adding partitions to a topic in use.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{TOPIC, drain, make, subscribed};
use ringlog::{
    ConsumeError, ConsumerConfig, Destination, OffsetReset, Overflow, Record, RoundRobin,
    SendError, Timestamps, TopicConfig, TopicError, TopicPartition,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

fn small() -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(4)
        .segment_bytes(256)
        .max_block(Duration::ZERO)
}

fn values(seen: &[(u32, u64, Vec<u8>)], partition: u32) -> Vec<u8> {
    let seen = seen.iter().filter(|record| record.0 == partition);
    seen.map(|record| record.2[0]).collect()
}

#[test]
fn existing_handles_use_the_new_partitions() {
    for timestamps in [Timestamps::Append, Timestamps::Given] {
        let (broker, topic) = make(small().timestamps(timestamps));
        let mut producer = topic.producer();
        let mut consumer = subscribed(&broker, ConsumerConfig::new());
        producer.send(Record::new(&[0])).unwrap();
        let out_of_range = |partition, partitions| SendError::PartitionOutOfRange {
            partition,
            partitions,
        };
        let refused = producer.send(Record::new("x").partition(1));
        assert_eq!(refused, Err(out_of_range(1, 1)));
        topic.add_partitions(3).unwrap();
        assert_eq!(topic.partitions(), 3);
        for n in 0..3u8 {
            let sent = producer.send(Record::new(&[10 + n]).partition(n.into()));
            assert_eq!(sent.unwrap().partition, u32::from(n));
        }
        let refused = producer.send(Record::new("x").partition(3));
        assert_eq!(refused, Err(out_of_range(3, 3)));
        let batch = [1, 2, 0].map(|p| Record::new("b").partition(p));
        assert_eq!(producer.send_batch(&batch).unwrap().len(), 3);
        producer
            .send_values(Destination::Partition(2), &[7u8])
            .unwrap();
        let mut claim = producer.claim(Destination::Partition(1), None, 1).unwrap();
        claim[0] = 8;
        claim.publish();
        let seen = drain(&mut consumer);
        assert_eq!(values(&seen, 0), [0, 10, b'b']);
        assert_eq!(values(&seen, 1), [11, b'b', 8]);
        assert_eq!(values(&seen, 2), [12, b'b', 7]);
        let all: Vec<_> = (0..3).map(|p| TopicPartition::new(TOPIC, p)).collect();
        assert_eq!(consumer.assignment(), all);
        assert_eq!(topic.log_end_offset(2), Ok(3));
    }
}

#[test]
fn keyed_and_keyless_records_spread_over_the_new_partitions() {
    let (_broker, topic) = make(
        small()
            .overflow(Overflow::DropOldest)
            .partitioner(RoundRobin),
    );
    let mut producer = topic.producer();
    topic.add_partitions(4).unwrap();
    let mut used: Vec<_> = (0..4)
        .map(|_| producer.send(Record::new("x")).unwrap().partition)
        .collect();
    used.sort_unstable();
    assert_eq!(used, [0, 1, 2, 3]);

    let (_broker, topic) = make(small().overflow(Overflow::DropOldest));
    let mut old = topic.producer();
    topic.add_partitions(5).unwrap();
    let mut new = topic.producer();
    let mut used = BTreeMap::new();
    for n in 0..100u8 {
        let home = new.send(Record::new("x").key(&[n])).unwrap().partition;
        assert_eq!(
            old.send(Record::new("x").key(&[n])).unwrap().partition,
            home
        );
        *used.entry(home).or_insert(0) += 1;
    }
    assert_eq!(used.len(), 5, "{used:?}");
}

#[test]
fn subscribers_read_new_partitions_from_the_first_record_and_lose_nothing() {
    for reset in [
        OffsetReset::Earliest,
        OffsetReset::Latest,
        OffsetReset::None,
    ] {
        let (broker, topic) = make(small());
        let config = ConsumerConfig::new().offset_reset(reset);
        let mut consumer = subscribed(&broker, config);
        consumer.seek_to_end((TOPIC, 0)).unwrap();
        topic.add_partitions(2).unwrap();
        let mut producer = topic.producer();
        let mut sent = 0u8;
        let full = loop {
            match producer.send(Record::new(&[sent]).partition(1)) {
                Ok(_) => sent += 1,
                Err(full) => break full,
            }
        };
        assert!(
            matches!(full, SendError::Full { partition: 1, .. }),
            "{full}"
        );
        assert_eq!(
            sent, 8,
            "records are held back for a subscriber that has not polled yet"
        );
        assert_eq!(values(&drain(&mut consumer), 1), (0..8).collect::<Vec<_>>());
        producer.send(Record::new(&[8]).partition(1)).unwrap();
        assert_eq!(values(&drain(&mut consumer), 1), [8]);
        // A subscriber that never polls the new partition holds nothing back once it is dropped.
        topic.add_partitions(3).unwrap();
        drop(consumer);
        for _ in 0..100 {
            producer.send(Record::new("x").partition(2)).unwrap();
        }
    }
}

#[test]
fn assigned_consumers_keep_their_partitions_and_subscribing_again_misses_none() {
    let (broker, topic) = make(small());
    let mut assigned = broker.consumer(ConsumerConfig::new()).unwrap();
    assigned.assign([TopicPartition::new(TOPIC, 0)]).unwrap();
    let latest = ConsumerConfig::new().offset_reset(OffsetReset::Latest);
    let mut again = subscribed(&broker, latest);
    topic.add_partitions(2).unwrap();
    let mut producer = topic.producer();
    for p in 0..2 {
        producer.send(Record::new(&[p as u8]).partition(p)).unwrap();
    }
    again.subscribe([TOPIC]).unwrap();
    let seen = drain(&mut again);
    assert_eq!((values(&seen, 0), values(&seen, 1)), (vec![0], vec![1]));
    assert_eq!(drain(&mut assigned).len(), 1);
    assert_eq!(assigned.assignment().len(), 1);
    let not_assigned = ConsumeError::NotAssigned {
        topic: TOPIC.to_owned(),
        partition: 1,
    };
    assert_eq!(assigned.position((TOPIC, 1)), Err(not_assigned));
    assigned.assign([TopicPartition::new(TOPIC, 1)]).unwrap();
    assert_eq!(values(&drain(&mut assigned), 1), [1]);
    // After unsubscribing, it gets no new partitions.
    again.unsubscribe();
    topic.add_partitions(3).unwrap();
    for _ in 0..100 {
        producer.send(Record::new("x").partition(2)).unwrap();
    }
    assert_eq!(again.try_poll().unwrap_err(), ConsumeError::NotSubscribed);
}

#[test]
fn an_exclusive_producer_and_a_paused_partition_are_unaffected() {
    let (broker, topic) = make(small());
    let mut producer = topic.exclusive_producer().unwrap();
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    producer.send(Record::new(&[1])).unwrap();
    consumer.pause((TOPIC, 0)).unwrap();
    topic.add_partitions(2).unwrap();
    producer.send(Record::new(&[2]).partition(1)).unwrap();
    let seen = drain(&mut consumer);
    assert_eq!((values(&seen, 0), values(&seen, 1)), (vec![], vec![2]));
    consumer.resume((TOPIC, 0)).unwrap();
    assert_eq!(values(&drain(&mut consumer), 0), [1]);
}

#[test]
fn memory_is_allocated_by_the_call() {
    let (_broker, topic) = make(small().partitions(2));
    let block = topic.memory_bytes() / 6;
    for total in [3, 4, 10] {
        topic.add_partitions(total).unwrap();
        assert_eq!(topic.memory_bytes(), total as usize * 3 * block);
    }
}

#[test]
fn a_refused_addition_changes_nothing() {
    let (broker, topic) = make(small().partitions(3));
    let mut producer = topic.producer();
    let before = topic.memory_bytes();
    for total in [0, 2, 3, 16_385, u32::MAX] {
        let refused = TopicError::InvalidConfig {
            setting: "partitions",
            value: total.into(),
            min: 4,
            max: 16_384,
        };
        assert_eq!(topic.add_partitions(total), Err(refused));
    }
    let (_other, most) = make(
        small()
            .segment_records(1)
            .segment_bytes(8)
            .partitions(16_384),
    );
    for asked in [0, 16_384, 16_385] {
        let refused = TopicError::NoMorePartitions {
            topic: TOPIC.into(),
            partitions: 16_384,
            asked,
        };
        assert_eq!(most.add_partitions(asked), Err(refused));
    }
    drop(most);
    let (_other, many) = make(small().segments(1000));
    let refused = many.add_partitions(66).unwrap_err();
    let too_many = TopicError::TooManySegments {
        segments: 66 * 1001,
        max: 65_535,
    };
    assert_eq!(refused, too_many);
    assert_eq!(many.partitions(), 1);
    many.add_partitions(65).unwrap();
    // 12 TiB.
    let (_other, large) = make(
        TopicConfig::new()
            .segments(2)
            .segment_bytes((256 << 20) - 8)
            .segment_records(1),
    );
    let memory = large.memory_bytes();
    let refused = large.add_partitions(16_000).unwrap_err();
    assert!(
        matches!(refused, TopicError::OutOfMemory { bytes } if bytes > 1 << 43),
        "{refused}"
    );
    assert_eq!((large.partitions(), large.memory_bytes()), (1, memory));
    large.producer().send(Record::new("x")).unwrap();
    broker.delete_topic(TOPIC).unwrap();
    let closed = TopicError::Closed {
        topic: TOPIC.into(),
    };
    assert_eq!(topic.add_partitions(4), Err(closed));
    assert_eq!((topic.partitions(), topic.memory_bytes()), (3, before));
    assert!(producer.send(Record::new("x")).is_err());
}

#[test]
fn partitions_added_beside_producers_and_consumers_lose_nothing() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        let config = small()
            .overflow(overflow)
            .max_block(Duration::from_secs(60));
        let (broker, topic) = make(config.segment_records(64).segment_bytes(2048));
        const EACH: u64 = 40_000;
        let mut consumer = subscribed(&broker, ConsumerConfig::new());
        let sent = Arc::new(AtomicU32::new(0));
        let producers: Vec<_> = (0..2u64)
            .map(|id| {
                let (mut producer, sent) = (topic.producer(), sent.clone());
                thread::spawn(move || {
                    for n in 0..EACH {
                        let value = (id << 32 | n).to_le_bytes();
                        producer
                            .send(Record::new(&value).key(&n.to_le_bytes()))
                            .unwrap();
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let adder = {
            let (topic, sent) = (topic.clone(), sent.clone());
            thread::spawn(move || {
                for total in 2..12 {
                    while sent.load(Ordering::Relaxed) < (total - 1) * 5_000 {
                        thread::yield_now();
                    }
                    topic.add_partitions(total).unwrap();
                }
            })
        };
        let (mut read, mut lost) = (0, 0);
        let mut next: BTreeMap<u32, u64> = BTreeMap::new();
        let mut take = |consumer: &mut ringlog::Consumer, wait| {
            let batch = consumer.poll(wait).unwrap();
            lost += batch.lost();
            let first = batch.iter().next().map_or(0, |record| record.offset());
            // Under `DropOldest`, it begins at the log start of its first poll.
            let begin = if overflow == Overflow::DropOldest {
                first
            } else {
                0
            };
            if batch.is_empty() {
                return (true, read + lost);
            }
            let begin = begin.saturating_sub(batch.lost());
            let next = next.entry(batch.partition().unwrap()).or_insert(begin);
            *next += batch.lost();
            for record in &batch {
                assert_eq!(record.offset(), *next);
                *next += 1;
            }
            read += batch.len() as u64;
            (batch.is_empty(), read + lost)
        };
        while take(&mut consumer, Duration::from_millis(10)).1 < 2 * EACH {
            if producers.iter().all(thread::JoinHandle::is_finished) {
                break;
            }
        }
        producers.into_iter().for_each(|p| p.join().unwrap());
        adder.join().unwrap();
        while !take(&mut consumer, Duration::ZERO).0 {}
        let (_, all) = take(&mut consumer, Duration::ZERO);
        let ends: u64 = (0..11).map(|p| topic.log_end_offset(p).unwrap()).sum();
        assert_eq!(ends, 2 * EACH);
        if overflow == Overflow::Backpressure {
            assert_eq!((all, lost), (2 * EACH, 0));
        } else {
            // It may come late to a new partition, and begins at the oldest retained record.
            assert!(all <= 2 * EACH);
        }
        assert_eq!(consumer.assignment().len(), 11);
    }
}

/// Polls an added partition late; returns the number of lost records, and the first offset.
fn poll_late(
    overflow: Overflow,
    reset: OffsetReset,
    appended: u32,
    deleted: Option<u64>,
) -> Result<(u64, u64), ConsumeError> {
    let (broker, topic) = make(small().overflow(overflow));
    let mut consumer = subscribed(&broker, ConsumerConfig::new().offset_reset(reset));
    consumer.seek_to_end((TOPIC, 0)).unwrap();
    topic.add_partitions(2).unwrap();
    let mut producer = topic.producer();
    for _ in 0..appended {
        producer.send(Record::new("x").partition(1)).unwrap();
    }
    if let Some(before) = deleted {
        topic.delete_records(1, before).unwrap();
    }
    let batch = consumer.try_poll()?;
    Ok((batch.lost(), batch.iter().next().unwrap().offset()))
}

#[test]
fn records_that_a_late_subscriber_missed_count_as_lost() {
    let out_of_range = |log_start, log_end| {
        Err(ConsumeError::OffsetOutOfRange {
            topic: TOPIC.into(),
            partition: 1,
            position: 0,
            log_start,
            log_end,
        })
    };
    // Two segments of four: of 20 records, offsets from 12 on are retained until the next roll.
    let found = poll_late(Overflow::DropOldest, OffsetReset::Earliest, 20, None);
    assert_eq!(found, Ok((12, 12)));
    let found = poll_late(Overflow::DropOldest, OffsetReset::None, 20, None);
    assert_eq!(found, out_of_range(12, 20));
    let found = poll_late(Overflow::Backpressure, OffsetReset::Earliest, 6, Some(5));
    assert_eq!(found, Ok((5, 5)));
    let found = poll_late(Overflow::Backpressure, OffsetReset::None, 6, Some(5));
    assert_eq!(found, out_of_range(5, 6));
    let found = poll_late(Overflow::Backpressure, OffsetReset::Latest, 6, None);
    assert_eq!(found, Ok((0, 0)));
}
