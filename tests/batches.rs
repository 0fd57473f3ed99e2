//! What a batch says of itself, and committing through it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{TOPIC, make, subscribed};
use ringlog::{
    Broker, ConsumeError, ConsumerConfig, Destination, FenceReason, Overflow, Record, Topic,
    TopicConfig, TopicPartition,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

/// Two segments of four records.
fn small() -> TopicConfig {
    TopicConfig::new().segments(2).segment_records(4)
}

fn manual() -> ConsumerConfig {
    ConsumerConfig::new().group("g").auto_commit(false)
}

fn send(topic: &Topic, records: u32, partition: u32) {
    let mut producer = topic.producer();
    for n in 0..records {
        let value = n.to_le_bytes();
        producer
            .send(Record::new(&value).partition(partition))
            .unwrap();
    }
}

fn committed(broker: &Broker, partition: u32) -> Option<u64> {
    let group = broker.describe_group("g").unwrap();
    let mut partitions = group.partitions.iter();
    let found = partitions.find(|p| p.topic_partition == (TOPIC, partition).into());
    found.and_then(|p| p.committed)
}

#[test]
fn a_batch_knows_its_partition_and_its_offsets() {
    let (broker, topic) = make(small().partitions(2));
    send(&topic, 3, 1);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let batch = consumer.try_poll().unwrap();
    assert_eq!((batch.topic(), batch.partition()), (Some(TOPIC), Some(1)));
    assert_eq!(
        batch.topic_partition(),
        Some(&TopicPartition::new(TOPIC, 1))
    );
    assert_eq!(
        (batch.first_offset(), batch.last_offset()),
        (Some(0), Some(2))
    );
    assert_eq!(batch.next_offset(), Some(3));
    let next = batch.next_offset();
    assert_eq!(consumer.position((TOPIC, 1)).ok(), next);
    let empty = consumer.try_poll().unwrap();
    assert!(empty.is_empty() && empty.commit().is_ok());
    assert_eq!((empty.topic(), empty.partition()), (None, None));
    assert_eq!((empty.first_offset(), empty.last_offset()), (None, None));
    assert_eq!((empty.next_offset(), empty.topic_partition()), (None, None));
}

#[test]
fn the_next_offset_is_behind_aborted_claims() {
    let (broker, topic) = make(small());
    let mut producer = topic.producer();
    let any = Destination::Any;
    producer.send(Record::new("a")).unwrap();
    drop(producer.claim(any, None, 1).unwrap());
    producer.send_values(any, &[1u64]).unwrap();
    drop(producer.claim(any, None, 1).unwrap());
    let mut consumer = subscribed(&broker, manual());
    let batch = consumer.try_poll().unwrap();
    assert_eq!(
        (batch.first_offset(), batch.last_offset()),
        (Some(0), Some(2))
    );
    batch.commit().unwrap();
    let next = batch.next_offset();
    assert!(next >= Some(3));
    assert_eq!(committed(&broker, 0), next);
    assert_eq!(consumer.position((TOPIC, 0)).ok(), next);
}

#[test]
fn records_may_be_committed_one_by_one_while_the_batch_is_held() {
    let (broker, topic) = make(small());
    send(&topic, 4, 0);
    let mut consumer = subscribed(&broker, manual());
    let batch = consumer.try_poll().unwrap();
    for record in &batch {
        assert_eq!(
            committed(&broker, 0),
            (record.offset() > 0).then(|| record.offset())
        );
        batch.commit_through(&record).unwrap();
    }
    assert_eq!(committed(&broker, 0), Some(4));
    // Also backwards, as in Kafka.
    batch.commit_through(&batch.iter().next().unwrap()).unwrap();
    assert_eq!(committed(&broker, 0), Some(1));
}

#[test]
fn a_record_of_another_batch_is_refused() {
    let (broker, topic) = make(small().partitions(2));
    send(&topic, 4, 0);
    let mut other = subscribed(&broker, ConsumerConfig::new());
    let others = other.try_poll().unwrap();
    let third = others.iter().nth(2).unwrap();
    let mut consumer = subscribed(&broker, manual().max_poll_records(2));
    let batch = consumer.try_poll().unwrap();
    let refused = ConsumeError::NotInBatch {
        record: (TOPIC, 0).into(),
        offset: 2,
        batch: Some((TOPIC, 0).into()),
        first: 0,
        next: 2,
    };
    assert_eq!(batch.commit_through(&third), Err(refused));
    // The same offset of another partition is not in it either.
    send(&topic, 1, 1);
    let others = other.try_poll().unwrap();
    let elsewhere = others.iter().next().unwrap();
    assert_eq!((elsewhere.partition(), elsewhere.offset()), (1, 0));
    assert!(batch.commit_through(&elsewhere).is_err());
    assert_eq!(committed(&broker, 0), None);
}

#[test]
fn a_batch_of_a_consumer_without_a_group_cannot_be_committed() {
    let (broker, topic) = make(small());
    send(&topic, 1, 0);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let batch = consumer.try_poll().unwrap();
    let asked = "Batch::commit";
    assert_eq!(batch.commit(), Err(ConsumeError::NoGroup { asked }));
    let first = batch.iter().next().unwrap();
    let asked = "Batch::commit_through";
    let refused = Err(ConsumeError::NoGroup { asked });
    assert_eq!(batch.commit_through(&first), refused);
}

#[test]
fn a_batch_whose_partition_was_taken_away_commits_nothing() {
    let (broker, topic) = make(small());
    send(&topic, 4, 0);
    let named = || manual().instance_id("a").max_poll_records(2);
    let mut old = subscribed(&broker, named());
    old.try_poll().unwrap().commit().unwrap();
    let batch = old.try_poll().unwrap();
    assert_eq!(batch.first_offset(), Some(2));
    let mut new = subscribed(&broker, named());
    assert_eq!(new.try_poll().unwrap().first_offset(), Some(2));
    for commit in [
        batch.commit(),
        batch.commit_through(&batch.iter().next().unwrap()),
    ] {
        let fenced = matches!(
            commit,
            Err(ConsumeError::Fenced {
                reason: FenceReason::InstanceId,
                ..
            })
        );
        assert!(fenced, "{commit:?}");
    }
    assert_eq!(committed(&broker, 0), Some(2));
    assert_eq!(batch.len(), 2, "it stays readable");
}

#[test]
fn a_consumer_with_assigned_partitions_commits_its_batches() {
    let (broker, topic) = make(small());
    send(&topic, 3, 0);
    let mut consumer = broker.consumer(manual()).unwrap();
    consumer.assign([(TOPIC, 0)]).unwrap();
    consumer.try_poll().unwrap().commit().unwrap();
    assert_eq!(committed(&broker, 0), Some(3));
}

/// Producers may overwrite what was committed, and nothing else.
#[test]
fn a_commit_through_a_batch_lets_producers_go_on() {
    let config = TopicConfig::new().segments(2).segment_records(2);
    let (broker, topic) = make(config.overflow(Overflow::Backpressure));
    send(&topic, 4, 0);
    let mut consumer = subscribed(&broker, manual().max_poll_records(2));
    let mut producer = topic.producer();
    let batch = consumer.try_poll().unwrap();
    batch.commit_through(&batch.iter().next().unwrap()).unwrap();
    assert!(producer.try_send(Record::new("full")).is_err());
    batch.commit().unwrap();
    let batch = consumer.try_poll().unwrap();
    batch.commit_through(&batch.iter().next().unwrap()).unwrap();
    producer.try_send(Record::new("room")).unwrap();
}

#[test]
fn threads_that_share_a_batch_may_commit_at_the_same_time() {
    let config = TopicConfig::new().segments(4).segment_records(4);
    let (broker, topic) = make(config.overflow(Overflow::Backpressure));
    let mut consumer = subscribed(&broker, manual());
    for round in 0..100u64 {
        send(&topic, 4, 0);
        let batch = consumer.next_batch().unwrap();
        let highest = AtomicU64::new(0);
        thread::scope(|scope| {
            for record in &batch {
                let (batch, highest) = (&batch, &highest);
                scope.spawn(move || {
                    batch.commit_through(&record).unwrap();
                    highest.fetch_max(record.offset(), Relaxed);
                });
            }
        });
        let last = committed(&broker, 0).unwrap();
        assert!((4 * round + 1..=4 * round + 4).contains(&last), "{last}");
        assert_eq!(highest.into_inner() + 1, batch.next_offset().unwrap());
        batch.commit().unwrap();
    }
}

#[test]
fn records_and_iterators_may_outlive_the_batch_itself() {
    let (broker, topic) = make(small());
    send(&topic, 3, 0);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let first = consumer.try_poll().unwrap().into_iter().next().unwrap();
    assert_eq!((first.offset(), first.value_bytes().len()), (0, 4));
    consumer.seek((TOPIC, 0), 1).unwrap();
    let mut offsets = Vec::new();
    for record in consumer.try_poll().unwrap() {
        offsets.push(record.offset());
    }
    assert_eq!(offsets, [1, 2]);
}

#[test]
fn the_next_batch_is_never_empty() {
    let (broker, topic) = make(small().partitions(2));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let sender = thread::spawn(move || {
        for n in 0..20u32 {
            send(&topic, 1, n % 2);
            thread::yield_now();
        }
        topic.close();
    });
    let mut read = 0;
    while let Ok(batch) = consumer.next_batch() {
        assert!(!batch.is_empty());
        read += batch.len();
    }
    assert_eq!(read, 20);
    assert!(consumer.is_finished());
    sender.join().unwrap();
}
