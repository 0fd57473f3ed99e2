//! A consumer as a stream.

use futures_core::Stream;
use miri_tests::{CountWakes, drain, make, reader, small};
use ringlog::Record;
use std::pin::Pin;
use std::task::{Context, Poll};

#[test]
fn a_stream_hands_out_copies_while_the_ring_wraps() {
    let (broker, topic) = make(small());
    let mut producer = topic.producer();
    let mut stream = reader(&broker).into_stream();
    let (wakes, waker) = CountWakes::new();
    let mut context = Context::from_waker(&waker);
    let mut next =
        |stream: &mut ringlog::RecordStream| match Pin::new(stream).poll_next(&mut context) {
            Poll::Ready(Some(record)) => Some(Some(record.unwrap().offset)),
            Poll::Ready(None) => None,
            Poll::Pending => Some(None),
        };
    for round in 0..6u64 {
        assert_eq!(next(&mut stream), Some(None));
        producer
            .send_batch(&[Record::new("x").key("k"); 3])
            .unwrap();
        assert!(wakes.count() > round as usize);
        for n in 0..3 {
            assert_eq!(next(&mut stream), Some(Some(3 * round + n)));
        }
    }
    producer.send_batch(&[Record::new("x"); 3]).unwrap();
    assert_eq!(next(&mut stream), Some(Some(18)));
    let mut consumer = stream.into_consumer().unwrap();
    assert_eq!(drain(&mut consumer).len(), 2);
    topic.close();
    let mut stream = consumer.into_stream();
    assert_eq!(next(&mut stream), None);
}
