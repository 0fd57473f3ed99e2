//! ringlog: a topic of one partition, no keys, no times (the peers have none).
//!
//! Single messages are `send` and `record.value()`; batches are `send_values` and
//! `batch.values()`, both in place.

use super::{Ends, Receiver, Sender, System};
use crate::measure::{Failure, Tally};
use ringlog::{
    Broker, Consumer, ConsumerConfig, ExclusiveProducer, Overflow, Producer, Record, Route,
    SendError, Timestamps, Topic, TopicConfig, WaitStrategy,
};

const TOPIC: &str = "perf";

/// The ring is cut into so many segments.
const SEGMENTS: usize = 4;

/// A producer that has the topic for itself.
pub(crate) struct RinglogExclusive;

/// A producer beside any number of others.
pub(crate) struct RinglogShared;

pub(crate) struct Tx<P>(P);

pub(crate) struct Rx<const N: usize, const B: usize>(Consumer);

/// `ring_bytes` of values in all segments together. The index (8 bytes a record) and the
/// segments that wait for reuse come on top, as the peers' own bookkeeping does.
fn open<const N: usize, const B: usize>(ring_bytes: usize) -> Result<(Topic, Rx<N, B>), Failure> {
    let broker = Broker::new();
    let segment_bytes = ring_bytes / SEGMENTS;
    // A frame of values has a head of 16 bytes: room for those too, or the last frame of a
    // segment would not fit and leave a hole as large as itself.
    let heads = (segment_bytes / (N * B.max(1)) + 1) * 16;
    let config = TopicConfig::new()
        .segments(SEGMENTS as u32)
        .segment_bytes(segment_bytes + heads)
        .segment_records(u32::try_from(segment_bytes / N)?)
        .overflow(Overflow::Backpressure)
        .timestamps(Timestamps::Given)
        .wait(WaitStrategy::Yield)
        .prefault(true);
    let topic = broker.create_topic(TOPIC, config)?;
    let mut consumer = broker.consumer(ConsumerConfig::new());
    consumer.subscribe(&[TOPIC])?;
    Ok((topic, Rx(consumer)))
}

impl System for RinglogExclusive {
    const NAME: &'static str = "ringlog exclusive";
    const OURS: bool = true;
    type Sender<const N: usize, const B: usize> = Tx<ExclusiveProducer>;
    type Receiver<const N: usize, const B: usize> = Rx<N, B>;

    fn open<const N: usize, const B: usize>(
        ring_bytes: usize,
    ) -> Result<Ends<Self, N, B>, Failure> {
        let (topic, rx) = open(ring_bytes)?;
        Ok((Tx(topic.exclusive_producer()?), rx))
    }
}

impl System for RinglogShared {
    const NAME: &'static str = "ringlog shared";
    const OURS: bool = true;
    type Sender<const N: usize, const B: usize> = Tx<Producer>;
    type Receiver<const N: usize, const B: usize> = Rx<N, B>;

    fn open<const N: usize, const B: usize>(
        ring_bytes: usize,
    ) -> Result<Ends<Self, N, B>, Failure> {
        let (topic, rx) = open(ring_bytes)?;
        Ok((Tx(topic.producer()), rx))
    }
}

macro_rules! sender {
    ($producer:ty) => {
        impl<const N: usize, const B: usize> Sender<N, B> for Tx<$producer> {
            #[inline]
            fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
                let sent = if B == 1 {
                    self.0.try_send(Record::new(&messages[0])).map(drop)
                } else {
                    self.0.try_send_values(Route::Any, messages).map(drop)
                };
                match sent {
                    Ok(()) => Ok(true),
                    Err(SendError::Full { .. }) => Ok(false),
                    Err(other) => Err(other.into()),
                }
            }
        }
    };
}

// One body for both: the bound that they share cannot be named outside ringlog.
sender!(ExclusiveProducer);
sender!(Producer);

impl<const N: usize, const B: usize> Receiver<N> for Rx<N, B> {
    #[inline]
    fn receive(&mut self, tally: &mut Tally) -> Result<bool, Failure> {
        let batch = self.0.try_poll()?;
        if batch.is_empty() {
            return Ok(false);
        }
        if B == 1 {
            for record in &batch {
                let message: &[u8; N] = record.value().try_into()?;
                tally.count(message);
            }
        } else {
            let mut values = batch.values::<[u8; N]>()?;
            while let Some(messages) = values.next_slice() {
                tally.count_all(messages);
            }
        }
        Ok(true)
    }
}
