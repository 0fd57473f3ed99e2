//! Retention by time and by bytes, and deletion of records.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{TOPIC, drain, make, subscribed};
use ringlog::{
    ConsumeError, ConsumerConfig, Destination, OffsetReset, Overflow, Producer, Record, SendError,
    Timestamps, Topic, TopicConfig, TopicError, TopicPartition,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Eight segments of four records of 16 bytes.
fn small() -> TopicConfig {
    TopicConfig::new()
        .segments(8)
        .segment_records(4)
        .segment_bytes(64)
        .overflow(Overflow::DropOldest)
        .timestamps(Timestamps::Given)
        .max_block(Duration::ZERO)
}

fn send(producer: &mut Producer, count: u64) {
    for _ in 0..count {
        producer.send(Record::new(&[7; 16])).unwrap();
    }
}

fn start(topic: &Topic) -> u64 {
    topic.log_start_offset(0).unwrap()
}

#[test]
fn a_segment_is_retired_when_all_its_records_are_old_enough() {
    let first = Duration::from_millis(50);
    let mut times = (0..10).map(|n| first * 2u32.pow(n));
    assert!(times.any(retires_what_is_old_enough), "always too late");
}

#[test]
fn retention_can_be_set_later_and_taken_back() {
    let (_broker, topic) = make(small());
    let mut producer = topic.producer();
    send(&mut producer, 9); // the third segment is active
    topic.set_retention_bytes(Some(64));
    assert_eq!(start(&topic), 0, "it is not applied by itself");
    topic.apply_retention();
    assert_eq!(start(&topic), 4);
    topic.set_retention_bytes(None);
    send(&mut producer, 8);
    assert_eq!(start(&topic), 4);
    topic.set_retention(Some(Duration::ZERO));
    send(&mut producer, 4);
    assert_eq!(start(&topic), 16, "the roll applies it");
    topic.set_retention(None);
    send(&mut producer, 12);
    assert_eq!(start(&topic), 16);
}

#[test]
fn ages_are_counted_from_before_retention_was_set() {
    let first = Duration::from_millis(50);
    let mut times = (0..10).map(|n| first * 2u32.pow(n));
    assert!(times.any(counts_from_the_append), "always too late");
}

/// Returns `false` if this thread was so late that records grew old before they were looked at.
fn counts_from_the_append(kept: Duration) -> bool {
    let (_broker, topic) = make(small());
    let mut producer = topic.producer();
    send(&mut producer, 5); // the second segment is active
    thread::sleep(kept);
    let began = Instant::now();
    send(&mut producer, 4);
    topic.set_retention(Some(kept));
    topic.apply_retention();
    let start = start(&topic);
    if began.elapsed() >= kept {
        return false;
    }
    assert_eq!(start, 4, "the first segment is old enough, and no other is");
    true
}

/// Returns `false` if this thread was so late that records grew old before they were looked at.
fn retires_what_is_old_enough(kept: Duration) -> bool {
    let (_broker, topic) = make(small().retention(kept));
    let mut producer = topic.producer();
    let began = Instant::now();
    send(&mut producer, 9); // the third segment is active
    topic.apply_retention();
    let kept_so_far = start(&topic);
    if began.elapsed() >= kept {
        return false;
    }
    assert_eq!(kept_so_far, 0, "no record is old enough");
    thread::sleep(kept + Duration::from_millis(20));
    let began = Instant::now();
    send(&mut producer, 3);
    assert_eq!(start(&topic), 0, "retention was not applied");
    send(&mut producer, 1); // rolls to the fourth segment
    let after_the_roll = start(&topic);
    topic.apply_retention();
    let applied = start(&topic);
    if began.elapsed() >= kept {
        return false;
    }
    assert_eq!(after_the_roll, 8, "the first two were full long ago");
    assert_eq!(applied, 8, "the third got its last records just now");
    thread::sleep(kept + Duration::from_millis(20));
    topic.apply_retention();
    assert_eq!(start(&topic), 12, "the active segment stays, however old");
    assert_eq!(topic.log_end_offset(0), Ok(13));
    true
}

#[test]
fn retention_ignores_record_timestamps() {
    let (_broker, topic) = make(small().retention(Duration::from_secs(3600)));
    let mut producer = topic.producer();
    for time in [0, 1, i64::MAX, 2, 3, 4, 5, 6, 7] {
        producer.send(Record::new(&[7; 8]).timestamp(time)).unwrap();
    }
    topic.apply_retention();
    assert_eq!(start(&topic), 0);
}

#[test]
fn the_oldest_segment_is_retired_when_enough_bytes_follow_it() {
    for (bytes, kept) in [
        (0, 0),
        (1, 1),
        (64, 4),
        (65, 5),
        (100, 7),
        (160, 10),
        (10_000, 1000),
    ] {
        let (_broker, topic) = make(small().segments(100).retention_bytes(bytes));
        let mut producer = topic.producer();
        for sent in 1..60u64 {
            send(&mut producer, 1);
            topic.apply_retention();
            let start = start(&topic);
            assert_eq!(start % 4, 0);
            let (with, without) = (sent - start, (sent - start).saturating_sub(4));
            assert!(
                with >= kept.min(sent),
                "{bytes}: too little at {sent}: {with}"
            );
            let active = (sent - 1) / 4 * 4;
            assert!(
                without < kept || start == active,
                "{bytes}: too much at {sent}: {with}"
            );
        }
        // Rolls alone retain the same, except for the segment that has just become active.
        let (_broker, rolled) = make(small().segments(100).retention_bytes(bytes));
        let mut producer = rolled.producer();
        send(&mut producer, 57);
        let late = start(&topic) - start(&rolled);
        assert!(late <= 4, "{bytes}: {late}");
    }
}

#[test]
fn the_size_of_the_ring_is_a_limit_as_well() {
    let (_broker, topic) = make(small().retention_bytes(1 << 40).retention(Duration::MAX));
    let mut producer = topic.producer();
    send(&mut producer, 1000);
    assert_eq!(start(&topic), 1000 - 32);
}

#[test]
fn under_backpressure_unread_segments_stay_until_they_are_read() {
    let config = small().overflow(Overflow::Backpressure);
    let (broker, topic) = make(config.retention(Duration::ZERO));
    let mut producer = topic.producer();
    let one = ConsumerConfig::new().max_poll_records(1);
    let mut consumer = subscribed(&broker, one);
    send(&mut producer, 20);
    topic.apply_retention();
    assert_eq!(start(&topic), 0);
    for _ in 0..6 {
        consumer.try_poll().unwrap();
    }
    topic.apply_retention();
    assert_eq!(start(&topic), 4);
    let all: Vec<u64> = drain(&mut consumer).iter().map(|r| r.1).collect();
    assert_eq!(all, (6..20).collect::<Vec<_>>());
    topic.apply_retention();
    assert_eq!(start(&topic), 16);
    // Without readers, nothing is held back.
    drop(consumer);
    send(&mut producer, 100);
    assert_eq!(topic.log_end_offset(0).unwrap() - start(&topic), 8);
}

#[test]
fn under_drop_oldest_a_reader_gets_the_number_of_lost_records() {
    let (broker, topic) = make(small().retention(Duration::ZERO));
    let mut producer = topic.producer();
    let one = ConsumerConfig::new().max_poll_records(1);
    let mut consumer = subscribed(&broker, one);
    send(&mut producer, 2);
    let held = consumer.try_poll().unwrap();
    send(&mut producer, 18);
    topic.apply_retention();
    assert_eq!(held.iter().next().unwrap().value_bytes(), [7; 16]);
    let batch = consumer.try_poll().unwrap();
    assert_eq!(
        (batch.lost(), batch.iter().next().unwrap().offset()),
        (15, 16)
    );
}

#[test]
fn retention_beside_producers_and_readers_loses_no_segment_and_no_count() {
    for overflow in [Overflow::DropOldest, Overflow::Backpressure] {
        let config = small()
            .overflow(overflow)
            .max_block(Duration::from_secs(60));
        let (broker, topic) = make(config.segments(4).retention_bytes(64));
        let memory = topic.memory_bytes();
        let done = Arc::new(AtomicBool::new(false));
        let appliers: Vec<_> = (0..2)
            .map(|_| {
                let (topic, done) = (topic.clone(), done.clone());
                thread::spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        topic.apply_retention();
                    }
                })
            })
            .collect();
        let producers: Vec<_> = (0..2)
            .map(|_| {
                let mut producer = topic.producer();
                thread::spawn(move || send(&mut producer, 50_000))
            })
            .collect();
        let mut consumer = subscribed(&broker, ConsumerConfig::new());
        let mut next = consumer.position((TOPIC, 0)).unwrap();
        while next < 100_000 {
            let batch = consumer.poll(Duration::from_secs(60)).unwrap();
            assert!(overflow == Overflow::DropOldest || batch.lost() == 0);
            next += batch.lost();
            for record in &batch {
                assert_eq!(record.offset(), next);
                next += 1;
            }
        }
        producers.into_iter().for_each(|p| p.join().unwrap());
        done.store(true, Ordering::Relaxed);
        appliers.into_iter().for_each(|a| a.join().unwrap());
        // Two producers, a consumer and two threads that apply retention: five handles at once.
        let block = memory / 5;
        assert!(topic.memory_bytes() <= memory + 8 * block);
    }
}

