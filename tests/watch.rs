//! Statistics: every number of a snapshot, checked against a run whose outcome is known.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "watch/concurrent.rs"]
mod concurrent;
#[path = "watch/consumers.rs"]
mod consumers;
#[path = "watch/groups.rs"]
mod groups;
#[path = "watch/partitions.rs"]
mod partitions;

use ringlog::{
    BrokerSnapshot, ConsumerConfig, ConsumerPartitionStats, PartitionStats, Record, Timestamps,
    Topic, TopicConfig,
};

/// Three segments of four records, without times: an empty value takes no bytes, one of 8 bytes
/// takes 8.
fn small() -> TopicConfig {
    TopicConfig::new()
        .segments(3)
        .segment_records(4)
        .segment_bytes(1024)
        .timestamps(Timestamps::Given)
}

fn send(topic: &Topic, count: u64) {
    let mut producer = topic.producer();
    for i in 0..count {
        producer.send(Record::new(&i.to_ne_bytes())).unwrap();
    }
}

/// The statistics of a topic's only partition.
fn only(topic: &Topic) -> PartitionStats {
    topic.stats().partitions[0]
}

/// The first partition of the consumer with this client id.
fn stats_of(snapshot: &BrokerSnapshot, client_id: &str) -> ConsumerPartitionStats {
    let mut all = snapshot.consumers.iter();
    let consumer = all.find(|c| c.client_id == client_id).unwrap();
    consumer.partitions[0].clone()
}

fn named(name: &str) -> ConsumerConfig {
    ConsumerConfig::new().client_id(name)
}
