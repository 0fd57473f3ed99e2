//! Waiters that sleep until they are woken, and the end of a topic. After a lost wake-up a thread
//! sleeps forever, which loom reports as a deadlock.

use crate::common::*;
use loom::thread;
use ringlog_loom::{ConsumeError, Consumer, Overflow, Record, TopicConfig, WaitStrategy};
use std::time::Duration;

/// A time limit that no model reaches.
const FOREVER: Duration = Duration::from_secs(100_000);

fn sleeping(config: TopicConfig) -> TopicConfig {
    config.wait(WaitStrategy::Block).max_block(FOREVER)
}

/// Waits for the next record, and returns its number.
fn read_one(consumer: &mut Consumer) -> u64 {
    let batch = consumer.poll(FOREVER).unwrap();
    assert_eq!(batch.len(), 1);
    batch.iter().map(|r| number(r.value_bytes())).sum()
}

/// P15: publishing wakes a sleeping reader. Of two records in a row, one may be published just as
/// the reader enrols.
#[test]
fn a_reader_that_sleeps_is_woken_by_what_is_published() {
    explore(|| {
        let (broker, topic) = topic(sleeping(small(Overflow::DropOldest)));
        let mut consumer = reader(&broker);
        let mut producer = producer(&topic);
        let p = thread::spawn(move || {
            for n in 0..2 {
                producer.send(Record::new(&value(n))).unwrap();
            }
        });
        let c = thread::spawn(move || {
            let mut seen = 0;
            while seen < 2 {
                seen += consumer.poll(FOREVER).unwrap().len();
            }
        });
        p.join().unwrap();
        c.join().unwrap();
    });
}

/// P15: a record may be published before an earlier one of another producer. The producer that
/// publishes the earlier record wakes the reader.
#[test]
fn a_reader_is_woken_by_the_last_of_two_producers() {
    explore_to(1, || {
        let (broker, topic) = topic(sleeping(small(Overflow::DropOldest)));
        let mut consumer = reader(&broker);
        let producers = [0, 1].map(|n| {
            let mut producer = producer(&topic);
            thread::spawn(move || producer.send(Record::new(&value(n))).map(|_| ()))
        });
        let c = thread::spawn(move || {
            let mut seen = 0;
            while seen < 2 {
                seen += consumer.poll(FOREVER).unwrap().len();
            }
        });
        for p in producers {
            p.join().unwrap().unwrap();
        }
        c.join().unwrap();
    });
}

/// P16: two readers enrol at the same time, so the notifier may find the lock of the wait list
/// taken by one of them. Both are woken.
#[test]
fn two_readers_that_sleep_are_both_woken() {
    explore(|| {
        let (broker, topic) = topic(sleeping(small(Overflow::DropOldest)));
        let readers = [(); 2].map(|()| reader(&broker));
        let mut producer = producer(&topic);
        let p = thread::spawn(move || producer.send(Record::new(&value(7))).map(|_| ()));
        let readers = readers
            .map(|mut consumer| thread::spawn(move || assert_eq!(read_one(&mut consumer), 7)));
        p.join().unwrap().unwrap();
        for r in readers {
            r.join().unwrap();
        }
    });
}

/// P15: a sleeping producer is woken when the reader's gate moves on.
#[test]
fn a_producer_that_sleeps_is_woken_when_there_is_room() {
    explore(|| {
        let (broker, topic) = topic(sleeping(smallest(Overflow::Backpressure)));
        let mut consumer = reader(&broker);
        let mut producer = producer(&topic);
        for n in 0..2 {
            producer.send(Record::new(&value(n))).unwrap();
        }
        let p = thread::spawn(move || producer.send(Record::new(&value(2))).unwrap().offset);
        let c = thread::spawn(move || {
            for n in 0..2 {
                assert_eq!(read_one(&mut consumer), n);
            }
            consumer
        });
        assert_eq!(p.join().unwrap(), 2);
        let mut consumer = c.join().unwrap();
        assert_eq!(read_one(&mut consumer), 2);
    });
}

/// P15: a sleeping producer is woken when the reader leaves.
#[test]
fn a_producer_that_sleeps_is_woken_when_the_reader_leaves() {
    explore(|| {
        let (broker, topic) = topic(sleeping(smallest(Overflow::Backpressure)));
        let consumer = reader(&broker);
        let mut producer = producer(&topic);
        for n in 0..2 {
            producer.send(Record::new(&value(n))).unwrap();
        }
        let p = thread::spawn(move || producer.send(Record::new(&value(2))).unwrap().offset);
        let c = thread::spawn(move || drop(consumer));
        assert_eq!(p.join().unwrap(), 2);
        c.join().unwrap();
    });
}

/// P15: a sleeping reader is woken through its wake-up handle.
#[test]
fn a_reader_that_sleeps_is_woken_by_its_handle() {
    explore(|| {
        let (broker, _topic) = topic(sleeping(small(Overflow::Backpressure)));
        let mut consumer = reader(&broker);
        let handle = consumer.wakeup_handle();
        let w = thread::spawn(move || handle.wakeup());
        let c = thread::spawn(move || {
            let woken = consumer.poll(FOREVER).map(|batch| batch.len());
            assert_eq!(woken, Err(ConsumeError::Wakeup));
        });
        w.join().unwrap();
        c.join().unwrap();
    });
}

/// Reads until the topic is closed, and returns the numbers read.
fn read_to_end(consumer: &mut Consumer) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        match consumer.poll(FOREVER) {
            Ok(batch) => seen.extend(batch.iter().map(|r| number(r.value_bytes()))),
            Err(ConsumeError::Closed { .. }) => return seen,
            Err(other) => panic!("{other}"),
        }
    }
}

