//! ringlog as a program uses it: the default settings, so records get timestamps; sends that wait
//! for room, and polls that wait for records. The consumers share the partitions.

use super::ringlog::{SEGMENTS, TOPIC};
use super::system::{Endpoints, MANY, Receiver, Sender, Shape, System, SystemKind};
use crate::failure::Failure;
use crate::message::content::stream;
use crate::message::tally::Reader;
use ringlog::{
    Broker, Consumer, ConsumerConfig, Destination, GatheringConfig, GatheringProducer,
    PartitionChoice, Partitioner, Producer, Record, TopicConfig, Xxh3,
};
use std::array;
use std::sync::Arc;
use std::time::Duration;

/// Records of a frame that a sender gathers.
pub(crate) const FRAME: usize = 64;

/// The timeout of a poll. After it the consumer checks whether another thread has given up.
const POLL: Duration = Duration::from_secs(1);

/// Bytes of a key.
pub(crate) type Key = [u8; 8];

/// The key of a stream, such as `user-007`.
pub(crate) fn key(stream: usize) -> Result<Key, Failure> {
    let key = match stream {
        ..1000 => format!("user-{stream:03}"),
        more => format!("key{more:05}"),
    };
    Ok(key.as_bytes().try_into()?)
}

/// The default settings, with segments of `ring_bytes` in all: for values, keys, times and the rest.
pub(crate) fn config(ring_bytes: usize, partitions: usize) -> Result<TopicConfig, Failure> {
    let segment_bytes = ring_bytes / partitions / SEGMENTS;
    Ok(TopicConfig::new()
        .partitions(u32::try_from(partitions)?)
        .segments(SEGMENTS as u32)
        .segment_bytes(segment_bytes)
        .segment_records(u32::try_from(segment_bytes / 64)?)
        .prefault(true))
}

/// The key and the partition of each stream of all producers.
struct Streams {
    keys: Vec<Key>,
    partitions: Vec<u32>,
}

impl Streams {
    /// Each key goes to the partition that the default partitioner chooses.
    fn by_key(shape: &Shape) -> Result<Streams, Failure> {
        let streams = shape.producers * shape.streams;
        let keys = (0..streams).map(key).collect::<Result<Vec<Key>, _>>()?;
        let partitions = u32::try_from(shape.partitions)?;
        let partition = |key: &Key| match Xxh3.choose(Some(key), partitions) {
            PartitionChoice::Partition(partition) => Ok(partition),
            _ => Err("a key without a partition"),
        };
        let partitions = keys.iter().map(partition).collect::<Result<_, _>>()?;
        Ok(Streams { keys, partitions })
    }

    /// The streams of each producer go to one partition: its own, if there is one for each.
    fn by_producer(shape: &Shape) -> Result<Streams, Failure> {
        let producers = 0..shape.producers * shape.streams;
        let partition = |stream| u32::try_from(stream / shape.streams % shape.partitions);
        Ok(Streams {
            keys: Vec::new(),
            partitions: producers.map(partition).collect::<Result<_, _>>()?,
        })
    }
}

/// Creates a sender of one kind.
trait OpenSender {
    fn open(producer: Producer, streams: &Arc<Streams>, partitions: usize) -> Self;
}

/// Sends each record with the key of its stream.
pub(crate) struct KeySender(Producer, Arc<Streams>);

/// Sends each record to the partition of its stream.
pub(crate) struct PartitionSender(Producer, Arc<Streams>);

/// Sends each record with the key of its stream, by a producer that gathers.
pub(crate) struct GatheringSender(GatheringProducer, Arc<Streams>);

/// Gathers frames by hand: messages of one partition are sent `FRAME` at a time.
struct Frames<const N: usize> {
    producer: Producer,
    streams: Arc<Streams>,
    /// The messages of each partition that are not sent yet.
    gathered: Vec<Vec<[u8; N]>>,
}

/// Gathers frames, and sends their values.
pub(crate) struct ValuesSender<const N: usize>(Frames<N>);

