//! A topic's segments and its free list: a bitmap, with one bit for each segment.
//!
//! All segments are made with the topic, but for those of partitions that are added and the spares
//! of handles. A segment's bit is set while it is **in the pool**: never used, put back unused, or
//! retired. The thread that clears the bit is the segment's only owner (row P8) until it sets the
//! bit again or puts the segment into a partition's table. A retired segment may still be held by
//! a reader or have an unpublished frame; its taker checks, and puts it back if so.
//!
//! # How many segments there are, and why a free one is always found
//!
//! There are `partitions * (segments + 1)`, and one spare for each handle that lives and has taken
//! one. The bound follows from helping (`partition/mod.rs`): a thread that stops anywhere can keep
//! only one segment out of the reach of others, and its handle has brought a spare for that one
//! before:
//!
//! | handle | what it can keep out of reach |
//! |---|---|
//! | a producer, from its first send or claim on | one claim, or one segment that it is preparing |
//! | a consumer | one pin, or one gate that is set and not yet found in force |
//! | a member of a group | one pin for each of its partitions |
//! | a group's gate on a partition | one gate |
//! | a group, for each of its topics | one gate that is set and not yet in force |
//! | a lookup by time, while it runs | one pin |
//! | a call that applies retention, while it runs | the segment that it is retiring |
//!
//! A partition has at most `segments` live segments. The one more is for the segment that gates in
//! force may be in at the moment it is retired: that happens once before they hold the log start.
//! So while one producer looks for a segment, all the others may stop for ever where they are, and
//! all consumers too: one is left.
//!
//! A handle is made even if its spare cannot be: the system refuses the memory, or the topic has
//! all the segments that it can number. Then such a stop may make producers wait.
//!
//! # What becomes of a spare when its handle is dropped
//!
//! It stays in the pool, and stands in for a segment of the next handle: spares are added only
//! while more handles live than there are spares. Which segment is the spare is not decided, so
//! none can be taken out when a handle is dropped: the idle one may be any, and a producer that
//! stopped long ago may still compare the state word of any segment (S1), or a lookup read it
//! unheld (row P7). So a segment's address stays valid as long as the topic lives, and nothing is
//! freed before.
//!
//! A spare that no stopped handle ever needed costs address space alone: [`SegmentPool::take`]
//! comes to the added segments last, and the system provides a page at its first use.

use super::holds::ReaderHolds;
use crate::log::partition_id::PartitionId;
use crate::log::segment::{Segment, SegmentShape, Slab};
use crate::sync::{AppendVec, AtomicU64, Mutex, MutexGuard, bucket_len, bucket_of, lock, ord};
use std::sync::{Arc, OnceLock};

/// The most segments of a topic: an index must fit a partition's table entry.
pub(crate) const MAX_SEGMENTS: usize = u16::MAX as usize;

/// Spares are added one by one, and from twice this number on an eighth of those present at a time.
const SPARES_PER_EXTRA: usize = 8;

/// One bit for each segment, set while the segment is in the pool.
type Bitmap = Box<[AtomicU64]>;

/// All segments of a topic, those in the pool and those in use, and the holds of its readers.
pub(crate) struct SegmentPool {
    segments: AppendVec<Segment>,
    /// The bits of the segments made with the topic.
    bitmap: Bitmap,
    /// The bits of segments added later: one bitmap for each bucket of `segments`.
    added_bitmaps: [OnceLock<Bitmap>; 17],
    /// The holds of each partition's readers.
    readers: AppendVec<ReaderHolds>,
    /// Whether threads that wait may sleep.
    may_sleep: bool,
    shape: SegmentShape,
    // Last, so dropped last: the segments lie in its slabs (M2 of `segment/memory/mod.rs`).
    growth: Mutex<Growth>,
}

/// What changes as the topic grows, under a lock: its handles, and what they and new partitions
/// added.
struct Growth {
    /// Handles that live now and have taken a spare.
    handles: usize,
    /// Segments that were made as spares.
    spares: usize,
    /// All segments added, spares included.
    segments: usize,
    /// Holds of partitions added.
    readers: usize,
    /// The memory of all segments.
    slabs: Vec<Slab>,
}

/// Why segments could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSegments {
    /// The topic would have this many: more than can be numbered.
    TooMany(usize),
    OutOfMemory,
}

