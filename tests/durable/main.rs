//! Durable topics: what is kept, what is read behind the ring, and what a restart finds.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

#[cfg(unix)]
mod crash;
mod directories;
mod notes;
mod reading;
mod restart;
#[cfg(unix)]
mod unusual;

use ringlog::{Broker, ConsumerConfig, Flush, Record, RecoveryReport, Storage, Topic, TopicConfig};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Long beside everything that a test waits for.
const LONG: Duration = Duration::from_secs(60);

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(dir: &Path) -> (Broker, RecoveryReport) {
    Broker::open(dir).unwrap()
}

/// A broker with small files.
fn open_small(dir: &Path) -> (Broker, RecoveryReport) {
    Broker::open(Storage::dir(dir).file_bytes(64 << 10)).unwrap()
}

/// A ring of a few records, so that most are behind it.
fn small_ring() -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(16)
        .segment_bytes(4096)
}

/// Sends records `from..to`: each value is its offset in decimal.
fn send(topic: &Topic, from: u64, to: u64) {
    let mut producer = topic.producer();
    for i in from..to {
        let sent = producer
            .send(Record::new(i.to_string().as_bytes()))
            .unwrap();
        assert_eq!(sent.offset, i);
    }
}

/// Reads all of partition 0 from the beginning; asserts that the values are `from..to`.
fn read_all(broker: &Broker, topic: &str, from: u64, to: u64) {
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe([topic]).unwrap();
    let mut next = from;
    while next < to {
        let batch = consumer.poll(LONG).unwrap();
        assert!(!batch.is_empty(), "nothing at {next}");
        assert_eq!(batch.lost(), 0, "lost before {next}");
        for record in &batch {
            assert_eq!(record.offset(), next);
            assert_eq!(record.value_bytes(), next.to_string().as_bytes());
            next += 1;
        }
    }
    assert_eq!(next, to);
    assert!(consumer.try_poll().unwrap().is_empty());
}

#[test]
fn a_storage_that_never_syncs_by_itself_syncs_when_asked() {
    let dir = dir();
    let config = Storage::dir(dir.path()).flush(Flush::Manual);
    let (broker, _) = Broker::open(config).unwrap();
    let topic = broker.create_topic("t", TopicConfig::new()).unwrap();
    send(&topic, 0, 10);
    while topic.written_end(0).unwrap() < 10 {
        std::thread::yield_now();
    }
    assert_eq!(topic.durable_end(0).unwrap(), 0);
    topic.flush(LONG).unwrap();
    assert_eq!(topic.durable_end(0).unwrap(), 10);
}
