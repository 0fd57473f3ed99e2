//! A connection's readers: one consumer for each partition that it fetches.
//!
//! A reader stays between fetches, so that a client that reads on continues where the reader is,
//! without a search. It holds nothing back: a client that is slow or has gone loses what the
//! partition's retention takes, as in Kafka.

use super::leader_epochs::LeaderEpochs;
use super::topics::{ServedTopic, Topics};
use crate::batch::{BatchWriter, HEADER_BYTES, RecordFields, TimestampType};
use core::fmt;
use ringlog::{Batch, ConsumeError, Consumer, ConsumerConfig, HoldBack, OffsetReset};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use uuid::Uuid;

/// Records of one poll.
const POLL_RECORDS: u32 = 1024;
/// Fetches after which a reader that none of them has used is dropped.
const KEPT_FETCHES: u64 = 64;

/// What a reader says of its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The topic was deleted, or the partition does not exist.
    Gone,
    /// The offset is before the first one retained, or past the last.
    OutOfRange,
}

/// The room for a partition's records in a response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Bytes of batches, with what was there before.
    pub(crate) bytes: usize,
    /// Whether the first record is returned even if it takes more.
    pub(crate) takes_first: bool,
}

/// Reads one partition.
pub(crate) struct Reader {
    topic: Arc<ServedTopic>,
    partition: u32,
    consumer: Consumer,
    /// The next offset that the consumer reads, if it is known.
    position: Option<u64>,
    /// The topic is closed, and was read to its end.
    has_ended: bool,
    last_used: u64,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("topic", &self.topic.name())
            .field("partition", &self.partition)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// The records that a fetch has read of a partition.
#[derive(Debug)]
pub(crate) struct FetchedRecords {
    pub(crate) writer: BatchWriter,
    epochs: Arc<LeaderEpochs>,
    /// The leader epoch of the last record ends at this offset.
    epoch_end: u64,
    /// No more fits.
    pub(crate) is_full: bool,
}

impl FetchedRecords {
    pub(crate) fn new(timestamp_type: TimestampType, epochs: Arc<LeaderEpochs>) -> FetchedRecords {
        FetchedRecords {
            writer: BatchWriter::new(timestamp_type),
            epochs,
            epoch_end: 0,
            is_full: false,
        }
    }

    /// Sets the leader epoch of the record at this offset, which is the next. Returns whether a batch
    /// begins there.
    fn set_epoch(&mut self, offset: u64) -> bool {
        if offset >= self.epoch_end {
            let (epoch, end) = self.epochs.at(offset);
            self.writer.set_leader_epoch(epoch);
            self.epoch_end = end.unwrap_or(u64::MAX);
        }
        !self.writer.has_open_batch()
    }
}

impl Reader {
    fn new(topics: &Topics, topic: &Arc<ServedTopic>, partition: u32) -> Result<Self, ReadError> {
        let config = ConsumerConfig::new()
            .client_id("ringlog-kafka")
            .hold_back(HoldBack::Nothing)
            .read_up_to(topic.read_up_to())
            .offset_reset(OffsetReset::None)
            .max_poll_records(POLL_RECORDS)
            .max_poll_pause(Duration::ZERO);
        let consumer = topics.broker().consumer(config);
        let mut consumer = consumer.map_err(|_| ReadError::Gone)?;
        let assigned = consumer.assign([(topic.name(), partition)]);
        assigned.map_err(|_| ReadError::Gone)?;
        // The name may have become another topic's.
        if !topics.is_current(topic) {
            return Err(ReadError::Gone);
        }
        Ok(Reader {
            topic: topic.clone(),
            partition,
            consumer,
            position: None,
            has_ended: false,
            last_used: 0,
        })
    }

    pub(crate) fn topic(&self) -> &ServedTopic {
        &self.topic
    }

    pub(crate) fn partition(&self) -> u32 {
        self.partition
    }

    /// Whether the topic was closed and is read to its end, or was deleted.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn log_start(&self) -> Result<u64, ReadError> {
        let log_start = self.topic.topic.log_start_offset(self.partition);
        log_start.map_err(|_| ReadError::Gone)
    }

    fn log_end(&self) -> Result<u64, ReadError> {
        let log_end = self.topic.topic.log_end_offset(self.partition);
        log_end.map_err(|_| ReadError::Gone)
    }

    /// Moves to `offset`, if that is retained or the end.
    pub(crate) fn move_to(&mut self, offset: u64) -> Result<(), ReadError> {
        let log_end = self.log_end()?;
        if !(self.log_start()?..=log_end).contains(&offset) {
            return Err(ReadError::OutOfRange);
        }
        if self.position != Some(offset) {
            let partition = (self.topic.name(), self.partition);
            let sought = self.consumer.seek(partition, offset);
            sought.map_err(|_| ReadError::Gone)?;
            self.position = Some(offset);
            self.has_ended = false;
        }
        Ok(())
    }

    /// Reads what is there, and fits.
    pub(crate) fn read(&mut self, out: &mut FetchedRecords, room: Room) -> Result<(), ReadError> {
        while !out.is_full && !self.has_ended {
            match self.consumer.try_poll() {
                Ok(batch) if batch.is_empty() => break,
                Ok(batch) => {
                    // Loaded after the poll: the log start that the poll found is not after it.
                    let log_start = self.topic.topic.log_start_offset(self.partition);
                    let log_start = log_start.map_err(|_| ReadError::Gone)?;
                    let position = self.position.take();
                    self.position = take(&batch, position, log_start, out, room)?;
                }
                Err(error) => self.has_failed(&error)?,
            }
        }
        Ok(())
    }

