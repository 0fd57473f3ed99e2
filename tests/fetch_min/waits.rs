//! How many records a poll waits for, for how long, and which ones count.

use super::common::conditions::{CountSleepers, LONG, woken};
use super::common::{TOPIC, make, subscribed};
use super::{SHORT, after_the_timeout, at_once, patient, poll_asleep, read, send};
use ringlog::{
    Broker, ConsumeError, ConsumerConfig, Destination, Record, TopicConfig, WaitAction, WaitPolicy,
    WaitStrategy,
};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_minimum_of_zero_is_refused() {
    let refused = Broker::new().consumer(ConsumerConfig::new().fetch_min_records(0));
    let expected = ConsumeError::InvalidConfig {
        setting: "fetch_min_records",
        value: 0,
        min: 1,
        max: u32::MAX.into(),
    };
    assert_eq!(refused.unwrap_err(), expected);
}

#[test]
fn a_poll_waits_until_there_are_enough_records() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let consumer = subscribed(&broker, patient(3));
    send(&topic, 0, 2);
    let polling = poll_asleep(&sleepers, consumer);
    send(&topic, 0, 1);
    assert_eq!(polling.join().unwrap().1, Ok(3));
}

#[test]
fn the_first_record_wakes_a_poll_and_does_not_end_it() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let polling = poll_asleep(&sleepers, subscribed(&broker, patient(3)));
    send(&topic, 0, 3);
    let (consumer, read) = polling.join().unwrap();
    assert_eq!(read, Ok(3));
    // Again, by the blocking call without a timeout.
    let polling = sleepers.asleep(|| {
        thread::spawn(move || {
            let mut consumer = consumer;
            woken("a poll", || consumer.next_batch().unwrap().len())
        })
    });
    send(&topic, 0, 1);
    send(&topic, 0, 2);
    assert_eq!(polling.join().unwrap(), 3);
}

#[test]
fn under_every_strategy_a_poll_waits_for_enough_records() {
    for wait in [
        WaitStrategy::BusySpin,
        WaitStrategy::Yield,
        WaitStrategy::Backoff,
        WaitStrategy::Block,
    ] {
        let (broker, topic) = make(TopicConfig::new().wait(wait));
        let mut consumer = subscribed(&broker, patient(3));
        for before in 0..3 {
            send(&topic, 0, before);
            let polling = thread::spawn(move || {
                let read = at_once(&mut consumer);
                (consumer, read)
            });
            for _ in before..3 {
                thread::sleep(Duration::from_millis(1)); // so that it probably waits
                send(&topic, 0, 1);
            }
            let read;
            (consumer, read) = polling.join().unwrap();
            assert_eq!(read, Ok(3));
        }
    }
}

#[test]
fn after_the_longest_wait_a_poll_returns_what_there_is() {
    let (broker, topic) = make(TopicConfig::new());
    let config = || patient(3).fetch_max_wait(SHORT);
    let mut consumer = subscribed(&broker, config());
    for records in [2, 1] {
        send(&topic, 0, records);
        let start = Instant::now();
        assert_eq!(at_once(&mut consumer), Ok(records));
        assert!(start.elapsed() >= SHORT);
    }
}

#[test]
fn the_longest_wait_begins_with_the_first_record() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let consumer = subscribed(&broker, patient(3).fetch_max_wait(SHORT));
    let polling = poll_asleep(&sleepers, consumer);
    thread::sleep(2 * SHORT);
    let sent = Instant::now();
    send(&topic, 0, 1);
    assert_eq!(polling.join().unwrap().1, Ok(1));
    assert!(sent.elapsed() >= SHORT);
}

#[test]
fn at_its_timeout_a_poll_returns_what_there_is() {
    let (broker, topic) = make(TopicConfig::new());
    let mut consumer = subscribed(&broker, patient(3));
    assert_eq!(after_the_timeout(&mut consumer), 0);
    send(&topic, 0, 2);
    assert_eq!(after_the_timeout(&mut consumer), 2);
    assert_eq!(after_the_timeout(&mut consumer), 0);
}

#[test]
fn calls_that_do_not_wait_take_what_there_is() {
    let (broker, topic) = make(TopicConfig::new());
    let mut consumer = subscribed(&broker, patient(3));
    let mut context = Context::from_waker(Waker::noop());
    send(&topic, 0, 2);
    let zero = woken("no wait", || consumer.poll(Duration::ZERO).map(|b| b.len()));
    assert_eq!(zero, Ok(2));
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    send(&topic, 0, 2);
    assert_eq!(consumer.try_poll().unwrap().len(), 2);
    {
        let mut task = pin!(consumer.poll_async());
        assert!(task.as_mut().poll(&mut context).is_pending());
        send(&topic, 0, 1);
        let Poll::Ready(batch) = task.as_mut().poll(&mut context) else {
            panic!("a task does not wait for more");
        };
        assert_eq!(batch.unwrap().len(), 1);
    }
    // No time for more.
    let config = patient(3).fetch_max_wait(Duration::ZERO);
    let mut hasty = subscribed(&broker, config);
    assert_eq!(at_once(&mut hasty), Ok(5));
    send(&topic, 0, 1);
    assert_eq!(at_once(&mut hasty), Ok(1));
}

