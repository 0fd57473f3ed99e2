//! The design that this project began as, and ringlog at the same job.
//!
//! The original is a direct translation of a Go program for teaching: one lock around the whole
//! broker, and partitions that are slices of pointers to messages. It never deletes a message.

use crate::failure::Failure;
use ringlog::{
    Broker, Consumer, ConsumerConfig, ExclusiveProducer, Producer, Record, Timestamps, Topic,
    TopicConfig,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The topic and its partitions.
const TOPIC: &str = "orders";
const PARTITIONS: usize = 3;

/// The most messages that one poll returns.
const POLL_LIMIT: usize = 500;

/// A broker at the job: keyed messages are sent by one call each, then all are polled.
pub(crate) trait KeyedBroker: Sized {
    /// With room for `messages` messages of `size` bytes.
    fn new(messages: u64, size: usize) -> Result<Self, Failure>;

    fn produce(&mut self, key: &str, value: &[u8]) -> Result<(), Failure>;

    /// Hands over the next messages' values until there are none.
    fn consume(&mut self, read: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure>;
}

/// A message of the original: the consumer gets all four fields.
struct Message {
    #[expect(
        dead_code,
        reason = "the job is to store and to hand over a whole message"
    )]
    key: String,
    value: Vec<u8>,
    #[expect(dead_code, reason = "the same")]
    partition: usize,
    #[expect(dead_code, reason = "the same")]
    offset: u64,
}

#[derive(Default)]
struct OriginalTopic {
    partitions: Vec<Vec<Arc<Message>>>,
}

/// The original: one lock, and slices of pointers.
pub(crate) struct OriginalBroker {
    topics: Arc<Mutex<HashMap<String, OriginalTopic>>>,
    positions: [usize; PARTITIONS],
}

/// 32-bit FNV-1a, as in Go's `hash/fnv`.
fn fnv(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

impl OriginalBroker {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, OriginalTopic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to `most` messages of one partition, from offset `from` on.
    fn poll(&self, partition: usize, from: usize, most: usize) -> Vec<Arc<Message>> {
        let topics = self.lock();
        let messages = topics.get(TOPIC).map(|t| &t.partitions[partition][from..]);
        let messages = messages.unwrap_or_default();
        messages.iter().take(most).cloned().collect()
    }
}

impl KeyedBroker for OriginalBroker {
    fn new(_messages: u64, _size: usize) -> Result<Self, Failure> {
        let partitions = (0..PARTITIONS).map(|_| Vec::new()).collect();
        let topics = HashMap::from([(TOPIC.to_owned(), OriginalTopic { partitions })]);
        Ok(OriginalBroker {
            topics: Arc::new(Mutex::new(topics)),
            positions: [0; PARTITIONS],
        })
    }

    fn produce(&mut self, key: &str, value: &[u8]) -> Result<(), Failure> {
        let mut topics = self.lock();
        let topic = topics.get_mut(TOPIC).ok_or("there is no such topic")?;
        let partition = fnv(key.as_bytes()) as usize % topic.partitions.len();
        let messages = &mut topic.partitions[partition];
        messages.push(Arc::new(Message {
            key: key.to_owned(),
            value: value.to_owned(),
            partition,
            offset: messages.len() as u64,
        }));
        Ok(())
    }

    fn consume(
        &mut self,
        mut read: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut found = true;
        while found {
            found = false;
            for partition in 0..PARTITIONS {
                let messages = self.poll(partition, self.positions[partition], POLL_LIMIT);
                for message in &messages {
                    read(&message.value)?;
                }
                self.positions[partition] += messages.len();
                found |= !messages.is_empty();
            }
        }
        Ok(())
    }
}

/// ringlog with room for all messages, its memory prefaulted.
pub(crate) struct RinglogBroker<P> {
    producer: P,
    consumer: Consumer,
}

fn open(messages: u64, size: usize) -> Result<(Topic, Consumer), Failure> {
    let broker = Broker::new();
    // Room for half of all messages in each of the 3 partitions.
    let records = u32::try_from(messages / 8 + 1)?;
    let config = TopicConfig::new()
        .partitions(PARTITIONS as u32)
        .segments(5)
        .segment_records(records)
        .segment_bytes(records as usize * (size + 24))
        .timestamps(Timestamps::Given)
        .max_block(Duration::from_secs(1))
        .prefault(true);
    let topic = broker.create_topic(TOPIC, config)?;
    let mut consumer =
        broker.consumer(ConsumerConfig::new().max_poll_records(POLL_LIMIT as u32))?;
    consumer.subscribe([TOPIC])?;
    Ok((topic, consumer))
}

macro_rules! keyed_broker {
    ($producer:ty, $make:expr) => {
        impl KeyedBroker for RinglogBroker<$producer> {
            fn new(messages: u64, size: usize) -> Result<Self, Failure> {
                let (topic, consumer) = open(messages, size)?;
                let producer = $make(&topic)?;
                Ok(RinglogBroker { producer, consumer })
            }

            #[inline(always)]
            fn produce(&mut self, key: &str, value: &[u8]) -> Result<(), Failure> {
                self.producer.send(Record::new(value).key(key))?;
                Ok(())
            }

            fn consume(
                &mut self,
                mut read: impl FnMut(&[u8]) -> Result<(), Failure>,
            ) -> Result<(), Failure> {
                loop {
                    let batch = self.consumer.poll(Duration::ZERO)?;
                    if batch.is_empty() {
                        return Ok(());
                    }
                    for record in &batch {
                        read(record.value_bytes())?;
                    }
                }
            }
        }
    };
}

keyed_broker!(Producer, |topic: &Topic| Ok::<_, Failure>(topic.producer()));
keyed_broker!(ExclusiveProducer, |topic: &Topic| topic
    .exclusive_producer());