// ---- records that are deleted -----------------------------------------------------------

fn offsets(seen: &[(u32, u64, Vec<u8>)]) -> Vec<u64> {
    seen.iter().map(|&(_, offset, _)| offset).collect()
}

#[test]
fn deleted_records_are_never_read() {
    for overflow in [Overflow::DropOldest, Overflow::Backpressure] {
        let (broker, topic) = make(small().overflow(overflow));
        let mut producer = topic.producer();
        send(&mut producer, 20);
        let one = ConsumerConfig::new().max_poll_records(1);
        let mut after = subscribed(&broker, one.clone());
        let mut before = subscribed(&broker, one.clone());
        let mut exact = subscribed(&broker, one.clone());
        for consumer in [&mut after, &mut before, &mut exact] {
            assert_eq!(consumer.try_poll().unwrap().len(), 1);
        }
        exact.seek((TOPIC, 0), 10).unwrap();
        after.seek((TOPIC, 0), 17).unwrap();
        assert_eq!(topic.delete_records(0, 10), Ok(10));
        assert_eq!(start(&topic), 10);
        let all = [TopicPartition::new(TOPIC, 0)];
        assert_eq!(exact.beginning_offsets(&all).unwrap()[&all[0]], 10);
        // The consumer before the new log start loses records. One at it, one past it and a new one
        // lose none.
        let batch = before.try_poll().unwrap();
        let first = batch.iter().next().unwrap().offset();
        assert_eq!((batch.lost(), first, batch.len()), (9, 10, 1));
        assert_eq!(before.lead((TOPIC, 0)), Ok(1));
        assert_eq!(exact.try_poll().unwrap().lost(), 0);
        assert_eq!(offsets(&drain(&mut exact)), (11..20).collect::<Vec<_>>());
        assert_eq!(offsets(&drain(&mut after)), [17, 18, 19]);
        let mut new = subscribed(&broker, ConsumerConfig::new());
        assert_eq!(new.position((TOPIC, 0)), Ok(10));
        assert_eq!(offsets(&drain(&mut new)), (10..20).collect::<Vec<_>>());
        // An offset before the log start is out of range; seeking to the beginning goes there.
        new.seek((TOPIC, 0), 9).unwrap();
        assert_eq!(new.try_poll().unwrap().iter().next().unwrap().offset(), 10);
        new.seek_to_beginning((TOPIC, 0)).unwrap();
        assert_eq!(new.position((TOPIC, 0)), Ok(10));
        assert_eq!(topic.offset_for_time(0, 0), Ok(None));
    }
}

