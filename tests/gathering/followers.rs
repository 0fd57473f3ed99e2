//! Tickets and callbacks.

use super::*;
use ringlog::{ManualClock, RecordMetadata, SendError, Ticket};
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Waker};

fn metadata(ticket: &Ticket) -> RecordMetadata {
    ticket.get().expect("still gathered").unwrap()
}

#[test]
fn a_ticket_has_where_its_record_went() {
    let clock = ManualClock::new(1000);
    let (_broker, topic) = make(TopicConfig::new().partitions(2).clock(clock.clone()));
    let mut producer = topic.producer().gathering(by_four());
    let zero = Record::new("x").partition(0);
    producer.send(zero).unwrap();
    let first = producer.send_with_ticket(zero).unwrap();
    let second = producer.send_with_ticket(zero.timestamp(7)).unwrap();
    let other = producer.send_with_ticket(zero.partition(1)).unwrap();
    assert!(first.get().is_none() && second.get().is_none());
    clock.advance(Duration::from_millis(1));
    let last = producer.send_with_ticket(zero).unwrap();
    assert_eq!(metadata(&first), RecordMetadata::new(0, 1, Some(1001)));
    assert_eq!(metadata(&second), RecordMetadata::new(0, 2, Some(7)));
    assert_eq!(metadata(&last), RecordMetadata::new(0, 3, Some(1001)));
    assert!(other.get().is_none());
    drop(producer);
    assert_eq!(metadata(&other), RecordMetadata::new(1, 0, Some(1001)));
    assert_eq!(metadata(&first).offset, 1, "a ticket keeps its answer");
}

#[test]
fn a_ticket_of_a_record_that_will_not_be_sent_has_the_error() {
    let (_broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer().gathering(by_four());
    let taken = producer.send_with_ticket(Record::new("x")).unwrap();
    producer.take_unsent();
    let withdrawn = SendError::Withdrawn {
        topic: TOPIC.into(),
    };
    assert_eq!(taken.get(), Some(Err(withdrawn)));

    let closed = SendError::Closed {
        topic: TOPIC.into(),
    };
    for by_drop in [false, true] {
        let (_broker, topic) = make(TopicConfig::new());
        let mut producer = topic.producer().gathering(by_four());
        let ticket = producer.send_with_ticket(Record::new("x")).unwrap();
        topic.close();
        assert!(
            producer.flush().is_err() && ticket.get().is_none(),
            "it may be tried again"
        );
        match by_drop {
            true => drop(producer),
            false => drop(producer.close().unwrap_err()),
        }
        assert_eq!(ticket.get(), Some(Err(closed.clone())));
    }
}

#[test]
fn a_ticket_wakes_the_task_that_waits_for_it() {
    let (_broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer().gathering(by_four());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut context = Context::from_waker(&waker);
    let mut unheard = Context::from_waker(Waker::noop());
    let mut first = pin!(producer.send_with_ticket(Record::new("x")).unwrap());
    let mut second = pin!(producer.send_with_ticket(Record::new("x")).unwrap());
    assert!(first.as_mut().poll(&mut unheard).is_pending());
    // The waker of the last poll counts.
    for _ in 0..3 {
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
    }
    producer.flush().unwrap();
    assert_eq!(wakes.count(), 2);
    for (ticket, offset) in [(first, 0), (second, 1)] {
        let mut ticket = ticket;
        let Poll::Ready(Ok(metadata)) = ticket.as_mut().poll(&mut context) else {
            panic!("not ready");
        };
        assert_eq!(metadata.offset, offset);
    }
}

#[test]
fn callbacks_are_called_once_in_order_with_what_became_of_the_records() {
    let (_broker, topic) = make(TopicConfig::new().timestamps(ringlog::Timestamps::Given));
    let mut producer = topic.producer().gathering(by_four());
    let (calls, called) = mpsc::channel();
    for number in 0..6 {
        let calls = calls.clone();
        let record = Record::new("x").timestamp(number);
        let callback = move |sent| calls.send(sent).unwrap();
        producer.send_with_callback(record, callback).unwrap();
    }
    let sent: Vec<_> = called.try_iter().collect();
    let expected = |n: i64| Ok(RecordMetadata::new(0, n as u64, Some(n)));
    assert_eq!(sent, (0..4).map(expected).collect::<Vec<_>>());
    topic.close();
    drop(producer);
    let closed = || {
        Err(SendError::Closed {
            topic: TOPIC.into(),
        })
    };
    assert_eq!(called.try_iter().collect::<Vec<_>>(), [closed(), closed()]);
}

#[test]
fn the_callback_of_a_refused_send_is_dropped_uncalled() {
    let (_broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer().gathering(by_four());
    let held = Arc::new(());
    let clone = held.clone();
    let refused = producer.send_with_callback(Record::new("x").timestamp(-1), move |_| {
        panic!("called for a record that was refused, holding {clone:?}");
    });
    assert!(refused.is_err());
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_callback_that_panics_disturbs_nothing() {
    let (_broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer().gathering(by_four());
    let called = Arc::new(Mutex::new(Vec::new()));
    for number in 0..4 {
        let called = called.clone();
        let callback = move |_| {
            called.lock().unwrap().push(number);
            assert_ne!(number, 1, "the panic of a callback");
        };
        producer
            .send_with_callback(Record::new("x"), callback)
            .unwrap_or_default();
    }
    let ticket = producer.send_with_ticket(Record::new("x")).unwrap();
    producer.flush().unwrap();
    // The lock is poisoned by then.
    let called = called
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    assert_eq!(called.first(), Some(&0));
    assert_eq!((metadata(&ticket).offset, logged(&topic)), (4, 5));
}

#[test]
fn a_callback_may_send_by_the_same_shared_handle() {
    let (_broker, topic) = make(TopicConfig::new());
    let orders = topic.shared_producer().gathering(by_four());
    let handle = orders.clone();
    let callback = move |_| handle.send(Record::new("again")).unwrap();
    orders
        .send_with_callback(Record::new("x"), callback)
        .unwrap();
    orders.flush().unwrap();
    assert_eq!((logged(&topic), orders.gathered()), (1, 1));
    orders.flush().unwrap();
    assert_eq!(logged(&topic), 2);
}

#[test]
fn a_record_too_large_to_be_gathered_has_its_callback_called() {
    let (_broker, topic) = make(TopicConfig::new());
    let mut producer = topic.producer().gathering(by_four().batch_bytes(100));
    let (calls, called) = mpsc::channel();
    let callback = move |sent: Result<RecordMetadata, SendError>| calls.send(sent).unwrap();
    producer
        .send_with_callback(Record::new(&[7; 200]), callback)
        .unwrap();
    let offsets: Vec<_> = called.try_iter().map(|sent| sent.unwrap().offset).collect();
    assert_eq!(offsets, [0]);
}