#[test]
fn the_records_of_all_partitions_count_and_are_returned_without_another_wait() {
    for partitions in [3, 16, 20] {
        let (broker, topic) = make(TopicConfig::new().partitions(partitions));
        let mut consumer = subscribed(&broker, patient(partitions));
        for round in 0..3 {
            (0..partitions).for_each(|p| send(&topic, p, 1));
            let mut read: Vec<_> = (0..partitions)
                .map(|_| {
                    let batch = woken("a poll", || consumer.poll(LONG).unwrap());
                    super::read(&batch)
                })
                .collect();
            read.sort_unstable();
            let all = (0..partitions).map(|p| (Some(p), 1));
            assert_eq!(read, Vec::from_iter(all), "round {round}");
        }
        // One less, and the next wait.
        (1..partitions).for_each(|p| send(&topic, p, 1));
        assert_eq!(after_the_timeout(&mut consumer), 1);
        for _ in 2..partitions {
            assert_eq!(
                at_once(&mut consumer),
                Ok(1),
                "of what the timeout has left"
            );
        }
        send(&topic, 0, 1);
        assert_eq!(after_the_timeout(&mut consumer), 1);
    }
}

#[test]
fn more_records_than_a_batch_has_are_returned_without_another_wait() {
    let (broker, topic) = make(TopicConfig::new().segment_records(4));
    let mut consumer = subscribed(&broker, patient(5).max_poll_records(2));
    send(&topic, 0, 7);
    for records in [2, 2, 2, 1] {
        assert_eq!(at_once(&mut consumer), Ok(records));
    }
    send(&topic, 0, 1);
    assert_eq!(after_the_timeout(&mut consumer), 1);
}

/// What else was read meanwhile is not owed by the polls that follow.
#[test]
fn records_that_were_found_and_not_returned_do_not_count_for_good() {
    let (broker, topic) = make(TopicConfig::new());
    let mut consumer = subscribed(&broker, patient(3).max_poll_records(1));
    send(&topic, 0, 5);
    assert_eq!(at_once(&mut consumer), Ok(1));
    consumer.seek_to_end((TOPIC, 0)).unwrap();
    assert_eq!(after_the_timeout(&mut consumer), 0);
    send(&topic, 0, 2);
    assert_eq!(after_the_timeout(&mut consumer), 1);
}

#[test]
fn a_paused_partition_does_not_count() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut consumer = subscribed(&broker, patient(3));
    send(&topic, 0, 5);
    send(&topic, 1, 2);
    consumer.pause((TOPIC, 0)).unwrap();
    assert_eq!(after_the_timeout(&mut consumer), 2);
    assert_eq!(after_the_timeout(&mut consumer), 0);
    consumer.resume((TOPIC, 0)).unwrap();
    assert_eq!(at_once(&mut consumer), Ok(5));
}

#[test]
fn after_a_seek_the_records_from_there_on_count() {
    let (broker, topic) = make(TopicConfig::new().segment_records(4));
    let mut consumer = subscribed(&broker, patient(3));
    send(&topic, 0, 6);
    assert_eq!(at_once(&mut consumer), Ok(4));
    assert_eq!(at_once(&mut consumer), Ok(2));
    consumer.seek((TOPIC, 0), 3).unwrap();
    assert_eq!(at_once(&mut consumer), Ok(1));
    assert_eq!(at_once(&mut consumer), Ok(2));
    for near_end in [4, 5] {
        consumer.seek((TOPIC, 0), near_end).unwrap();
        assert_eq!(after_the_timeout(&mut consumer) as u64, 6 - near_end);
    }
    consumer.seek_to_beginning((TOPIC, 0)).unwrap();
    assert_eq!(at_once(&mut consumer), Ok(4));
}

/// An aborted claim has an offset and no record.
#[test]
fn claims_do_not_count() {
    let (broker, topic) = make(TopicConfig::new());
    let mut consumer = subscribed(&broker, patient(3));
    let mut writer = topic.producer();
    let claim = writer.claim(Destination::Any, None, 8).unwrap();
    send(&topic, 0, 5);
    assert_eq!(after_the_timeout(&mut consumer), 0);
    drop(claim);
    assert_eq!(at_once(&mut consumer), Ok(5));
    // Nor behind a record, or behind part of a batch.
    let batch = [Record::new("a"), Record::new("b"), Record::new("c")];
    topic.producer().send_batch(&batch).unwrap();
    let claim = writer.claim(Destination::Any, None, 8).unwrap();
    send(&topic, 0, 1);
    consumer.seek((TOPIC, 0), 7).unwrap();
    assert_eq!(after_the_timeout(&mut consumer), 2);
    assert_eq!(after_the_timeout(&mut consumer), 0);
    consumer.seek((TOPIC, 0), 6).unwrap();
    assert_eq!(at_once(&mut consumer), Ok(3));
    drop(claim);
    // All of them had been found when the first three were enough.
    assert_eq!(at_once(&mut consumer), Ok(1));
    assert_eq!(after_the_timeout(&mut consumer), 0);
    // Nor between records, after it was given up.
    send(&topic, 0, 1);
    drop(writer.claim(Destination::Any, None, 8).unwrap());
    send(&topic, 0, 1);
    assert_eq!(after_the_timeout(&mut consumer), 2);
}