#[test]
fn deleting_only_moves_forward_and_not_past_the_end() {
    let (_broker, topic) = make(small().segments(2));
    let mut producer = topic.producer();
    assert_eq!(topic.delete_records(0, 0), Ok(0));
    send(&mut producer, 10); // retained: 4 to 9
    assert_eq!(topic.delete_records(0, 2), Ok(4), "overwritten before");
    assert_eq!(topic.delete_records(0, 7), Ok(7));
    assert_eq!(
        topic.delete_records(0, 5),
        Ok(7),
        "deleted records stay deleted"
    );
    assert_eq!(topic.delete_records(0, 10), Ok(10));
    assert_eq!((start(&topic), topic.log_end_offset(0)), (10, Ok(10)));
    for offset in [11, u64::MAX] {
        let outside = TopicError::OffsetOutOfRange {
            topic: TOPIC.into(),
            partition: 0,
            offset,
            log_start: 10,
            log_end: 10,
        };
        assert_eq!(topic.delete_records(0, offset), Err(outside));
    }
    let no_partition = TopicError::PartitionOutOfRange {
        topic: TOPIC.into(),
        partition: 1,
        partitions: 1,
    };
    assert_eq!(topic.delete_records(1, 0), Err(no_partition));
    send(&mut producer, 100);
    assert_eq!(start(&topic), 104, "the ring wraps as before");
}

