//! The memory of a topic is fixed by its configuration and its handles.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{TOPIC, make, subscribed};
use ringlog::{ConsumerConfig, Destination, Overflow, Record, Topic, TopicConfig};

/// The size of a segment's block, by the formula in `TopicConfig`'s documentation.
fn block(records: usize, bytes: usize) -> usize {
    let block = 256 + 64 * (records + 1).div_ceil(8) + 64 * bytes.div_ceil(64);
    block.div_ceil(128) * 128
}

fn config(records: u32, bytes: usize) -> TopicConfig {
    TopicConfig::new()
        .segment_records(records)
        .segment_bytes(bytes)
}

#[test]
fn memory_matches_the_documented_formula() {
    for (partitions, segments) in [(1, 2), (3, 4), (100, 2)] {
        for (records, bytes) in [(1, 64), (6, 65), (7, 127), (8, 128), (1000, 10_000)] {
            for overflow in [Overflow::Backpressure, Overflow::DropOldest] {
                let config = config(records, bytes)
                    .partitions(partitions)
                    .segments(segments)
                    .overflow(overflow);
                let (broker, topic) = make(config);
                let block = block(records as usize, bytes);
                let own = (partitions * (segments + 1)) as usize * block;
                assert_eq!(topic.memory_bytes(), own, "{records} {bytes}");
                // Producers that have sent add a spare segment each.
                let mut producers = Vec::new();
                for spares in 1..=8 {
                    let mut producer = topic.producer();
                    assert_eq!(topic.memory_bytes(), own + (spares - 1) * block);
                    producer.try_send(Record::new("x")).unwrap();
                    assert_eq!(topic.memory_bytes(), own + spares * block);
                    producers.push(producer);
                }
                // Consumers add one each, however many partitions they read.
                let mut consumers = Vec::new();
                for _ in 0..8 {
                    consumers.push(subscribed(&broker, ConsumerConfig::new()));
                }
                assert_eq!(topic.memory_bytes(), own + 16 * block);
                // From 16 on, an eighth of the spares at a time.
                for spares in [18, 18, 20, 20, 22, 22, 24, 24, 27] {
                    consumers.push(subscribed(&broker, ConsumerConfig::new()));
                    assert_eq!(topic.memory_bytes(), own + spares * block);
                }
            }
        }
    }
}

#[test]
fn handles_take_memory_only_for_the_most_that_existed_at_once() {
    let (broker, topic) = make(config(10, 1000).overflow(Overflow::DropOldest));
    let own = topic.memory_bytes();
    for i in 0..1000u32 {
        let mut producer = topic.producer();
        let mut clone = producer.clone();
        producer.send(Record::new(&i.to_le_bytes())).unwrap();
        clone.send(Record::new(&i.to_le_bytes())).unwrap();
        let mut consumer = subscribed(&broker, ConsumerConfig::new());
        assert!(!consumer.try_poll().unwrap().is_empty());
        // Subscribing again adds no handle.
        consumer.subscribe([TOPIC]).unwrap();
        consumer.unsubscribe();
        consumer.subscribe([TOPIC]).unwrap();
    }
    let mut exclusive = topic.exclusive_producer().unwrap();
    exclusive.send(Record::new("x")).unwrap();
    // Two producers and a consumer at a time.
    assert_eq!(topic.memory_bytes(), own + 3 * block(10, 1000));
}

/// Resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[cfg(not(target_os = "linux"))]
fn resident() -> usize {
    0
}

/// Writes at least `bytes` bytes of values.
fn write(topic: &Topic, bytes: usize) {
    let mut producer = topic.producer();
    let value = [0xaa; 1000];
    for i in 0..(bytes / 3000) as u64 {
        producer
            .send(Record::new(&value).key(&i.to_le_bytes()))
            .unwrap();
        producer.send_batch(&[Record::new(&value)]).unwrap();
        producer.send_values(Destination::Any, &[[i; 125]]).unwrap();
    }
}

#[test]
fn a_topic_takes_address_space_and_no_memory_until_it_is_used() {
    if resident() == 0 {
        return; // unknown on this system
    }
    let before = resident();
    let (_broker, topic) = make(config(1_000, 64 << 20).segments(8));
    assert!(topic.memory_bytes() > 500 << 20);
    let grown = resident().saturating_sub(before);
    assert!(grown < 50 << 20, "{grown} bytes touched");
}

#[test]
fn a_stalled_reader_costs_nothing_and_keeps_what_it_holds() {
    let config = config(500, 256 * 1024)
        .overflow(Overflow::DropOldest)
        .prefault(true);
    let (broker, topic) = make(config);
    let mut first = topic.producer();
    for i in 0..300u64 {
        let value = [i; 20].map(u64::to_ne_bytes).concat();
        first
            .send(Record::new(&value).key(&i.to_le_bytes()))
            .unwrap();
    }
    drop(first);
    let mut stalled = subscribed(&broker, ConsumerConfig::new());
    let held = stalled.try_poll().unwrap();
    assert_eq!(held.len(), 300);
    write(&topic, topic.memory_bytes());
    let (bytes, before) = (topic.memory_bytes(), resident());
    for _ in 0..10 {
        write(&topic, 10 * bytes);
        // Lapped a hundred times in the end, and every byte is as it was.
        for (i, record) in (0..300u64).zip(&held) {
            assert_eq!(record.offset(), i);
            assert_eq!(record.key(), Some(&i.to_le_bytes()[..]));
            assert_eq!(record.value_bytes(), [i; 20].map(u64::to_ne_bytes).concat());
        }
    }
    assert!(topic.log_start_offset(0).unwrap() > 300);
    assert_eq!(topic.memory_bytes(), bytes);
    // A generous bound: other tests run beside this one.
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 * bytes / 8, "{grown} bytes more");
    assert!(!held.is_empty(), "still held");
    let next = stalled.try_poll().unwrap();
    let start = next.iter().next().unwrap().offset();
    assert_eq!(next.lost(), start - 300);
}
