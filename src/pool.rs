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
//! lookup by time (one pin) and whoever else retires segments (the one it is retiring). A partition's live segments
//! are at most `segments`; the one more is for the segment that gates in force may come to be
//! in at the moment it is retired, which happens once before they hold the log start. So while
//! one producer looks for a segment, all the others may stop for ever where they are, and all
//! consumers too: one is left. When a handle's spare cannot be had (the system refuses the
//! memory, or the topic has all the segments it can number), the handle is made all the same,
//! and then such a stop may make producers wait.

use crate::memory::{Shape, Slab};
use crate::readers::Readers;
use crate::segment::Segment;
use crate::sync::{AtomicU64, Mutex, ord};
use std::sync::OnceLock;

/// The most segments of a topic: an index must fit a partition's table entry.
pub(crate) const MAX_SEGMENTS: usize = u16::MAX as usize;

/// Racks of spares: of 1, 1, 2, 4, ... segments.
const SPARE_RACKS: usize = 17;

pub(crate) struct Pool {
    base: Rack,
    spares: [OnceLock<Rack>; SPARE_RACKS],
    growth: Mutex<Growth>,
    shape: Shape,
    readers: Box<[Readers]>,
}

/// Segments that were made together.
struct Rack {
    segments: Box<[Segment]>,
    /// One bit a segment: in the pool.
    bits: Box<[AtomicU64]>,
    // Last: the segments lie in it (memory.rs, M2).
    _slab: Slab,
}

struct Growth {
    handles: usize,
    spares: usize,
}

impl Rack {
    fn new(shape: Shape, count: usize, prefault: bool) -> Option<Rack> {
        let mut slab = Slab::allocate(shape, count)?;
        if prefault {
            slab.prefault();
        }
        let bits = |word: usize| match count - word * 64 {
            64.. => u64::MAX,
            rest => (1 << rest) - 1,
        };
        Some(Rack {
            segments: slab.blocks().map(|b| Segment::new(b, shape)).collect(),
            bits: (0..count.div_ceil(64))
                .map(|word| AtomicU64::new(bits(word)))
                .collect(),
            _slab: slab,
        })
    }
}

impl Pool {
    /// A pool of `count` segments for `partitions` partitions, all in the pool. `None` when
    /// the memory cannot be had.
    pub(crate) fn new(
        shape: Shape,
        count: usize,
        partitions: usize,
        prefault: bool,
    ) -> Option<Pool> {
        debug_assert!(shape.is_valid() && count <= MAX_SEGMENTS);
        Some(Pool {
            base: Rack::new(shape, count, prefault)?,
            spares: Default::default(),
            growth: Mutex::new(Growth {
                handles: 0,
                spares: 0,
            }),
            shape,
            readers: (0..partitions).map(|_| Readers::new()).collect(),
        })
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Bytes of all segments made so far.
    pub(crate) fn bytes(&self) -> usize {
        let spares: usize = self.racks().map(|rack| rack.segments.len()).sum();
        spares * self.shape.block_bytes()
    }

    /// Who reads a partition.
    #[inline]
    pub(crate) fn readers(&self, partition: u16) -> &Readers {
        &self.readers[usize::from(partition)]
    }

    /// The segment of an index that came out of this pool.
    #[inline]
    pub(crate) fn get(&self, index: u16) -> &Segment {
        let index = usize::from(index);
        match self.base.segments.get(index) {
            Some(segment) => segment,
            None => self.spare(index - self.base.segments.len()),
        }
    }

    #[cold]
    fn spare(&self, spare: usize) -> &Segment {
        let (rack, at) = place(spare);
        match self.spares[rack].get() {
            Some(rack) => &rack.segments[at],
            // Indices are given out only after the rack is in its place.
            None => unreachable!("a spare segment without its rack"),
        }
    }

    fn racks(&self) -> impl Iterator<Item = &Rack> {
        let spares = self.spares.iter().map_while(OnceLock::get);
        core::iter::once(&self.base).chain(spares)
    }

    /// Takes a segment with an empty index, looking near `hint` first. `None` when all are
    /// in use; as others give theirs back, it is worth another try.
    pub(crate) fn take(&self, hint: u16) -> Option<u16> {
        let hint = usize::from(hint) % self.base.segments.len();
        let words = self.base.bits.len();
        // From the hint to the end of its word, around, and then the start of its word.
        for step in 0..=words {
            let word = (hint / 64 + step) % words;
            let mask = match step {
                0 => u64::MAX << (hint % 64),
                s if s == words => !(u64::MAX << (hint % 64)),
                _ => u64::MAX,
            };
            if let Some(index) = self.take_from(&self.base, 0, word, mask) {
                return Some(index);
            }
        }
        let mut first = self.base.segments.len();
        for rack in self.racks().skip(1) {
            for word in 0..rack.bits.len() {
                if let Some(index) = self.take_from(rack, first, word, u64::MAX) {
                    return Some(index);
                }
            }
            first += rack.segments.len();
        }
        None
    }

    fn take_from(&self, rack: &Rack, first: usize, word: usize, mask: u64) -> Option<u16> {
        let bits = &rack.bits[word];
        let mut left = bits.load(ord!(Relaxed)) & mask;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            left &= !bit;
            // Acquire: all that the one who put it there did with the segment happened before.
            let before = bits.fetch_and(!bit, ord!("pool.take", P8, Acquire));
            if before & bit == 0 {
                continue; // another thread was first
            }
            let at = word * 64 + bit.trailing_zeros() as usize;
            if self.make_empty(&rack.segments[at]) {
                return Some((first + at) as u16);
            }
            self.set(bits, bit);
        }
        None
    }

