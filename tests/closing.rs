//! Closing a topic: it takes no more records, every record in it is read, and every handle gets an
//! error.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::conditions::{LONG, wait_until, woken};
use ringlog::{
    Broker, ConsumeError, Consumer, ConsumerConfig, Destination, Overflow, Record, SendError,
    Topic, TopicConfig, TopicError, TopicPartition, WaitStrategy,
};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(30);

fn topic(broker: &Broker, name: &str, partitions: u32) -> Topic {
    let config = TopicConfig::new()
        .partitions(partitions)
        .segments(2)
        .segment_records(4)
        .segment_bytes(1024);
    broker.create_topic(name, config).unwrap()
}

fn consumer(broker: &Broker, topics: &[&str]) -> Consumer {
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(topics).unwrap();
    consumer
}

/// Reads until a topic is reported as closed; returns the number of records, and the topic.
fn read_to_end(consumer: &mut Consumer) -> (usize, String) {
    let mut records = 0;
    loop {
        match consumer.poll(LONG) {
            Ok(batch) => records += batch.len(),
            Err(ConsumeError::Closed { topic }) => return (records, topic.to_string()),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_closed_topic_refuses_records_and_is_read_to_its_end() {
    let broker = Broker::new();
    let topic = topic(&broker, "orders", 3);
    let mut consumer = consumer(&broker, &["orders"]);
    let mut producer = topic.producer();
    for n in 0..10u32 {
        producer
            .send(Record::new("order").partition(n % 3))
            .unwrap();
    }
    assert!(!topic.is_closed());
    topic.close();
    topic.close();
    assert!(topic.is_closed());

    let is_closed = |error| matches!(error, SendError::Closed { .. });
    assert!(is_closed(producer.send(Record::new("late")).unwrap_err()));
    assert!(is_closed(
        producer.try_send(Record::new("late")).unwrap_err()
    ));
    assert!(is_closed(
        producer.claim(Destination::Any, None, 4).unwrap_err()
    ));
    assert!(is_closed(
        producer.send_values(Destination::Any, &[1u64]).unwrap_err()
    ));
    let batch = producer.send_batch(&[Record::new("late")]).unwrap_err();
    assert!(is_closed(batch.cause) && batch.refused == [0]);
    assert!(is_closed(
        topic.producer().send(Record::new("late")).unwrap_err()
    ));
    let refused = topic.exclusive_producer().unwrap_err();
    assert!(matches!(refused, TopicError::Closed { .. }));
    assert!(matches!(
        topic.add_partitions(9),
        Err(TopicError::Closed { .. })
    ));

    assert_eq!(read_to_end(&mut consumer), (10, "orders".into()));
    for _ in 0..3 {
        assert!(matches!(
            consumer.try_poll(),
            Err(ConsumeError::Closed { .. })
        ));
    }
    // It can be read again, and by consumers that subscribe later.
    consumer.seek(("orders", 0), 0).unwrap();
    assert_eq!(read_to_end(&mut consumer).0, 4);
    let mut later = self::consumer(&broker, &["orders"]);
    assert_eq!(read_to_end(&mut later).0, 10);
    assert_eq!(
        (0..3)
            .map(|p| topic.log_end_offset(p).unwrap())
            .sum::<u64>(),
        10
    );
    producer.close();
}

#[test]
fn a_consumer_of_several_topics_gets_each_closed_error_once_and_reads_on() {
    let broker = Broker::new();
    let (a, b) = (topic(&broker, "a", 2), topic(&broker, "b", 1));
    let mut consumer = consumer(&broker, &["a", "b"]);
    a.producer().send(Record::new("a")).unwrap();
    a.close();
    assert_eq!(read_to_end(&mut consumer), (1, "a".into()));
    b.producer().send(Record::new("b")).unwrap();
    assert_eq!(consumer.poll(LONG).unwrap().len(), 1);
    assert_eq!(consumer.poll(SHORT).unwrap().len(), 0);
    b.close();
    assert_eq!(read_to_end(&mut consumer), (0, "b".into()));
    let always = read_to_end(&mut consumer);
    assert_eq!(read_to_end(&mut consumer), always);
}

#[test]
fn the_end_of_a_topic_does_not_wait_for_unassigned_partitions() {
    let broker = Broker::new();
    let topic = topic(&broker, "orders", 2);
    let mut producer = topic.producer();
    for partition in [0, 1, 1] {
        producer
            .send(Record::new("order").partition(partition))
            .unwrap();
    }
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.assign([TopicPartition::new("orders", 0)]).unwrap();
    let mut paused = self::consumer(&broker, &["orders"]);
    paused.pause(("orders", 1)).unwrap();
    topic.close();
    assert_eq!(read_to_end(&mut consumer).0, 1);
    // A paused partition is still to be read.
    assert_eq!(paused.poll(LONG).unwrap().len(), 1);
    assert_eq!(paused.poll(SHORT).unwrap().len(), 0);
    paused.resume(("orders", 1)).unwrap();
    assert_eq!(read_to_end(&mut paused).0, 2);
}

#[test]
fn an_open_claim_may_still_be_published_and_the_reader_waits_for_it() {
    let broker = Broker::new();
    let topic = topic(&broker, "orders", 1);
    for publish in [true, false] {
        let mut consumer = consumer(&broker, &["orders"]);
        let mut producer = topic.producer();
        if topic.is_closed() {
            continue;
        }
        let claim = producer.claim(Destination::Any, None, 4).unwrap();
        topic.close();
        assert_eq!(consumer.poll(SHORT).unwrap().len(), 0);
        if publish {
            claim.publish();
        } else {
            drop(claim);
        }
        assert_eq!(read_to_end(&mut consumer).0, usize::from(publish));
    }
}

#[test]
fn an_exclusive_producer_ends_its_topic_at_its_next_call_or_when_dropped() {
    for calls in [true, false] {
        let broker = Broker::new();
        let topic = topic(&broker, "ticks", 2);
        let mut consumer = consumer(&broker, &["ticks"]);
        let mut producer = topic.exclusive_producer().unwrap();
        for n in 0..9u32 {
            producer.send(Record::new("tick").partition(n % 2)).unwrap();
            while !consumer.try_poll().unwrap().is_empty() {}
        }
        topic.close();
        assert_eq!(consumer.poll(SHORT).unwrap().len(), 0);
        let reader = thread::spawn(move || read_to_end(&mut consumer));
        thread::sleep(SHORT);
        if calls {
            let refused = producer.send(Record::new("late")).unwrap_err();
            assert!(matches!(refused, SendError::Closed { .. }));
            assert_eq!(reader.join().unwrap().0, 0);
        } else {
            drop(producer);
            assert_eq!(reader.join().unwrap().0, 0);
        }
    }
}

#[test]
fn all_waiting_threads_return_at_once() {
    for wait in [
        WaitStrategy::Block,
        WaitStrategy::Backoff,
        WaitStrategy::BusySpin,
    ] {
        for delete in [false, true] {
            let broker = Broker::new();
            let config = TopicConfig::new().segments(2).segment_records(1);
            let config = config.wait(wait.clone()).max_block(LONG);
            let topic = broker.create_topic("orders", config).unwrap();
            let mut reader = consumer(&broker, &["orders"]);
            let _slow = consumer(&broker, &["orders"]);
            let mut member = broker
                .consumer(ConsumerConfig::new().group("billing"))
                .unwrap();
            member.subscribe(["orders"]).unwrap();
            let mut producer = topic.producer();
            while producer.try_send(Record::new("order")).is_ok() {}
            let sender = thread::spawn(move || producer.send(Record::new("order")).unwrap_err());
            let reader = thread::spawn(move || read_to_end(&mut reader));
            let member = thread::spawn(move || read_to_end(&mut member));
            thread::sleep(SHORT);
            if delete {
                broker.delete_topic("orders").unwrap();
            } else {
                topic.close();
            }
            woken(&format!("{wait:?}, deleted: {delete}"), || {
                assert!(matches!(sender.join().unwrap(), SendError::Closed { .. }));
                assert_eq!(reader.join().unwrap().1, "orders");
                assert_eq!(member.join().unwrap().1, "orders");
            });
        }
    }
}

#[test]
fn records_sent_while_a_topic_closes_are_read_or_refused() {
    for round in 0..20u64 {
        let broker = Broker::new();
        let overflow = Overflow::Backpressure;
        let config = TopicConfig::new()
            .partitions(3)
            .segments(2)
            .segment_records(8);
        let topic = broker.create_topic("t", config.overflow(overflow)).unwrap();
        let mut consumer = consumer(&broker, &["t"]);
        let producers: Vec<_> = (0..3)
            .map(|_| {
                let mut producer = topic.producer();
                thread::spawn(move || {
                    let mut sent = 0;
                    while producer.send(Record::new("x")).is_ok() {
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        let reader = thread::spawn(move || read_to_end(&mut consumer).0);
        thread::sleep(Duration::from_micros(500 * round));
        topic.close();
        let sent: usize = producers.into_iter().map(|p| p.join().unwrap()).sum();
        assert_eq!(reader.join().unwrap(), sent);
    }
}

#[test]
fn members_of_a_group_read_a_closed_topic_to_its_end_between_them() {
    let broker = Broker::new();
    let topic = topic(&broker, "orders", 4);
    let mut members = [(); 2].map(|()| {
        let mut member = broker
            .consumer(ConsumerConfig::new().group("billing"))
            .unwrap();
        member.subscribe(["orders"]).unwrap();
        member
    });
    for _ in 0..4 {
        for member in &mut members {
            assert!(member.try_poll().unwrap().is_empty());
        }
    }
    let mut producer = topic.producer();
    for n in 0..12u32 {
        producer
            .send(Record::new("order").partition(n % 4))
            .unwrap();
    }
    topic.close();
    let read = members.map(|mut member| thread::spawn(move || read_to_end(&mut member).0));
    assert_eq!(read.map(|r| r.join().unwrap()), [6, 6]);
}

/// A member gets an error at the end of its own partitions, and then waits for partitions that it
/// may still be assigned.
#[test]
fn a_member_at_the_end_of_its_partitions_waits_for_its_other_topics() {
    let broker = Broker::new();
    let (a, _b) = (topic(&broker, "a", 1), topic(&broker, "b", 1));
    let mut members = [(); 2].map(|()| {
        let config = ConsumerConfig::new().group("billing");
        let mut member = broker
            .consumer(config.assignor(ringlog::RoundRobinAssignor))
            .unwrap();
        member.subscribe(["a", "b"]).unwrap();
        member
    });
    for _ in 0..4 {
        for member in &mut members {
            assert!(member.try_poll().unwrap().is_empty());
        }
    }
    a.close();
    assert_eq!(read_to_end(&mut members[0]), (0, "a".into()));
    let start = Instant::now();
    assert!(members[0].poll(SHORT).unwrap().is_empty());
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn after_a_seek_back_closed_is_reported_again_only_at_the_end() {
    let broker = Broker::new();
    let (a, _b) = (topic(&broker, "a", 1), topic(&broker, "b", 1));
    a.producer().send(Record::new("a")).unwrap();
    a.close();
    for topics in [&["a"][..], &["a", "b"][..]] {
        let mut consumer = consumer(&broker, topics);
        assert_eq!(read_to_end(&mut consumer), (1, "a".into()));
        consumer.seek(("a", 0), 0).unwrap();
        consumer.pause(("a", 0)).unwrap();
        assert!(consumer.poll(SHORT).unwrap().is_empty());
        consumer.resume(("a", 0)).unwrap();
        assert_eq!(read_to_end(&mut consumer), (1, "a".into()));
        consumer.seek_to_beginning(("a", 0)).unwrap();
        assert_eq!(read_to_end(&mut consumer), (1, "a".into()));
    }
}

/// How long a poll takes that checks whether a topic of so many partitions is read to its end.
fn time_of_a_check(partitions: u32) -> impl FnMut() -> Duration {
    let broker = Broker::new();
    let config = TopicConfig::new()
        .partitions(partitions)
        .segments(2)
        .segment_records(1)
        .segment_bytes(64);
    let topic = broker.create_topic("orders", config).unwrap();
    let last = TopicPartition::new("orders", partitions - 1);
    topic
        .producer()
        .send(Record::new("order").partition(last.partition))
        .unwrap();
    let mut consumer = broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    consumer.pause(("orders", last.partition)).unwrap();
    topic.close();
    move || {
        let start = Instant::now();
        assert!(consumer.try_poll().unwrap().is_empty());
        let taken = start.elapsed();
        consumer.resume(("orders", last.partition)).unwrap();
        assert_eq!(read_to_end(&mut consumer).0, 1);
        consumer.seek(("orders", last.partition), 0).unwrap();
        consumer.pause(("orders", last.partition)).unwrap();
        taken
    }
}

/// Checking whether a topic is read to its end looks at each partition once, however many there
/// are: the time grows with the number of partitions, and not with its square.
#[test]
fn checking_for_the_end_costs_one_look_at_each_partition() {
    let (few, most) = (1_024, 16_384);
    let (mut check_few, mut check_most) = (time_of_a_check(few), time_of_a_check(most));
    // A check that is interrupted takes longer; the shortest of several counts.
    let (mut of_few, mut of_most) = (Duration::MAX, Duration::MAX);
    wait_until(
        "the check takes less than four times as long for each partition",
        || {
            of_few = of_few.min(check_few());
            of_most = of_most.min(check_most());
            of_most < of_few * (4 * most / few)
        },
    );
}
