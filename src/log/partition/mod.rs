//! The ring of a partition's live segments: claim, roll, retire, lookups.
//!
//! Segments are numbered from 0 on, without gaps. `log_start ..= active` are the live ones.
//! Segment `n` stands in the table at `n % table.len()`, as one word that holds its whole number
//! beside its index in the pool. So a stale read of the word is recognised by its number.
//!
//! ```text
//!   four segments in the ring, log_start = 6, active = 9:
//!
//!                  table[0]        table[1]        table[2]        table[3]
//!              +---------------+---------------+---------------+---------------+
//!     number   |       8       |       9       |       6       |       7       |
//!     index    |       3       |       0       |       4       |       1       |
//!              +---------------+---------------+---------------+---------------+
//!     state         sealed           open           sealed          sealed
//!                                  ^ active        ^ log_start
//!
//!   the same segments by offset:
//!
//!     ... retired | segment 6 | segment 7 | segment 8 | segment 9 -> claims
//!                 ^ log start offset                            ^ log end offset
//!
//!   the ring is full: the roll to segment 10 retires segment 6 first, and takes table[2]
//! ```
//!
//! # Invariants
//!
//! - **T1** `log_start <= active < log_start + segments`; both only grow.
//! - **T2** Segment `n + 1` is put into the table only after `n` is sealed, by one
//!   compare-and-swap from the old entry, so once. Its base is `n`'s base plus `n`'s records.
//! - **T3** The old entry, `n + 1 - segments`, was below `log_start` by then.
//! - **T4** The thread that moves `log_start` past a segment puts it into the pool, so once.
//!
//! # The roll, by any thread: helping
//!
//! 1. *Seal* the active segment (`segment/mod.rs`).
//! 2. *Retire* the oldest segment, if the ring is full, and the segments that retention does not
//!    keep (`retire.rs`). Under `Backpressure` this needs that no reader's gate is in the segment
//!    or below it. Move `log_start`; put the segment into the pool.
//! 3. *Take* an empty segment, prepare it, put it into the table (T2). The loser of a race gives
//!    its own segment back, which no other thread has seen.
//! 4. *Move* `active` on.
//! 5. *Open* the new segment.
//!
//! The roll is lock-free by helping: each step is one compare-and-swap whose failure means that
//! another thread has done it, and every thread that finds a step undone does it. A thread that
//! stops between two steps stops no other thread. At most one segment is out of reach: the spare
//! that the stopped thread brought.
//!
//! A sealed segment is final and the active one is never retired. So what a roller read of the
//! sealed state word and base is right if its own step 3 succeeds: that step succeeds only while
//! `n + 1` is not in the table, which is only while `n` is active.
//!
//! # The end of the log, by any thread that closes the topic
//!
//! 1. *Mark* the entry that segment `n + 1` would replace, `n` being the active segment. This is
//!    one compare-and-swap of the same word as step 3 of the roll. So either `n + 1` is there
//!    first, and the entry that follows it is the one to mark, or it never will be. The old entry
//!    stays readable under the mark: its segment may still be live.
//! 2. *Seal* segment `n`. What was claimed in it until then is the partition's last.
//!
//! - **T5** Nothing follows a marked entry: a sealed segment `n` whose successor's entry is marked
//!   is the last, and its count is final. A producer that finds it so reports that the topic is
//!   closed; a reader that has read up to its end has read everything.
//!
//! A thread that stops between the two steps leaves a partition that takes what fits into its
//! active segment; any other call that closes it continues from there. Sealing exchanges the
//! state word, so it must not happen while an exclusive producer may be claiming (S1):
//! `topic/shared.rs` says when it is done.

mod extent;
mod lookup;
mod retire;
mod roll;

pub(crate) use extent::LogExtent;

use crate::log::counters::SharedCounters;
use crate::log::files::PartitionFiles;
use crate::log::holds::ReaderHolds;
use crate::log::partition_id::PartitionId;
use crate::log::retention::RetentionLimits;
use crate::log::segment::{RetentionMark, Segment};
use crate::log::segment_pool::SegmentPool;
use crate::sync::{AtomicU64, fence, ord};
use crate::topic_partition::TopicPartition;
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// Why an append cannot proceed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// A reader's gate is in the oldest segment.
    Reader,
    /// Every segment is in use: only when spares could not be allocated.
    Segments,
    /// Offsets or segment numbers are used up.
    Exhausted,
    /// The topic is closed.
    Closed,
}

const INDEX_BITS: u32 = 16;

/// No log ends at this offset. So a word that holds an offset or none uses it for none
/// (`group/ownership.rs`).
pub(crate) const NO_OFFSET: u64 = u64::MAX;

/// The last offset at which a segment of `records` record slots may begin.
pub(crate) fn last_base(records: u32) -> u64 {
    NO_OFFSET - 1 - u64::from(records)
}

/// One word of the table: `end:1 | number:47 | index:16`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TableEntry(u64);

