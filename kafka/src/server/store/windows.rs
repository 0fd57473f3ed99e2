//! The idempotent producers of a durable partition, over restarts: a batch that was acknowledged is
//! recognised when it is sent again, whatever has happened in between.
//!
//! What decides that is kept with the batch itself: its producer, epoch and first sequence number are
//! the [note](Note) of its frame, so they are in the log exactly if the batch is. From time to time
//! what the server remembers of the batches that are durable is stored, with the offset up to which
//! that is all (`covered`). When the partition is first used after a start, the frames behind that
//! offset are read ([`Window::load`]).
//!
//! - What is stored of a batch is stored after the batch is durable. So none is taken for appended
//!   that was lost with the machine. What is to be stored is [seen](Window::see) at one moment, and
//!   stored when all that was in the log then is durable.
//! - `covered` is stored, durably, before the first batch of an idempotent producer is appended. So
//!   a partition without it has none.
//! - A log may end before `covered` all the same, if its files were damaged. Then the batches behind
//!   its end are forgotten, durably, before another one gets their offsets.
//! - Where frames behind `covered` are not there any more, because they were deleted or never
//!   written, a producer's next batch may have any sequence number.

use super::{Change, Reader, SYNC_LIMIT, Store, StoreError, Writer};
use crate::batch::Producer;
use crate::server::sequences::{Appended, KeptBatch, KeptProducer, Sequences};
use ringlog::{Broker, ConsumerConfig, FrameNote, HoldBack, OffsetReset, Topic};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;
use uuid::Uuid;

/// How long loading waits for a frame that another thread is writing.
const FRAME_LIMIT: Duration = Duration::from_secs(5);

/// A partition that has grown by this many records since it was stored is synced and stored again,
/// whatever the storage's policy, and also if they are of no idempotent producer: they would be read
/// at the next start.
const FAR_BEHIND: u64 = 1 << 20;

/// No partition is as long.
const NOT_LOADED: u64 = u64::MAX;

/// Why the producers of a partition are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WindowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the producers of partition {partition} of topic {topic:?} cannot be read: {reason}")]
    Log {
        topic: String,
        partition: u32,
        reason: String,
    },
    #[error("the runtime is shut down")]
    Stopped,
}

/// What the frame of an idempotent producer's batch says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) producer: Producer,
    /// The greatest time of its records.
    pub(crate) timestamp: i64,
    /// Whether that is the time of the append.
    pub(crate) is_append_time: bool,
}

impl Note {
    /// Begins each note: programs may send frames with notes of their own.
    const MARK: u64 = u64::from_be_bytes(*b"kafkabat");
    const APPEND_TIME: u64 = 1 << 48;

    pub(crate) fn to_words(self) -> [u64; 4] {
        let Producer {
            id,
            epoch,
            base_sequence,
        } = self.producer;
        let numbers = u64::from(epoch as u16) << 32 | u64::from(base_sequence as u32);
        let flag = match self.is_append_time {
            true => Note::APPEND_TIME,
            false => 0,
        };
        [Note::MARK, id as u64, flag | numbers, self.timestamp as u64]
    }

    /// `None` if it is another program's.
    pub(crate) fn read(note: &FrameNote<'_>) -> Option<Note> {
        let mut words = note.words();
        if words.next() != Some(Note::MARK) {
            return None;
        }
        let (id, numbers, timestamp) = (words.next()?, words.next()?, words.next()?);
        Some(Note {
            producer: Producer {
                id: id as i64,
                epoch: (numbers >> 32) as u16 as i16,
                base_sequence: numbers as u32 as i32,
            },
            timestamp: timestamp as i64,
            is_append_time: numbers & Note::APPEND_TIME != 0,
        })
    }
}

/// The producers at one moment.
#[derive(Debug)]
struct Seen {
    /// Where the log ended: with what was stored before, these are all batches before it.
    end: u64,
    /// The producers that had changed, and what is to be stored of them.
    changed: HashSet<i64>,
    changes: Vec<Change>,
}

/// Where the producers of a durable partition are kept.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) store: Arc<Store>,
    pub(crate) broker: Broker,
    pub(crate) topic: Topic,
    pub(crate) id: Uuid,
    pub(crate) partition: u32,
    /// They have changed since they were seen.
    is_dirty: AtomicBool,
    /// As they were, to be stored when they are durable.
    seen: Mutex<Option<Seen>>,
    /// What is before this offset is in the store. [`NOT_LOADED`] before that is known.
    covered: AtomicU64,
}

/// The time in milliseconds since 1970 UTC.
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

