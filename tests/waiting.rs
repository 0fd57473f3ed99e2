//! Blocking waits: no wake-up is missed, time limits are kept, and no thread waits without a
//! reason.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::conditions::{CountSleepers, LONG, wait_until, woken};
use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Overflow, Record, SendError, TopicConfig,
    WaitAction, WaitPolicy, WaitStrategy,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn consumer(broker: &Broker, topics: &[&str]) -> Consumer {
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(topics).unwrap();
    consumer
}

/// A thread that reads what it sends itself brings no more by a pause, and no pause makes it miss a
/// record.
#[test]
fn a_poll_finds_the_records_of_its_own_thread_at_once() {
    let broker = Broker::new();
    let config = TopicConfig::new().partitions(3).segment_records(1 << 10);
    let topic = broker.create_topic("orders", config).unwrap();
    let (mut producer, mut consumer) = (topic.producer(), consumer(&broker, &["orders"]));
    for i in 0..200_000u32 {
        let records = 1 + i % 2;
        for _ in 0..records {
            producer
                .send(Record::new("order").partition(i % 3))
                .unwrap();
        }
        let mut left = records as usize;
        while left > 0 {
            let batch = consumer.poll(Duration::ZERO).unwrap();
            assert!((1..=left).contains(&batch.len()), "{i}");
            left -= batch.len(); // two polls at a segment's end
        }
    }
}

#[test]
fn time_limits_are_kept() {
    let broker = Broker::new();
    let config = TopicConfig::new().segments(2).segment_records(1);
    let config = config.max_block(Duration::from_millis(40));
    let topic = broker.create_topic("orders", config).unwrap();
    let mut consumer = consumer(&broker, &["orders"]);
    // A busy machine may be late, but not every time.
    let mut limits = [1, 5, 20, 40]
        .map(Duration::from_millis)
        .into_iter()
        .cycle();
    wait_until("a poll ends within 10 ms of its limit", || {
        let limit = limits.next().unwrap();
        let start = Instant::now();
        assert!(consumer.poll(limit).unwrap().is_empty());
        let waited = start.elapsed();
        assert!(waited >= limit, "{waited:?} of {limit:?}");
        waited - limit < Duration::from_millis(10)
    });
    let mut producer = topic.producer();
    while producer.try_send(Record::new("order")).is_ok() {}
    let start = Instant::now();
    let refused = producer.send(Record::new("order")).unwrap_err();
    let SendError::Full { waited, .. } = refused else {
        panic!("{refused}");
    };
    assert!(waited >= Duration::from_millis(40) && start.elapsed() >= waited);
}

/// Two threads send each other records, so that both sleep again and again.
#[test]
fn two_threads_that_wake_each_other_miss_nothing() {
    let broker = Broker::new();
    // The smallest topics, so that producers wait as well.
    let config = || TopicConfig::new().segments(2).segment_records(1);
    let (there, back) = (
        broker.create_topic("there", config()).unwrap(),
        broker.create_topic("back", config()).unwrap(),
    );
    let mut from_here = there.producer();
    let mut from_there = back.producer();
    let (mut here, mut other) = (consumer(&broker, &["back"]), consumer(&broker, &["there"]));
    const ROUNDS: usize = 20_000;
    let echo = thread::spawn(move || {
        for _ in 0..ROUNDS {
            assert_eq!(other.poll(LONG).unwrap().len(), 1);
            from_there.send(Record::new("pong")).unwrap();
        }
    });
    for _ in 0..ROUNDS {
        from_here.send(Record::new("ping")).unwrap();
        assert_eq!(here.poll(LONG).unwrap().len(), 1);
    }
    echo.join().unwrap();
}

/// Consumers and producers that sleep on many partitions of several topics.
#[test]
fn many_waiters_on_many_partitions_miss_nothing() {
    const EACH: u64 = 3_000;
    let broker = Broker::new();
    let topics: Vec<_> = (0..3)
        .map(|n| {
            let config = TopicConfig::new()
                .partitions(5)
                .segments(2)
                .segment_records(4);
            broker.create_topic(&format!("t{n}"), config).unwrap()
        })
        .collect();
    let mut consumers: Vec<_> = (0..3)
        .map(|_| consumer(&broker, &["t0", "t1", "t2"]))
        .collect();
    let producers: Vec<_> = topics
        .iter()
        .flat_map(|t| [t.producer(), t.producer()])
        .collect();
    let all = EACH * producers.len() as u64;
    let senders: Vec<_> = producers
        .into_iter()
        .map(|mut producer| {
            thread::spawn(move || {
                for n in 0..EACH {
                    producer.send(Record::new(&n.to_le_bytes())).unwrap();
                    if n % 64 == 0 {
                        thread::sleep(Duration::from_micros(200)); // lets the readers sleep
                    }
                }
            })
        })
        .collect();
    let readers: Vec<_> = consumers
        .drain(..)
        .map(|mut consumer| {
            thread::spawn(move || {
                let mut read = 0;
                while read < all {
                    let batch = consumer.poll(LONG).unwrap();
                    assert!(!batch.is_empty(), "after {read} of {all}");
                    read += batch.len() as u64;
                }
            })
        })
        .collect();
    for thread in senders.into_iter().chain(readers) {
        thread.join().unwrap();
    }
}

