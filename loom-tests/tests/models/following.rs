//! Topics that are created while consumers follow them.

use crate::common::*;
use loom::thread;
use ringlog_loom::{
    Broker, Consumer, ConsumerConfig, OffsetReset, Overflow, Record, SendError, WaitStrategy,
};
use std::time::Duration;

fn follower(broker: &Broker) -> Consumer {
    let config = ConsumerConfig::new().offset_reset(OffsetReset::Latest);
    let mut consumer = broker.consumer(config).unwrap();
    consumer.subscribe_pattern("t|u").unwrap();
    consumer
}

/// A topic that is created after the subscription is held from its first record on, whenever the
/// consumer finds it: a producer cannot send more than the ring has room for.
#[test]
fn a_new_topic_is_held_for_its_followers_before_it_can_be_written_to() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore_to(1, move || {
        let broker = Broker::new();
        let mut consumer = follower(&broker);
        let creator = broker.clone();
        let p = thread::spawn(move || {
            let config = smallest(Overflow::Backpressure);
            let topic = creator.create_topic("t", config).unwrap();
            let mut producer = topic.producer();
            let mut sent = 0;
            // One record more than the ring has room for.
            for n in 0..3 {
                match producer.try_send(Record::new(&value(n))) {
                    Ok(_) => sent += 1,
                    Err(SendError::Full { .. }) => assert_eq!(sent, 2),
                    Err(other) => panic!("{other}"),
                }
            }
            sent
        });
        let c = thread::spawn(move || {
            let early = drain(&mut consumer);
            (consumer, early)
        });
        let sent = p.join().unwrap();
        let (mut consumer, seen) = c.join().unwrap();
        let early = seen.0.len();
        let seen = drain_on(&mut consumer, seen);
        assert_eq!(seen, (0..sent).map(|n| (n, n)).collect::<Vec<_>>());
        observed.add((sent, early));
    });
    outcomes.include([(2, 0), (2, 1), (2, 2)]);
}

/// A consumer that subscribes while a topic is created has it once: as one that exists, or as
/// one that was created later.
#[test]
fn a_subscription_beside_a_creation_has_the_topic_once() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let broker = Broker::new();
        let creator = broker.clone();
        let p = thread::spawn(move || {
            let topic = creator.create_topic("t", smallest(Overflow::Backpressure));
            topic.unwrap()
        });
        let observed = observed.clone();
        let c = thread::spawn(move || {
            let consumer = follower(&broker);
            observed.add(consumer.assignment().len());
            consumer
        });
        let topic = p.join().unwrap();
        let mut consumer = c.join().unwrap();
        topic.producer().send(Record::new(&value(7))).unwrap();
        assert_eq!(drain(&mut consumer).0, [(0, 7)]);
        assert_eq!(consumer.assignment().len(), 1);
    });
    outcomes.are([0, 1]);
}

/// P12, P15: a consumer that sleeps is woken by a topic that it follows, and then by what is sent
/// there.
#[test]
fn a_reader_that_sleeps_is_woken_by_a_new_topic() {
    explore_to(1, || {
        let broker = Broker::new();
        let mut consumer = follower(&broker);
        let p = thread::spawn(move || {
            let config = small(Overflow::DropOldest).wait(WaitStrategy::Block);
            let topic = broker.create_topic("t", config).unwrap();
            topic.producer().send(Record::new(&value(7))).unwrap();
        });
        let c = thread::spawn(move || {
            let batch = consumer.poll(Duration::from_secs(100_000)).unwrap();
            assert_eq!(batch.len(), 1);
        });
        p.join().unwrap();
        c.join().unwrap();
    });
}