impl Window {
    pub(crate) fn new(
        store: Arc<Store>,
        broker: Broker,
        topic: Topic,
        id: Uuid,
        partition: u32,
    ) -> Window {
        Window {
            store,
            broker,
            topic,
            id,
            partition,
            is_dirty: AtomicBool::new(false),
            seen: Mutex::default(),
            covered: AtomicU64::new(NOT_LOADED),
        }
    }

    fn covered_key(&self) -> Vec<u8> {
        let key = Writer::new(b'w').uuid(self.id);
        key.i32(self.partition as i32).into_bytes()
    }

    fn producers_key(&self) -> Writer {
        Writer::new(b'p').uuid(self.id).i32(self.partition as i32)
    }

    fn producer_key(&self, id: i64) -> Vec<u8> {
        self.producers_key().i64(id).into_bytes()
    }

    fn failed(&self, reason: impl ToString) -> WindowError {
        WindowError::Log {
            topic: self.topic.name().to_owned(),
            partition: self.partition,
            reason: reason.to_string(),
        }
    }

    /// Whether an idempotent producer has ever written to the partition.
    pub(crate) fn is_kept(&self) -> bool {
        self.store.get(&self.covered_key()).is_some()
    }

    /// The producers have changed: they are to be stored.
    pub(crate) fn touch(&self) {
        if !self.is_dirty.swap(true, Ordering::Relaxed) {
            self.store.has_work.notify_one();
        }
    }

    /// Whether there is something to store.
    pub(crate) fn has_work(&self) -> bool {
        self.is_dirty.load(Ordering::Relaxed) || self.seen().is_some()
    }

    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether far more has been appended than what is stored covers, to a topic that is not closed.
    pub(crate) fn is_far_behind(&self) -> bool {
        if self.topic.is_closed() {
            return false;
        }
        let end = self.topic.log_end_offset(self.partition).unwrap_or(0);
        end.saturating_sub(self.covered.load(Ordering::Relaxed)) >= FAR_BEHIND
    }

    /// Makes all records durable that are there now. Returns where they end.
    pub(crate) async fn sync(&self) -> Result<u64, WindowError> {
        let end = self.topic.log_end_offset(self.partition);
        let end = end.map_err(|error| self.failed(error))?;
        let synced = self.topic.wait_durable_async(self.partition, end);
        match timeout(SYNC_LIMIT, synced).await {
            Ok(synced) => synced.map_err(StoreError::from)?,
            Err(_) => return Err(self.failed("its records are not durable in time")),
        }
        Ok(end)
    }

    /// The producers as they were: from the store, and from the frames behind what that covers. It
    /// blocks while it reads these.
    pub(crate) fn load(&self) -> Result<Sequences, WindowError> {
        let (topic, partition) = (&self.topic, self.partition);
        let end = topic.log_end_offset(partition);
        let end = end.map_err(|error| self.failed(error))?;
        let covered_value = |offset| Some(Writer::new(1).u64(offset).into_bytes());
        let stored = self.store.get(&self.covered_key());
        let stored = stored.and_then(|value| Reader::new(&value, 1)?.u64());
        let Some(stored) = stored else {
            let change = (self.covered_key(), covered_value(end));
            self.store.apply(vec![change])?;
            self.store.make_durable()?;
            self.covered.store(end, Ordering::Relaxed);
            return Ok(Sequences::default());
        };
        let mut sequences = Sequences::default();
        let mut lost = Vec::new();
        for (key, value) in self.store.with_prefix(&self.producers_key().into_bytes()) {
            let id = key.last_chunk::<8>().map(|id| i64::from_be_bytes(*id));
            let (Some(id), Some(mut kept)) = (id, read_producer(&value)) else {
                continue;
            };
            let before = kept.batches.len();
            kept.batches.retain(|batch| batch.end_offset() <= end);
            if kept.batches.len() < before {
                lost.push(match kept.batches.is_empty() {
                    true => (key, None),
                    false => (key, Some(write_producer(&kept))),
                });
            }
            sequences.restore(id, kept, wall_ms());
        }
        if stored > end {
            lost.push((self.covered_key(), covered_value(end)));
        }
        if !lost.is_empty() {
            self.store.apply(lost)?;
            self.store.make_durable()?;
        }
        self.covered.store(stored.min(end), Ordering::Relaxed);
        self.replay(&mut sequences, stored.min(end), end)?;
        Ok(sequences)
    }

