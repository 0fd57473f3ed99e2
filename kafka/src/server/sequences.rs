//! The sequence numbers of a partition's idempotent producers.
//!
//! A producer numbers its records in each partition from 0 on. A batch is appended if it continues
//! the numbers; one that was appended before is answered as then; any other is refused. As in Kafka,
//! the last five batches of each producer are remembered, which is how many a client may have in
//! flight.
//!
//! A producer that has sent nothing for a day is forgotten, as in Kafka. No timer does that: the
//! producers are looked through when there are twice as many as were left the last time.

use crate::batch::Producer;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
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

#[derive(Debug, Clone, Copy)]
struct RememberedBatch {
    first_sequence: i32,
    last_sequence: i32,
    appended: Appended,
}

#[derive(Debug)]
struct ProducerState {
    epoch: i16,
    /// What its first batch must begin with, until that is appended.
    first_sequence: i32,
    batches: VecDeque<RememberedBatch>,
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
    sequences: Mutex<Sequences>,
    /// Batches that were refused because their time was up before they had the lock.
    late: std::sync::Mutex<HashMap<i64, Producer>>,
}

impl PartitionSequences {
    /// The producers. `None` if a batch of theirs waits for room, and goes on to do so.
    pub(crate) async fn active(&self) -> Option<Vec<ActiveProducer>> {
        let locked = timeout(DESCRIBE_WAIT, self.sequences.lock()).await;
        Some(locked.ok()?.active())
    }