/// A bitmap for `count` segments: all of them in the pool, or none.
fn new_bitmap(count: usize, in_pool: bool) -> Bitmap {
    let bits = |word: usize| match count - word * 64 {
        _ if !in_pool => 0,
        64.. => u64::MAX,
        rest => (1 << rest) - 1,
    };
    (0..count.div_ceil(64))
        .map(|word| AtomicU64::new(bits(word)))
        .collect()
}

fn new_slab(shape: SegmentShape, count: usize, prefault: bool) -> Option<Slab> {
    let mut slab = Slab::allocate(shape, count)?;
    if prefault {
        slab.prefault();
    }
    Some(slab)
}

impl SegmentPool {
    /// A pool of `count` segments for `partitions` partitions, with all of them free. `None` if the
    /// memory cannot be allocated.
    pub(crate) fn new(
        shape: SegmentShape,
        count: usize,
        partitions: usize,
        prefault: bool,
        may_sleep: bool,
    ) -> Option<SegmentPool> {
        debug_assert!(shape.is_valid() && count <= MAX_SEGMENTS);
        let slab = new_slab(shape, count, prefault)?;
        let segments = slab.blocks().map(|block| Segment::new(block, shape));
        Some(SegmentPool {
            segments: AppendVec::new(segments.collect()),
            bitmap: new_bitmap(count, true),
            added_bitmaps: Default::default(),
            readers: AppendVec::new(
                (0..partitions)
                    .map(|_| ReaderHolds::new(may_sleep))
                    .collect(),
            ),
            may_sleep,
            shape,
            growth: Mutex::new(Growth {
                handles: 0,
                spares: 0,
                segments: 0,
                readers: 0,
                slabs: vec![slab],
            }),
        })
    }

    pub(crate) fn shape(&self) -> SegmentShape {
        self.shape
    }

