//! ringlog with several partitions: records routed by their keys, or sent to a partition that
//! the sender chooses.

use super::combined::{PartReceiver, producer_streams};
use super::ringlog::{RinglogReceiver, TOPIC, open_for, open_topic, sent};
use super::system::{Endpoints, MANY, Sender, Shape, System, SystemKind};
use crate::failure::Failure;
use crate::message::content::stream;
use ringlog::{ConsumerConfig, ExclusiveProducer, Producer, Record, Topic, TopicError};

/// Bytes of a key.
const KEY: usize = 8;

/// Bytes of a record beside its value: the key's length and the key.
const KEY_OVERHEAD: usize = 8 + KEY;

/// Sends each record with the key of its stream.
pub(crate) struct KeyedSender<P> {
    producer: P,
    keys: Vec<[u8; KEY]>,
}

/// Sends each record to a partition: the streams are spread over the partitions in turn.
pub(crate) struct PartitionSender<P> {
    producer: P,
    partitions: usize,
}

impl<P> KeyedSender<P> {
    /// The bytes of a record beside its value.
    const OVERHEAD: usize = KEY_OVERHEAD;

    fn new(producer: P, shape: &Shape) -> Result<Self, Failure> {
        let keys = keys(shape)?;
        Ok(KeyedSender { producer, keys })
    }
}

impl<P> PartitionSender<P> {
    const OVERHEAD: usize = 0;

    fn new(producer: P, shape: &Shape) -> Result<Self, Failure> {
        let partitions = shape.partitions;
        Ok(PartitionSender {
            producer,
            partitions,
        })
    }
}

/// A key for each stream of all producers, such as `user-007`.
fn keys(shape: &Shape) -> Result<Vec<[u8; KEY]>, Failure> {
    let streams = shape.producers * shape.streams;
    let key = |stream| Ok(format!("user-{stream:03}").as_bytes().try_into()?);
    (0..streams).map(key).collect()
}

fn shared(topic: &Topic) -> Result<Producer, TopicError> {
    Ok(topic.producer())
}

fn exclusive(topic: &Topic) -> Result<ExclusiveProducer, TopicError> {
    topic.exclusive_producer()
}

/// Generates the systems: producers of one kind, a sender, and a configuration of consumers.
macro_rules! systems {
    ($(
        $(#[$doc:meta])*
        $system:ident, $name:literal, producers $producers:expr,
        $sender:ident<$producer:ty>, $open:expr, $consumers:expr;
    )*) => {$(
        $(#[$doc])*
        pub(crate) struct $system;

        impl System for $system {
            const NAME: &'static str = $name;
            const CRATE: &'static str = "ringlog";
            const KIND: SystemKind = SystemKind::Ringlog;
            const PRODUCERS: usize = $producers;
            const CONSUMERS: usize = MANY;
            type Sender<const N: usize, const B: usize> = $sender<$producer>;
            type Receiver<const N: usize, const B: usize> = RinglogReceiver<N, B>;

            fn endpoints<const N: usize, const B: usize>(
                shape: &Shape,
            ) -> Result<Endpoints<Self, N, B>, Failure> {
                let overhead = $sender::<$producer>::OVERHEAD;
                let (topic, consumers) = open_for(shape, overhead, &$consumers)?;
                let mut senders = Vec::new();
                for _ in 0..shape.producers {
                    senders.push($sender::new($open(&topic)?, shape)?);
                }
                Ok((senders, consumers))
            }
        }
    )*};
}

fn in_group() -> ConsumerConfig {
    ConsumerConfig::new().group("perf")
}

systems! {
    /// A shared producer, a key for each stream.
    RinglogSharedKeys, "ringlog shared", producers MANY,
    KeyedSender<Producer>, shared, ConsumerConfig::new();

    /// An exclusive producer, a key for each stream.
    RinglogExclusiveKeys, "ringlog exclusive", producers 1,
    KeyedSender<ExclusiveProducer>, exclusive, ConsumerConfig::new();

    /// The same as `RinglogSharedKeys`, read by a group.
    RinglogSharedKeysInGroup, "ringlog shared", producers MANY,
    KeyedSender<Producer>, shared, in_group();

    /// The same as `RinglogExclusiveKeys`, read by a group.
    RinglogExclusiveKeysInGroup, "ringlog exclusive", producers 1,
    KeyedSender<ExclusiveProducer>, exclusive, in_group();

    /// A shared producer that chooses the partition.
    RinglogSharedPartitions, "ringlog shared", producers MANY,
    PartitionSender<Producer>, shared, ConsumerConfig::new();

    /// An exclusive producer that chooses the partition.
    RinglogExclusivePartitions, "ringlog exclusive", producers 1,
    PartitionSender<ExclusiveProducer>, exclusive, ConsumerConfig::new();
}

/// A shared producer for each partition, and a consumer of each.
pub(crate) struct RinglogPartitionPairs;

impl System for RinglogPartitionPairs {
    const NAME: &'static str = "ringlog shared";
    const CRATE: &'static str = "ringlog";
    const KIND: SystemKind = SystemKind::Ringlog;
    const PRODUCERS: usize = MANY;
    const CONSUMERS: usize = MANY;
    type Sender<const N: usize, const B: usize> = PartitionSender<Producer>;
    type Receiver<const N: usize, const B: usize> = PartReceiver<RinglogReceiver<N, B>>;

    fn endpoints<const N: usize, const B: usize>(
        shape: &Shape,
    ) -> Result<Endpoints<Self, N, B>, Failure> {
        let (broker, topic) = open_topic::<N, B>(shape, 0)?;
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for pair in 0..shape.producers {
            senders.push(PartitionSender::new(topic.producer(), shape)?);
            let mut consumer = broker.consumer(ConsumerConfig::new())?;
            consumer.assign([(TOPIC, u32::try_from(pair)?)])?;
            receivers.push(PartReceiver {
                receiver: RinglogReceiver(consumer),
                streams: producer_streams(pair, shape),
            });
        }
        Ok((senders, receivers))
    }
}

macro_rules! senders {
    ($producer:ty) => {
        impl<const N: usize, const B: usize> Sender<N, B> for KeyedSender<$producer> {
            #[inline(always)]
            fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
                let message = &messages[0];
                let record = Record::new(message).key(&self.keys[stream(message)]);
                sent(self.producer.try_send(record))
            }
        }

        impl<const N: usize, const B: usize> Sender<N, B> for PartitionSender<$producer> {
            #[inline(always)]
            fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
                let message = &messages[0];
                let partition = stream(message) % self.partitions;
                let record = Record::new(message).partition(partition as u32);
                sent(self.producer.try_send(record))
            }
        }
    };
}

senders!(Producer);
senders!(ExclusiveProducer);
