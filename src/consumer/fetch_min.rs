//! Polls that wait for several records: Kafka's `fetch.min.bytes` and `fetch.max.wait.ms`, counted
//! in records.
//!
//! # What is counted
//!
//! The records that the consumer may read now, in all of its partitions that are not paused: from
//! its position to the end of the log, or to what its upstreams have read. Nothing is read for
//! that. The count only steps over what has no records: the end of a segment, aborted claims.
//!
//! A count costs a poll's look at each partition, and a few loads more where the record at the
//! position is published. (Elsewhere nothing counts.) It first takes all that is claimed for
//! published. Only if that would be enough is each frame checked, in the segment of the position: the
//! polls read the same lines next. If the log goes on in another segment, a poll may return fewer
//! records, because some may still be written there.
//!
//! # The wait
//!
//! ```text
//!             ┌──────────── the records are gone (deleted, another member's) ──────────┐
//!             ▼                                                                        │
//!  poll ──► Nothing ──────────────── a record ──────────────► TooFew ──────────────────┤
//!             │  sleeps until it is notified                    naps, and counts       │
//!             │                                                                        │
//!             └──► Enough ◄──── enough, `fetch_max_wait` is over, or an end ───────────┘
//! ```
//!
//! All of it is one wait of the one wait loop (`wait/wait_loop.rs`). Each attempt first does what
//! every full poll does: a wake-up, the group's steps, changes of the topics. Then [`FetchMin`]
//! decides whether it may read.
//!
//! - **Nothing**: the consumer waits as it does without `fetch_min_records`. It is enrolled in the
//!   event counts of its partitions, so the first record that it may read wakes it.
//! - **TooFew**: each send would wake it in vain, so it is enrolled only in what concerns itself
//!   (a wake-up, its group). It counts again after a [`nap`], which is a share of the time waited so
//!   far. Under a strategy that sleeps it sleeps meanwhile. Under one that spins it spins, and
//!   leaves the producers' lines alone. `fetch_max_wait` runs from the first count that found a
//!   record: a record waits no longer than that, however long the poll had waited before.
//! - **Enough**: the attempt reads, as every full poll does. The count is the **credit** of the
//!   polls that follow: they return those records without another wait. The credit ends early at a
//!   poll that finds nothing. So it need not know of seeks, aborted claims and rebalances.
//!
//! When the poll's own time is up, it takes what there is.
//!
//! # What ends it early
//!
//! What full polls report must not wait. A deleted topic, a partition without a position, one
//! outside what is retained (its records were dropped), and an upstream that has ended count as
//! enough: the attempt goes on and finds them. The end of a closed topic is reported at once, and
//! records of a closed topic are not waited on, since no more come.
//!
//! The ring bounds how many records there can be ([`RingShare`]). If the consumer waited for more
//! than fit, its producers would stop under `Backpressure`, and it would be lapped under
//! `DropOldest`. So records that reach into the second half of the ring are enough. Where retention
//! may evict them unread, records that reach into a second segment are; and any record is, if a
//! producer has found no room. That may be for another reader's sake, or for what the group has not committed. But
//! without room no more come.
//!
//! # What it is not for
//!
//! A future has no timer of ours, so polls of tasks take what there is. So do `try_poll` and a poll
//! with a timeout of zero.
//!
//! Polls are paced (`poll_pacing.rs`) whether they wait here or not. A consumer that waits for
//! some thousand records seldom comes to the end of the log, so it has no pauses; one that waits for
//! fewer may have as many as without.

use super::Consumer;
use super::assigned_partition::AssignedPartition;
use super::batch::Batch;
use super::poll::QuickRound;
use crate::error::ConsumeError;
use crate::log::partition::LogExtent;
use std::time::{Duration, Instant};

/// A nap is at most this part of the time waited so far. So a short wait has few counts, and a burst
/// that completes the records is found after a quarter more of that time.
const PART_OF_WAIT: u32 = 4;

/// The shortest nap: the system's timers are no finer (Linux's timer slack).
const MIN_NAP: Duration = Duration::from_micros(50);

/// The longest nap, as of `Backoff`: for this long a burst is not seen, which may fill the ring.
const MAX_NAP: Duration = Duration::from_millis(1);

/// The records that a consumer has not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unread {
    records: u64,
    /// They are not to be waited on, however few: see "What ends it early" above.
    is_due: bool,
}

impl Unread {
    /// A full poll has something to report.
    const REPORT: Unread = Unread {
        records: 0,
        is_due: true,
    };

    fn and(self, other: Unread) -> Unread {
        Unread {
            records: self.records.saturating_add(other.records),
            is_due: self.is_due || other.is_due,
        }
    }
}

/// Whether a full poll may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayRead {
    Yes,
    /// There are no records.
    Nothing,
    /// There are too few records.
    TooFew,
    /// There were too few at the last count, and the next one is not due.
    Napping,
}

