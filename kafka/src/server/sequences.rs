//! The sequence numbers of a partition's idempotent producers.
//!
//! A producer numbers its records in each partition from 0 on. A batch is appended if it continues
//! the numbers; one that was appended before is answered as then; any other is refused. As in Kafka,
//! the last five batches of each producer are remembered, which is how many a client may have in
//! flight.
//!
//! A producer that has sent nothing for a day is forgotten, as in Kafka. No timer does that: the
//! producers are looked through when there are twice as many as were left the last time.
//!
//! Those of a durable partition are loaded when they are first asked for, and stored from time to
//! time (`store/windows.rs`).

use super::acknowledge::fault;
use super::store::StoreError;
use super::store::windows::{Note, Window, WindowError};
use crate::batch::Producer;
use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::time::{Instant, timeout, timeout_at};

/// Batches that are remembered for each producer.
const REMEMBERED: usize = 5;

/// How long a producer that sends nothing is remembered: Kafka's `producer.id.expiration.ms`.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an administrator waits for a batch that is being appended.
const DESCRIBE_WAIT: Duration = Duration::from_secs(5);
/// Fewer producers are not looked through.
const FEW: usize = 1024;

/// Where a batch was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: u64,
    /// The time of the append in milliseconds; -1 if the records keep the producer's times.
    pub(crate) log_append_time: i64,
}

/// A batch that is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptBatch {
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) appended: Appended,
}

impl KeptBatch {
    /// The offset after its last record.
    pub(crate) fn end_offset(&self) -> u64 {
        let (first, last) = (
            i64::from(self.first_sequence),
            i64::from(self.last_sequence),
        );
        let records = (last - first).rem_euclid(1 << 31) + 1;
        self.appended.base_offset.saturating_add(records as u64)
    }
}

/// What is stored of a producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptProducer {
    pub(crate) epoch: i16,
    /// See [`Sequences::miss_batches`].
    pub(crate) misses_batches: bool,
    /// When it sent its last batch, in milliseconds since 1970 UTC.
    pub(crate) last_seen: i64,
    pub(crate) last_timestamp: i64,
    pub(crate) batches: Vec<KeptBatch>,
}

#[derive(Debug)]
struct ProducerState {
    epoch: i16,
    /// What its first batch must begin with, until that is appended.
    first_sequence: i32,
    batches: VecDeque<KeptBatch>,
    /// It may have appended more than these: its next batch may have any number.
    misses_batches: bool,
    /// When it sent its last batch.
    last_seen: Instant,
    /// The greatest time of that batch's records.
    last_timestamp: i64,
}

/// What administrators are shown of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActiveProducer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) last_sequence: i32,
    pub(crate) last_timestamp: i64,
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next.
    Append,
    /// It was appended before.
    Duplicate(Appended),
    /// Its first sequence number is another than the next.
    OutOfOrder { expected: i32 },
    /// A later epoch of the producer has been seen.
    OldEpoch { current: i16 },
}

/// The idempotent producers of one partition, behind a lock.
#[derive(Debug, Default)]
pub(crate) struct PartitionSequences {
    /// `None` until they are loaded.
    sequences: Mutex<Option<Sequences>>,
    /// Where those of a durable partition are kept.
    window: Option<Arc<Window>>,
    /// Batches that were refused because their time was up before they had the lock.
    late: std::sync::Mutex<HashMap<i64, Producer>>,
}

/// The producers of a partition, locked.
pub(crate) struct LockedSequences<'a> {
    sequences: MappedMutexGuard<'a, Sequences>,
    window: Option<&'a Window>,
}

impl std::ops::Deref for LockedSequences<'_> {
    type Target = Sequences;

    fn deref(&self) -> &Sequences {
        &self.sequences
    }
}

impl LockedSequences<'_> {
    /// Whether they are kept over restarts.
    pub(crate) fn are_kept(&self) -> bool {
        self.window.is_some()
    }

    /// To be changed.
    pub(crate) fn change(&mut self) -> &mut Sequences {
        if let Some(window) = self.window {
            window.touch();
        }
        &mut self.sequences
    }
}

impl PartitionSequences {
    /// Those of a partition in memory, or of a durable one.
    pub(crate) fn new(window: Option<Window>) -> PartitionSequences {
        PartitionSequences {
            window: window.map(Arc::new),
            ..PartitionSequences::default()
        }
    }