#[test]
fn records_of_one_partition_do_not_make_up_for_claims_of_another() {
    let (broker, topic) = make(TopicConfig::new().partitions(2));
    let mut consumer = subscribed(&broker, patient(4));
    let mut writer = topic.producer();
    send(&topic, 0, 1);
    let claim = writer.claim(Destination::Partition(0), None, 8).unwrap();
    send(&topic, 0, 1);
    send(&topic, 1, 2);
    let first = after_the_timeout(&mut consumer);
    let second = at_once(&mut consumer).unwrap();
    assert_eq!(first + second, 3);
    assert_eq!(after_the_timeout(&mut consumer), 0);
    consumer.seek((TOPIC, 0), 0).unwrap();
    consumer.seek((TOPIC, 1), 0).unwrap();
    claim.publish();
    let first = at_once(&mut consumer).unwrap();
    assert_eq!(first + at_once(&mut consumer).unwrap(), 5);
}

/// Also behind an aborted claim, over which the count steps.
#[test]
fn the_longest_wait_does_not_begin_with_a_claim() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let consumer = subscribed(&broker, patient(3).fetch_max_wait(SHORT));
    let mut writer = topic.producer();
    drop(writer.claim(Destination::Any, None, 8).unwrap());
    let claim = writer.claim(Destination::Any, None, 8).unwrap();
    let polling = poll_asleep(&sleepers, consumer);
    thread::sleep(2 * SHORT);
    let published = Instant::now();
    claim.publish();
    assert_eq!(polling.join().unwrap().1, Ok(1));
    assert!(published.elapsed() >= SHORT);
}

#[test]
fn partitions_that_are_added_during_the_wait_count() {
    let sleepers = CountSleepers::default();
    let (broker, topic) = make(TopicConfig::new().wait(sleepers.strategy()));
    let consumer = subscribed(&broker, patient(3));
    send(&topic, 0, 1);
    let polling = poll_asleep(&sleepers, consumer);
    topic.add_partitions(2).unwrap();
    send(&topic, 1, 2);
    let (mut consumer, first) = polling.join().unwrap();
    assert_eq!(first.unwrap() + at_once(&mut consumer).unwrap(), 3);
}

/// A policy that always sleeps, and counts the attempts.
#[derive(Debug, Default)]
struct CountAttempts(AtomicU32);

impl WaitPolicy for CountAttempts {
    fn next(&self, _: u32) -> WaitAction {
        self.0.fetch_add(1, Ordering::Relaxed);
        WaitAction::Sleep
    }
}

/// Each send would wake it.
#[test]
fn a_poll_that_waits_for_more_sleeps_and_is_not_woken_by_sends() {
    let policy = Arc::new(CountAttempts::default());
    let config = TopicConfig::new().wait(WaitStrategy::Custom(policy.clone()));
    let (broker, topic) = make(config);
    let mut consumer = subscribed(&broker, patient(30_000));
    send(&topic, 0, 1);
    let polling = thread::spawn(move || {
        let start = Instant::now();
        let read = consumer.poll(Duration::from_millis(100)).unwrap().len();
        (read, start.elapsed())
    });
    let mut producer = topic.producer();
    while !polling.is_finished() {
        producer.send(Record::new("order")).unwrap();
        thread::sleep(Duration::from_micros(100));
    }
    let (records, waited) = polling.join().unwrap();
    assert!(records > 0);
    // Two attempts a nap: a dozen naps until each takes 1 ms, and one a millisecond from then on.
    let attempts = policy.0.load(Ordering::Relaxed);
    let most = 2 * (30 + waited.as_millis() as u32);
    assert!(attempts <= most, "{attempts} attempts in {waited:?}");
}

#[test]
fn a_consumer_without_partitions_waits_and_one_without_subscription_is_refused() {
    let (broker, topic) = make(TopicConfig::new());
    let mut consumer = broker.consumer(patient(3).wait_for_topics(true)).unwrap();
    for _ in 0..2 {
        assert_eq!(at_once(&mut consumer), Err(ConsumeError::NotSubscribed));
    }
    consumer.subscribe(["other"]).unwrap();
    assert_eq!(after_the_timeout(&mut consumer), 0);
    consumer.subscribe([TOPIC]).unwrap();
    send(&topic, 0, 1);
    // The refused polls have left nothing behind.
    let batch = consumer.try_poll().unwrap();
    assert_eq!(read(&batch), (Some(0), 1));
}