/// The wait of the current poll.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No poll waits for several records. Each takes what there is.
    Off,
    Nothing,
    Few {
        since: Instant,
        /// The records at that time.
        first: u64,
        /// When they are counted again. `None`: at the next attempt.
        next_count: Option<Instant>,
    },
}

/// What a consumer's polls wait for. See the head of this file.
#[derive(Debug)]
pub(super) struct FetchMin {
    /// The fewest records; 1 for a consumer whose polls do not wait for more.
    records: u64,
    max_wait: Duration,
    phase: Phase,
    /// The records of the last count.
    counted: u64,
    /// Records that a wait has found, and that no poll has returned.
    credit: u64,
}

impl FetchMin {
    pub(super) fn new(records: u32, max_wait: Duration) -> FetchMin {
        FetchMin {
            records: if max_wait.is_zero() {
                1
            } else {
                records.into()
            },
            max_wait,
            phase: Phase::Off,
            counted: 0,
            credit: 0,
        }
    }

    /// Whether polls wait for more than one record.
    #[inline(always)]
    pub(super) fn is_on(&self) -> bool {
        self.records > 1
    }

    /// The current poll waits for several records, until [`end`](Self::end).
    pub(super) fn begin(&mut self) {
        self.phase = Phase::Nothing;
        self.counted = 0;
    }

    /// From now on polls take what there is. Returns whether one has waited.
    pub(super) fn end(&mut self) -> bool {
        !matches!(core::mem::replace(&mut self.phase, Phase::Off), Phase::Off)
    }

    fn next_count(&self) -> Option<Instant> {
        match self.phase {
            Phase::Few { next_count, .. } => next_count,
            Phase::Off | Phase::Nothing => None,
        }
    }

    /// Whether the consumer waits for time to pass rather than for a send.
    pub(super) fn is_napping(&self) -> bool {
        self.next_count().is_some()
    }

    /// How long the consumer may sleep.
    pub(super) fn longest_park(&self) -> Duration {
        self.next_count().map_or(Duration::MAX, |next_count| {
            next_count.saturating_duration_since(Instant::now())
        })
    }

    fn are_enough(&self, unread: Unread) -> bool {
        unread.is_due || unread.records >= self.records
    }

    /// Decides after a count.
    fn decide(&mut self, unread: Unread, now: Instant) -> MayRead {
        self.counted = unread.records;
        if unread.records == 0 {
            self.phase = Phase::Nothing;
            return match unread.is_due {
                true => MayRead::Yes,
                false => MayRead::Nothing,
            };
        }
        let (since, first) = match self.phase {
            Phase::Few { since, first, .. } => (since, first),
            Phase::Off | Phase::Nothing => (now, unread.records),
        };
        let waited = now.saturating_duration_since(since);
        let left = self.max_wait.saturating_sub(waited);
        let missing = self.records.saturating_sub(unread.records);
        let may_read = self.are_enough(unread) || left.is_zero();
        let come = unread.records.saturating_sub(first);
        self.phase = Phase::Few {
            since,
            first,
            // The nap is short, so the time cannot overflow.
            next_count: (!may_read).then(|| now + nap(waited, come, missing).min(left)),
        };
        match may_read {
            true => MayRead::Yes,
            false => MayRead::TooFew,
        }
    }
}

/// How long to wait until the records are counted again: `come` of them came in the time `waited`,
/// and `missing` are missing.
fn nap(waited: Duration, come: u64, missing: u64) -> Duration {
    let share = waited / PART_OF_WAIT;
    let foretold = match come {
        0 => share,
        come => {
            let nanoseconds = waited.as_nanos().saturating_mul(missing.into()) / u128::from(come);
            Duration::from_nanos(nanoseconds.try_into().unwrap_or(u64::MAX))
        }
    };
    share.min(foretold).clamp(MIN_NAP, MAX_NAP)
}

/// Where the records that a consumer has not read lie in their partition's ring, by the numbers of
/// segments.
#[derive(Clone, Copy, Debug)]
struct RingShare {
    /// The segment of the position.
    position: u64,
    /// The active segment.
    active: u64,
    /// The segments that the ring has room for: 2 or more.
    room: u64,
    /// They may be evicted by retention.
    is_evictable: bool,
}

impl RingShare {
    /// Whether the consumer had better read them now.
    fn is_due(self) -> bool {
        let after_position = self.active.saturating_sub(self.position);
        let allowed = if self.is_evictable { 1 } else { self.room / 2 };
        after_position >= allowed.max(1)
    }
}

