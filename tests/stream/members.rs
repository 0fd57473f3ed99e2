//! Streams of a group's members: a pending one is a sign of life, and one without partitions ends.

use super::consumer;
use futures_core::Stream;
use ringlog::{
    Broker, ConsumeError, ConsumerConfig, FenceReason, Record, RecordStream, TopicConfig,
};
use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

fn config() -> ConsumerConfig {
    ConsumerConfig::new()
        .group("g")
        .max_poll_interval(Duration::from_secs(1))
        .clock(|| Duration::from_millis(NOW.get()))
}

type Polled = Poll<Option<Result<ringlog::OwnedRecord, ConsumeError>>>;

fn poll(stream: &mut RecordStream) -> Polled {
    Pin::new(stream).poll_next(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_pending_stream_is_alive_until_its_consumer_is_used() {
    let broker = Broker::new();
    broker
        .create_topic("t", TopicConfig::new().partitions(2))
        .unwrap();
    let mut other = consumer(&broker, config(), &["t"]);
    let mut stream = consumer(&broker, config(), &["t"]).into_stream();
    let mut pass = |milliseconds: u64| {
        for _ in 0..milliseconds / 50 {
            NOW.set(NOW.get() + 50);
            for _ in 0..64 {
                assert!(other.try_poll().unwrap().is_empty());
            }
        }
        other.assignment().len()
    };
    for _ in 0..3 {
        assert!(poll(&mut stream).is_pending());
        pass(0);
        pass(50);
    }
    assert_eq!(pass(3000), 1, "the stream's member was fenced off");
    stream.consumer().commit().unwrap();
    assert_eq!(pass(900), 1);
    assert_eq!(pass(400), 2);
    let fenced = poll(&mut stream);
    let reason = FenceReason::MaxPollInterval;
    assert!(
        matches!(&fenced, Poll::Ready(Some(Err(ConsumeError::Fenced { reason: r, .. }))) if *r == reason),
        "{fenced:?}"
    );
}

#[test]
fn a_stream_without_partitions_ends_with_its_topic() {
    let broker = Broker::new();
    let topic = broker.create_topic("t", TopicConfig::new()).unwrap();
    let mut owner = consumer(&broker, config(), &["t"]);
    assert!(owner.try_poll().unwrap().is_empty());
    let mut stream = consumer(&broker, config(), &["t"]).into_stream();
    assert!(poll(&mut stream).is_pending());
    topic.producer().send(Record::new("x")).unwrap();
    topic.close();
    assert_eq!(owner.try_poll().unwrap().len(), 1);
    assert!(poll(&mut stream).is_pending());
    assert!(owner.try_poll().is_err());
    assert!(matches!(poll(&mut stream), Poll::Ready(None)));
}
