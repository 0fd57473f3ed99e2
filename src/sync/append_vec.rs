//! An append-only vector: it grows while other threads read it, and its items never move.
//!
//! The items present at creation lie in one array. Items appended later lie in **buckets** of
//! doubling length, allocated on demand, so that arithmetic maps an index to its slot:
//!
//! ```text
//! index    0 ...... n-1     n    n+1   n+2 n+3   n+4 ... n+7
//!        [   initial   ]   [ ]   [ ]   [ |  ]    [ |  |  | ]   ...
//! bucket                    0     1      2            3
//! ```
//!
//! One thread at a time appends; callers hold a lock for that. Other threads learn an index only
//! after its slot is filled.

use std::sync::OnceLock;

/// Enough for 16-bit indices beyond the initial array.
const BUCKETS: usize = 17;

pub(crate) struct AppendVec<T> {
    initial: Box<[T]>,
    buckets: [OnceLock<Box<[OnceLock<T>]>>; BUCKETS],
}

/// Maps an appended item's number, counted from 0 after the initial array, to its bucket and its
/// slot there.
pub(crate) fn bucket_of(appended: usize) -> (usize, usize) {
    match appended.checked_ilog2() {
        None => (0, 0),
        Some(log) => (log as usize + 1, appended - (1 << log)),
    }
}

/// The number of slots in a bucket.
pub(crate) fn bucket_len(bucket: usize) -> usize {
    1 << bucket.saturating_sub(1)
}

impl<T> AppendVec<T> {
    pub(crate) fn new(initial: Box<[T]>) -> AppendVec<T> {
        AppendVec {
            initial,
            buckets: Default::default(),
        }
    }

    /// The number of items present at creation.
    #[inline]
    pub(crate) fn initial_len(&self) -> usize {
        self.initial.len()
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match self.initial.get(index) {
            Some(item) => Some(item),
            None => self.get_appended(index - self.initial.len()),
        }
    }

    #[cold]
    fn get_appended(&self, appended: usize) -> Option<&T> {
        let (bucket, slot) = bucket_of(appended);
        self.buckets.get(bucket)?.get()?.get(slot)?.get()
    }

    /// Appends `item` at `index`, which must be the next free index. One thread at a time may
    /// call this.
    pub(crate) fn fill(&self, index: usize, item: T) {
        let (bucket, slot) = bucket_of(index - self.initial.len());
        let empty = || (0..bucket_len(bucket)).map(|_| OnceLock::new()).collect();
        let filled = self.buckets[bucket].get_or_init(empty)[slot].set(item);
        debug_assert!(filled.is_ok(), "slot {index} is already filled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_appended_item_has_its_own_slot_and_buckets_double() {
        let all: Vec<_> = (0..9).map(bucket_of).collect();
        let expected = [
            (0, 0),
            (1, 0),
            (2, 0),
            (2, 1),
            (3, 0),
            (3, 1),
            (3, 2),
            (3, 3),
            (4, 0),
        ];
        assert_eq!(all, expected);
        assert!((0..100_000).all(|n| bucket_of(n).1 < bucket_len(bucket_of(n).0)));
        assert!(bucket_of(usize::from(u16::MAX)).0 < BUCKETS);
    }

    #[test]
    fn items_are_found_by_index_and_never_move() {
        let items = AppendVec::new(vec![0, 1, 2].into());
        let second: *const i32 = items.get(1).unwrap();
        assert_eq!((items.get(3), items.get(100_000)), (None, None));
        for n in 3..100 {
            items.fill(n as usize, n);
            assert!((0..=n).all(|i| items.get(i as usize) == Some(&i)));
            assert_eq!(items.get(n as usize + 1), None);
        }
        assert_eq!(items.get(1).unwrap() as *const i32, second);
    }
}
