//! A topic's segments: all made beforehand, taken and given back by one bit each.
//!
//! A segment's bit is set while it is **in the pool**: never used, given back unused, or
//! retired. Whoever clears the bit is the segment's only owner (row P8) until it sets it
//! again or puts the segment into a partition's table. A retired segment may still be held
//! by a reader or have an unpublished frame; its taker looks, and puts it back if so.
//!
//! # How many segments there are, and why a free one is always found
//!
//! `partitions * (segments + 1)`, and one for each handle, which can keep one out of the
//! others' reach: a producer (one claim, or one segment it is preparing), a consumer (one
//! pin, or one gate that it has set and not yet found in force) and, for as long as they run, a
//! lookup by time (one pin) and whoever else retires segments (the one it is retiring). A member of
//! a group counts as a handle for each of its partitions, and a group's gate for itself. A
//! partition's live segments
//! are at most `segments`; the one more is for the segment that gates in force may come to be
//! in at the moment it is retired, which happens once before they hold the log start. So while
//! one producer looks for a segment, all the others may stop for ever where they are, and all
//! consumers too: one is left. When a handle's spare cannot be had (the system refuses the
//! memory, or the topic has all the segments it can number), the handle is made all the same,
//! and then such a stop may make producers wait.

use super::holds::ReaderHolds;
use crate::log::partition_id::PartitionId;
use crate::log::segment::{Segment, SegmentShape, Slab};
use crate::sync::{AppendVec, AtomicU64, Mutex, MutexGuard, bucket_len, bucket_of, lock, ord};
use std::sync::{Arc, OnceLock};

/// The most segments of a topic: an index must fit a partition's table entry.
pub(crate) const MAX_SEGMENTS: usize = u16::MAX as usize;

/// One bit a segment: in the pool.
type Bits = Box<[AtomicU64]>;

pub(crate) struct SegmentPool {
    segments: AppendVec<Segment>,
    /// For the segments that were there from the start, and for each bucket of later ones.
    bits: Bits,
    later_bits: [OnceLock<Bits>; 17],
    readers: AppendVec<ReaderHolds>,
    /// Threads that wait may come to sleep.
    may_sleep: bool,
    shape: SegmentShape,
    // Last: the segments lie in its slabs (memory.rs, M2).
    growth: Mutex<Growth>,
}

struct Growth {
    handles: usize,
    /// Segments that handles brought.
    spares: usize,
    /// Segments, and partitions' readers, that were not there from the start.
    segments: usize,
    readers: usize,
    slabs: Vec<Slab>,
}

/// Why segments could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSegments {
    /// There would be so many: more than can be numbered.
    TooMany(usize),
    OutOfMemory,
}