/// T5: a topic is closed while a producer sends and rolls. The reader gets exactly the records
/// sent, and then the error `Closed`.
#[test]
fn what_is_sent_while_a_topic_is_closed_is_read_or_was_refused() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let config = sleeping(smallest(Overflow::Backpressure)).segments(3);
        let (broker, topic) = topic(config);
        let mut consumer = reader(&broker);
        let mut producer = producer(&topic);
        let p = thread::spawn(move || {
            let sent = (0..2).filter(|&n| producer.try_send(Record::new(&value(n))).is_ok());
            sent.collect::<Vec<u64>>()
        });
        let closer = thread::spawn(move || topic.close());
        let sent = p.join().unwrap();
        closer.join().unwrap();
        assert_eq!(read_to_end(&mut consumer), sent);
        observed.add(sent);
    });
    outcomes.are([vec![], vec![0], vec![0, 1]]);
}

/// P15: closing the topic wakes a sleeping reader.
#[test]
fn a_reader_that_sleeps_is_woken_by_the_end() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore_to(1, move || {
        let (broker, topic) = topic(sleeping(small(Overflow::DropOldest)));
        let mut consumer = reader(&broker);
        let mut producer = producer(&topic);
        let p = thread::spawn(move || producer.send(Record::new(&value(0))).is_ok());
        let closer = thread::spawn(move || topic.close());
        let c = thread::spawn(move || read_to_end(&mut consumer));
        let sent = p.join().unwrap();
        closer.join().unwrap();
        assert_eq!(c.join().unwrap().len(), usize::from(sent));
        observed.add(sent);
    });
    outcomes.are([false, true]);
}

/// P15: closing the topic wakes a sleeping producer, whose send is refused.
#[test]
fn a_producer_that_sleeps_is_woken_by_the_end() {
    explore(|| {
        let (broker, topic) = topic(sleeping(smallest(Overflow::Backpressure)));
        let mut consumer = reader(&broker);
        let mut producer = producer(&topic);
        for n in 0..2 {
            producer.send(Record::new(&value(n))).unwrap();
        }
        let p = thread::spawn(move || producer.send(Record::new(&value(2))).is_err());
        let closer = thread::spawn(move || topic.close());
        assert!(p.join().unwrap());
        closer.join().unwrap();
        assert_eq!(read_to_end(&mut consumer), [0, 1]);
    });
}

/// P17: an exclusive producer leaves while the topic is closed. One of the two threads ends the
/// log.
#[test]
fn a_topic_whose_exclusive_producer_leaves_comes_to_its_end() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(sleeping(small(Overflow::DropOldest)));
        let mut consumer = reader(&broker);
        let mut producer = topic.exclusive_producer().unwrap();
        let p = thread::spawn(move || producer.send(Record::new(&value(0))).is_ok());
        let closer = thread::spawn(move || topic.close());
        let sent = p.join().unwrap();
        closer.join().unwrap();
        assert_eq!(read_to_end(&mut consumer).len(), usize::from(sent));
        observed.add(sent);
    });
    outcomes.are([false, true]);
}

/// P17: an exclusive producer is made while the topic is closed. It is refused, or ends the log.
#[test]
fn an_exclusive_producer_that_comes_late_does_not_reopen_the_log() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(sleeping(small(Overflow::DropOldest)));
        let mut consumer = reader(&broker);
        let other = topic.clone();
        let p = thread::spawn(move || match other.exclusive_producer() {
            Ok(mut producer) => Some(producer.send(Record::new(&value(0))).is_ok()),
            Err(_) => None,
        });
        let closer = thread::spawn(move || topic.close());
        let sent = p.join().unwrap();
        closer.join().unwrap();
        let read = read_to_end(&mut consumer).len();
        assert_eq!(read, usize::from(sent == Some(true)));
        observed.add(sent);
    });
    outcomes.are([None, Some(false), Some(true)]);
}

/// P17: an exclusive producer leaves, the next one is made, and the topic is closed. The one that
/// leaves does not end a log to which the next one appends.
#[test]
fn an_exclusive_producer_that_leaves_does_not_end_what_the_next_one_sends() {
    let outcomes = Outcomes::new();
    let observed = outcomes.clone();
    explore(move || {
        let (broker, topic) = topic(sleeping(small(Overflow::DropOldest)));
        let mut consumer = reader(&broker);
        let first = topic.exclusive_producer().unwrap();
        let other = topic.clone();
        let leaves = thread::spawn(move || drop(first));
        let closer = thread::spawn(move || topic.close());
        let p = thread::spawn(move || match other.exclusive_producer() {
            Ok(mut producer) => Some(producer.send(Record::new(&value(0))).is_ok()),
            Err(_) => None,
        });
        leaves.join().unwrap();
        closer.join().unwrap();
        let sent = p.join().unwrap();
        let read = read_to_end(&mut consumer).len();
        assert_eq!(read, usize::from(sent == Some(true)));
        observed.add(sent);
    });
    outcomes.are([None, Some(false), Some(true)]);
}

/// T5: two threads close a topic at the same time, and its log ends once.
#[test]
fn a_topic_that_two_threads_close_has_one_end() {
    explore(|| {
        let config = sleeping(smallest(Overflow::DropOldest));
        let (broker, topic) = topic(config);
        let mut consumer = reader(&broker);
        producer(&topic).send(Record::new(&value(0))).unwrap();
        let closers = [(); 2].map(|()| {
            let topic = topic.clone();
            thread::spawn(move || topic.close())
        });
        for c in closers {
            c.join().unwrap();
        }
        assert_eq!(read_to_end(&mut consumer), [0]);
        assert!(topic.is_closed());
    });
}