/// Gathers frames, and sends their records: values and keys.
pub(crate) struct BatchSender<const N: usize>(Frames<N>);

impl OpenSender for KeySender {
    fn open(producer: Producer, streams: &Arc<Streams>, _partitions: usize) -> Self {
        KeySender(producer, streams.clone())
    }
}

impl OpenSender for PartitionSender {
    fn open(producer: Producer, streams: &Arc<Streams>, _partitions: usize) -> Self {
        PartitionSender(producer, streams.clone())
    }
}

impl OpenSender for GatheringSender {
    fn open(producer: Producer, streams: &Arc<Streams>, _partitions: usize) -> Self {
        GatheringSender(producer.gathering(GatheringConfig::new()), streams.clone())
    }
}

impl<const N: usize> OpenSender for Frames<N> {
    fn open(producer: Producer, streams: &Arc<Streams>, partitions: usize) -> Self {
        Frames {
            producer,
            streams: streams.clone(),
            gathered: vec![Vec::with_capacity(FRAME); partitions],
        }
    }
}

impl<const N: usize> OpenSender for ValuesSender<N> {
    fn open(producer: Producer, streams: &Arc<Streams>, partitions: usize) -> Self {
        ValuesSender(OpenSender::open(producer, streams, partitions))
    }
}

impl<const N: usize> OpenSender for BatchSender<N> {
    fn open(producer: Producer, streams: &Arc<Streams>, partitions: usize) -> Self {
        BatchSender(OpenSender::open(producer, streams, partitions))
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for KeySender {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        let message = &messages[0];
        let key = &self.1.keys[stream(message)];
        self.0.send(Record::new(message).key(key))?;
        Ok(true)
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for PartitionSender {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        let message = &messages[0];
        let partition = self.1.partitions[stream(message)];
        self.0.send(Record::new(message).partition(partition))?;
        Ok(true)
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for GatheringSender {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        let message = &messages[0];
        let key = &self.1.keys[stream(message)];
        self.0.send(Record::new(message).key(key))?;
        Ok(true)
    }

    fn finish(&mut self) -> Result<bool, Failure> {
        self.0.flush()?;
        Ok(true)
    }
}

impl<const N: usize> Frames<N> {
    /// Adds a message to its partition's frame; returns the partition if the frame is now full.
    #[inline(always)]
    fn gather(&mut self, message: &[u8; N]) -> Option<usize> {
        let partition = self.streams.partitions[stream(message)] as usize;
        let frame = &mut self.gathered[partition];
        frame.push(*message);
        (frame.len() == FRAME).then_some(partition)
    }

    #[inline(always)]
    fn send_values(&mut self, partition: usize) -> Result<(), Failure> {
        let frame = &mut self.gathered[partition];
        let destination = Destination::Partition(partition as u32);
        self.producer.send_values(destination, frame)?;
        frame.clear();
        Ok(())
    }

    /// Sends a full frame.
    #[inline(always)]
    fn send_batch(&mut self, partition: usize) -> Result<(), Failure> {
        let frame = &mut self.gathered[partition];
        let record = |i: usize| record(&frame[i], &self.streams.keys, partition);
        self.producer
            .send_batch(&array::from_fn::<_, FRAME, _>(record))?;
        frame.clear();
        Ok(())
    }
}

#[inline(always)]
fn record<'r, const N: usize>(
    message: &'r [u8; N],
    keys: &'r [Key],
    partition: usize,
) -> Record<'r> {
    let record = Record::new(message).partition(partition as u32);
    record.key(&keys[stream(message)])
}

impl<const N: usize, const B: usize> Sender<N, B> for ValuesSender<N> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        if let Some(partition) = self.0.gather(&messages[0]) {
            self.0.send_values(partition)?;
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<bool, Failure> {
        for partition in 0..self.0.gathered.len() {
            if !self.0.gathered[partition].is_empty() {
                self.0.send_values(partition)?;
            }
        }
        Ok(true)
    }
}

impl<const N: usize, const B: usize> Sender<N, B> for BatchSender<N> {
    #[inline(always)]
    fn send(&mut self, messages: &[[u8; N]; B]) -> Result<bool, Failure> {
        if let Some(partition) = self.0.gather(&messages[0]) {
            self.0.send_batch(partition)?;
        }
        Ok(true)
    }

