//! The ring of live segments: append, roll, retention, lookups.
//!
//! Segments are numbered from 0 on, without gaps. `log_start ..= active` are the live ones;
//! segment `n` stands in the table at `n % table.len()`, as one word that holds its whole
//! number beside its index in the pool, so that a stale look is seen to be one.
//!
//! # Invariants
//!
//! - **T1** `log_start <= active < log_start + segments`; both only grow.
//! - **T2** Segment `n + 1` is put into the table only after `n` is sealed, by one
//!   compare-and-swap from the old entry, so once. Its base is `n`'s base plus `n`'s records.
//! - **T3** The old entry, `n + 1 - segments`, was below `log_start` by then.
//! - **T4** Whoever moves `log_start` past a segment puts it into the pool, so once.
//!
//! # The roll, by whoever gets there
//!
//! 1. *Seal* the active segment (`segment.rs`).
//! 2. *Retire* the oldest, if the ring is full, and those that are kept no longer
//!    (`retention.rs`): under `Backpressure` only if no reader's gate is in or below it; move
//!    `log_start`; put it into the pool.
//! 3. *Take* an empty segment, prepare it, put it into the table (T2); the loser of a race
//!    gives its own back, which nobody else has seen.
//! 4. *Move* `active` on.
//! 5. *Open* the new segment.
//!
//! Each step is one compare-and-swap whose failure means that another thread has done it,
//! and every thread that finds a step undone does it. A thread that stops between two
//! steps stops nobody: at most one segment is out of reach, the spare it brought.
//!
//! A sealed segment is final and the active one is never retired, so a roller's reading of
//! the sealed head and base is right if its own step 3 succeeds: that step succeeds only
//! while `n + 1` is not in the table, which is only while `n` is active.
//!
//! # The end, by whoever closes the topic
//!
//! 1. *Mark* the entry that segment `n + 1` would replace, `n` being the active one: one
//!    compare-and-swap of the same word as step 3 of the roll, so either `n + 1` is there first and
//!    is the one to be marked behind, or it never will be. The old entry stays readable under the
//!    mark: its segment may still be live.
//! 2. *Seal* segment `n`. What was claimed in it until then is the partition's last.
//!
//! - **T5** Behind a marked entry nothing follows: a sealed segment `n` whose successor's entry is
//!   marked is the last, and its count is final. A producer that finds it so is told that the topic
//!   is closed; a reader that has read so far has read all.
//!
//! A thread that stops between the two leaves a partition that takes what fits into its active
//! segment; any other call that closes it goes on from there. Sealing exchanges `head`, so it is
//! not for times when an exclusive producer may be claiming (S1): `topic` says when it is done.

mod extent;
mod lookup;
mod retire;
mod roll;

pub(crate) use extent::LogExtent;

use crate::log::counters::SharedCounters;
use crate::log::holds::ReaderHolds;
use crate::log::partition_id::PartitionId;
use crate::log::retention::RetentionLimits;
use crate::log::segment::{RetentionMark, Segment};
use crate::log::segment_pool::SegmentPool;
use crate::sync::{AtomicU64, fence, ord};
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// Why an append cannot go on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// A reader's gate is in the oldest segment.
    Reader,
    /// Every segment is in somebody's hands: only when spares could not be allocated.
    Segments,
    /// Offsets or segment numbers are used up.
    Exhausted,
    /// The topic is closed.
    Closed,
}

const INDEX_BITS: u32 = 16;

/// No log ends here. So it says that there is none, where a word is to hold an offset or none
/// (`group/tenure.rs`).
pub(crate) const NO_OFFSET: u64 = u64::MAX;

/// The last offset at which a segment of so many records may begin.
pub(crate) fn last_base(records: u32) -> u64 {
    NO_OFFSET - 1 - u64::from(records)
}

/// One word of the table: `end:1 | number:47 | index:16`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TableEntry(u64);

impl TableEntry {
    /// No segment follows that would be put here (T5).
    const END: u64 = 1 << 63;
    /// No segment ever has this number.
    const NONE: TableEntry = TableEntry(!Self::END);

    fn new(number: u64, index: u16) -> TableEntry {
        TableEntry(number << INDEX_BITS | u64::from(index))
    }

    fn number(self) -> u64 {
        (self.0 & !Self::END) >> INDEX_BITS
    }

    fn is_none(self) -> bool {
        self.0 & !Self::END == Self::NONE.0
    }

    fn is_end(self) -> bool {
        self.0 & Self::END != 0
    }

    fn index(self) -> u16 {
        self.0 as u16
    }
}