impl Consumer {
    /// [`poll`](Self::poll), for a consumer that waits for several records.
    #[inline(never)]
    pub(super) fn poll_several(&mut self, timeout: Duration) -> Result<Batch<'_>, ConsumeError> {
        Ok(match self.find_several(timeout)? {
            Some(i) => self.batch(i),
            None => Batch::empty(),
        })
    }

    fn find_several(&mut self, timeout: Duration) -> Result<Option<usize>, ConsumeError> {
        self.begin_poll();
        if timeout.is_zero() || self.fetch_min.credit > 0 || self.has_enough() {
            if let Some(i) = self.find_now()? {
                self.spend_credit(i, self.fetch_min.credit);
                return Ok(Some(i));
            }
            self.fetch_min.credit = 0;
            if timeout.is_zero() {
                return Ok(None);
            }
        }
        let found = self.wait_for_records(timeout, true)?;
        if let Some(i) = found {
            self.spend_credit(i, self.fetch_min.counted);
        }
        Ok(found)
    }

    /// Finds records that are there now.
    fn find_now(&mut self) -> Result<Option<usize>, ConsumeError> {
        match self.quick_round(true) {
            QuickRound::Records(i) => Ok(Some(i)),
            QuickRound::Empty => Ok(None),
            QuickRound::Undecided => self.wait_for_records(Duration::ZERO, false),
        }
    }

    /// Whether there are enough records without a wait: they are the credit from now on.
    fn has_enough(&mut self) -> bool {
        let unread = self.count_all();
        let enough = self.fetch_min.are_enough(unread);
        if enough {
            self.fetch_min.credit = unread.records;
        }
        enough
    }

    /// What is left of this credit after the run that was found in partition `i`.
    fn spend_credit(&mut self, i: usize, credit: u64) {
        let (run, _) = self.assigned[i].cursor.run();
        self.fetch_min.credit = credit.saturating_sub(run.records.into());
    }

    /// A full poll's part, before it reads. `changed` says that the topics have.
    pub(super) fn may_read(&mut self, changed: bool) -> MayRead {
        if matches!(self.fetch_min.phase, Phase::Off) {
            return MayRead::Yes;
        }
        let now = Instant::now();
        let next_count = self.fetch_min.next_count();
        if !changed && next_count.is_some_and(|next_count| now < next_count) {
            return MayRead::Napping;
        }
        let unread = self.count_all();
        self.fetch_min.decide(unread, now)
    }

    /// Counts the records that the consumer may read now.
    fn count_all(&mut self) -> Unread {
        let claimed = self.sum_unread(false);
        if claimed.is_due || claimed.records < self.fetch_min.records {
            return claimed;
        }
        self.sum_unread(true)
    }

    /// With `only_published`, what is claimed and not published does not count (unless enough is).
    fn sum_unread(&mut self, only_published: bool) -> Unread {
        let mut sum = Unread::default();
        for i in 0..self.assigned.len() {
            let missing = self.fetch_min.records.saturating_sub(sum.records);
            let unread = self.count_unread(i, if only_published { missing } else { 0 });
            sum = sum.and(unread);
        }
        sum
    }

    /// Counts the records of partition `i` that the consumer may read now. That the first
    /// `published` of them are published is made sure.
    fn count_unread(&mut self, i: usize, published: u64) -> Unread {
        let assigned = &mut self.assigned[i];
        if assigned.topic.is_deleted() {
            return Unread::REPORT;
        }
        if assigned.paused {
            return Unread::default();
        }
        if !assigned.positioned {
            return Unread::REPORT;
        }
        if assigned.has_ended_upstream(&self.groups) {
            return Unread::REPORT;
        }
        if !assigned.cursor.may_move() {
            return Unread::default();
        }
        self.pin_only(i);
        let assigned = &mut self.assigned[i];
        // A poll for no records steps over what has none.
        if assigned.cursor.poll(0).is_err() {
            return Unread::REPORT;
        }
        if assigned.cursor.resolved_position().is_none() || !assigned.cursor.may_move() {
            return Unread::default(); // no frame is published there
        }
        assigned.unread(self.config.holds_back(), published)
    }
}

impl AssignedPartition {
    /// The records from the cursor on, at which a frame is published. See
    /// [`count_unread`](Consumer::count_unread).
    fn unread(&self, holds_back: bool, published: u64) -> Unread {
        let log = self.cursor.partition();
        let LogExtent { end, active, .. } = log.extent();
        let records = end.saturating_sub(self.cursor.position());
        let mut records = records.min(self.cursor.allowance());
        // What is not published yet is at the end of the log.
        if active == self.cursor.segment_number() {
            let wanted = published.min(records);
            let found = self.cursor.count_published(wanted);
            if found < wanted {
                records = found;
            }
        }
        let config = self.topic.config();
        let share = RingShare {
            position: self.cursor.segment_number(),
            active,
            room: config.segments.into(),
            is_evictable: self.topic.retention().are_set() && !(holds_back && log.is_gated()),
        };
        let is_due = self.topic.is_closed()
            || share.is_due()
            || log.counters().is_stalled_before(active.saturating_add(1));
        Unread {
            records,
            is_due: is_due && records > 0,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