    /// Empties a segment that has just been taken, unless somebody still uses it.
    fn make_empty(&self, segment: &Segment) -> bool {
        let head = segment.head();
        if head.is_fresh() {
            return true; // never opened in this life
        }
        !self.readers(head.partition()).holds(segment.number()) && segment.recycle()
    }

    /// Puts a segment into the pool: one retired from its table, or one taken and not used.
    pub(crate) fn put(&self, index: u16) {
        let index = usize::from(index);
        let base = self.base.segments.len();
        if index < base {
            self.set(&self.base.bits[index / 64], 1 << (index % 64));
        } else {
            let (rack, at) = place(index - base);
            if let Some(rack) = self.spares[rack].get() {
                self.set(&rack.bits[at / 64], 1 << (at % 64));
            }
        }
    }

    fn set(&self, bits: &AtomicU64, bit: u64) {
        bits.fetch_or(bit, ord!("pool.put", P8, Release));
    }

    /// In a model, when nothing else happens any more: how many segments there are, and how many
    /// of them can be taken.
    #[cfg(loom)]
    pub(crate) fn take_all(&self) -> (usize, usize) {
        let all = self.racks().map(|rack| rack.segments.len()).sum();
        let taken: Vec<_> = core::iter::from_fn(|| self.take(0)).collect();
        for &index in &taken {
            // A segment that is in the pool is retired, or fresh.
            self.get(index).prepare(0, 0, 0);
            self.put(index);
        }
        (all, taken.len())
    }

    // ---- handles bring their spares -----------------------------------------------------

    /// Counts a handle in, and makes it a spare segment if there is none to spare.
    pub(crate) fn enter(&self) {
        let mut growth = self.growth.lock().unwrap_or_else(|e| e.into_inner());
        growth.handles += 1;
        if growth.handles <= growth.spares {
            return;
        }
        let count = growth.spares.max(1);
        let (rack, at) = place(growth.spares);
        debug_assert_eq!(at, 0);
        if self.base.segments.len() + growth.spares + count > MAX_SEGMENTS {
            return;
        }
        if let Some(new) = Rack::new(self.shape, count, false) {
            if self.spares[rack].set(new).is_ok() {
                growth.spares += count;
            }
        }
    }

    /// Counts a handle out. Its spare stays, for the next handle.
    pub(crate) fn leave(&self) {
        let mut growth = self.growth.lock().unwrap_or_else(|e| e.into_inner());
        growth.handles -= 1;
    }
}

/// Rack and place in it of a spare segment.
fn place(spare: usize) -> (usize, usize) {
    match spare.checked_ilog2() {
        None => (0, 0),
        Some(log) => (log as usize + 1, spare - (1 << log)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SHAPE: Shape = Shape {
        records: 2,
        units: 4,
    };

    #[test]
    fn every_spare_has_a_place_of_its_own_and_racks_double() {
        let places: Vec<_> = (0..9).map(place).collect();
        assert_eq!(
            places,
            [
                (0, 0),
                (1, 0),
                (2, 0),
                (2, 1),
                (3, 0),
                (3, 1),
                (3, 2),
                (3, 3),
                (4, 0)
            ]
        );
    }

    #[test]
    fn every_segment_is_taken_once_wherever_the_search_begins() {
        for count in [1, 2, 63, 64, 65, 130] {
            for hint in [0, 1, count / 2, count - 1] {
                let pool = Pool::new(SHAPE, count, 1, false).unwrap();
                for _ in 0..3 {
                    pool.enter();
                }
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
    fn handles_that_come_and_go_make_no_more_spares() {
        let pool = Pool::new(SHAPE, 3, 1, false).unwrap();
        let before = pool.bytes();
        for _ in 0..100 {
            pool.enter();
            pool.leave();
        }
        assert_eq!(pool.bytes(), before + SHAPE.block_bytes());
    }
}
