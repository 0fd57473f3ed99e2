//! Threads and tasks that wait for each other.

use miri_tests::{LONG, block_on, make, read_to_end, reader, small};
use ringlog::{ConsumeError, Record, SendError, WaitStrategy};
use std::thread;

#[test]
fn two_threads_wake_each_other() {
    for wait in [
        WaitStrategy::Block,
        WaitStrategy::Backoff,
        WaitStrategy::Yield,
    ] {
        let (broker, topic) = make(small().segment_records(1).wait(wait));
        let mut consumer = reader(&broker);
        let mut producer = topic.producer();
        let sender = thread::spawn(move || {
            for _ in 0..8 {
                producer.send(Record::new("x")).unwrap();
            }
        });
        for _ in 0..8 {
            assert_eq!(consumer.poll(LONG).unwrap().len(), 1);
        }
        sender.join().unwrap();
    }
}

#[test]
fn two_tasks_wake_each_other() {
    let (broker, topic) = make(small().segment_records(1));
    let mut consumer = reader(&broker);
    let mut producer = topic.producer();
    let sender = thread::spawn(move || {
        block_on(async {
            for _ in 0..8 {
                producer.send_async(Record::new("x")).await.unwrap();
            }
        });
    });
    block_on(async {
        for _ in 0..8 {
            assert_eq!(consumer.poll_async().await.unwrap().len(), 1);
        }
    });
    sender.join().unwrap();
}

#[test]
fn the_end_of_a_topic_wakes_all() {
    let (broker, topic) = make(small());
    let mut consumer = reader(&broker);
    let slow = reader(&broker);
    let mut producer = topic.producer();
    let sender = thread::spawn(move || {
        loop {
            match producer.send(Record::new("x")) {
                Ok(_) => {}
                Err(SendError::Closed { .. }) => return,
                Err(other) => panic!("{other}"),
            }
        }
    });
    let reading = thread::spawn(move || read_to_end(&mut consumer));
    thread::yield_now();
    topic.close();
    sender.join().unwrap();
    assert!(reading.join().unwrap() <= 8);
    drop(slow);
}

#[test]
fn a_wakeup_ends_a_poll() {
    let (broker, _topic) = make(small());
    let mut consumer = reader(&broker);
    let handle = consumer.wakeup_handle();
    let polling = thread::spawn(move || consumer.poll(LONG).map(|batch| batch.len()));
    handle.wakeup();
    assert_eq!(polling.join().unwrap(), Err(ConsumeError::Wakeup));
}

#[test]
fn added_partitions_wake_a_reader() {
    let (broker, topic) = make(small());
    let mut consumer = reader(&broker);
    let polling = thread::spawn(move || consumer.poll(LONG).map(|batch| batch.len()));
    topic.add_partitions(3).unwrap();
    let record = Record::new("x").partition(2);
    topic.producer().send(record).unwrap();
    assert_eq!(polling.join().unwrap(), Ok(1));
}