#[test]
fn a_deleted_topic_refuses_to_delete_records() {
    let (broker, topic) = make(small());
    send(&mut topic.producer(), 3);
    broker.delete_topic(TOPIC).unwrap();
    let closed = TopicError::Closed {
        topic: TOPIC.into(),
    };
    assert_eq!(topic.delete_records(0, 1), Err(closed));
    assert_eq!(start(&topic), 0);
}

#[test]
fn without_a_reset_policy_every_poll_of_deleted_records_is_an_error() {
    let (broker, topic) = make(small());
    let config = ConsumerConfig::new().offset_reset(OffsetReset::None);
    let mut consumer = subscribed(&broker, config);
    consumer.seek((TOPIC, 0), 0).unwrap();
    send(&mut topic.producer(), 6);
    topic.delete_records(0, 5).unwrap();
    let outside = ConsumeError::OffsetOutOfRange {
        topic: TOPIC.into(),
        partition: 0,
        position: 0,
        log_start: 5,
        log_end: 6,
    };
    assert_eq!(consumer.try_poll().unwrap_err(), outside);
    assert_eq!(consumer.try_poll().unwrap_err(), outside);
    consumer.seek_to_beginning((TOPIC, 0)).unwrap();
    assert_eq!(offsets(&drain(&mut consumer)), [5]);
}

#[test]
fn a_held_batch_stays_when_its_records_are_deleted() {
    for overflow in [Overflow::DropOldest, Overflow::Backpressure] {
        let (broker, topic) = make(small().overflow(overflow).segments(2));
        let mut producer = topic.producer();
        let mut consumer = subscribed(&broker, ConsumerConfig::new());
        send(&mut producer, 3);
        let batch = consumer.try_poll().unwrap();
        topic.delete_records(0, 3).unwrap();
        while topic.log_end_offset(0).unwrap() < 40 {
            if producer.try_send(Record::new(&[9; 16])).is_err() {
                break;
            }
        }
        assert!(batch.iter().all(|record| record.value_bytes() == [7; 16]));
    }
}

