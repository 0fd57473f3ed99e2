//! Polls that wait for several records: `fetch_min_records` and `fetch_max_wait`.
//!
//! A poll that must wait has either a time limit of its own, and took at least that long, or it is
//! seen to sleep. One that must not wait has limits of two minutes, and took less than one.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

#[path = "fetch_min/ends.rs"]
mod ends;
#[path = "fetch_min/groups.rs"]
mod groups;
#[path = "fetch_min/waits.rs"]
mod waits;

use common::conditions::{CountSleepers, LONG, woken};
use ringlog::{Batch, ConsumeError, Consumer, ConsumerConfig, Record, Topic};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A wait that has to be seen, and that the tests wait for.
const SHORT: Duration = Duration::from_millis(30);

/// A consumer that waits for this many records, for however long that takes.
fn patient(records: u32) -> ConsumerConfig {
    ConsumerConfig::new()
        .fetch_min_records(records)
        .fetch_max_wait(LONG)
}

fn send(topic: &Topic, partition: u32, records: usize) {
    let mut producer = topic.producer();
    for _ in 0..records {
        producer
            .send(Record::new("order").partition(partition))
            .unwrap();
    }
}

/// The partition and the number of records of a batch.
fn read(batch: &Batch<'_>) -> (Option<u32>, usize) {
    (batch.partition(), batch.len())
}

/// A poll that must end before its time.
#[track_caller]
fn at_once(consumer: &mut Consumer) -> Result<usize, ConsumeError> {
    woken("a poll", || consumer.poll(LONG).map(|batch| batch.len()))
}

/// A poll that must wait for as long as it may, and then returns what there is.
#[track_caller]
fn after_the_timeout(consumer: &mut Consumer) -> usize {
    let start = Instant::now();
    let records = consumer.poll(SHORT).unwrap().len();
    assert!(start.elapsed() >= SHORT, "it did not wait: {records}");
    records
}

/// Polls in a thread. Returns when the thread sleeps.
fn poll_asleep(
    sleepers: &CountSleepers,
    mut consumer: Consumer,
) -> JoinHandle<(Consumer, Result<usize, ConsumeError>)> {
    sleepers.asleep(|| {
        thread::spawn(move || {
            let read = at_once(&mut consumer);
            (consumer, read)
        })
    })
}
