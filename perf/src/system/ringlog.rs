//! ringlog: a topic of one partition, no keys, no times (the peers have none).
//!
//! Single messages are `send` and `record.value()`; batches are `send_values` and
//! `batch.values()`, both in place.

use super::{Ends, Kind, MANY, Receiver, Sender, Shape, System};
use crate::measure::Failure;
use crate::tally::Reader;
use ringlog::{
    Broker, Consumer, ConsumerConfig, ExclusiveProducer, Overflow, Producer, Record, Route,
    SendError, Timestamps, Topic, TopicConfig, WaitStrategy,
};

pub(super) const TOPIC: &str = "perf";

/// The ring is cut into so many segments.
pub(crate) const SEGMENTS: usize = 4;

/// A producer that has the topic for itself.
pub(crate) struct RinglogExclusive;

/// A producer beside any number of others.
pub(crate) struct RinglogShared;

pub(crate) struct Tx<P>(P);

pub(crate) struct Rx<const N: usize, const B: usize>(pub(super) Consumer);

/// A topic and its consumers, with `ring_bytes` of values in all segments together. The index
/// (8 bytes a record), what records have `beside` their values, and the segments that wait
/// for reuse come on top, as the peers' own bookkeeping does.
pub(super) fn open<const N: usize, const B: usize>(
    shape: &Shape,
    beside: usize,
) -> Result<(Topic, Vec<Rx<N, B>>), Failure> {
    open_for(shape, beside, &ConsumerConfig::new())
}

/// The same with consumers of these settings. Members of a group have their partitions from the
/// start.
pub(super) fn open_for<const N: usize, const B: usize>(
    shape: &Shape,
    beside: usize,
    consumer_config: &ConsumerConfig,
) -> Result<(Topic, Vec<Rx<N, B>>), Failure> {
    let broker = Broker::new();
    let segment_bytes = shape.ring_bytes / shape.partitions / SEGMENTS;
    let records = segment_bytes / N;
    // A frame of values has a head of 16 bytes: room for those too, or the last frame of a
    // segment would not fit and leave a hole as large as itself.
    let heads = (records / B + 1) * 16;
    let config = TopicConfig::new()
        .partitions(u32::try_from(shape.partitions)?)
        .segments(SEGMENTS as u32)
        .segment_bytes(segment_bytes + heads + records * beside)
        .segment_records(u32::try_from(records)?)
        .overflow(Overflow::Backpressure)
        .timestamps(Timestamps::Given)
        .wait(WaitStrategy::Yield)
        .prefault(true);
    let topic = broker.create_topic(TOPIC, config)?;
    let mut consumers = Vec::new();
    for _ in 0..shape.consumers {
        let mut consumer = broker.consumer(consumer_config.clone());
        consumer.subscribe(&[TOPIC])?;
        consumers.push(Rx(consumer));
    }
    // A member joins, takes what is its own, and gives back what is another's.
    for _ in 0..3 {
        for Rx(consumer) in &mut consumers {
            consumer.try_poll()?;
        }
    }
    Ok((topic, consumers))
}

/// Whether there was room.
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
    const KIND: Kind = Kind::Ringlog;
    const PRODUCERS: usize = 1;
    const CONSUMERS: usize = MANY;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> = Tx<ExclusiveProducer>;
    type Receiver<const N: usize, const B: usize> = Rx<N, B>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let (topic, consumers) = open(shape, 0)?;
        Ok((vec![Tx(topic.exclusive_producer()?)], consumers))
    }
}

impl System for RinglogShared {
    const NAME: &'static str = "ringlog shared";
    const CRATE: &'static str = "ringlog";
    const KIND: Kind = Kind::Ringlog;
    const PRODUCERS: usize = MANY;
    const CONSUMERS: usize = MANY;
    const BATCHES: bool = true;
    type Sender<const N: usize, const B: usize> = Tx<Producer>;
    type Receiver<const N: usize, const B: usize> = Rx<N, B>;

    fn ends<const N: usize, const B: usize>(shape: &Shape) -> Result<Ends<Self, N, B>, Failure> {
        let (topic, consumers) = open(shape, 0)?;
        let producers = (0..shape.producers).map(|_| Tx(topic.producer()));
        Ok((producers.collect(), consumers))
    }
}

macro_rules! sender {
    ($producer:ty) => {
        impl<const N: usize, const B: usize> Sender<N, B> for Tx<$producer> {
            #[inline(always)]
            fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
                if B == 1 {
                    sent(self.0.try_send(Record::new(&messages[0])))
                } else {
                    sent(self.0.try_send_values(Route::Any, messages))
                }
            }
        }
    };
}

// One body for both: the bound that they share cannot be named outside ringlog.
sender!(ExclusiveProducer);
sender!(Producer);

impl<const N: usize, const B: usize> Receiver<N> for Rx<N, B> {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        let batch = self.0.try_poll()?;
        if batch.is_empty() {
            return Ok(false);
        }
        if B == 1 {
            // All at once, which is faster than one by one, as `Records::fold` says. What is wrong
            // goes along by value: a variable outside would be in memory, and the reader with it.
            let wrong = batch
                .iter()
                .fold(None, |wrong, record| match record.value().try_into() {
                    Ok(message) => {
                        reader.read(message);
                        wrong
                    }
                    Err(_) => Some(record.value().len()),
                });
            if let Some(length) = wrong {
                return Err(format!("a message of {length} bytes came instead of {N}").into());
            }
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
            self.0.seek(&assigned.topic, assigned.partition, 0)?;
        }
        Ok(true)
    }
}