    fn finish(&mut self) -> Result<bool, Failure> {
        let Frames {
            producer,
            streams,
            gathered,
        } = &mut self.0;
        for (partition, frame) in gathered.iter_mut().enumerate() {
            let records = frame.iter();
            let records: Vec<_> = records
                .map(|message| record(message, &streams.keys, partition))
                .collect();
            producer.send_batch(&records)?;
            frame.clear();
        }
        Ok(true)
    }
}

/// Polls its partitions, and checks the keys where records have some.
pub(crate) struct WaitingReceiver<const KEYS: bool> {
    consumer: Consumer,
    all: Arc<Streams>,
    /// The streams of its partitions.
    part: Vec<usize>,
}

impl<const N: usize, const KEYS: bool> Receiver<N> for WaitingReceiver<KEYS> {
    #[inline(always)]
    fn receive(&mut self, reader: &mut impl Reader<N>) -> Result<bool, Failure> {
        let batch = self.consumer.poll(POLL)?;
        if batch.is_empty() {
            return Ok(false);
        }
        let keys = &*self.all.keys;
        let wrong = batch.iter().fold(false, |wrong, record| {
            let Ok(message) = record.value_bytes().try_into() else {
                return true;
            };
            reader.read(message);
            let key = if KEYS {
                keys.get(stream(message))
            } else {
                None
            };
            wrong | (record.key() != key.map(|key| &key[..]))
        });
        if wrong {
            return Err("a record with another key or another length arrived".into());
        }
        Ok(true)
    }