    fn growth(&self) -> MutexGuard<'_, Growth> {
        lock(&self.growth)
    }

    /// Bytes of all segments made so far, in the pool and in use.
    pub(crate) fn bytes(&self) -> usize {
        (self.segments.initial_len() + self.growth().segments) * self.shape.block_bytes()
    }

    /// The holds of a partition's readers.
    #[inline]
    pub(crate) fn readers(&self, partition: PartitionId) -> &ReaderHolds {
        match self.readers.get(partition.index()) {
            Some(readers) => readers,
            // A partition's number is given out only after its holds are stored.
            None => unreachable!("a partition without its holds"),
        }
    }

    /// The segment at `index`, which this pool has given out.
    #[inline]
    pub(crate) fn get(&self, index: u16) -> &Segment {
        match self.segments.get(index.into()) {
            Some(segment) => segment,
            // An index is given out only after its segment is stored.
            None => unreachable!("an index without its segment"),
        }
    }

    /// The word that has a segment's bit, and the bit.
    fn bit(&self, index: usize) -> (&AtomicU64, u64) {
        let Some(added) = index.checked_sub(self.segments.initial_len()) else {
            return (&self.bitmap[index / 64], 1 << (index % 64));
        };
        let (bucket, at) = bucket_of(added);
        match self.added_bitmaps[bucket].get() {
            Some(bitmap) => (&bitmap[at / 64], 1 << (at % 64)),
            None => unreachable!("an index without its bit"),
        }
    }

    /// Takes a segment with an empty index; the search begins near `hint`. `None` if all are in
    /// use. Others may put theirs back behind the search, so it is worth another try.
    pub(crate) fn take(&self, hint: u16) -> Option<u16> {
        let hint = usize::from(hint);
        let first = self.segments.initial_len();
        if hint >= first {
            let (word, bit) = self.bit(hint);
            let first = hint - bit.trailing_zeros() as usize;
            let taken = self.take_from(word, first, u64::MAX << bit.trailing_zeros());
            if taken.is_some() {
                return taken;
            }
        }
        let hint = hint % first;
        let words = self.bitmap.len();
        // From the hint to the end of its word, then the other words, then the start of its word.
        for step in 0..=words {
            let word = (hint / 64 + step) % words;
            let mask = match step {
                0 => u64::MAX << (hint % 64),
                s if s == words => !(u64::MAX << (hint % 64)),
                _ => u64::MAX,
            };
            let taken = self.take_from(&self.bitmap[word], word * 64, mask);
            if taken.is_some() {
                return taken;
            }
        }
        let mut first = first;
        let bitmaps = self.added_bitmaps.iter().map_while(OnceLock::get);
        for (bucket, bitmap) in bitmaps.enumerate() {
            for (i, word) in bitmap.iter().enumerate() {
                let taken = self.take_from(word, first + i * 64, u64::MAX);
                if taken.is_some() {
                    return taken;
                }
            }
            first += bucket_len(bucket);
        }
        None
    }

    /// Takes a segment whose bit is in `word`, under `mask`. The word's first bit is that of the
    /// segment at index `first`.
    fn take_from(&self, word: &AtomicU64, first: usize, mask: u64) -> Option<u16> {
        let mut left = word.load(ord!(Relaxed)) & mask;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            left &= !bit;
            // Acquire, from the thread that put the segment into the pool: all that it did with it.
            let before = word.fetch_and(!bit, ord!("segment_pool.take", P8, Acquire));
            if before & bit == 0 {
                continue; // another thread was first
            }
            let index = (first + bit.trailing_zeros() as usize) as u16;
            if self.make_empty(self.get(index)) {
                return Some(index);
            }
            self.set(word, bit);
        }
        None
    }

    /// Empties a segment that has just been taken. `false` if a reader still holds it, or a frame
    /// in it is unpublished.
    fn make_empty(&self, segment: &Segment) -> bool {
        let state = segment.state();
        if state.is_fresh() {
            return true; // never opened in this life
        }
        !self.readers(state.partition()).is_held(segment.number()) && segment.recycle()
    }

    /// Puts a segment into the pool: one retired from its table, or one taken and not used.
    pub(super) fn put(&self, index: u16) {
        let (word, bit) = self.bit(index.into());
        self.set(word, bit);
    }

    fn set(&self, word: &AtomicU64, bit: u64) {
        // Release, to the thread that takes the segment: all that was done with it.
        word.fetch_or(bit, ord!("segment_pool.put", P8, Release));
    }

    /// In a model, after all threads have ended: how many segments there are, and how many of them
    /// can be taken.
    #[cfg(loom)]
    pub(crate) fn take_all(&self) -> (usize, usize) {
        let all = self.segments.initial_len() + self.growth().segments;
        let taken: Vec<_> = core::iter::from_fn(|| self.take(0)).collect();
        for &index in &taken {
            // A segment that is in the pool is retired, or fresh.
            self.get(index).prepare(PartitionId::new(0), 0, 0);
            self.put(index);
        }
        (all, taken.len())
    }

    // ---- growing ------------------------------------------------------------------------

    /// Makes `count` segments, all or none. The first `kept` are the caller's, and the others are
    /// put into the pool. Returns the index of the first one.
    fn add_segments(
        &self,
        growth: &mut Growth,
        count: usize,
        kept: usize,
        prefault: bool,
    ) -> Result<u16, NoSegments> {
        let first = self.segments.initial_len() + growth.segments;
        if first + count > MAX_SEGMENTS {
            return Err(NoSegments::TooMany(first + count));
        }
        let slab = new_slab(self.shape, count, prefault).ok_or(NoSegments::OutOfMemory)?;
        for (index, block) in (first..).zip(slab.blocks()) {
            self.segments.fill(index, Segment::new(block, self.shape));
            let (bucket, _) = bucket_of(index - self.segments.initial_len());
            self.added_bitmaps[bucket].get_or_init(|| new_bitmap(bucket_len(bucket), false));
        }
        growth.slabs.push(slab);
        growth.segments += count;
        for index in first + kept..first + count {
            self.put(index as u16);
        }
        Ok(first as u16)
    }

    /// Makes `segments` segments, and the lists of holds, for `partitions` more partitions. Returns
    /// the index of the first segment. The first `partitions` segments are the caller's; the others
    /// are in the pool.
    pub(crate) fn add_partitions(
        &self,
        partitions: usize,
        segments: usize,
        prefault: bool,
    ) -> Result<u16, NoSegments> {
        let mut growth = self.growth();
        let index = self.add_segments(&mut growth, segments, partitions, prefault)?;
        for _ in 0..partitions {
            let next = self.readers.initial_len() + growth.readers;
            self.readers.fill(next, ReaderHolds::new(self.may_sleep));
            growth.readers += 1;
        }
        Ok(index)
    }

    /// Counts a handle, and makes a spare segment for it if no earlier handle has left one.
    pub(crate) fn spare(self: &Arc<Self>) -> SpareSegment {
        self.enter();
        SpareSegment(self.clone())
    }

    fn enter(&self) {
        let mut growth = self.growth();
        growth.handles += 1;
        let missing = growth.handles.saturating_sub(growth.spares);
        if missing == 0 {
            return;
        }
        // A few more than are needed if there are many, so that thousands of handles make a hundred
        // allocations. If there is no room for those, just the one of this handle.
        for count in [missing.max(growth.spares / SPARES_PER_EXTRA), 1] {
            if self.add_segments(&mut growth, count, 0, false).is_ok() {
                growth.spares += count;
                return;
            }
        }
    }
}