    /// Takes over the batches from `from` on.
    fn replay(&self, sequences: &mut Sequences, from: u64, end: u64) -> Result<(), WindowError> {
        let (topic, partition) = (&self.topic, self.partition);
        let start = topic.log_start_offset(partition);
        let start = start.map_err(|error| self.failed(error))?;
        if from < start {
            sequences.miss_batches();
        }
        let mut next = from.max(start);
        if next >= end {
            return Ok(());
        }
        let config = ConsumerConfig::new()
            .client_id("ringlog-kafka")
            .hold_back(HoldBack::Nothing)
            .offset_reset(OffsetReset::Earliest);
        let consumer = self.broker.consumer(config);
        let mut consumer = consumer.map_err(|error| self.failed(error))?;
        let name = (topic.name(), partition);
        let assigned = consumer.assign([name]);
        assigned.map_err(|error| self.failed(error))?;
        let sought = consumer.seek(name, next);
        sought.map_err(|error| self.failed(error))?;
        let faults = || topic.storage().map_or(0, |storage| storage.faults().len());
        let faults_before = faults();
        let mut limit = Duration::ZERO;
        while next < end {
            let batch = match consumer.poll(limit) {
                Ok(batch) => batch,
                // A closed topic that is read to its end.
                Err(ringlog::ConsumeError::Closed { .. }) => break,
                Err(error) => return Err(self.failed(error)),
            };
            if batch.lost() > 0 {
                sequences.miss_batches();
            }
            for frame in batch.notes().filter(|frame| frame.base_offset < end) {
                if let Some(note) = Note::read(&frame) {
                    sequences.replay(note, frame.records, frame.base_offset);
                    self.touch();
                }
            }
            // It passes offsets that have no records, too: at the end of the log without a batch.
            let position = consumer.position(name);
            let position = position.map_err(|error| self.failed(error))?;
            if position == next && !limit.is_zero() {
                return Err(self.failed(format!("nothing is read at offset {next}")));
            }
            limit = match position == next {
                true => FRAME_LIMIT,
                false => Duration::ZERO,
            };
            next = position;
        }
        if faults() > faults_before {
            sequences.miss_batches();
        }
        Ok(())
    }

    /// Takes the producers as they are. No batch of theirs is being appended.
    pub(crate) fn see(&self, sequences: &mut Sequences) {
        if let Ok(end) = self.topic.log_end_offset(self.partition) {
            self.see_up_to(sequences, end);
            self.is_dirty.store(false, Ordering::Relaxed);
        }
    }

    /// The same, if all batches of theirs are before `end`.
    pub(crate) fn see_up_to(&self, sequences: &mut Sequences, end: u64) {
        let mut seen = self.seen();
        if let Some(before) = seen.take() {
            sequences.put_back_changed(before.changed);
        }
        let (changed, now) = (sequences.take_changed(), wall_ms());
        let change = |id: &i64| {
            let kept = sequences.kept(*id, now);
            (self.producer_key(*id), kept.as_ref().map(write_producer))
        };
        let changes = changed.iter().map(change).collect();
        *seen = Some(Seen {
            end,
            changed,
            changes,
        });
    }

    /// Stores the producers as they were seen, if they are durable by now. Returns whether there is
    /// nothing left of that.
    pub(crate) fn save_seen(&self) -> Result<bool, StoreError> {
        let mut seen = self.seen();
        let Some(Seen { end, changes, .. }) = &*seen else {
            return Ok(true);
        };
        let end = *end;
        let durable_end = self.topic.durable_end(self.partition);
        if durable_end.is_ok_and(|durable_end| durable_end < end) {
            self.store.has_work.notify_one();
            return Ok(false);
        }
        let covered = Writer::new(1).u64(end).into_bytes();
        let mut changes = changes.clone();
        changes.push((self.covered_key(), Some(covered)));
        self.store.apply(changes)?;
        self.covered.store(end, Ordering::Relaxed);
        *seen = None;
        Ok(true)
    }

    /// Forgets what is to be stored.
    pub(crate) fn give_up(&self) {
        *self.seen() = None;
        self.is_dirty.store(false, Ordering::Relaxed);
    }
}

fn write_producer(kept: &KeptProducer) -> Vec<u8> {
    Writer::new(1)
        .i16(kept.epoch)
        .u8(kept.misses_batches.into())
        .i64(kept.last_seen)
        .i64(kept.last_timestamp)
        .list(kept.batches.iter(), |writer, batch| {
            writer
                .i32(batch.first_sequence)
                .i32(batch.last_sequence)
                .u64(batch.appended.base_offset)
                .i64(batch.appended.log_append_time)
        })
        .into_bytes()
}

fn read_producer(bytes: &[u8]) -> Option<KeptProducer> {
    let mut reader = Reader::new(bytes, 1)?;
    Some(KeptProducer {
        epoch: reader.i16()?,
        misses_batches: reader.u8()? != 0,
        last_seen: reader.i64()?,
        last_timestamp: reader.i64()?,
        batches: reader.list(|reader| {
            Some(KeptBatch {
                first_sequence: reader.i32()?,
                last_sequence: reader.i32()?,
                appended: Appended {
                    base_offset: reader.u64()?,
                    log_append_time: reader.i64()?,
                },
            })
        })?,
    })
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
