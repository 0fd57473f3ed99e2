//! A consumer of many partitions, of which few are busy.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::conditions::{CountSleepers, LONG, woken};
use common::{make, subscribed};
use ringlog::{Consumer, ConsumerConfig, Overflow, Producer, Record, TopicConfig};
use std::thread;
use std::time::Duration;

/// Partitions that a poll advances in its round, as the library's poll order promises.
const STEP: u32 = 4;

fn small(partitions: u32) -> TopicConfig {
    TopicConfig::new()
        .partitions(partitions)
        .segments(2)
        .segment_records(16)
        .segment_bytes(1024)
}

fn send(producer: &mut Producer, partition: u32) {
    let value = partition.to_ne_bytes();
    producer
        .try_send(Record::new(&value).partition(partition))
        .unwrap();
}

/// Polls one record, and returns its partition.
fn polled(consumer: &mut Consumer, timeout: Duration) -> Option<u32> {
    let batch = consumer.poll(timeout).unwrap();
    assert!(batch.len() <= 1);
    let record = batch.iter().next()?;
    assert_eq!(
        record.value_bytes(),
        batch.partition().unwrap().to_ne_bytes()
    );
    batch.partition()
}

fn one_by_one() -> ConsumerConfig {
    ConsumerConfig::new().max_poll_records(1)
}

#[test]
fn a_record_in_an_idle_partition_is_found_within_the_bound_beside_busy_ones() {
    for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
        for busy in [&[50u32][..], &[0, 1, 99]] {
            let (broker, topic) = make(small(100).overflow(overflow));
            let mut consumer = subscribed(&broker, one_by_one());
            let mut producer = topic.producer();
            let mut keep_busy = |polled: Option<u32>| {
                let polled = polled.unwrap();
                assert!(busy.contains(&polled));
                send(&mut producer, polled);
            };
            for &partition in busy {
                (0..3).for_each(|_| send(&mut topic.producer(), partition));
            }
            (0..1000).for_each(|_| keep_busy(polled(&mut consumer, Duration::ZERO)));
            // Backwards: each lies where the round has just been.
            for idle in (0..100).rev().filter(|p| !busy.contains(p)) {
                send(&mut topic.producer(), idle);
                let mut polls = 1;
                loop {
                    match polled(&mut consumer, Duration::ZERO) {
                        Some(found) if found == idle => break,
                        other => keep_busy(other),
                    }
                    polls += 1;
                }
                assert!(polls <= 100 / STEP, "partition {idle}: {polls} polls");
            }
        }
    }
}

#[test]
fn busy_partitions_are_read_in_turn_each_record_once_and_in_order() {
    const PARTITIONS: u32 = 40;
    let (broker, topic) = make(small(PARTITIONS));
    let mut consumer = subscribed(&broker, one_by_one());
    let mut producer = topic.producer();
    let mut next = [0u64; PARTITIONS as usize];
    let mut sent = next;
    let mut random = 1u64;
    for step in 0..20_000 {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
        // The number of busy partitions changes every 64 records.
        let among = [PARTITIONS, 3, 1, 17][step / 64 % 4];
        let partition = (random >> 33) as u32 % among;
        let value = partition.to_ne_bytes();
        if producer
            .try_send(Record::new(&value).partition(partition))
            .is_ok()
        {
            sent[partition as usize] += 1;
        }
        for _ in 0..step / 512 % 3 {
            let batch = consumer.try_poll().unwrap();
            for record in &batch {
                let next = &mut next[batch.partition().unwrap() as usize];
                assert_eq!(record.offset(), *next);
                *next += 1;
            }
        }
    }
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            break;
        }
        next[batch.partition().unwrap() as usize] += batch.len() as u64;
    }
    assert_eq!(next, sent);
}

#[test]
fn changes_are_noticed_beside_a_busy_partition() {
    let (broker, topic) = make(small(20));
    broker.create_topic("other", small(20)).unwrap();
    let mut consumer = broker.consumer(one_by_one()).unwrap();
    consumer.subscribe(["t", "other"]).unwrap();
    let mut producer = topic.producer();
    let mut send_and_poll = |consumer: &mut Consumer| {
        send(&mut producer, 3);
        consumer.try_poll().map(|batch| batch.partition())
    };
    (0..100).for_each(|_| assert_eq!(send_and_poll(&mut consumer).unwrap(), Some(3)));
    // Partitions are added.
    topic.add_partitions(30).unwrap();
    send(&mut topic.producer(), 29);
    let polls = (1..).find(|_| send_and_poll(&mut consumer).unwrap() == Some(29));
    assert!(
        polls.is_some_and(|polls| polls <= 50 / STEP + 1),
        "{polls:?}"
    );
    // The busy partition is paused.
    consumer.pause(("t", 3)).unwrap();
    assert_eq!(polled(&mut consumer, Duration::ZERO), None);
    consumer.resume(("t", 3)).unwrap();
    assert_eq!(polled(&mut consumer, Duration::ZERO), Some(3));
    // A partition is read again.
    consumer.seek_to_beginning(("t", 29)).unwrap();
    let polls = (1..).find(|_| send_and_poll(&mut consumer).unwrap() == Some(29));
    assert!(polls.is_some_and(|polls| polls <= 50 / STEP), "{polls:?}");
    // A poll is ended by a wakeup.
    consumer.wakeup_handle().wakeup();
    assert!(send_and_poll(&mut consumer).is_err());
    // A topic is deleted.
    broker.delete_topic("other").unwrap();
    let polls = (1..1000).find(|_| send_and_poll(&mut consumer).is_err());
    assert!(polls.is_some_and(|polls| polls <= 50 / STEP), "{polls:?}");
}

#[test]
fn a_blocking_poll_waits_for_all_its_partitions() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(small(100).wait(sleepers.strategy()));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer();
    for partition in [0, 99, 50, 50, 1] {
        let polling = sleepers.asleep(|| {
            thread::spawn(move || {
                let found = woken("the poll", || polled(&mut consumer, LONG));
                assert_eq!(found, Some(partition));
                consumer
            })
        });
        send(&mut producer, partition);
        consumer = polling.join().unwrap();
    }
}
