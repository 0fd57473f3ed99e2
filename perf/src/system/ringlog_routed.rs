//! ringlog with several partitions: records routed by their keys, or sent to a partition that
//! the sender names.

use super::ringlog::{Rx, open_for, sent};
use super::{Ends, Kind, MANY, Sender, Shape, System};
use crate::measure::Failure;
use crate::tally::lane;
use ringlog::{ConsumerConfig, ExclusiveProducer, Producer, Record};

/// A shared producer, a key for each lane.
pub(crate) struct RinglogSharedKeys;

/// An exclusive producer, a key for each lane.
pub(crate) struct RinglogExclusiveKeys;

/// The same, read by a group.
pub(crate) struct RinglogSharedKeysInGroup;

/// The same, read by a group.
pub(crate) struct RinglogExclusiveKeysInGroup;

/// A shared producer that names the partition: the lane, round the partitions.
pub(crate) struct RinglogSharedPartitions;

/// An exclusive producer that names the partition.
pub(crate) struct RinglogExclusivePartitions;

/// Chooses by key.
pub(crate) struct Keyed<P> {
    producer: P,
    keys: Vec<[u8; KEY]>,
}

/// Names the partition.
pub(crate) struct Named<P> {
    producer: P,
    partitions: usize,
}

/// Bytes of a key.
const KEY: usize = 8;

/// Room for a key beside the value: its length, and its bytes.
const BESIDE: usize = 8 + KEY;

/// A key for each lane of all producers, such as `user-007`.
fn keys(shape: &Shape) -> Result<Vec<[u8; KEY]>, Failure> {
    let lanes = shape.producers * shape.lanes;
    let key = |lane| Ok(format!("user-{lane:03}").as_bytes().try_into()?);
    (0..lanes).map(key).collect()
}

macro_rules! system {
    ($system:ident, $name:literal, $producers:expr, $sender:ty, $beside:expr, $read:expr, $make:expr) => {
        impl System for $system {
            const NAME: &'static str = $name;
            const CRATE: &'static str = "ringlog";
            const KIND: Kind = Kind::Ringlog;
            const PRODUCERS: usize = $producers;
            const CONSUMERS: usize = MANY;
            type Sender<const N: usize, const B: usize> = $sender;
            type Receiver<const N: usize, const B: usize> = Rx<N, B>;

            fn ends<const N: usize, const B: usize>(
                shape: &Shape,
            ) -> Result<Ends<Self, N, B>, Failure> {
                let (topic, consumers) = open_for(shape, $beside, &$read)?;
                let mut senders = Vec::new();
                for _ in 0..shape.producers {
                    senders.push($make(&topic, shape)?);
                }
                Ok((senders, consumers))
            }
        }
    };
}

fn keyed<P>(producer: P, shape: &Shape) -> Result<Keyed<P>, Failure> {
    let keys = keys(shape)?;
    Ok(Keyed { producer, keys })
}

fn named<P>(producer: P, shape: &Shape) -> Result<Named<P>, Failure> {
    let partitions = shape.partitions;
    Ok(Named {
        producer,
        partitions,
    })
}

type Topic = ringlog::Topic;

system!(
    RinglogSharedKeys,
    "ringlog shared",
    MANY,
    Keyed<Producer>,
    BESIDE,
    ConsumerConfig::new(),
    |topic: &Topic, shape| keyed(topic.producer(), shape)
);
system!(
    RinglogExclusiveKeys,
    "ringlog exclusive",
    1,
    Keyed<ExclusiveProducer>,
    BESIDE,
    ConsumerConfig::new(),
    |topic: &Topic, shape| keyed(topic.exclusive_producer()?, shape)
);
system!(
    RinglogSharedKeysInGroup,
    "ringlog shared",
    MANY,
    Keyed<Producer>,
    BESIDE,
    ConsumerConfig::new().group("perf"),
    |topic: &Topic, shape| keyed(topic.producer(), shape)
);
system!(
    RinglogExclusiveKeysInGroup,
    "ringlog exclusive",
    1,
    Keyed<ExclusiveProducer>,
    BESIDE,
    ConsumerConfig::new().group("perf"),
    |topic: &Topic, shape| keyed(topic.exclusive_producer()?, shape)
);
system!(
    RinglogSharedPartitions,
    "ringlog shared",
    MANY,
    Named<Producer>,
    0,
    ConsumerConfig::new(),
    |topic: &Topic, shape| named(topic.producer(), shape)
);
system!(
    RinglogExclusivePartitions,
    "ringlog exclusive",
    1,
    Named<ExclusiveProducer>,
    0,
    ConsumerConfig::new(),
    |topic: &Topic, shape| named(topic.exclusive_producer()?, shape)
);

macro_rules! senders {
    ($producer:ty) => {
        impl<const N: usize, const B: usize> Sender<N, B> for Keyed<$producer> {
            #[inline(always)]
            fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
                let message = &messages[0];
                let record = Record::new(message).key(&self.keys[lane(message)]);
                sent(self.producer.try_send(record))
            }
        }

        impl<const N: usize, const B: usize> Sender<N, B> for Named<$producer> {
            #[inline(always)]
            fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
                let message = &messages[0];
                let partition = lane(message) % self.partitions;
                let record = Record::new(message).partition(partition as u32);
                sent(self.producer.try_send(record))
            }
        }
    };
}

senders!(Producer);
senders!(ExclusiveProducer);