/// A handle's share of the pool: one segment beyond those of the partitions (see the head of this
/// file). When it is dropped, the segment stays in the pool and serves the next handle.
pub(crate) struct SpareSegment(Arc<SegmentPool>);

impl Drop for SpareSegment {
    fn drop(&mut self) {
        self.0.growth().handles -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SHAPE: SegmentShape = SegmentShape {
        records: 2,
        units: 4,
    };

    #[test]
    fn every_segment_is_taken_once_wherever_the_search_begins() {
        for count in [1, 2, 63, 64, 65, 130] {
            for hint in [0, 1, count / 2, count - 1, count, count + 2, count + 3] {
                let pool = Arc::new(SegmentPool::new(SHAPE, count, 1, false, true).unwrap());
                let _spares = [(); 3].map(|()| pool.spare());
                let mut seen = BTreeSet::new();
                while let Some(index) = pool.take(hint as u16) {
                    assert!(seen.insert(index), "{index} given out twice");
                    let _ = pool.get(index);
                }
                assert_eq!(seen.len(), count + 3, "3 handles bring 3 spares");
                for index in &seen {
                    pool.put(*index);
                }
                assert!((0..seen.len()).all(|_| pool.take(hint as u16).is_some()));
                assert_eq!(pool.take(0), None);
            }
        }
    }

    #[test]
    fn segments_that_were_added_are_taken_near_the_hint_and_once() {
        let pool = Arc::new(SegmentPool::new(SHAPE, 3, 1, false, true).unwrap());
        let _spare = pool.spare();
        let first = pool.add_partitions(2, 200, false).unwrap();
        assert_eq!(first, 4);
        pool.readers(PartitionId::new(2));
        assert_eq!(pool.take(100), Some(100));
        let mut seen = BTreeSet::from([4, 5, 100]);
        while let Some(index) = pool.take(150) {
            assert!(seen.insert(index), "{index} given out twice");
        }
        assert_eq!(seen.len(), 3 + 1 + 200);
        assert_eq!(pool.bytes(), 204 * SHAPE.block_bytes());
        let most = MAX_SEGMENTS - 204;
        let refused = NoSegments::TooMany(MAX_SEGMENTS + 1);
        assert_eq!(pool.add_partitions(1, most + 1, false), Err(refused));
        assert_eq!(pool.bytes(), 204 * SHAPE.block_bytes());
    }

    #[test]
    fn handles_that_come_and_go_make_no_more_spares() {
        let pool = Arc::new(SegmentPool::new(SHAPE, 3, 1, false, true).unwrap());
        let before = pool.bytes();
        for _ in 0..100 {
            drop(pool.spare());
        }
        assert_eq!(pool.bytes(), before + SHAPE.block_bytes());
    }

    #[test]
    fn spares_are_as_many_as_the_handles_that_live_at_once_or_an_eighth_more() {
        let pool = Arc::new(SegmentPool::new(SHAPE, 3, 1, false, true).unwrap());
        let before = pool.bytes();
        let spares = || (pool.bytes() - before) / SHAPE.block_bytes();
        for _ in 0..2 {
            let mut handles = Vec::new();
            for count in 1..=1000 {
                handles.push(pool.spare());
                assert!(spares() >= count);
            }
            assert!((1000..1125).contains(&spares()), "{}", spares());
            let few: Vec<_> = (0..16).map(|_| pool.spare()).collect();
            drop(few);
        }
        let pool = Arc::new(SegmentPool::new(SHAPE, 3, 1, false, true).unwrap());
        let few: Vec<_> = (0..16).map(|_| pool.spare()).collect();
        assert_eq!(pool.bytes(), before + few.len() * SHAPE.block_bytes());
    }

    #[test]
    fn the_last_segments_that_can_be_numbered_become_spares() {
        let count = MAX_SEGMENTS - 20;
        let pool = Arc::new(SegmentPool::new(SHAPE, count, 1, false, true).unwrap());
        let handles: Vec<_> = (0..30).map(|_| pool.spare()).collect();
        assert_eq!(pool.bytes(), MAX_SEGMENTS * SHAPE.block_bytes());
        drop(handles);
    }
}