impl TableEntry {
    /// The mark: no segment will replace this entry (T5).
    const END: u64 = 1 << 63;
    /// An empty entry. No segment ever has this number.
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

/// The read-mostly words that bound the log. The first two are hints: the table entry for a
/// number, or a hold, confirms what they say.
struct LogBounds {
    active: AtomicU64,
    log_start: AtomicU64,
    /// The offset before which records were deleted: it only grows, and is never past the end.
    /// Appending and sequential reading ignore it, and nothing is retired because of it. Bounds
    /// and lookups respect it, and readers are notified to check it (`topic/shared.rs`, P13).
    deleted_before: AtomicU64,
}

/// One partition: the ring of its live segments, and what its producers and readers share.
pub(crate) struct Partition {
    pool: Arc<SegmentPool>,
    id: PartitionId,
    topic_partition: TopicPartition,
    /// Whether readers hold back the log start (`Backpressure`).
    gated: bool,
    bounds: CachePadded<LogBounds>,
    table: Box<[AtomicU64]>,
    retention: Arc<RetentionLimits>,
    counters: SharedCounters,
    /// The files of a durable partition: `storage/` writes them, cursors read them behind the ring.
    files: Option<Arc<PartitionFiles>>,
}

/// Where a log begins: both zero except in tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogOrigin {
    /// The number of the partition's first segment ever.
    pub(crate) segment: u64,
    /// The partition's first offset ever.
    pub(crate) offset: u64,
}

impl Partition {
    /// A partition that begins at `origin`. Its first segment is the one at `index`, which the
    /// caller has taken from the pool.
    pub(crate) fn new(
        topic_partition: TopicPartition,
        segments: usize,
        gated: bool,
        retention: &Arc<RetentionLimits>,
        pool: &Arc<SegmentPool>,
        index: u16,
        origin: LogOrigin,
    ) -> Partition {
        let id = PartitionId::new(topic_partition.partition);
        let first = origin.segment;
        let segment = pool.get(index);
        segment.set_retention_mark(RetentionMark::now(0));
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
            topic_partition,
            gated,
            bounds: CachePadded::new(LogBounds {
                active: AtomicU64::new(first),
                log_start: AtomicU64::new(first),
                deleted_before: AtomicU64::new(0),
            }),
            table: (0..segments).map(|i| AtomicU64::new(entry(i).0)).collect(),
            retention: retention.clone(),
            counters: SharedCounters::default(),
            files: None,
        }
    }

    /// The same partition, durable if there are files: they end where it begins.
    pub(crate) fn with_files(mut self, files: Option<Arc<PartitionFiles>>) -> Partition {
        self.files = files;
        self
    }

    /// The partition's public name.
    #[inline]
    pub(crate) fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    pub(crate) fn counters(&self) -> &SharedCounters {
        &self.counters
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

    /// Whether readers hold back the log start: under `Backpressure`, unless the partition is
    /// durable. Then what a reader has not read yet is in the files, and only their copier holds
    /// the ring's log start back.
    pub(crate) fn is_gated(&self) -> bool {
        self.gated && self.files.is_none()
    }

    /// Whether the copier of a durable partition holds back the ring's log start (`Backpressure`).
    pub(in crate::log) fn is_gated_by_copier(&self) -> bool {
        self.gated
    }

    /// The files of a durable partition.
    pub(crate) fn files(&self) -> Option<&Arc<PartitionFiles>> {
        self.files.as_ref()
    }

    /// The active segment's number. A hint: it may have been rolled since.
    #[inline]
    pub(in crate::log) fn active(&self) -> u64 {
        self.bounds.active.load(ord!(Relaxed))
    }

    /// The first live segment's number. To rely on it, hold a segment first (`holds.rs`).
    #[inline]
    pub(in crate::log) fn log_start(&self) -> u64 {
        self.bounds.log_start.load(ord!(Relaxed))
    }

    /// Whether a hold of segment `number`, which the caller has just stored, is in force. If so,
    /// the log start has not passed the segment, and any thread that moves it past the segment
    /// from now on sees the hold. This is the reader's half of the store-buffering handshake
    /// (P5).
    #[inline]
    pub(in crate::log) fn confirm_hold(&self, number: u64) -> bool {
        // Between the store of the hold and the load of the log start (P5).
        fence!("partition.confirm_hold", P5);
        self.log_start() <= number
    }

    /// The offset before which records were deleted: none of them is to be read.
    pub(in crate::log) fn deleted_before(&self) -> u64 {
        self.bounds.deleted_before.load(ord!(Relaxed))
    }

    /// Deletes the records before offset `before`, which is not past the end.
    pub(crate) fn raise_deleted_before(&self, before: u64) {
        self.bounds.deleted_before.fetch_max(before, ord!(Relaxed));
    }

    /// In a model: how many segments are live.
    #[cfg(loom)]
    pub(crate) fn live_segments(&self) -> usize {
        (self.active() + 1 - self.log_start()) as usize
    }

    fn table_word(&self, number: u64) -> &AtomicU64 {
        &self.table[(number % self.table.len() as u64) as usize]
    }

    fn table_entry(&self, number: u64) -> TableEntry {
        // Acquire, from the thread that installed it: the segment's number, base and zeroed index.
        TableEntry(
            self.table_word(number)
                .load(ord!("partition.entry", P3, Acquire)),
        )
    }

    /// The index in the pool of a live segment; `None` if it is not there yet or not any more.
    fn index_of(&self, number: u64) -> Option<u16> {
        let entry = self.table_entry(number);
        (entry.number() == number && !entry.is_none()).then(|| entry.index())
    }

    /// A live segment; `None` if it is not there yet or not any more.
    pub(in crate::log) fn segment(&self, number: u64) -> Option<&Segment> {
        self.index_of(number).map(|index| self.pool.get(index))
    }
}
