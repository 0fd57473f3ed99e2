//! Which partition a record is sent to, and how often that is decided: once.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{TOPIC, drain, make, subscribed};
use ringlog::{
    Broker, Consumer, ConsumerConfig, Destination, PartitionChoice, Partitioner, Record,
    RoundRobin, Topic, TopicConfig,
};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Chooses partition 0, 1, 0, 1, ..., and counts how often it was asked.
#[derive(Clone, Debug, Default)]
struct Alternates {
    asked: Arc<AtomicU32>,
    panics: Arc<AtomicBool>,
}

impl Alternates {
    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Partitioner for Alternates {
    fn choose(&self, _: Option<&[u8]>, partitions: u32) -> PartitionChoice {
        if self.panics.load(Ordering::Relaxed) {
            resume_unwind(Box::new("the partitioner panics"));
        }
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        PartitionChoice::Partition(asked % partitions)
    }
}

/// A topic of two partitions that are full, and a consumer of each.
fn full(partitioner: impl Partitioner + 'static) -> (Broker, Topic, [Consumer; 2]) {
    let config = TopicConfig::new()
        .partitions(2)
        .segments(2)
        .segment_records(2)
        .max_block(Duration::ZERO)
        .partitioner(partitioner);
    let (broker, topic) = make(config);
    let readers = [0, 1].map(|partition| {
        let mut reader = broker.consumer(ConsumerConfig::new()).unwrap();
        reader.assign([(TOPIC, partition)]).unwrap();
        reader
    });
    let mut producer = topic.producer();
    for partition in 0..2 {
        while producer
            .try_send(Record::new("").partition(partition))
            .is_ok()
        {}
    }
    (broker, topic, readers)
}

/// Reads all of a partition, so that it has room again.
fn make_room(reader: &mut Consumer) {
    assert_eq!(drain(reader).len(), 4);
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    std::pin::Pin::new(future).poll(&mut context)
}

#[test]
fn a_send_that_waits_is_sent_to_the_partition_it_waits_for() {
    let (_broker, topic, [mut first, _second]) = full(RoundRobin);
    let mut producer = topic.producer();
    let mut context = Context::from_waker(Waker::noop());
    let mut send = pin!(producer.send_async(Record::new("y")));
    assert!(send.as_mut().poll(&mut context).is_pending());
    make_room(&mut first);
    let Poll::Ready(Ok(sent)) = send.as_mut().poll(&mut context) else {
        panic!("there is room in the partition for which it waited");
    };
    assert_eq!((sent.partition, sent.offset), (0, 4));
}

#[test]
fn a_record_is_routed_once_however_often_its_future_is_polled() {
    let partitioner = Alternates::default();
    let (_broker, topic, [mut first, _second]) = full(partitioner.clone());
    let mut producer = topic.producer();
    let mut send = producer.send_async(Record::new("y").key("k"));
    for _ in 0..5 {
        assert!(poll_once(&mut send).is_pending());
    }
    assert_eq!(partitioner.asked(), 1);
    make_room(&mut first);
    let Poll::Ready(Ok(sent)) = poll_once(&mut send) else {
        panic!("there is room in the partition for which it waited");
    };
    assert_eq!((sent.partition, partitioner.asked()), (0, 1));
    drop(send);
    let mut records = drain(&mut first);
    assert_eq!(records.pop(), Some((0, 4, b"y".to_vec())));
}

#[test]
fn the_key_of_a_record_that_had_to_wait_is_stored() {
    let (_broker, topic, [mut first, _second]) = full(Alternates::default());
    let mut producer = topic.producer();
    let mut send = producer.send_async(Record::new("y").key("k"));
    assert!(poll_once(&mut send).is_pending());
    make_room(&mut first);
    assert!(poll_once(&mut send).is_ready());
    drop(send);
    let batch = first.try_poll().unwrap();
    let record = batch.iter().next().unwrap();
    assert_eq!(record.key(), Some(&b"k"[..]));
    assert_eq!(record.value(), Some(&b"y"[..]));
}

#[test]
fn values_are_routed_once_however_often_their_future_is_polled() {
    let partitioner = Alternates::default();
    let (_broker, topic, [mut first, _second]) = full(partitioner.clone());
    let mut producer = topic.producer();
    let values = [7u64, 8];
    let mut send = producer.send_values_async(Destination::Any, &values);
    for _ in 0..5 {
        assert!(poll_once(&mut send).is_pending());
    }
    assert_eq!(partitioner.asked(), 1);
    make_room(&mut first);
    let Poll::Ready(Ok(sent)) = poll_once(&mut send) else {
        panic!("there is room in the partition for which it waited");
    };
    assert_eq!((sent.partition, sent.base_offset), (0, 4));
    assert_eq!(partitioner.asked(), 1);
}

#[test]
fn a_batch_is_routed_once_however_often_its_future_is_polled() {
    let partitioner = Alternates::default();
    let (_broker, topic, [mut first, mut second]) = full(partitioner.clone());
    let mut producer = topic.producer();
    let batch = ["a", "b"].map(Record::new);
    let mut send = producer.send_batch_async(&batch);
    for _ in 0..5 {
        assert!(poll_once(&mut send).is_pending());
    }
    make_room(&mut second);
    assert!(poll_once(&mut send).is_pending());
    make_room(&mut first);
    let Poll::Ready(Ok(sent)) = poll_once(&mut send) else {
        panic!("there is room in both partitions");
    };
    let partitions: Vec<_> = sent.iter().map(|sent| sent.partition).collect();
    assert_eq!((partitions, partitioner.asked()), (vec![0, 1], 2));
}

#[test]
fn a_blocking_send_is_routed_once() {
    let partitioner = Alternates::default();
    let (_broker, topic, _readers) = full(partitioner.clone());
    let mut producer = topic.producer();
    for asked in 1..=4 {
        assert!(producer.send(Record::new("y")).is_err());
        assert_eq!(partitioner.asked(), asked);
    }
    assert!(producer.send_values(Destination::Any, &[1u64]).is_err());
    assert!(producer.claim(Destination::Any, None, 1).is_err());
    assert_eq!(partitioner.asked(), 6);
}

#[test]
fn a_partitioner_that_panics_loses_nothing_and_leaves_the_producer_usable() {
    let partitioner = Alternates::default();
    let config = TopicConfig::new()
        .partitions(2)
        .partitioner(partitioner.clone());
    let (broker, topic) = make(config);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer();
    let batch = ["a", "b"].map(Record::new);
    for round in 0..3u64 {
        partitioner.panics.store(true, Ordering::Relaxed);
        let panics = |send: &mut dyn FnMut()| {
            assert!(catch_unwind(AssertUnwindSafe(send)).is_err());
        };
        panics(&mut || drop(producer.send(Record::new("x"))));
        panics(&mut || drop(producer.send_values(Destination::Any, &[1u64])));
        panics(&mut || drop(producer.claim(Destination::Any, Some(b"k"), 1)));
        panics(&mut || drop(producer.send_batch(&batch).map(|sent| sent.len())));
        panics(&mut || drop(poll_once(&mut producer.send_async(Record::new("x")))));
        panics(&mut || {
            let _ = poll_once(&mut producer.send_batch_async(&batch)).map(|sent| sent.is_ok());
        });
        // A future that panicked is polled again, when the partitioner has recovered.
        let mut send = producer.send_async(Record::new("later"));
        panics(&mut || drop(poll_once(&mut send)));
        partitioner.panics.store(false, Ordering::Relaxed);
        assert!(matches!(poll_once(&mut send), Poll::Ready(Ok(_))));
        drop(send);
        assert_eq!(producer.send_batch(&batch).unwrap().len(), 2);
        assert_eq!(drain(&mut consumer).len(), 3, "in round {round}");
    }
}

#[test]
fn a_claim_with_a_key_is_routed_by_it() {
    let (_broker, topic) = make(TopicConfig::new().partitions(8));
    let mut producer = topic.producer();
    for i in 0..100u32 {
        let key = i.to_ne_bytes();
        let sent = producer.send(Record::new("v").key(&key)).unwrap();
        // Between the claims, values move the sticky partition on.
        producer.send(Record::new(&[0; 9000])).unwrap();
        let claim = producer.claim(Destination::Any, Some(&key), 1).unwrap();
        assert_eq!(claim.publish().partition, sent.partition, "key {i}");
    }
}

#[test]
fn a_destination_that_is_given_takes_precedence_over_the_key_of_a_claim() {
    let (_broker, topic) = make(TopicConfig::new().partitions(8));
    let mut producer = topic.producer();
    let routed = producer.send(Record::new("v").key("route")).unwrap();
    for i in 0..20u32 {
        let key = i.to_ne_bytes();
        let partition = Destination::Partition(i % 8);
        let claim = producer.claim(partition, Some(&key), 1).unwrap();
        assert_eq!(claim.publish().partition, i % 8);
        let other_key = Destination::Key(b"route");
        let claim = producer.claim(other_key, Some(&key), 1).unwrap();
        assert_eq!(claim.publish().partition, routed.partition);
    }
}

#[test]
fn a_partitioner_receives_the_key_of_a_claim() {
    #[derive(Debug)]
    struct FirstByte;
    impl Partitioner for FirstByte {
        fn choose(&self, key: Option<&[u8]>, _: u32) -> PartitionChoice {
            PartitionChoice::Partition(key.unwrap()[0].into())
        }
    }
    let config = TopicConfig::new().partitions(3).partitioner(FirstByte);
    let (_broker, topic) = make(config);
    let claim = |key: &[u8]| {
        let mut producer = topic.producer();
        let claim = producer.claim(Destination::Any, Some(key), 0).unwrap();
        claim.publish().partition
    };
    assert_eq!([claim(&[2]), claim(&[0]), claim(&[1])], [2, 0, 1]);
}

#[test]
fn records_without_a_key_change_their_partition_after_sixteen_kib() {
    let (_broker, topic) = make(TopicConfig::new().partitions(2).segments(8));
    let mut producer = topic.producer();
    let mut send = || {
        let sent = producer.try_send(Record::new(&[7; 1024])).unwrap();
        sent.partition
    };
    let first = send();
    // The record that exceeds the limit is the last one.
    assert!((1..17).all(|_| send() == first));
    assert!((17..34).all(|_| send() != first));
    assert_eq!(send(), first);
}
