//! Handles end in every order.

use miri_tests::{POLICIES, TOPIC, bytes, make, member, read_to_end, reader, small};
use ringlog::{Overflow, Record};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Waker};

/// All orders of four things.
fn orders() -> impl Iterator<Item = [usize; 4]> {
    let all = (0..256).map(|n| [n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6 & 3]);
    all.filter(|order| (0..4).all(|n| order.contains(&n)))
}

/// The batch is held through all of it, and read after the rest is gone.
#[test]
fn a_batch_outlives_the_other_handles_in_every_order() {
    for order in orders() {
        let (broker, topic) = make(small().overflow(Overflow::DropOldest));
        let mut consumer = reader(&broker);
        let other = reader(&broker);
        let mut producer = topic.producer();
        producer.send(Record::new("held").key("k")).unwrap();
        let batch = consumer.try_poll().unwrap();
        let held = bytes(&batch.iter().next().unwrap());
        let (mut broker, mut topic) = (Some(broker), Some(topic));
        let (mut other, mut producer) = (Some(other), Some(producer));
        for step in order {
            if let Some(producer) = &mut producer {
                producer
                    .send_batch(&[Record::new("overwrites"); 4])
                    .unwrap();
            }
            match step {
                0 => drop(broker.take()),
                1 => drop(topic.take()),
                2 => drop(other.take()),
                _ => drop(producer.take()),
            }
        }
        assert_eq!(held, b"held");
        drop(consumer);
    }
}

#[test]
fn handles_end_in_every_order_with_a_leaked_future() {
    for order in orders() {
        let (broker, topic) = make(small());
        let mut consumer = reader(&broker);
        let member = member(&broker);
        let mut producer = topic.producer();
        let mut context = Context::from_waker(Waker::noop());
        let mut poll = ManuallyDrop::new(consumer.poll_async());
        assert!(Pin::new(&mut *poll).poll(&mut context).is_pending());
        producer.send(Record::new("x")).unwrap();
        let (mut broker, mut topic) = (Some(broker), Some(topic));
        let (mut readers, mut producer) = (Some((consumer, member)), Some(producer));
        for step in order {
            match step {
                0 => drop(broker.take()),
                1 => topic.take().unwrap().close(),
                2 => drop(readers.take()),
                _ => drop(producer.take()),
            }
        }
    }
}

#[test]
fn a_closed_or_deleted_topic_is_read_to_its_end() {
    for policy in POLICIES {
        for exclusive in [false, true] {
            let (broker, topic) = make(small().overflow(policy));
            let mut consumer = reader(&broker);
            if exclusive {
                let mut producer = topic.exclusive_producer().unwrap();
                (0..6).for_each(|_| drop(producer.send(Record::new("x"))));
            } else {
                let mut producer = topic.producer();
                (0..6).for_each(|_| drop(producer.send(Record::new("x"))));
            }
            topic.close();
            assert_eq!(read_to_end(&mut consumer), 6);
            assert!(topic.producer().send(Record::new("late")).is_err());
            consumer.seek_to_beginning((TOPIC, 0)).unwrap();
            let batch = consumer.try_poll().unwrap();
            broker.delete_topic(TOPIC).unwrap();
            drop(topic);
            assert_eq!(bytes(&batch.iter().next().unwrap()), b"x");
            assert!(consumer.try_poll().is_err());
            let again = broker.create_topic(TOPIC, small()).unwrap();
            consumer.subscribe([TOPIC]).unwrap();
            again.producer().send(Record::new("y")).unwrap();
            assert_eq!(consumer.try_poll().unwrap().len(), 1);
        }
    }
}
