//! The design that this project began as, a straight rendering of a Go program for teaching:
//! one lock round a whole broker, topics of partitions of slices of pointers to messages.
//! Nothing is ever thrown away. And ringlog at the same job.

use crate::measure::Failure;
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

/// Messages that one poll returns at most.
const POLL: usize = 500;

/// Keyed messages in by one call each, then all out by polls.
pub(crate) trait Job: Sized {
    /// With room for so many messages of `size` bytes.
    fn new(messages: u64, size: usize) -> Result<Self, Failure>;

    fn produce(&mut self, key: &str, value: &[u8]) -> Result<(), Failure>;

    /// Hands over the next messages' values, until there are none.
    fn consume(&mut self, read: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure>;
}

/// As the original has it: the consumer gets all four.
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
struct Slices {
    partitions: Vec<Vec<Arc<Message>>>,
}

/// One lock, and slices of pointers.
pub(crate) struct Original {
    topics: Arc<Mutex<HashMap<String, Slices>>>,
    positions: [usize; PARTITIONS],
}

/// 32-bit FNV-1a, as Go's `hash/fnv`.
fn fnv(key: &[u8]) -> u32 {
    key.iter().fold(0x811c_9dc5, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

impl Original {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slices>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to so many messages of one partition, from an offset on.
    fn poll(&self, partition: usize, from: usize, most: usize) -> Vec<Arc<Message>> {
        let topics = self.lock();
        let messages = topics.get(TOPIC).map(|t| &t.partitions[partition][from..]);
        let messages = messages.unwrap_or_default();
        messages.iter().take(most).cloned().collect()
    }
}

impl Job for Original {
    fn new(_messages: u64, _size: usize) -> Result<Self, Failure> {
        let partitions = (0..PARTITIONS).map(|_| Vec::new()).collect();
        let topics = HashMap::from([(TOPIC.to_owned(), Slices { partitions })]);
        Ok(Original {
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
        let mut came = true;
        while came {
            came = false;
            for partition in 0..PARTITIONS {
                let messages = self.poll(partition, self.positions[partition], POLL);
                for message in &messages {
                    read(&message.value)?;
                }
                self.positions[partition] += messages.len();
                came |= !messages.is_empty();
            }
        }
        Ok(())
    }
}

/// ringlog with room for all, prefaulted: its memory is there from the start.
pub(crate) struct Log<P> {
    producer: P,
    consumer: Consumer,
}

fn open(messages: u64, size: usize) -> Result<(Topic, Consumer), Failure> {
    let broker = Broker::new();
    // Room for half of all in each of the 3 partitions.
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
    let mut consumer = broker.consumer(ConsumerConfig::new().max_poll_records(POLL as u32));
    consumer.subscribe(&[TOPIC])?;
    Ok((topic, consumer))
}

macro_rules! job {
    ($producer:ty, $make:expr) => {
        impl Job for Log<$producer> {
            fn new(messages: u64, size: usize) -> Result<Self, Failure> {
                let (topic, consumer) = open(messages, size)?;
                let producer = $make(&topic)?;
                Ok(Log { producer, consumer })
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
                        read(record.value())?;
                    }
                }
            }
        }
    };
}

job!(Producer, |topic: &Topic| Ok::<_, Failure>(topic.producer()));
job!(ExclusiveProducer, |topic: &Topic| topic
    .exclusive_producer());