#[test]
fn under_backpressure_a_consumer_releases_deleted_records_at_its_next_poll() {
    let config = small().overflow(Overflow::Backpressure).segments(2);
    for paused in [false, true] {
        let (broker, topic) = make(config.clone());
        let mut producer = topic.producer();
        let mut consumer = subscribed(&broker, ConsumerConfig::new());
        if paused {
            consumer.pause((TOPIC, 0)).unwrap();
        }
        send(&mut producer, 8);
        let full = producer.try_send(Record::new("x")).unwrap_err();
        assert!(matches!(full, SendError::Full { .. }));
        topic.delete_records(0, 8).unwrap();
        assert!(
            producer.try_send(Record::new("x")).is_err(),
            "the consumer may still read the segment"
        );
        assert!(consumer.try_poll().unwrap().is_empty());
        producer.try_send(Record::new("x")).unwrap();
        consumer.resume((TOPIC, 0)).unwrap();
        let batch = consumer.try_poll().unwrap();
        let first = batch.iter().next().unwrap().offset();
        assert_eq!((batch.lost(), first), (8, 8));
    }
}

#[test]
fn records_may_be_deleted_up_to_the_middle_of_a_frame() {
    let (broker, topic) = make(small().segment_records(16).segment_bytes(1024));
    let mut producer = topic.producer();
    producer
        .send_values(Destination::Any, &[0u64, 1, 2, 3, 4, 5])
        .unwrap();
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    topic.delete_records(0, 4).unwrap();
    let batch = consumer.try_poll().unwrap();
    let values: Vec<u64> = batch.values::<u64>().unwrap().copied().collect();
    assert_eq!((values, batch.lost()), (vec![4, 5], 4));
}

#[test]
fn a_claim_may_be_deleted_before_it_is_published() {
    let (broker, topic) = make(small());
    let (mut producer, mut other) = (topic.producer(), topic.producer());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let claim = producer.claim(Destination::Any, None, 1).unwrap();
    send(&mut other, 2);
    topic.delete_records(0, 1).unwrap();
    let _ = consumer.try_poll().unwrap(); // may or may not wait for the claim
    claim.publish();
    let rest = drain(&mut consumer);
    assert!(offsets(&rest).iter().all(|&offset| offset >= 1));
    assert_eq!(consumer.position((TOPIC, 0)), Ok(3));
}

#[test]
fn deleting_beside_producers_and_consumers_is_exact() {
    for overflow in [Overflow::DropOldest, Overflow::Backpressure] {
        let config = small()
            .overflow(overflow)
            .max_block(Duration::from_secs(60));
        let (broker, topic) = make(config.segments(4).segment_records(32).segment_bytes(512));
        let mut producer = topic.producer();
        let mut consumers =
            [3, 500].map(|max| subscribed(&broker, ConsumerConfig::new().max_poll_records(max)));
        let sender = thread::spawn(move || send(&mut producer, 200_000));
        let done = Arc::new(AtomicBool::new(false));
        let (deleted, stop) = (topic.clone(), done.clone());
        let deleter = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let (start, end) = (start(&deleted), deleted.log_end_offset(0).unwrap());
                deleted
                    .delete_records(0, start + (end - start) / 2)
                    .unwrap();
                thread::yield_now();
            }
        });
        let mut next = [0, 0];
        while next.iter().any(|&n| n < 200_000) {
            for (consumer, next) in consumers.iter_mut().zip(&mut next) {
                let before = start(&topic);
                let batch = consumer.try_poll().unwrap();
                *next += batch.lost();
                for record in &batch {
                    assert!(record.offset() >= before, "deleted before the poll");
                    assert_eq!(record.offset(), *next);
                    *next += 1;
                }
            }
            // Records deleted at the very end are reported as lost with the next batch only.
            if sender.is_finished() && consumers.iter().all(|c| c.lag((TOPIC, 0)) == Ok(0)) {
                break;
            }
        }
        sender.join().unwrap();
        done.store(true, Ordering::Relaxed);
        deleter.join().unwrap();
        topic.producer().send(Record::new("last")).unwrap();
        for (consumer, next) in consumers.iter_mut().zip(&next) {
            let batch = consumer.try_poll().unwrap();
            assert_eq!(next + batch.lost(), 200_000);
        }
    }
}
