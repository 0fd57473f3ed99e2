//! ringlog with one partition, without keys and timestamps, since the peers have none.
//!
//! Single messages use `send` and `record.value_bytes()`; batches use `send_values` and
//! `batch.values()`. All read in place.

use super::system::{Endpoints, MANY, Receiver, Sender, Shape, System, SystemKind};
use crate::failure::Failure;
use crate::message::tally::Reader;
use ringlog::{
    Broker, Consumer, ConsumerConfig, Destination, ExclusiveProducer, Overflow, Producer, Record,
    Records, SendError, Timestamps, Topic, TopicConfig, WaitStrategy,
};
use std::time::Duration;

pub(super) const TOPIC: &str = "perf";

/// The number of segments that the ring is divided into.
pub(crate) const SEGMENTS: usize = 4;

/// An exclusive producer.
pub(crate) struct RinglogExclusive;

/// A shared producer.
pub(crate) struct RinglogShared;

/// A producer of either kind.
pub(crate) struct RinglogSender<P>(P);

/// A consumer; `B` decides how it reads.
pub(crate) struct RinglogReceiver<const N: usize, const B: usize>(pub(super) Consumer);

/// A topic and its consumers, with room for `ring_bytes` of values in all segments together.
///
/// This excludes the index (8 bytes per record), the `overhead` bytes of each record, and the
/// spare segments; the peers' own bookkeeping is excluded in the same way.
pub(super) fn open<const N: usize, const B: usize>(
    shape: &Shape,
    overhead: usize,
) -> Result<(Topic, Vec<RinglogReceiver<N, B>>), Failure> {
    open_for(shape, overhead, &ConsumerConfig::new())
}

/// A topic of this shape, without consumers.
pub(super) fn open_topic<const N: usize, const B: usize>(
    shape: &Shape,
    overhead: usize,
) -> Result<(Broker, Topic), Failure> {
    let broker = Broker::new();
    let segment_bytes = shape.ring_bytes / shape.partitions / SEGMENTS;
    let records = segment_bytes / N;
    // A frame of values has a header of 16 bytes. Without room for the headers, the last frame of
    // a segment would not fit and leave a hole of its own size.
    let headers = (records / B + 1) * 16;
    let config = TopicConfig::new()
        .partitions(u32::try_from(shape.partitions)?)
        .segments(SEGMENTS as u32)
        .segment_bytes(segment_bytes + headers + records * overhead)
        .segment_records(u32::try_from(records)?)
        .overflow(Overflow::Backpressure)
        .timestamps(Timestamps::Given)
        .wait(WaitStrategy::Yield)
        .prefault(true);
    let topic = broker.create_topic(TOPIC, config)?;
    Ok((broker, topic))
}

/// A topic and its consumers, which have this configuration. The members of a group own their
/// partitions when this returns.
pub(super) fn open_for<const N: usize, const B: usize>(
    shape: &Shape,
    overhead: usize,
    consumer_config: &ConsumerConfig,
) -> Result<(Topic, Vec<RinglogReceiver<N, B>>), Failure> {
    let (broker, topic) = open_topic::<N, B>(shape, overhead)?;
    let mut consumers = Vec::new();
    for _ in 0..shape.consumers {
        let mut consumer = broker.consumer(consumer_config.clone())?;
        consumer.subscribe([TOPIC])?;
        consumers.push(RinglogReceiver(consumer));
    }
    // A member joins, takes the partitions assigned to it, and gives back the others.
    for _ in 0..3 {
        for RinglogReceiver(consumer) in &mut consumers {
            consumer.try_poll()?;
        }
    }
    Ok((topic, consumers))
}

/// Whether there was room for a send.
#[inline(always)]
pub(super) fn sent<T>(sent: Result<T, SendError>) -> Result<bool, Failure> {
    match sent {
        Ok(_) => Ok(true),
        Err(SendError::Full { .. }) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

impl System for RinglogExclusive {
    const NAME: &'static str = "ringlog exclusive";
    const CRATE: &'static str = "ringlog";
    const KIND: SystemKind = SystemKind::Ringlog;
    const PRODUCERS: usize = 1;
    const CONSUMERS: usize = MANY;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> = RinglogSender<ExclusiveProducer>;
    type Receiver<const N: usize, const B: usize> = RinglogReceiver<N, B>;

    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let (topic, consumers) = open(shape, 0)?;
        Ok((vec![RinglogSender(topic.exclusive_producer()?)], consumers))
    }
}

impl System for RinglogShared {
    const NAME: &'static str = "ringlog shared";
    const CRATE: &'static str = "ringlog";
    const KIND: SystemKind = SystemKind::Ringlog;
    const PRODUCERS: usize = MANY;
    const CONSUMERS: usize = MANY;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> = RinglogSender<Producer>;
    type Receiver<const N: usize, const B: usize> = RinglogReceiver<N, B>;

    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let (topic, consumers) = open(shape, 0)?;
        let producers = (0..shape.producers).map(|_| RinglogSender(topic.producer()));
        Ok((producers.collect(), consumers))
    }
}

macro_rules! sender {
    ($producer:ty) => {
        impl<const N: usize, const B: usize> Sender<N, B> for RinglogSender<$producer> {
            #[inline(always)]
            fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
                if B == 1 {
                    sent(self.0.try_send(Record::new(&messages[0])))
                } else {
                    sent(self.0.try_send_values(Destination::Any, messages))
                }
            }
        }
    };
}

// A macro, since the bound that both share cannot be named outside ringlog.
sender!(ExclusiveProducer);
sender!(Producer);

/// Hands each record's value to the reader.
#[inline(always)]
pub(super) fn read_records<const N: usize>(
    records: Records<'_>,
    reader: &mut impl Reader<N>,
) -> Result<(), Failure> {
    // `fold` is faster than a loop, as `Records::fold` documents. The wrong length is passed along
    // by value: a captured variable would be in memory, and the reader too.
    let wrong_length = records.fold(None, |wrong, record| {
        match record.value_bytes().try_into() {
            Ok(message) => {
                reader.read(message);
                wrong
            }
            Err(_) => Some(record.value_bytes().len()),
        }
    });
    match wrong_length {
        Some(length) => Err(format!("a message of {length} bytes arrived instead of {N}").into()),
        None => Ok(()),
    }
}

impl<const N: usize, const B: usize> Receiver<N> for RinglogReceiver<N, B> {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        let batch = self.0.poll(Duration::ZERO)?;
        if batch.is_empty() {
            return Ok(false);
        }
        if B == 1 {
            read_records(batch.iter(), reader)?;
        } else {
            let mut values = batch.values::<[u8; N]>()?;
            while let Some(messages) = values.next_slice() {
                reader.read_all(messages);
            }
        }
        Ok(true)
    }

    fn rewind(&mut self) -> Result<bool, Failure> {
        for assigned in self.0.assignment() {
            self.0.seek((&assigned.topic, assigned.partition), 0)?;
        }
        Ok(true)
    }
}