/// The words for `count` segments: all of them in the pool, or none.
fn new_bits(count: usize, in_pool: bool) -> Bits {
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
    /// A pool of `count` segments for `partitions` partitions, all in the pool. `None` when
    /// the memory cannot be had.
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
            bits: new_bits(count, true),
            later_bits: Default::default(),
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

    /// Bytes of all segments made so far.
    pub(crate) fn bytes(&self) -> usize {
        (self.segments.initial_len() + self.growth().segments) * self.shape.block_bytes()
    }

    /// Who reads a partition.
    #[inline]
    pub(crate) fn readers(&self, partition: PartitionId) -> &ReaderHolds {
        match self.readers.get(partition.index()) {
            Some(readers) => readers,
            // Partitions are numbered only after their readers are in their place.
            None => unreachable!("a partition without its readers"),
        }
    }

    /// The segment of an index that came out of this pool.
    #[inline]
    pub(crate) fn get(&self, index: u16) -> &Segment {
        match self.segments.get(index.into()) {
            Some(segment) => segment,
            // Indices are given out only after the segment is in its place.
            None => unreachable!("an index without its segment"),
        }
    }

    /// The word of a segment's bit, and the bit.
    fn bit(&self, index: usize) -> (&AtomicU64, u64) {
        let Some(later) = index.checked_sub(self.segments.initial_len()) else {
            return (&self.bits[index / 64], 1 << (index % 64));
        };
        let (bucket, at) = bucket_of(later);
        match self.later_bits[bucket].get() {
            Some(bits) => (&bits[at / 64], 1 << (at % 64)),
            None => unreachable!("an index without its bit"),
        }
    }

    /// Takes a segment with an empty index, looking near `hint` first. `None` when all are
    /// in use; as others give theirs back, it is worth another try.
    pub(crate) fn take(&self, hint: u16) -> Option<u16> {
        let hint = usize::from(hint);
        let first = self.segments.initial_len();
        if hint >= first {
            let (bits, bit) = self.bit(hint);
            let word = hint - bit.trailing_zeros() as usize;
            let taken = self.take_from(bits, word, u64::MAX << bit.trailing_zeros());
            if taken.is_some() {
                return taken;
            }
        }
        let hint = hint % first;
        let words = self.bits.len();
        // From the hint to the end of its word, around, and then the start of its word.
        for step in 0..=words {
            let word = (hint / 64 + step) % words;
            let mask = match step {
                0 => u64::MAX << (hint % 64),
                s if s == words => !(u64::MAX << (hint % 64)),
                _ => u64::MAX,
            };
            let taken = self.take_from(&self.bits[word], word * 64, mask);
            if taken.is_some() {
                return taken;
            }
        }
        let mut first = first;
        let buckets = self.later_bits.iter().map_while(OnceLock::get);
        for (bucket, bits) in buckets.enumerate() {
            for (word, bits) in bits.iter().enumerate() {
                let taken = self.take_from(bits, first + word * 64, u64::MAX);
                if taken.is_some() {
                    return taken;
                }
            }
            first += bucket_len(bucket);
        }
        None
    }

    /// Takes one of the segments of a word, of which the first has index `first`.
    fn take_from(&self, bits: &AtomicU64, first: usize, mask: u64) -> Option<u16> {
        let mut left = bits.load(ord!(Relaxed)) & mask;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            left &= !bit;
            // Acquire: all that the one who put it there did with the segment happened before.
            let before = bits.fetch_and(!bit, ord!("pool.take", P8, Acquire));
            if before & bit == 0 {
                continue; // another thread was first
            }
            let index = (first + bit.trailing_zeros() as usize) as u16;
            if self.make_empty(self.get(index)) {
                return Some(index);
            }
            self.set(bits, bit);
        }
        None
    }

    /// Empties a segment that has just been taken, unless somebody still uses it.
    fn make_empty(&self, segment: &Segment) -> bool {
        let head = segment.state();
        if head.is_fresh() {
            return true; // never opened in this life
        }
        !self.readers(head.partition()).holds(segment.number()) && segment.recycle()
    }

    /// Puts a segment into the pool: one retired from its table, or one taken and not used.
    pub(crate) fn put(&self, index: u16) {
        let (bits, bit) = self.bit(index.into());
        self.set(bits, bit);
    }

    fn set(&self, bits: &AtomicU64, bit: u64) {
        bits.fetch_or(bit, ord!("pool.put", P8, Release));
    }

    /// In a model, when nothing else happens any more: how many segments there are, and how many
    /// of them can be taken.
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

    /// Makes segments and puts them into the pool, but for the first `kept`: those are the
    /// caller's. Answers the index of the first; all or none.
    fn grow(
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
            self.later_bits[bucket].get_or_init(|| new_bits(bucket_len(bucket), false));
        }
        growth.slabs.push(slab);
        growth.segments += count;
        for index in first + kept..first + count {
            self.put(index as u16);
        }
        Ok(first as u16)
    }

    /// Makes the segments and the readers of `partitions` more partitions. Answers the index of
    /// the first segment; the first so many are the caller's, the others in the pool.
    pub(crate) fn add_partitions(
        &self,
        partitions: usize,
        segments: usize,
        prefault: bool,
    ) -> Result<u16, NoSegments> {
        let mut growth = self.growth();
        let index = self.grow(&mut growth, segments, partitions, prefault)?;
        for _ in 0..partitions {
            let next = self.readers.initial_len() + growth.readers;
            self.readers.fill(next, ReaderHolds::new(self.may_sleep));
            growth.readers += 1;
        }
        Ok(index)
    }

    /// Counts a handle in, and makes it a spare segment if there is none to spare.
    pub(crate) fn spare(self: &Arc<Self>) -> SpareSegment {
        self.enter();
        SpareSegment(self.clone())
    }

    fn enter(&self) {
        let mut growth = self.growth();
        growth.handles += 1;
        if growth.handles <= growth.spares {
            return;
        }
        let count = growth.spares.max(1);
        if self.grow(&mut growth, count, 0, false).is_ok() {
            growth.spares += count;
        }
    }
}

/// A handle's claim to one segment beyond its partitions' own: see the head of this file. Dropped,
/// the spare stays in the pool for the next handle.
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
                assert_eq!(seen.len(), count + 4, "3 handles bring 4 spares");
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
}
