//! A topic's own clock gives the timestamps of all records that are sent without one.
#![allow(clippy::unwrap_used, clippy::panic)]

use ringlog::{
    Broker, Clock, Consumer, ConsumerConfig, Destination, ManualClock, Record, Timestamps, Topic,
    TopicConfig,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NOW: i64 = 1_700_000_000_000;

fn topic(config: TopicConfig) -> (Topic, Consumer) {
    let broker = Broker::new();
    let topic = broker.create_topic("orders", config).unwrap();
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    (topic, consumer)
}

/// The timestamps of all records that are there.
fn timestamps(consumer: &mut Consumer) -> Vec<Option<i64>> {
    let mut timestamps = Vec::new();
    loop {
        let batch = consumer.try_poll().unwrap();
        if batch.is_empty() {
            return timestamps;
        }
        timestamps.extend(batch.iter().map(|record| record.timestamp()));
    }
}

#[test]
fn every_way_to_send_reads_the_topics_clock() {
    for partitions in [1, 3] {
        let clock = ManualClock::new(NOW);
        let (topic, mut consumer) = topic(
            TopicConfig::new()
                .partitions(partitions)
                .clock(clock.clone()),
        );
        let (order, batch) = (
            Record::new("order"),
            [Record::new("a").key("k"), Record::new("b")],
        );
        let mut now = NOW;
        let mut check = |what: &str, sent: &mut dyn FnMut() -> Option<i64>| {
            now += 1000;
            clock.advance(Duration::from_secs(1));
            assert_eq!(sent(), Some(now), "{what}, metadata");
            let found = timestamps(&mut consumer);
            assert!(!found.is_empty(), "{what}");
            assert!(
                found.iter().all(|&time| time == Some(now)),
                "{what}: {found:?}"
            );
        };
        let mut producer = topic.producer();
        check("send", &mut || producer.send(order).unwrap().timestamp());
        check("send with a key", &mut || {
            producer.send(order.key("k")).unwrap().timestamp()
        });
        check("try_send", &mut || {
            producer.try_send(order).unwrap().timestamp()
        });
        check("send to a partition", &mut || {
            producer.send(order.partition(0)).unwrap().timestamp()
        });
        check("send_batch", &mut || {
            producer
                .send_batch(&batch)
                .unwrap()
                .iter()
                .next()
                .unwrap()
                .timestamp()
        });
        check("send_values", &mut || {
            let sent = producer.send_values(Destination::Any, &[[1u8; 8]; 3]);
            sent.unwrap().timestamp()
        });
        check("claim", &mut || {
            let claim = producer.claim(Destination::Any, None, 8).unwrap();
            claim.publish().timestamp()
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        check("send_async", &mut || {
            let sent = runtime.block_on(producer.send_async(order));
            sent.unwrap().timestamp()
        });
        drop(producer);
        let shared = topic.shared_producer();
        check("shared producer", &mut || {
            shared.send(order).unwrap().timestamp()
        });
        drop(shared);
        let mut exclusive = topic.exclusive_producer().unwrap();
        check("exclusive producer", &mut || {
            exclusive.send(order).unwrap().timestamp()
        });
    }
}

#[test]
fn a_record_with_a_timestamp_of_its_own_keeps_it() {
    let (topic, mut consumer) = topic(TopicConfig::new().clock(ManualClock::new(NOW)));
    topic
        .producer()
        .send(Record::new("order").timestamp(7))
        .unwrap();
    assert_eq!(timestamps(&mut consumer), [Some(7)]);
}

#[test]
fn a_topic_of_given_timestamps_reads_no_clock() {
    #[derive(Debug)]
    struct Unread;
    impl Clock for Unread {
        fn now_ms(&self) -> i64 {
            panic!("it was read")
        }
    }
    let config = TopicConfig::new()
        .timestamps(Timestamps::Given)
        .clock(Unread);
    let (topic, mut consumer) = topic(config);
    topic.producer().send(Record::new("order")).unwrap();
    assert_eq!(timestamps(&mut consumer), [None]);
}

#[test]
fn a_manual_clock_is_set_advanced_and_never_negative() {
    let clock = ManualClock::default();
    assert_eq!(clock.now_ms(), 0);
    clock.set(-5);
    assert_eq!(clock.now_ms(), 0);
    clock.set(NOW);
    clock.advance(Duration::from_micros(1999));
    assert_eq!(clock.now_ms(), NOW + 1);
    clock.advance(Duration::MAX);
    assert_eq!(clock.now_ms(), i64::MAX);
    clock.tick();
    assert!(clock.now_ms() > NOW && clock.now_ms() < i64::MAX);
    assert!(ManualClock::system().now_ms() >= clock.now_ms());
}

#[test]
fn a_clock_before_1970_counts_as_0() {
    #[derive(Debug)]
    struct Early;
    impl Clock for Early {
        fn now_ms(&self) -> i64 {
            -1
        }
    }
    let (topic, mut consumer) = topic(TopicConfig::new().clock(Early));
    let sent = topic.producer().send(Record::new("order")).unwrap();
    assert_eq!(sent.timestamp(), Some(0));
    assert_eq!(timestamps(&mut consumer), [Some(0)]);
}

#[test]
fn lookups_by_time_go_by_the_topics_clock() {
    let clock = ManualClock::new(NOW);
    let (topic, _consumer) = topic(TopicConfig::new().clock(clock.clone()));
    let mut producer = topic.producer();
    for _ in 0..10 {
        producer.send(Record::new("order")).unwrap();
        clock.advance(Duration::from_millis(10));
    }
    let found = topic.offset_for_time(0, NOW + 41).unwrap().unwrap();
    assert_eq!((found.offset, found.timestamp), (5, NOW + 50));
}

#[test]
fn a_clock_that_panics_sends_nothing_and_does_no_harm() {
    #[derive(Debug)]
    struct Broken(Arc<AtomicBool>);
    impl Clock for Broken {
        fn now_ms(&self) -> i64 {
            assert!(!self.0.load(Ordering::Relaxed), "out of order");
            NOW
        }
    }
    let broken = Arc::new(AtomicBool::new(false));
    let (topic, mut consumer) = topic(TopicConfig::new().clock(Broken(broken.clone())));
    let mut producer = topic.producer();
    producer.send(Record::new("before")).unwrap();
    broken.store(true, Ordering::Relaxed);
    let order = Record::new("order");
    let mut sends: [&mut dyn FnMut(); 4] = [
        &mut || drop(topic.producer().send(order)),
        &mut || drop(topic.producer().send_batch(&[order, order])),
        &mut || {
            drop(
                topic
                    .producer()
                    .send_values(Destination::Any, &[[1u8; 8]; 3]),
            )
        },
        &mut || {
            drop(
                topic
                    .producer()
                    .claim(Destination::Any, None, 8)
                    .map(|c| c.publish()),
            )
        },
    ];
    for send in &mut sends {
        assert!(catch_unwind(AssertUnwindSafe(send)).is_err());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| producer.send(order))).is_err());
    broken.store(false, Ordering::Relaxed);
    producer.send(Record::new("after")).unwrap();
    assert_eq!(timestamps(&mut consumer), [Some(NOW); 2]);
    assert_eq!(topic.log_end_offset(0).unwrap(), 2);
}
