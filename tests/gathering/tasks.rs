//! Tasks gather and flush without blocking their thread.

use super::*;
use ringlog::{Consumer, SendError};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn poll<F: Future>(future: &mut Pin<&mut F>, wakes: &Arc<Wakes>) -> Poll<F::Output> {
    let waker = Waker::from(wakes.clone());
    future.as_mut().poll(&mut Context::from_waker(&waker))
}

/// Reads four records, and gives up the ring's last segment.
fn make_room(consumer: &mut Consumer) {
    assert_eq!(values(consumer).len(), 4);
    consumer.try_poll().unwrap();
}

#[test]
fn a_send_waits_for_room_and_is_woken() {
    let (broker, topic) = make(tiny());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four().batch_records(2));
    send_numbers(&mut producer, 0..6);
    let wakes = Arc::new(Wakes::default());
    {
        let mut send = pin!(producer.send_async(Record::new("6")));
        assert!(poll(&mut send, &wakes).is_pending());
        assert!(poll(&mut send, &wakes).is_pending());
        make_room(&mut consumer);
        assert_eq!(wakes.count(), 1);
        assert_eq!(poll(&mut send, &wakes), Poll::Ready(Ok(())));
        assert!(
            poll(&mut send, &wakes).is_pending(),
            "a future that was ready"
        );
    }
    assert_eq!(topic.stats().partitions[0].blocked_sends, 1);
    assert_eq!(producer.gathered(), 1);
    assert_eq!(values(&mut consumer), ["4", "5"]);
    producer.flush().unwrap();
    assert_eq!(values(&mut consumer), ["6"]);
}

#[test]
fn a_send_that_is_dropped_has_gathered_nothing() {
    let (broker, topic) = make(tiny());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four().batch_records(2));
    send_numbers(&mut producer, 0..6);
    let wakes = Arc::new(Wakes::default());
    {
        let mut send = pin!(producer.send_with_ticket_async(Record::new("dropped")));
        assert!(poll(&mut send, &wakes).is_pending());
    }
    make_room(&mut consumer);
    assert_eq!(wakes.count(), 0, "it is not enrolled any more");
    producer.flush().unwrap();
    assert_eq!(values(&mut consumer), ["4", "5"]);
}

#[test]
fn a_record_too_large_to_be_gathered_waits_after_those_before_it() {
    let (broker, topic) = make(tiny().segment_bytes(1024));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let config = by_four().batch_bytes(100);
    let mut producer = topic.producer().gathering(config);
    for number in 0..5 {
        producer.send(Record::new(&number.to_string())).unwrap();
    }
    let large = "l".repeat(200);
    let wakes = Arc::new(Wakes::default());
    {
        let mut send = pin!(producer.send_with_ticket_async(Record::new(&large)));
        assert!(poll(&mut send, &wakes).is_pending());
        assert_eq!(values(&mut consumer).len(), logged(&topic) as usize);
        consumer.try_poll().unwrap();
        let Poll::Ready(Ok(ticket)) = poll(&mut send, &wakes) else {
            panic!("not ready");
        };
        assert_eq!(ticket.get().unwrap().unwrap().offset, 5);
    }
    assert_eq!(producer.gathered(), 0);
}

#[test]
fn a_flush_waits_for_room_in_each_partition() {
    let (broker, topic) = make(tiny().partitions(3));
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four().batch_records(2));
    for partition in [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2] {
        producer
            .send(Record::new("x").partition(partition))
            .unwrap();
    }
    let wakes = Arc::new(Wakes::default());
    {
        let mut flush = pin!(producer.flush_async());
        assert!(poll(&mut flush, &wakes).is_pending());
        assert_eq!(
            topic.log_end_offset(2),
            Ok(1),
            "what has room need not wait"
        );
        let mut read = 0;
        while poll(&mut flush, &wakes).is_pending() {
            read += consumer.try_poll().unwrap().len();
            assert!(read <= 12);
        }
        assert!(wakes.count() > 0);
    }
    assert_eq!(producer.gathered(), 0);
}

#[test]
fn a_flush_that_is_dropped_leaves_the_rest_gathered() {
    let (broker, topic) = make(tiny());
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let handle = topic
        .shared_producer()
        .gathering(by_four().batch_records(2));
    for number in 0..6 {
        handle.send(Record::new(&number.to_string())).unwrap();
    }
    let wakes = Arc::new(Wakes::default());
    {
        let mut flush = pin!(handle.flush_async());
        let mut send = pin!(handle.send_async(Record::new("6")));
        assert!(poll(&mut flush, &wakes).is_pending());
        assert!(poll(&mut send, &wakes).is_pending());
    }
    make_room(&mut consumer);
    assert_eq!((wakes.count(), handle.gathered()), (0, 2));
    let mut flush = pin!(handle.flush_async());
    assert_eq!(poll(&mut flush, &wakes), Poll::Ready(Ok(())));
    assert_eq!(values(&mut consumer), ["4", "5"]);
}

#[test]
fn a_close_of_the_topic_wakes_sends_and_flushes() {
    let (broker, topic) = make(tiny());
    let _consumer = subscribed(&broker, ConsumerConfig::new());
    let handle = topic
        .shared_producer()
        .gathering(by_four().batch_records(2));
    for number in 0..6 {
        handle.send(Record::new(&number.to_string())).unwrap();
    }
    let wakes = Arc::new(Wakes::default());
    let mut flush = pin!(handle.flush_async());
    let mut send = pin!(handle.send_with_ticket_async(Record::new("6")));
    assert!(poll(&mut flush, &wakes).is_pending());
    assert!(poll(&mut send, &wakes).is_pending());
    // However often they are polled, each counts as blocked once.
    assert!(poll(&mut flush, &wakes).is_pending());
    assert!(poll(&mut send, &wakes).is_pending());
    assert_eq!(topic.stats().partitions[0].blocked_sends, 2);
    topic.close();
    assert_eq!(wakes.count(), 2);
    let closed = SendError::Closed {
        topic: TOPIC.into(),
    };
    let Poll::Ready(Err(error)) = poll(&mut flush, &wakes) else {
        panic!("not ready");
    };
    assert_eq!((&error.cause, error.unsent), (&closed, 2));
    let Poll::Ready(Err(error)) = poll(&mut send, &wakes) else {
        panic!("not ready");
    };
    assert_eq!(error, closed);
    assert_eq!(handle.take_unsent().len(), 2);
}

#[test]
fn a_record_that_waits_is_routed_once() {
    let config = tiny().partitions(2).partitioner(ringlog::RoundRobin);
    let (broker, topic) = make(config);
    let mut consumer = subscribed(&broker, ConsumerConfig::new());
    let mut producer = topic.producer().gathering(by_four().batch_records(2));
    for _ in 0..6 {
        producer.send(Record::new("x").partition(0)).unwrap();
    }
    let wakes = Arc::new(Wakes::default());
    {
        // Partition 0 is the first one, and full.
        let mut send = pin!(producer.send_with_ticket_async(Record::new("y")));
        for _ in 0..3 {
            assert!(poll(&mut send, &wakes).is_pending());
        }
        make_room(&mut consumer);
        assert!(poll(&mut send, &wakes).is_ready());
    }
    assert_eq!(topic.log_end_offset(1), Ok(0));
    assert_eq!(producer.gathered(), 1);
}