    /// Locks them, and loads them if that was not done yet.
    async fn lock(&self) -> Result<LockedSequences<'_>, WindowError> {
        let mut locked = self.sequences.lock().await;
        if locked.is_none() {
            *locked = Some(match self.window.clone() {
                None => Sequences::default(),
                Some(window) => {
                    let loading = tokio::task::spawn_blocking(move || window.load());
                    let loaded = loading.await;
                    loaded.unwrap_or_else(|_| Err(WindowError::Stopped))?
                }
            });
        }
        Ok(LockedSequences {
            sequences: MutexGuard::map(locked, |loaded| {
                loaded.get_or_insert_with(Sequences::default)
            }),
            window: self.window.as_deref(),
        })
    }

    /// The producers. `None` if a batch of theirs waits for room, and goes on to do so.
    pub(crate) async fn active(&self) -> Result<Option<Vec<ActiveProducer>>, WindowError> {
        match timeout(DESCRIBE_WAIT, self.lock()).await {
            Ok(locked) => Ok(Some(locked?.change().active())),
            Err(_) => Ok(None),
        }
    }

    /// Locks them for a batch, which is refused, and remembered as such, if they are not free in
    /// time.
    pub(crate) async fn lock_until(
        &self,
        deadline: Instant,
        batch: Producer,
    ) -> Result<Option<LockedSequences<'_>>, WindowError> {
        let locked = timeout_at(deadline, self.lock()).await;
        let locked = locked.ok().transpose()?;
        let late = self.late.lock();
        let mut late = late.unwrap_or_else(PoisonError::into_inner);
        match locked {
            Some(mut sequences) => {
                for batch in mem::take(&mut *late).into_values() {
                    sequences.change().refuse(batch);
                }
                Ok(Some(sequences))
            }
            None => {
                // Only a producer's first one matters.
                late.entry(batch.id).or_insert(batch);
                Ok(None)
            }
        }
    }

    /// Whether they are of a durable partition that has had idempotent producers.
    pub(crate) fn is_kept(&self) -> bool {
        self.window.as_ref().is_some_and(|window| window.is_kept())
    }

    /// Loads the producers of a partition that has some.
    pub(crate) async fn load(&self) -> Result<(), WindowError> {
        self.lock().await.map(drop)
    }

    /// Makes their records durable, if far more was appended than what is stored covers. They are to
    /// be stored then.
    pub(crate) async fn sync_if_far_behind(&self) -> Result<(), WindowError> {
        match self.window.as_ref().filter(|window| window.is_far_behind()) {
            // Nothing more becomes durable after a fault.
            Some(window) if fault(&window.topic, window.partition).is_ok() => {
                window.touch();
                window.sync().await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Stores what has changed since it was last done, when it is durable. What is not yet, or is
    /// being appended, is stored the next time.
    pub(crate) fn save_if_changed(&self) -> Result<(), StoreError> {
        let Some(window) = self.window.as_ref().filter(|window| window.has_work()) else {
            return Ok(());
        };
        if window.topic.is_closed() {
            window.give_up();
            return Ok(());
        }
        if !window.save_seen()? {
            return Ok(());
        }
        match self.sequences.try_lock() {
            Ok(mut locked) => {
                if let Some(sequences) = &mut *locked {
                    window.see(sequences);
                }
            }
            Err(_) => window.store.has_work.notify_one(),
        }
        window.save_seen().map(drop)
    }

    /// Stores them now, durably. For what makes frames unreadable.
    pub(crate) async fn save(&self) -> Result<(), WindowError> {
        if let Some(window) = self.window.as_ref().filter(|window| window.is_kept()) {
            let mut locked = self.lock().await?;
            let end = window.sync().await?;
            window.see_up_to(locked.change(), end);
            window.save_seen()?;
            window.store.durable().await?;
        }
        Ok(())
    }
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    producers: HashMap<i64, ProducerState>,
    /// The producers that have changed, or were forgotten, since they were stored.
    changed: HashSet<i64>,
    /// As many as were left when they were last looked through.
    left: usize,
}

/// The sequence number `records` later: after the greatest comes 0.
fn advanced(sequence: i32, records: i32) -> i32 {
    (i64::from(sequence) + i64::from(records)).rem_euclid(1 << 31) as i32
}

impl Sequences {
    /// Checks a batch of `records` records.
    pub(crate) fn check(&self, batch: Producer, records: i32) -> Verdict {
        // A producer that was not seen before may begin with any number: its earlier batches may
        // have been dropped.
        let Some(state) = self.producers.get(&batch.id) else {
            return Verdict::Append;
        };
        if batch.epoch < state.epoch {
            return Verdict::OldEpoch {
                current: state.epoch,
            };
        }
        if batch.epoch > state.epoch {
            return match batch.base_sequence {
                0 => Verdict::Append,
                _ => Verdict::OutOfOrder { expected: 0 },
            };
        }
        let last_sequence = advanced(batch.base_sequence, records - 1);
        let same = |remembered: &&KeptBatch| {
            remembered.first_sequence == batch.base_sequence
                && remembered.last_sequence == last_sequence
        };
        if let Some(remembered) = state.batches.iter().find(same) {
            return Verdict::Duplicate(remembered.appended);
        }
        if state.misses_batches {
            return Verdict::Append;
        }
        let expected = match state.batches.back() {
            None => state.first_sequence,
            Some(last) => advanced(last.last_sequence, 1),
        };
        match batch.base_sequence == expected {
            true => Verdict::Append,
            false => Verdict::OutOfOrder { expected },
        }
    }

    /// Remembers a batch that was refused, and may be sent again. If it is the first of its producer,
    /// no later one may be appended before it.
    pub(crate) fn refuse(&mut self, batch: Producer) {
        self.state(batch);
    }

    fn state(&mut self, batch: Producer) -> &mut ProducerState {
        let now = Instant::now();
        if self.producers.len() >= FEW.max(2 * self.left) {
            self.forget_the_silent(now);
        }
        let state = self
            .producers
            .entry(batch.id)
            .or_insert_with(|| ProducerState {
                epoch: batch.epoch,
                first_sequence: batch.base_sequence,
                batches: VecDeque::new(),
                misses_batches: false,
                last_seen: now,
                last_timestamp: -1,
            });
        state.last_seen = now;
        state
    }

    fn forget_the_silent(&mut self, now: Instant) {
        let (producers, changed) = (&mut self.producers, &mut self.changed);
        producers.retain(|id, state| {
            let is_kept = now.duration_since(state.last_seen) < KEPT;
            if !is_kept {
                changed.insert(*id);
            }
            is_kept
        });
        self.left = producers.len();
    }

    /// The producers that have appended a batch within the last day, by their ids.
    pub(crate) fn active(&mut self) -> Vec<ActiveProducer> {
        self.forget_the_silent(Instant::now());
        let active = self.producers.iter().filter_map(|(id, state)| {
            Some(ActiveProducer {
                id: *id,
                epoch: state.epoch,
                last_sequence: state.batches.back()?.last_sequence,
                last_timestamp: state.last_timestamp,
            })
        });
        let mut active: Vec<_> = active.collect();
        active.sort_unstable_by_key(|producer| producer.id);
        active
    }

    /// Remembers a batch that was checked, and appended. `timestamp` is the greatest of its records.
    pub(crate) fn record(
        &mut self,
        batch: Producer,
        records: i32,
        timestamp: i64,
        appended: Appended,
    ) {
        self.changed.insert(batch.id);
        let state = self.state(batch);
        state.last_timestamp = timestamp;
        state.misses_batches = false;
        if state.epoch != batch.epoch {
            state.epoch = batch.epoch;
            state.batches.clear();
        }
        if state.batches.len() == REMEMBERED {
            state.batches.pop_front();
        }
        state.batches.push_back(KeptBatch {
            first_sequence: batch.base_sequence,
            last_sequence: advanced(batch.base_sequence, records - 1),
            appended,
        });
    }
}

// ---- over restarts --------------------------------------------------------------------

impl Sequences {
    /// Takes over what was stored of a producer, `now` in milliseconds since 1970 UTC.
    pub(crate) fn restore(&mut self, id: i64, kept: KeptProducer, now: i64) {
        let Some(first) = kept.batches.first() else {
            return;
        };
        let silent = Duration::from_millis(now.saturating_sub(kept.last_seen).max(0) as u64);
        if silent >= KEPT {
            self.changed.insert(id);
            return;
        }
        // The system may not have run for as long.
        let now = Instant::now();
        let last_seen = now.checked_sub(silent).unwrap_or(now);
        let state = ProducerState {
            epoch: kept.epoch,
            first_sequence: first.first_sequence,
            misses_batches: kept.misses_batches,
            last_seen,
            last_timestamp: kept.last_timestamp,
            batches: kept.batches.into(),
        };
        self.producers.insert(id, state);
    }

    /// What is to be stored of a producer; `None` if it was forgotten.
    pub(crate) fn kept(&self, id: i64, now: i64) -> Option<KeptProducer> {
        let state = self.producers.get(&id)?;
        let silent = Instant::now().saturating_duration_since(state.last_seen);
        (!state.batches.is_empty()).then(|| KeptProducer {
            epoch: state.epoch,
            misses_batches: state.misses_batches,
            last_seen: now - silent.as_millis() as i64,
            last_timestamp: state.last_timestamp,
            batches: state.batches.iter().copied().collect(),
        })
    }

    /// A batch that is found in the log. One that was there when its producer was stored is
    /// remembered already.
    pub(crate) fn replay(&mut self, note: Note, records: u64, base_offset: u64) {
        let state = self.producers.get(&note.producer.id);
        let newest = state.and_then(|state| state.batches.back());
        if newest.is_some_and(|newest| newest.appended.base_offset >= base_offset) {
            return;
        }
        let log_append_time = match note.is_append_time {
            true => note.timestamp,
            false => -1,
        };
        let appended = Appended {
            base_offset,
            log_append_time,
        };
        let records = i32::try_from(records).unwrap_or(i32::MAX);
        self.record(note.producer, records, note.timestamp, appended);
    }

    /// Batches that were appended after the ones that are known cannot be read: the next batch of
    /// each producer may have any sequence number.
    pub(crate) fn miss_batches(&mut self) {
        for (id, state) in &mut self.producers {
            state.misses_batches = true;
            self.changed.insert(*id);
        }
    }

    /// The producers that have changed since this was last called.
    pub(crate) fn take_changed(&mut self) -> HashSet<i64> {
        mem::take(&mut self.changed)
    }

    /// They could not be stored.
    pub(crate) fn put_back_changed(&mut self, changed: HashSet<i64>) {
        self.changed.extend(changed);
    }
}

#[cfg(test)]
#[path = "sequences_tests.rs"]
mod tests;
