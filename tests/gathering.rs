//! Gathering producers: when records go into the log, in which order, and what happens to those
//! that do not.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "gathering/ends.rs"]
mod ends;
#[path = "gathering/followers.rs"]
mod followers;
#[path = "gathering/limits.rs"]
mod limits;
#[path = "gathering/order.rs"]
mod order;
#[path = "gathering/random.rs"]
mod random;
#[path = "gathering/refusals.rs"]
mod refusals;
#[path = "gathering/shared.rs"]
mod shared;
#[path = "gathering/tasks.rs"]
mod tasks;
#[path = "gathering/user_code.rs"]
mod user_code;

use common::{TOPIC, drain, make, subscribed};
use ringlog::{
    ConsumerConfig, GatheringConfig, GatheringProducer, Overflow, Record, Topic, TopicConfig,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::time::Duration;

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gathers up to four records of a partition, for as long as it takes.
fn by_four() -> GatheringConfig {
    GatheringConfig::new()
        .linger(Duration::MAX)
        .batch_records(4)
}

/// A ring of four records per partition, which refuses at once.
fn tiny() -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(2)
        .overflow(Overflow::Backpressure)
        .max_block(Duration::ZERO)
}

/// The records in the log of partition 0.
fn logged(topic: &Topic) -> u64 {
    topic.log_end_offset(0).unwrap()
}

fn send_numbers(producer: &mut GatheringProducer, numbers: std::ops::Range<u32>) {
    for number in numbers {
        producer.send(Record::new(&number.to_string())).unwrap();
    }
}

/// The values that are read from all partitions, as text.
fn values(consumer: &mut ringlog::Consumer) -> Vec<String> {
    let records = drain(consumer).into_iter();
    records
        .map(|(_, _, value)| String::from_utf8(value).unwrap())
        .collect()
}
