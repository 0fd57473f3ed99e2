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

use crate::counts::SharedCounters;
use crate::head::{MAX_NUMBER, SegmentState};
use crate::pool::SegmentPool;
use crate::retention::RetentionLimits;
use crate::segment::{ClaimMode, RetentionMark, Segment};
use crate::sync::{AtomicU64, fence, ord, spin_loop};
use crossbeam_utils::CachePadded;

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

/// Tries to find a free segment before saying that there is none. One is always there
/// (`pool.rs`), but it may move behind the search while others take and give back.
const TRIES: u32 = 64;

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
struct TableEntry(u64);

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

pub(crate) struct Partition {
    id: u16,
    /// Whether readers hold back the log start (`Backpressure`).
    gated: bool,
    live: CachePadded<LogBounds>,
    table: Box<[AtomicU64]>,
    retention: Option<RetentionLimits>,
    counts: SharedCounters,
}

/// What a look at a live segment found.
pub(crate) struct SegmentBounds {
    /// Its first offset.
    pub(crate) base: u64,
    /// Units of the partition's segments before it.
    pub(crate) before: u64,
    /// What is claimed in it.
    pub(crate) records: u32,
    pub(crate) units: u32,
}

/// How an attempt to retire a segment ended.
pub(crate) enum Retired {
    /// It is in the pool now, at this index.
    Done(u16),
    /// A reader's gate is in it, or below.
    Gated,
    /// Another thread has done it, or does.
    Elsewhere,
}

