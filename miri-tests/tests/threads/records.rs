//! Producers and readers.

use miri_tests::{LONG, bytes, make, read_to_end, reader, small};
use ringlog::{Consumer, Destination, Overflow, Record, Topic};
use std::thread;

const EACH: u8 = 14;

/// Sends in several ways; a value repeats its number.
fn produce(topic: &Topic, id: u8) {
    let mut producer = topic.producer();
    let mut n = 0;
    while n < EACH {
        let value = [n; 9];
        let id = [id];
        n += match n % 4 {
            0 => producer
                .send(Record::new(&value).key(&id))
                .map(|_| 1)
                .unwrap(),
            1 => {
                let next = [n + 1; 5];
                let batch = [Record::new(&value).key(&id), Record::new(&next).key(&id)];
                producer.send_batch(&batch).unwrap().len() as u8
            }
            _ => {
                let mut claim = producer.claim(Destination::Any, Some(&id), 3).unwrap();
                claim.fill(n);
                claim.publish();
                1
            }
        };
    }
}

/// Reads `count` records or counts them as lost; holds each batch while others send.
fn consume(consumer: &mut Consumer, count: u64) -> u64 {
    let (mut seen, mut lost) = (0, 0);
    let mut last = [None; 2];
    while seen + lost < count {
        let batch = consumer.poll(LONG).unwrap();
        lost += batch.lost();
        let held: Vec<_> = batch
            .iter()
            .map(|r| (r.key().unwrap(), bytes(&r)))
            .collect();
        thread::yield_now();
        for (key, value) in held {
            assert!(value.iter().all(|byte| *byte == value[0]), "torn");
            let last = &mut last[usize::from(key[0])];
            assert!(last.is_none_or(|last| last < value[0]), "out of order");
            *last = Some(value[0]);
            seen += 1;
        }
    }
    lost
}

#[test]
fn two_producers_lose_nothing_under_backpressure() {
    let (broker, topic) = make(small());
    let mut consumer = reader(&broker);
    let senders = [0, 1].map(|id| {
        let topic = topic.clone();
        thread::spawn(move || produce(&topic, id))
    });
    assert_eq!(consume(&mut consumer, 2 * u64::from(EACH)), 0);
    senders
        .into_iter()
        .for_each(|sender| sender.join().unwrap());
}

#[test]
fn under_drop_oldest_held_batches_stay_and_losses_are_counted() {
    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let readers = [(); 2].map(|()| {
        let mut consumer = reader(&broker);
        thread::spawn(move || consume(&mut consumer, 2 * u64::from(EACH)))
    });
    let senders = [0, 1].map(|id| {
        let topic = topic.clone();
        thread::spawn(move || produce(&topic, id))
    });
    senders
        .into_iter()
        .for_each(|sender| sender.join().unwrap());
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn an_exclusive_producer_hands_over_to_another_thread() {
    let (broker, topic) = make(small());
    let mut consumer = reader(&broker);
    let sender = thread::spawn(move || {
        for _ in 0..2 {
            let topic = topic.clone();
            let turn = thread::spawn(move || {
                let mut producer = topic.exclusive_producer().unwrap();
                for n in 0..9u8 {
                    producer.send(Record::new(&[n; 7])).unwrap();
                }
            });
            turn.join().unwrap();
        }
        topic.close();
    });
    assert_eq!(read_to_end(&mut consumer), 18);
    sender.join().unwrap();
}

#[test]
fn readers_come_and_go_while_a_producer_wraps() {
    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let sender = thread::spawn(move || {
        let mut producer = topic.producer();
        for n in 0..24u8 {
            producer.send(Record::new(&[n; 9])).unwrap();
        }
        topic.delete_records(0, 20).unwrap();
        topic.close();
    });
    for _ in 0..3 {
        let mut consumer = reader(&broker);
        if let Ok(batch) = consumer.try_poll() {
            let held: Vec<_> = batch.iter().map(|r| bytes(&r)).collect();
            thread::yield_now();
            assert!(
                held.iter()
                    .all(|value| value.iter().all(|b| *b == value[0]))
            );
        };
        broker.snapshot();
    }
    sender.join().unwrap();
}

#[test]
fn a_batch_is_handed_to_other_threads() {
    let (broker, topic) = make(small().overflow(Overflow::DropOldest));
    let mut consumer = reader(&broker);
    let mut producer = topic.producer();
    producer.send_batch(&[Record::new("work"); 3]).unwrap();
    let batch = consumer.try_poll().unwrap();
    thread::scope(|scope| {
        for record in &batch {
            scope.spawn(move || assert_eq!(bytes(&record), b"work"));
        }
        for _ in 0..12 {
            producer.send(Record::new("overwrites")).unwrap();
        }
    });
}

#[test]
fn threads_send_through_one_shared_producer() {
    let (broker, topic) = make(small());
    let mut consumer = reader(&broker);
    let shared = topic.shared_producer();
    thread::scope(|scope| {
        for id in [0u8, 1] {
            let shared = &shared;
            scope.spawn(move || {
                for n in 0..EACH {
                    let value = [n; 9];
                    let record = Record::new(&value).key(std::slice::from_ref(&id));
                    shared.send(record).unwrap();
                }
            });
        }
        assert_eq!(consume(&mut consumer, 2 * u64::from(EACH)), 0);
    });
}