#[test]
fn a_sleeping_poll_is_ended_by_wakeups_added_partitions_and_rebalances() {
    let broker = Broker::new();
    let sleepers = CountSleepers::default();
    let config = TopicConfig::new().wait(sleepers.strategy());
    let topic = broker.create_topic("orders", config).unwrap();
    let poll = |mut consumer: Consumer| {
        sleepers.asleep(|| {
            thread::spawn(move || {
                woken("the poll", || consumer.poll(LONG).map(|batch| batch.len()))
            })
        })
    };
    // A wakeup.
    let consumer = consumer(&broker, &["orders"]);
    let handle = consumer.wakeup_handle();
    let polling = poll(consumer);
    handle.wakeup();
    assert_eq!(polling.join().unwrap(), Err(ConsumeError::Wakeup));
    // A record in an added partition.
    let consumer = self::consumer(&broker, &["orders"]);
    let polling = poll(consumer);
    topic.add_partitions(2).unwrap();
    topic
        .producer()
        .send(Record::new("order").partition(1))
        .unwrap();
    assert_eq!(polling.join().unwrap(), Ok(1));
    // A member of a group gets the partition of one that leaves, and reads it.
    let member = || {
        let mut member = broker
            .consumer(ConsumerConfig::new().group("billing"))
            .unwrap();
        member.subscribe(["orders"]).unwrap();
        member
    };
    let (mut first, mut second) = (member(), member());
    for _ in 0..6 {
        first.try_poll().unwrap();
        second.try_poll().unwrap();
    }
    let read_it = [&first, &second].map(|m| m.committed(("orders", 1)).unwrap() == Some(1));
    assert_eq!(read_it, [true, true]);
    topic
        .producer()
        .send(Record::new("order").partition(1))
        .unwrap();
    let owns = |c: &Consumer| c.assignment().iter().any(|a| a.partition == 1);
    let (owner, other) = if owns(&first) {
        (first, second)
    } else {
        (second, first)
    };
    assert!(owns(&owner) && !owns(&other));
    let polling = poll(other);
    owner.close();
    assert_eq!(polling.join().unwrap(), Ok(1));
}

/// Added partitions have no owner yet. Any member may start the rebalance that assigns them,
/// including one that owns none and sleeps.
#[test]
fn a_member_without_partitions_is_woken_by_added_partitions() {
    let broker = Broker::new();
    let sleepers = CountSleepers::default();
    let config = TopicConfig::new().wait(sleepers.strategy());
    let topic = broker.create_topic("orders", config).unwrap();
    let assignor = ringlog::CooperativeStickyAssignor;
    let config = ConsumerConfig::new().group("billing").assignor(assignor);
    let member = || {
        let mut member = broker.consumer(config.clone()).unwrap();
        member.subscribe(["orders"]).unwrap();
        member
    };
    let (mut busy, mut idle) = (member(), member());
    for _ in 0..6 {
        busy.try_poll().unwrap();
        idle.try_poll().unwrap();
    }
    assert_eq!((busy.assignment().len(), idle.assignment().len()), (1, 0));
    let polling = sleepers.asleep(|| {
        thread::spawn(move || woken("the poll", || idle.poll(LONG).map(|batch| batch.len())))
    });
    topic.add_partitions(2).unwrap();
    let record = Record::new("order").partition(1);
    topic.producer().send(record).unwrap();
    assert_eq!(polling.join().unwrap(), Ok(1));
}

#[test]
fn a_custom_wait_policy_gets_the_number_of_attempts_so_far() {
    #[derive(Debug, Default)]
    struct CountingPolicy(AtomicU32);
    impl WaitPolicy for CountingPolicy {
        fn next(&self, looks: u32) -> WaitAction {
            let before = self.0.swap(looks, Ordering::Relaxed);
            assert!(looks == before + 1 || looks == 1);
            if looks < 10 {
                WaitAction::Spin(1)
            } else {
                WaitAction::Sleep
            }
        }
    }
    let policy = Arc::new(CountingPolicy::default());
    let broker = Broker::new();
    let config = TopicConfig::new().wait(WaitStrategy::Custom(policy.clone()));
    let topic = broker.create_topic("orders", config).unwrap();
    let mut consumer = consumer(&broker, &["orders"]);
    let mut producer = topic.producer();
    let reader = thread::spawn(move || consumer.poll(LONG).unwrap().len());
    // Ten looks, one more after enrolling, and then sleep.
    let attempts = || policy.0.load(Ordering::Relaxed);
    wait_until("eleven attempts", || attempts() >= 11);
    producer.send(Record::new("order")).unwrap();
    assert_eq!(reader.join().unwrap(), 1);
    assert_eq!(attempts(), 11);
}

/// Under `DropOldest` a full ring is no reason to wait, so consumers wake no producer.
#[test]
fn under_drop_oldest_no_producer_waits() {
    let broker = Broker::new();
    let config = TopicConfig::new().segments(2).segment_records(1);
    let config = config
        .overflow(Overflow::DropOldest)
        .max_block(Duration::ZERO);
    let topic = broker.create_topic("orders", config).unwrap();
    let mut consumer = consumer(&broker, &["orders"]);
    let mut producer = topic.producer();
    for _ in 0..10 {
        producer.send(Record::new("order")).unwrap();
    }
    let batch = consumer.poll(LONG).unwrap();
    assert_eq!((batch.len(), batch.lost()), (1, 8));
}