    /// Locks them for a batch, which is refused, and remembered as such, if they are not free in
    /// time.
    pub(crate) async fn lock_until(
        &self,
        deadline: Instant,
        batch: Producer,
    ) -> Option<MutexGuard<'_, Sequences>> {
        let locked = timeout_at(deadline, self.sequences.lock()).await;
        let late = self.late.lock();
        let mut late = late.unwrap_or_else(PoisonError::into_inner);
        match locked {
            Ok(mut sequences) => {
                for batch in mem::take(&mut *late).into_values() {
                    sequences.refuse(batch);
                }
                Some(sequences)
            }
            Err(_) => {
                // Only a producer's first one matters.
                late.entry(batch.id).or_insert(batch);
                None
            }
        }
    }
}

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    producers: HashMap<i64, ProducerState>,
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
        let same = |remembered: &&RememberedBatch| {
            remembered.first_sequence == batch.base_sequence
                && remembered.last_sequence == last_sequence
        };
        if let Some(remembered) = state.batches.iter().find(same) {
            return Verdict::Duplicate(remembered.appended);
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
                last_seen: now,
                last_timestamp: -1,
            });
        state.last_seen = now;
        state
    }

    fn forget_the_silent(&mut self, now: Instant) {
        let producers = &mut self.producers;
        producers.retain(|_, state| now.duration_since(state.last_seen) < KEPT);
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
        let state = self.state(batch);
        state.last_timestamp = timestamp;
        if state.epoch != batch.epoch {
            state.epoch = batch.epoch;
            state.batches.clear();
        }
        if state.batches.len() == REMEMBERED {
            state.batches.pop_front();
        }
        state.batches.push_back(RememberedBatch {
            first_sequence: batch.base_sequence,
            last_sequence: advanced(batch.base_sequence, records - 1),
            appended,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, base_sequence: i32) -> Producer {
        Producer {
            id: 7,
            epoch,
            base_sequence,
        }
    }

    fn at(base_offset: u64) -> Appended {
        Appended {
            base_offset,
            log_append_time: -1,
        }
    }

    /// Batches of two records from sequence 0 on.
    fn with_batches(count: i32) -> Sequences {
        let mut sequences = Sequences::default();
        for i in 0..count {
            assert_eq!(sequences.check(batch(0, 2 * i), 2), Verdict::Append);
            sequences.record(batch(0, 2 * i), 2, -1, at(100 + i as u64));
        }
        sequences
    }

    #[test]
    fn the_last_five_batches_are_answered_again() {
        let sequences = with_batches(7);
        for i in 2..7 {
            let duplicate = Verdict::Duplicate(at(100 + i as u64));
            assert_eq!(sequences.check(batch(0, 2 * i), 2), duplicate);
        }
        let out_of_order = Verdict::OutOfOrder { expected: 14 };
        assert_eq!(sequences.check(batch(0, 2), 2), out_of_order);
        assert_eq!(sequences.check(batch(0, 12), 1), out_of_order);
    }

    #[test]
    fn a_gap_is_refused() {
        let out_of_order = Verdict::OutOfOrder { expected: 2 };
        assert_eq!(with_batches(1).check(batch(0, 3), 2), out_of_order);
    }

    #[test]
    fn an_unknown_producer_may_begin_anywhere() {
        let sequences = Sequences::default();
        assert_eq!(sequences.check(batch(3, 900), 1), Verdict::Append);
    }

    #[test]
    fn a_first_batch_that_was_refused_is_waited_for() {
        let mut sequences = Sequences::default();
        sequences.refuse(batch(0, 7));
        sequences.refuse(batch(0, 9));
        let out_of_order = Verdict::OutOfOrder { expected: 7 };
        assert_eq!(sequences.check(batch(0, 9), 2), out_of_order);
        assert_eq!(sequences.check(batch(1, 0), 2), Verdict::Append);
        assert_eq!(sequences.check(batch(0, 7), 2), Verdict::Append);
        sequences.record(batch(0, 7), 2, -1, at(1));
        sequences.refuse(batch(0, 9));
        assert_eq!(sequences.check(batch(0, 9), 2), Verdict::Append);
    }

    #[test]
    fn an_epoch_ends_the_ones_before_it() {
        let mut sequences = with_batches(2);
        let out_of_order = Verdict::OutOfOrder { expected: 0 };
        assert_eq!(sequences.check(batch(1, 4), 1), out_of_order);
        assert_eq!(sequences.check(batch(1, 0), 1), Verdict::Append);
        sequences.record(batch(1, 0), 1, -1, at(200));
        let old = Verdict::OldEpoch { current: 1 };
        assert_eq!(sequences.check(batch(0, 4), 1), old);
        assert_eq!(sequences.check(batch(1, 1), 1), Verdict::Append);
    }

    #[tokio::test(start_paused = true)]
    async fn producers_that_are_silent_for_a_day_are_forgotten() {
        let mut sequences = Sequences::default();
        let of = |id| Producer { id, ..batch(0, 0) };
        let many = FEW as i64;
        for id in 0..many {
            sequences.record(of(id), 1, -1, at(0));
        }
        tokio::time::advance(KEPT / 2).await;
        sequences.record(of(1), 1, -1, at(0));
        sequences.record(of(many), 1, -1, at(0));
        assert_eq!(sequences.producers.len() as i64, many + 1);
        tokio::time::advance(KEPT / 2).await;
        for id in many + 1..=2 * many {
            sequences.record(of(id), 1, -1, at(0));
        }
        assert_eq!(sequences.producers.len() as i64, many + 2);
        let active: Vec<i64> = sequences.active().iter().map(|p| p.id).collect();
        assert_eq!(active.len() as i64, many + 2);
        assert_eq!(active[..2], [1, many]);
        tokio::time::advance(KEPT).await;
        sequences.record(of(5), 1, -1, at(0));
        assert_eq!(sequences.active().len(), 1);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut sequences = Sequences::default();
        let last = batch(0, i32::MAX - 1);
        sequences.record(last, 2, -1, at(1));
        assert_eq!(sequences.check(batch(0, 0), 1), Verdict::Append);
        let across = batch(0, i32::MAX);
        let mut sequences = Sequences::default();
        sequences.record(across, 3, -1, at(1));
        assert_eq!(sequences.check(batch(0, 2), 1), Verdict::Append);
        assert_eq!(sequences.check(across, 3), Verdict::Duplicate(at(1)));
    }
}