impl Partition {
    /// A partition whose first segment is number `first`, at offset `base` (both zero but
    /// in tests): the one at `index`, which the caller has taken from the pool.
    pub(crate) fn new(
        id: u16,
        segments: usize,
        gated: bool,
        retention: Option<RetentionLimits>,
        pool: &SegmentPool,
        index: u16,
        (first, base): (u64, u64),
    ) -> Partition {
        let segment = pool.get(index);
        segment.set_retention_mark(RetentionMark::new(&retention, 0));
        segment.prepare(id, first, base);
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

    pub(crate) fn id(&self) -> u16 {
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
    pub(crate) fn find(&self, number: u64) -> Option<u16> {
        let entry = self.entry(number);
        (entry.number() == number && !entry.is_none()).then(|| entry.index())
    }

    // ---- appending ----------------------------------------------------------------------

    /// Claims a frame in the active segment, rolling to the next one when it is full; answers
    /// where, and what the head was ([`Segment::try_claim`]). The frame must fit an empty
    /// segment. What a producer does when the segment of its last claim has no more room.
    #[cold]
    #[inline(never)]
    pub(crate) fn claim<S: ClaimMode>(
        &self,
        pool: &SegmentPool,
        records: u32,
        units: u32,
    ) -> Result<(u16, SegmentState), Blocked> {
        debug_assert!(records <= pool.shape().records && units <= pool.shape().units);
        let mut tries = 0;
        loop {
            let number = self.active();
            let Some(index) = self.find(number) else {
                spin_loop(); // `active` has moved on, or its news is faster than the entry's
                continue;
            };
            let segment = pool.get(index);
            let head = segment.state();
            if head.is_fresh_as(self.id, number) {
                segment.open(self.id, number);
            } else if head.is_open_in(self.id) {
                let full = pool.shape().full(self.id);
                match segment.try_claim::<S>(head, full, records, units) {
                    Ok(head) => return Ok((index, head)),
                    Err(head) if head.is_open_in(self.id) => segment.seal(head),
                    Err(_) => {}
                }
            } else if head.is_sealed_in(self.id) {
                match self.roll(pool, number, index, head) {
                    Ok(()) => {}
                    Err(Blocked::Segments) if tries < TRIES => {
                        tries += 1;
                        spin_loop();
                    }
                    Err(blocked) => return Err(blocked),
                }
            } else {
                spin_loop(); // the segment has another life by now, so `active` has moved on
            }
        }
    }

    /// Ends the log, with what is claimed by then. Not while an exclusive producer may claim.
    pub(crate) fn close(&self, pool: &SegmentPool) {
        loop {
            let number = self.active();
            let next = number + 1;
            let entry = self.entry(next);
            if entry.number() >= next && !entry.is_none() {
                // It is there, and the news of it is late. Failing means that somebody has helped.
                let _ =
                    self.live
                        .active
                        .compare_exchange(number, next, ord!(Relaxed), ord!(Relaxed));
                spin_loop();
                continue;
            }
            if !entry.is_end() {
                // The mark is all there is to see.
                let marked = self.slot(next).compare_exchange(
                    entry.0,
                    entry.0 | TableEntry::END,
                    ord!(Relaxed),
                    ord!(Relaxed),
                );
                if marked.is_err() {
                    spin_loop();
                    continue;
                }
            }
            let Some(index) = self.find(number) else {
                spin_loop(); // the news of `active` is faster than the entry's
                continue;
            };
            let segment = pool.get(index);
            let head = segment.state();
            if head.is_sealed_in(self.id) {
                return;
            }
            if head.is_open_in(self.id) {
                segment.seal(head);
            } else if head.is_fresh_as(self.id, number) {
                segment.open(self.id, number);
            } else {
                spin_loop();
            }
        }
    }

    /// The end of a log that is closed: one past its last offset, which is final. `None` while it
    /// may still grow.
    pub(crate) fn end(&self, pool: &SegmentPool) -> Option<u64> {
        let number = self.active();
        if !self.entry(number + 1).is_end() {
            return None;
        }
        // The last segment is never retired, so it has the life that is meant (T5).
        let segment = pool.get(self.find(number)?);
        let head = segment.state_unheld();
        let end = segment.base_unheld() + u64::from(head.records());
        head.is_sealed_in(self.id).then_some(end)
    }

    /// Steps 2 to 4 of the roll from segment `number`, sealed as `head`.
    fn roll(
        &self,
        pool: &SegmentPool,
        number: u64,
        index: u16,
        head: SegmentState,
    ) -> Result<(), Blocked> {
        let next = number + 1;
        if next >= MAX_NUMBER {
            return Err(Blocked::Exhausted);
        }
        let old = self.entry(next);
        if old.is_end() {
            return Err(Blocked::Closed);
        }
        if old.is_none() || old.number() < next {
            // Before anything is given up for it.
            let full: &Segment = pool.get(index);
            let base = full.base().saturating_add(u64::from(head.records()));
            if base > last_base(pool.shape().records) {
                return Err(Blocked::Exhausted);
            }
            // The segment just retired, if any, is the first choice for the next: it is in
            // the caches.
            let hint = self.make_room(pool, next)?.unwrap_or(index);
            let Some(taken) = pool.take(hint) else {
                return Err(Blocked::Segments);
            };
            let before = full
                .retention_mark()
                .before
                .wrapping_add(head.units().into());
            pool.get(taken)
                .set_retention_mark(RetentionMark::new(&self.retention, before));
            pool.get(taken).prepare(self.id, next, base);
            // Release, to everybody who finds the segment: its number, base and zeroed index.
            let put = self.slot(next).compare_exchange(
                old.0,
                TableEntry::new(next, taken).0,
                ord!("partition.install", P3, Release),
                ord!(Relaxed),
            );
            if let Err(found) = put {
                pool.put(taken);
                if TableEntry(found).is_end() {
                    return Err(Blocked::Closed);
                }
            }
        }
        // Failing means that another thread has moved it.
        let _ = self
            .live
            .active
            .compare_exchange(number, next, ord!(Relaxed), ord!(Relaxed));
        Ok(())
    }

    /// Retires the oldest segment if the ring has no room for segment `next`, and those that
    /// retention gives up; answers the index of the last.
    fn make_room(&self, pool: &SegmentPool, next: u64) -> Result<Option<u16>, Blocked> {
        let mut last = None;
        loop {
            let start = self.log_start();
            // Also when others have rolled on so far that the log starts behind `next`: then
            // the table has it, or had it, and the caller's step 3 fails.
            let full = next >= start + self.table.len() as u64;
            if !full {
                match self.outlived(pool, start, next - 1) {
                    Some(true) => {}
                    Some(false) => return Ok(last),
                    None => {
                        spin_loop();
                        continue;
                    }
                }
            }
            match self.retire(pool, start) {
                Retired::Done(index) if self.retention.is_none() => return Ok(Some(index)),
                Retired::Done(index) => last = Some(index),
                Retired::Gated if full => {
                    self.counts.stall(next);
                    return Err(Blocked::Reader);
                }
                Retired::Gated => return Ok(last),
                Retired::Elsewhere => spin_loop(),
            }
        }
    }

    /// Moves the log start past segment `start`, where the caller has just seen it and which is
    /// not the active one, and puts the segment into the pool.
    pub(crate) fn retire(&self, pool: &SegmentPool, start: u64) -> Retired {
        if self.gated {
            // Between seeing where the log starts and looking at the gates: a reader
            // that still found the log start here or before is seen.
            fence!("partition.gates", P5);
            if pool.readers(self.id).lowest() <= start {
                return Retired::Gated;
            }
        }
        let Some(index) = self.find(start) else {
            return Retired::Elsewhere; // it has just been retired, or its entry is older news
        };
        let moved =
            self.live
                .log_start
                .compare_exchange(start, start + 1, ord!(Relaxed), ord!(Relaxed));
        if moved.is_err() {
            return Retired::Elsewhere;
        }
        // Between moving the log start and anybody's look at the holds: a reader
        // that did not see the move is seen by whoever takes the segment (P8).
        fence!("partition.retire", P5);
        pool.put(index);
        Retired::Done(index)
    }

    // ---- lookups, by threads that hold nothing ------------------------------------------

    /// Index and base of a live segment; `None` if it is not, or not any more.
    fn lookup(&self, pool: &SegmentPool, number: u64) -> Option<(u16, u64)> {
        let index = self.find(number)?;
        let base = pool.get(index).base_unheld();
        // A later life's base would have brought that life's log start with it.
        (self.log_start() <= number).then_some((index, base))
    }

    /// All that is to see of a live segment; `None` if it is not, or not any more.
    pub(crate) fn look(&self, pool: &SegmentPool, number: u64) -> Option<SegmentBounds> {
        let segment = pool.get(self.find(number)?);
        let (base, before) = (segment.base_unheld(), segment.before_unheld());
        let head = segment.state_unheld();
        // As in `lookup`, for each of the three.
        (self.log_start() <= number).then_some(SegmentBounds {
            base,
            before,
            records: head.records(),
            units: head.used_units(),
        })
    }

    /// The first offset retained.
    pub(crate) fn log_start_offset(&self, pool: &SegmentPool) -> u64 {
        loop {
            if let Some((_, base)) = self.lookup(pool, self.log_start()) {
                return base.max(self.deleted_before());
            }
            spin_loop();
        }
    }

    /// One past the last offset claimed.
    pub(crate) fn log_end_offset(&self, pool: &SegmentPool) -> u64 {
        loop {
            let number = self.active();
            if let Some((index, base)) = self.lookup(pool, number) {
                let head = pool.get(index).state_unheld();
                if self.log_start() <= number {
                    return base + u64::from(head.records());
                }
            }
            spin_loop();
        }
    }

    /// The live segment where reading begins, now.
    pub(crate) fn first(&self, pool: &SegmentPool) -> u64 {
        let deleted = match self.deleted_before() {
            0 => None,
            deleted_before => self.segment_of(pool, deleted_before),
        };
        deleted.unwrap_or_else(|| self.log_start())
    }

    /// The live segment with the greatest base at or below `offset`; `None` when the log
    /// starts after it.
    pub(crate) fn locate(&self, pool: &SegmentPool, offset: u64) -> Option<u64> {
        if offset < self.deleted_before() {
            return None;
        }
        self.segment_of(pool, offset)
    }

    fn segment_of(&self, pool: &SegmentPool, offset: u64) -> Option<u64> {
        'again: loop {
            let (mut low, mut high) = (self.log_start(), self.active());
            match self.lookup(pool, low) {
                Some((_, base)) if base > offset => return None,
                Some(_) => {}
                None => {
                    spin_loop();
                    continue;
                }
            }
            // The base of `low` is at or below the offset; find the last such segment.
            while low < high {
                let middle = low + (high - low).div_ceil(2);
                match self.lookup(pool, middle) {
                    Some((_, base)) if base <= offset => low = middle,
                    Some(_) => high = middle - 1,
                    None => {
                        spin_loop();
                        continue 'again;
                    }
                }
            }
            return Some(low);
        }
    }
}