    fn has_failed(&mut self, error: &ConsumeError) -> Result<(), ReadError> {
        match error {
            ConsumeError::Closed { .. } => {
                self.has_ended = true;
                Ok(())
            }
            ConsumeError::OffsetOutOfRange { .. } | ConsumeError::NoPosition { .. } => {
                self.position = None;
                Err(ReadError::OutOfRange)
            }
            _ => Err(ReadError::Gone),
        }
    }
}

/// Adds a batch's records to a response. Returns the position behind it, if all of them fitted.
fn take(
    batch: &Batch<'_>,
    position: Option<u64>,
    log_start: u64,
    out: &mut FetchedRecords,
    room: Room,
) -> Result<Option<u64>, ReadError> {
    // What was to be read first has been evicted meanwhile.
    let is_lapped = position.is_some_and(|position| {
        position < log_start && batch.first_offset().is_some_and(|first| first > position)
    });
    if is_lapped && out.writer.is_empty() {
        return Err(ReadError::OutOfRange);
    }
    if is_lapped {
        out.is_full = true;
        return Ok(None);
    }
    for record in batch {
        let fields = RecordFields {
            timestamp: record.timestamp().unwrap_or(-1),
            key: record.key(),
            value: record.value(),
            headers: &[],
        };
        let header = match out.set_epoch(record.offset()) {
            true => HEADER_BYTES,
            false => 0,
        };
        let bytes = header + BatchWriter::record_bytes(&fields, record.headers());
        let is_first = out.writer.is_empty() && room.takes_first;
        if out.writer.len() + bytes > room.bytes && !is_first {
            out.is_full = true;
            return Ok(None);
        }
        out.writer
            .append(record.offset(), &fields, record.headers());
    }
    Ok(batch.next_offset())
}

/// A partition of a fetch, with what was read of it.
#[derive(Debug)]
pub(crate) struct PartitionFetch {
    pub(crate) reader: Box<Reader>,
    pub(crate) out: FetchedRecords,
    /// The most bytes of this partition.
    pub(crate) max_bytes: usize,
}

/// Waits until one of the partitions has records that may be read, has ended or has failed, and reads
/// from the partitions that have, up to `max_bytes` in all.
///
/// A partition whose topic is closed and read to its end is not waited on.
pub(crate) async fn wait_for_records(
    partitions: &mut [&mut PartitionFetch],
    max_bytes: usize,
) -> Result<(), (usize, ReadError)> {
    let mut used: usize = partitions.iter().map(|p| p.out.writer.len()).sum();
    let mut waiting: Vec<_> = partitions
        .iter_mut()
        .enumerate()
        .filter(|(_, partition)| !partition.reader.has_ended && !partition.out.is_full)
        .map(|(number, partition)| {
            let PartitionFetch {
                reader,
                out,
                max_bytes,
            } = &mut **partition;
            let Reader {
                topic,
                partition,
                consumer,
                position,
                has_ended,
                ..
            } = &mut **reader;
            let (topic, partition) = (&**topic, *partition);
            let log_start = move || topic.topic.log_start_offset(partition);
            let state = (position, has_ended, out, *max_bytes);
            (number, consumer.poll_async(), log_start, state)
        })
        .collect();
    poll_fn(|context| {
        let mut is_ready = false;
        for (number, future, log_start, state) in &mut waiting {
            let Poll::Ready(polled) = Pin::new(future).poll(context) else {
                continue;
            };
            is_ready = true;
            let (position, has_ended, out, partition_max) = state;
            let failed = |error| Poll::Ready(Err((*number, error)));
            match polled {
                Ok(batch) => {
                    let before = out.writer.len();
                    let room = Room {
                        bytes: (*partition_max).min(before + max_bytes.saturating_sub(used)),
                        takes_first: used == 0,
                    };
                    let Ok(log_start) = log_start() else {
                        return failed(ReadError::Gone);
                    };
                    match take(&batch, position.take(), log_start, out, room) {
                        Ok(next) => **position = next,
                        Err(error) => return failed(error),
                    }
                    used += out.writer.len() - before;
                }
                Err(ConsumeError::Closed { .. }) => **has_ended = true,
                Err(ConsumeError::OffsetOutOfRange { .. }) => {
                    **position = None;
                    return failed(ReadError::OutOfRange);
                }
                Err(_) => return failed(ReadError::Gone),
            }
        }
        match is_ready {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    })
    .await
}

/// The readers of a connection that no fetch is using.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    idle: HashMap<(Uuid, u32), Box<Reader>>,
    fetches: u64,
}

impl Readers {
    /// Begins a fetch. Readers that were not used for long are dropped, and those of topics that
    /// are deleted.
    pub(crate) fn begin_fetch(&mut self, topics: &Topics) {
        self.fetches += 1;
        if self.fetches.is_multiple_of(KEPT_FETCHES) {
            let oldest = self.fetches - KEPT_FETCHES;
            self.idle.retain(|_, reader| {
                let topic = &reader.topic;
                let may_be_deleted = topic.topic.is_closed();
                reader.last_used >= oldest && (!may_be_deleted || topics.is_current(topic))
            });
        }
    }

    /// The reader of a partition, which exists.
    pub(crate) fn take(
        &mut self,
        topics: &Topics,
        topic: &Arc<ServedTopic>,
        partition: u32,
    ) -> Result<Box<Reader>, ReadError> {
        match self.idle.remove(&(topic.id, partition)) {
            Some(reader) => Ok(reader),
            None => Reader::new(topics, topic, partition).map(Box::new),
        }
    }

    /// Keeps a reader for the next fetch.
    pub(crate) fn put_back(&mut self, mut reader: Box<Reader>) {
        reader.last_used = self.fetches;
        self.idle
            .insert((reader.topic.id, reader.partition), reader);
    }
}
