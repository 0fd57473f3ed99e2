//! The futures, polled by hand.

use miri_tests::{CountWakes, TOPIC, bytes, drain, make, reader, small};
use ringlog::{ConsumeError, Consumer, Destination, Producer, Record, SendError};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

#[test]
fn a_poll_is_woken_by_records_and_by_its_handle() {
    let (broker, topic) = make(small().partitions(2));
    let mut consumer = reader(&broker);
    let handle = consumer.wakeup_handle();
    let mut producer = topic.producer();
    let (wakes, waker) = CountWakes::new();
    let mut context = Context::from_waker(&waker);
    for n in 0..10u8 {
        let mut poll = pin!(consumer.poll_async());
        assert!(poll.as_mut().poll(&mut context).is_pending());
        producer
            .send(Record::new(&[n]).partition(u32::from(n % 2)))
            .unwrap();
        let Poll::Ready(Ok(batch)) = poll.poll(&mut context) else {
            panic!("a record is there");
        };
        assert_eq!(bytes(&batch.iter().next().unwrap()), [n]);
    }
    assert!(wakes.count() >= 10);
    let mut poll = pin!(consumer.poll_async());
    assert!(poll.as_mut().poll(&mut context).is_pending());
    handle.wakeup();
    let ended = poll.poll(&mut context).map_ok(|batch| batch.len());
    assert_eq!(ended, Poll::Ready(Err(ConsumeError::Wakeup)));
}

/// Polls a send twice: there is no room, and then the consumer makes some.
fn waits_for_room<T>(send: impl Future<Output = T>, consumer: &mut Consumer) -> T {
    let (wakes, waker) = CountWakes::new();
    let mut context = Context::from_waker(&waker);
    let mut send = pin!(send);
    assert!(send.as_mut().poll(&mut context).is_pending());
    drain(consumer);
    assert!(wakes.count() > 0);
    let Poll::Ready(sent) = send.poll(&mut context) else {
        panic!("there is room");
    };
    sent
}

#[test]
fn sends_wait_for_room() {
    let (broker, topic) = make(small());
    let mut consumer = reader(&broker);
    let mut producer = topic.producer();
    let fill = |producer: &mut Producer| while producer.try_send(Record::new("x")).is_ok() {};
    let (records, values) = ([Record::new("a"), Record::new("b")], [1u32, 2]);
    for _ in 0..2 {
        fill(&mut producer);
        let send = producer.send_async(Record::new("one").key("k"));
        waits_for_room(send, &mut consumer).unwrap();
        fill(&mut producer);
        let send = producer.send_batch_async(&records);
        assert_eq!(waits_for_room(send, &mut consumer).unwrap().len(), 2);
        fill(&mut producer);
        let send = producer.send_values_async(Destination::Any, &values);
        waits_for_room(send, &mut consumer).unwrap();
    }
}

#[test]
fn futures_may_be_dropped_or_leaked_while_they_wait() {
    let (broker, topic) = make(small());
    let mut consumer = reader(&broker);
    let mut producer = topic.producer();
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(pin!(consumer.poll_async()).poll(&mut context).is_pending());
    }
    let mut leaked = ManuallyDrop::new(consumer.poll_async());
    assert!(Pin::new(&mut *leaked).poll(&mut context).is_pending());
    while producer.try_send(Record::new("x")).is_ok() {}
    for _ in 0..3 {
        let send = producer.send_async(Record::new("y"));
        assert!(pin!(send).poll(&mut context).is_pending());
    }
    let mut leaked = ManuallyDrop::new(producer.send_async(Record::new("y")));
    assert!(Pin::new(&mut *leaked).poll(&mut context).is_pending());
    assert_eq!(drain(&mut consumer).len(), 8);
    drop(consumer);
    producer.try_send(Record::new("z")).unwrap();
}

#[test]
fn the_end_of_a_topic_ends_what_waits() {
    for delete in [false, true] {
        let (broker, topic) = make(small());
        let mut consumer = reader(&broker);
        let _slow = reader(&broker);
        let mut producer = topic.producer();
        let (wakes, waker) = CountWakes::new();
        let mut context = Context::from_waker(&waker);
        while producer.try_send(Record::new("x")).is_ok() {}
        drain(&mut consumer);
        let mut poll = pin!(consumer.poll_async());
        let mut send = pin!(producer.send_async(Record::new("y")));
        assert!(poll.as_mut().poll(&mut context).is_pending());
        assert!(send.as_mut().poll(&mut context).is_pending());
        if delete {
            broker.delete_topic(TOPIC).unwrap();
        } else {
            topic.close();
        }
        assert!(wakes.count() >= 2);
        let polled = poll.poll(&mut context).map_ok(|batch| batch.len());
        assert!(matches!(
            polled,
            Poll::Ready(Err(ConsumeError::Closed { .. }))
        ));
        let sent = send.poll(&mut context);
        assert!(matches!(sent, Poll::Ready(Err(SendError::Closed { .. }))));
    }
}
