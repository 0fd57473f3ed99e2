//! What a topic keeps: by time, by bytes, and until it is told to give it up.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{TOPIC, drain, make, subscribed};
use ringlog::{ConsumerConfig, Overflow, Producer, Record, Timestamps, Topic, TopicConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

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
fn whole_segments_go_when_all_their_records_are_old_enough() {
    let kept = Duration::from_millis(200);
    let (_broker, topic) = make(small().retention(kept));
    let mut producer = topic.producer();
    send(&mut producer, 9); // the third segment has begun
    topic.apply_retention();
    assert_eq!(start(&topic), 0, "nothing goes before its time");
    thread::sleep(kept + Duration::from_millis(20));
    send(&mut producer, 3);
    assert_eq!(start(&topic), 0, "nobody has looked");
    send(&mut producer, 1); // and begins the fourth
    assert_eq!(start(&topic), 8, "those before were full long ago");
    topic.apply_retention();
    assert_eq!(start(&topic), 8, "the third had its last records just now");
    thread::sleep(kept + Duration::from_millis(20));
    topic.apply_retention();
    assert_eq!(
        start(&topic),
        12,
        "the segment that is appended to stays, however old"
    );
    assert_eq!(topic.log_end_offset(0), Ok(13));
}

#[test]
fn the_times_that_records_were_given_do_not_matter() {
    let (_broker, topic) = make(small().retention(Duration::from_secs(3600)));
    let mut producer = topic.producer();
    for time in [0, 1, i64::MAX, 2, 3, 4, 5, 6, 7] {
        producer.send(Record::new(&[7; 8]).timestamp(time)).unwrap();
    }
    topic.apply_retention();
    assert_eq!(start(&topic), 0);
}

#[test]
fn the_oldest_segment_goes_when_enough_bytes_are_behind_it() {
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
        // By rolls alone it comes to the same, but for the segment that has just begun.
        let (_broker, rolled) = make(small().segments(100).retention_bytes(bytes));
        let mut producer = rolled.producer();
        send(&mut producer, 57);
        let late = start(&topic) - start(&rolled);
        assert!(late <= 4, "{bytes}: {late}");
    }
}

#[test]
fn the_ring_is_a_limit_besides() {
    let (_broker, topic) = make(small().retention_bytes(1 << 40).retention(Duration::MAX));
    let mut producer = topic.producer();
    send(&mut producer, 1000);
    assert_eq!(start(&topic), 1000 - 32);
}

#[test]
fn under_backpressure_what_is_unread_stays_and_goes_when_it_is_read() {
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
    // Nobody reads: nothing is held back.
    drop(consumer);
    send(&mut producer, 100);
    assert_eq!(topic.log_end_offset(0).unwrap() - start(&topic), 8);
}

#[test]
fn under_drop_oldest_a_reader_is_told_what_it_lost() {
    let (broker, topic) = make(small().retention(Duration::ZERO));
    let mut producer = topic.producer();
    let one = ConsumerConfig::new().max_poll_records(1);
    let mut consumer = subscribed(&broker, one);
    send(&mut producer, 2);
    let held = consumer.try_poll().unwrap();
    send(&mut producer, 18);
    topic.apply_retention();
    assert_eq!(held.iter().next().unwrap().value(), [7; 16]);
    drop(held);
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
        let applies: Vec<_> = (0..2)
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
        let mut next = consumer.position(TOPIC, 0).unwrap();
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
        applies.into_iter().for_each(|a| a.join().unwrap());
        // Two producers, a consumer and two that apply: five handles at once.
        let block = memory / 5;
        assert!(topic.memory_bytes() <= memory + 8 * block);
    }
}