    fn streams(&self) -> Option<&[usize]> {
        Some(&self.part)
    }
}

/// A topic of this shape, a sender for each producer, and the consumers: each reads its share of the
/// partitions.
fn open<S: OpenSender, const KEYS: bool>(
    shape: &Shape,
    streams: Streams,
) -> Result<(Vec<S>, Vec<WaitingReceiver<KEYS>>), Failure> {
    let broker = Broker::new();
    let topic = broker.create_topic(TOPIC, config(shape.ring_bytes, shape.partitions)?)?;
    let streams = Arc::new(streams);
    let sender = |_| S::open(topic.producer(), &streams, shape.partitions);
    let senders = (0..shape.producers).map(sender).collect();
    let mut receivers = Vec::new();
    for i in 0..shape.consumers {
        let share = |i| (i * shape.partitions / shape.consumers) as u32;
        let mine = share(i)..share(i + 1);
        let mut consumer = broker.consumer(ConsumerConfig::new())?;
        consumer.assign(mine.clone().map(|partition| (TOPIC, partition)))?;
        let partitions = streams.partitions.iter().enumerate();
        let part = partitions.filter(|(_, partition)| mine.contains(partition));
        receivers.push(WaitingReceiver {
            consumer,
            part: part.map(|(stream, _)| stream).collect(),
            all: streams.clone(),
        });
    }
    Ok((senders, receivers))
}

/// Generates the systems: how streams are assigned to partitions, and a sender.
macro_rules! systems {
    ($(
        $(#[$doc:meta])*
        $system:ident, $name:literal, $streams:expr, $sender:ty, keys $keys:literal;
    )*) => {$(
        $(#[$doc])*
        pub(crate) struct $system;

        impl System for $system {
            const NAME: &'static str = $name;
            const CRATE: &'static str = "ringlog";
            const KIND: SystemKind = SystemKind::Ringlog;
            const PRODUCERS: usize = MANY;
            const CONSUMERS: usize = MANY;
            type Sender<const N: usize, const B: usize> = $sender;
            type Receiver<const N: usize, const B: usize> = WaitingReceiver<$keys>;

            fn endpoints<const N: usize, const B: usize>(
                shape: &Shape,
            ) -> Result<Endpoints<Self, N, B>, Failure> {
                open(shape, $streams(shape)?)
            }
        }
    )*};
}

systems! {
    /// One call for each record, with the key of its stream.
    DefaultKeys, "ringlog, send",
    Streams::by_key, KeySender, keys true;

    /// The same, gathered.
    DefaultKeysGathered, "ringlog, gathered",
    Streams::by_key, GatheringSender, keys true;

    /// Frames of one partition, gathered by key: values without keys.
    DefaultKeysValues, "ringlog, send_values of 64",
    Streams::by_key, ValuesSender<N>, keys false;

    /// Frames of one partition, gathered by key: values and keys.
    DefaultKeysBatch, "ringlog, send_batch of 64",
    Streams::by_key, BatchSender<N>, keys true;

    /// One call for each record, to the producer's partition.
    DefaultPartitions, "ringlog, send, default settings",
    Streams::by_producer, PartitionSender, keys false;

    /// Frames for the producer's partition.
    DefaultPartitionsValues, "ringlog, send_values of 64",
    Streams::by_producer, ValuesSender<N>, keys false;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::source::Source;
    use crate::message::tally::{ManyStreamsTally, Tally};

    fn shape() -> Shape {
        Shape {
            consumers: 2,
            partitions: 4,
            streams: 16,
            ..Shape::one_to_one(1 << 18)
        }
    }

    /// Sends 10 messages of each stream, and checks what each of the two consumers receives.
    fn transfer<S: System>() -> Result<(), Failure> {
        let (mut senders, receivers) = S::endpoints::<64, 1>(&shape())?;
        let mut source = Source::<64, 1>::new(0, 16);
        for _ in 0..10 {
            for send in source.next() {
                assert!(senders[0].send(send)?);
            }
        }
        assert!(senders[0].finish()?);
        let mut streams = Vec::new();
        for mut receiver in receivers {
            let part = receiver.streams().unwrap_or_default().to_vec();
            let mut tally = <ManyStreamsTally as Tally<64>>::new(16);
            while Tally::<64>::count(&tally) < 10 * part.len() as u64 {
                assert!(receiver.receive(&mut tally)?, "messages are missing");
            }
            Tally::<64>::check_part(&tally, &part, 10)?;
            streams.extend(part);
        }
        streams.sort_unstable();
        assert_eq!(streams, Vec::from_iter(0..16));
        Ok(())
    }

    #[test]
    fn the_consumers_share_all_messages_however_they_are_sent() {
        transfer::<DefaultKeys>().unwrap();
        transfer::<DefaultKeysValues>().unwrap();
        transfer::<DefaultKeysBatch>().unwrap();
        transfer::<DefaultPartitions>().unwrap();
        transfer::<DefaultPartitionsValues>().unwrap();
    }

    #[test]
    fn a_record_with_another_key_or_another_length_is_refused() {
        let mut message = [0; 64];
        message[6] = 1; // Stream 1.
        for (record, right) in [
            (Record::new(&message).key(b"user-001"), true),
            (Record::new(&message).key(b"user-002"), false),
            (Record::new(&message), false),
            (Record::new(&message[..63]).key(b"user-001"), false),
        ] {
            let shape = Shape {
                streams: 16,
                ..Shape::one_to_one(1 << 16)
            };
            let streams = Streams::by_key(&shape).unwrap();
            let (mut senders, mut receivers) = open::<KeySender, true>(&shape, streams).unwrap();
            senders[0].0.send(record).unwrap();
            let mut tally = <ManyStreamsTally as Tally<64>>::new(16);
            let received = Receiver::<64>::receive(&mut receivers[0], &mut tally);
            assert_eq!(received.is_ok(), right);
        }
    }
}
