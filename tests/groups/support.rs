//! Helpers of the tests of groups.

use super::clock::{now, pass};
use super::common::conditions::LIMIT;
use super::common::{self, TOPIC, grouped};
use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, FenceReason, Producer, Record, Topic,
    TopicConfig, TopicPartition,
};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A member that is expelled after a second without a poll, by the test's clock.
pub(crate) fn timed() -> ConsumerConfig {
    grouped()
        .max_poll_interval(Duration::from_secs(1))
        .clock(now)
}

pub(crate) fn send(producer: &mut Producer, partition: u32, records: u64) {
    for _ in 0..records {
        producer
            .try_send(Record::new(b"x").partition(partition))
            .unwrap();
    }
}

/// Polls until a batch is empty; returns partition and offset of each record, sorted.
pub(crate) fn read(consumer: &mut Consumer) -> Vec<(u32, u64)> {
    let all = common::drain(consumer).into_iter();
    let mut all: Vec<_> = all.map(|(p, offset, _)| (p, offset)).collect();
    all.sort_unstable();
    all
}

/// A partition of the topic that most tests use.
pub(crate) fn at(partition: u32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

/// The partitions that a consumer owns, sorted.
pub(crate) fn partitions(consumer: &Consumer) -> Vec<u32> {
    let mut all: Vec<_> = consumer.assignment().iter().map(|p| p.partition).collect();
    all.sort_unstable();
    all
}

/// Lets a member poll while time passes, and returns what it reads.
pub(crate) fn poll_for(member: &mut Consumer, milliseconds: u64) -> Vec<(u32, u64)> {
    let mut seen = Vec::new();
    for _ in 0..milliseconds / 50 {
        pass(50);
        seen.extend((0..64).flat_map(|_| read(member)));
    }
    seen
}

pub(crate) fn is_fenced<T>(result: Result<T, ConsumeError>, expected: FenceReason) -> bool {
    matches!(result, Err(ConsumeError::Fenced { reason, .. }) if reason == expected)
}

// ---- topics of one partition each --------------------------------------------------------

/// A broker with topics of one partition each.
pub(crate) fn topics(names: &[&str]) -> (Broker, Vec<Topic>) {
    let broker = Broker::new();
    let create = |name: &&str| broker.create_topic(name, TopicConfig::new()).unwrap();
    let topics = names.iter().map(create).collect();
    (broker, topics)
}

pub(crate) fn member(broker: &Broker, config: ConsumerConfig, topics: &[&str]) -> Consumer {
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe(topics).unwrap();
    consumer
}

pub(crate) fn send_to(topic: &Topic, records: usize) {
    let mut producer = topic.producer();
    for _ in 0..records {
        producer.try_send(Record::new(b"x")).unwrap();
    }
}

/// The number of records that eight polls return.
pub(crate) fn count_polled(consumer: &mut Consumer) -> usize {
    let mut poll = || consumer.try_poll().unwrap().iter().count();
    (0..8).map(|_| poll()).sum()
}

pub(crate) fn owned_topics(consumer: &Consumer) -> Vec<String> {
    let assignment = consumer.assignment().into_iter();
    assignment.map(|at| at.topic.to_string()).collect()
}

/// The errors of four polls, in order.
pub(crate) fn poll_errors(consumer: &mut Consumer) -> Vec<ConsumeError> {
    (0..4).filter_map(|_| consumer.try_poll().err()).collect()
}

/// Runs `work` on another thread, and fails when that thread deadlocks or panics.
pub(crate) fn within_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver
        .recv_timeout(LIMIT)
        .expect("the work deadlocked or panicked")
}