/// The read-mostly words that say which segments are live. Hints, the first two: the entry
/// for a number, or a hold, confirms what they say.
struct LogBounds {
    active: AtomicU64,
    log_start: AtomicU64,
    /// The offset up to which records were deleted. It only grows, and is never past the end.
    /// Neither appending nor reading on looks at it, and nothing is retired for it: bounds
    /// and lookups know it, and readers are told to look (`topic_inner.rs`, P13).
    deleted_before: AtomicU64,
}

/// Where a partition's log begins: the number of its first segment, and that segment's first
/// offset. Both are zero but in tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogOrigin {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

pub(crate) struct Partition {
    pool: Arc<SegmentPool>,
    id: PartitionId,
    /// Whether readers hold back the log start (`Backpressure`).
    gated: bool,
    live: CachePadded<LogBounds>,
    table: Box<[AtomicU64]>,
    retention: Option<RetentionLimits>,
    counts: SharedCounters,
}

impl Partition {
    /// A partition whose log begins at `origin`, in the segment at `index`, which the caller has
    /// taken from the pool.
    pub(crate) fn new(
        id: PartitionId,
        segments: usize,
        gated: bool,
        retention: Option<RetentionLimits>,
        pool: &Arc<SegmentPool>,
        index: u16,
        origin: LogOrigin,
    ) -> Partition {
        let first = origin.segment;
        let segment = pool.get(index);
        segment.set_retention_mark(RetentionMark::new(&retention, 0));
        segment.prepare(id, first, origin.offset);
        segment.open(id, first);
        let at = (first % segments as u64) as usize;
        let entry = |i| {
            if i == at {
                TableEntry::new(first, index)
            } else {
                TableEntry::NONE
            }
        };
        Partition {
            pool: pool.clone(),
            id,
            gated,
            live: CachePadded::new(LogBounds {
                active: AtomicU64::new(first),
                log_start: AtomicU64::new(first),
                deleted_before: AtomicU64::new(0),
            }),
            table: (0..segments).map(|i| AtomicU64::new(entry(i).0)).collect(),
            retention,
            counts: SharedCounters::default(),
        }
    }

    /// What is counted of it.
    pub(crate) fn counts(&self) -> &SharedCounters {
        &self.counts
    }

    /// The topic's segments.
    #[inline]
    pub(crate) fn pool(&self) -> &Arc<SegmentPool> {
        &self.pool
    }

    /// The holds of this partition's readers, and the threads that wait for it.
    #[inline]
    pub(crate) fn readers(&self) -> &ReaderHolds {
        self.pool.readers(self.id)
    }

    pub(crate) fn id(&self) -> PartitionId {
        self.id
    }

    pub(crate) fn retention(&self) -> Option<&RetentionLimits> {
        self.retention.as_ref()
    }

    pub(crate) fn is_gated(&self) -> bool {
        self.gated
    }

    /// The segment that is, or was, the last.
    #[inline]
    pub(crate) fn active(&self) -> u64 {
        self.live.active.load(ord!(Relaxed))
    }

    /// The first live segment. To rely on it, hold a segment first (`readers.rs`).
    #[inline]
    pub(crate) fn log_start(&self) -> u64 {
        self.live.log_start.load(ord!(Relaxed))
    }

    /// Whether a hold of segment `number`, which the caller has just stored, is in force: the log
    /// start has not passed the segment, and any thread that moves it past from now on sees the hold.
    #[inline]
    pub(crate) fn confirm_hold(&self, number: u64) -> bool {
        // Between the hold and the look at the log start (P5).
        fence!("cursor.hold", P5);
        self.log_start() <= number
    }

    /// No record before this offset is to be read.
    pub(crate) fn deleted_before(&self) -> u64 {
        self.live.deleted_before.load(ord!(Relaxed))
    }

    /// Raises the floor to an offset that is not past the end.
    pub(crate) fn raise_deleted_before(&self, before: u64) {
        self.live.deleted_before.fetch_max(before, ord!(Relaxed));
    }

    /// In a model: how many segments are live.
    #[cfg(loom)]
    pub(crate) fn live(&self) -> usize {
        (self.active() + 1 - self.log_start()) as usize
    }

    fn slot(&self, number: u64) -> &AtomicU64 {
        &self.table[(number % self.table.len() as u64) as usize]
    }

    fn entry(&self, number: u64) -> TableEntry {
        // Acquire, from whoever put it there: the segment's number, base and zeroed index.
        TableEntry(self.slot(number).load(ord!("partition.entry", P3, Acquire)))
    }

    /// The index in the pool of a live segment; `None` if it is not there yet or not any more.
    pub(super) fn index_of(&self, number: u64) -> Option<u16> {
        let entry = self.entry(number);
        (entry.number() == number && !entry.is_none()).then(|| entry.index())
    }

    /// A live segment; `None` if it is not there yet or not any more.
    pub(in crate::log) fn segment(&self, number: u64) -> Option<&Segment> {
        self.index_of(number).map(|index| self.pool.get(index))
    }
}
