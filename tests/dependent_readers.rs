//! Consumers that read only what other consumers or groups have read.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "dependent_readers/circles.rs"]
mod circles;
mod common;
#[path = "dependent_readers/ends.rs"]
mod ends;
#[path = "dependent_readers/groups.rs"]
mod groups;
#[path = "dependent_readers/limits.rs"]
mod limits;
#[path = "dependent_readers/wakes.rs"]
mod wakes;

use common::TOPIC;
use ringlog::{Broker, Consumer, ConsumerConfig, Producer, Record, TopicPartition};

/// No offsets.
const NOTHING: [u64; 0] = [];

/// A consumer of all of the topic that reads after `upstreams`.
fn after(broker: &Broker, upstreams: &mut [&mut Consumer]) -> Consumer {
    let config = upstreams
        .iter_mut()
        .fold(ConsumerConfig::new(), |config, upstream| {
            config.read_after(&upstream.progress())
        });
    common::subscribed(broker, config)
}

/// Sends this many records to partition 0.
fn send(producer: &mut Producer, records: usize) {
    for _ in 0..records {
        producer.send(Record::new("x").partition(0)).unwrap();
    }
}

/// One poll: the offsets that it returns.
fn read(consumer: &mut Consumer) -> Vec<u64> {
    let batch = consumer.try_poll().unwrap();
    batch.iter().map(|record| record.offset()).collect()
}

/// Polls until there is nothing: the offsets.
fn read_all(consumer: &mut Consumer) -> Vec<u64> {
    let mut all = Vec::new();
    loop {
        let offsets = read(consumer);
        if offsets.is_empty() {
            return all;
        }
        all.extend(offsets);
    }
}

fn partition(number: u32) -> TopicPartition {
    TopicPartition::new(TOPIC, number)
}
