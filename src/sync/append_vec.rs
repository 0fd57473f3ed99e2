//! A list that grows while others read it: what is in it never moves.
//!
//! What it has from the start lies in one array; what comes later in **buckets** of 1, 1, 2, 4, ...
//! slots, so that a place is found by arithmetic. One thread at a time adds (its callers hold
//! a lock); an index is given to others only after its place is filled.

use std::sync::OnceLock;

/// Buckets: for indices of 16 bits beyond the first array.
const BUCKETS: usize = 17;

pub(crate) struct AppendVec<T> {
    first: Box<[T]>,
    buckets: [OnceLock<Box<[OnceLock<T>]>>; BUCKETS],
}

/// Bucket, and slot in it, of what came later, by its number among that.
pub(crate) fn bucket_of(later: usize) -> (usize, usize) {
    match later.checked_ilog2() {
        None => (0, 0),
        Some(log) => (log as usize + 1, later - (1 << log)),
    }
}

/// Slots of a bucket.
pub(crate) fn bucket_len(bucket: usize) -> usize {
    1 << bucket.saturating_sub(1)
}

impl<T> AppendVec<T> {
    pub(crate) fn new(first: Box<[T]>) -> AppendVec<T> {
        AppendVec {
            first,
            buckets: Default::default(),
        }
    }

    /// How many it had from the start.
    #[inline]
    pub(crate) fn initial_len(&self) -> usize {
        self.first.len()
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match self.first.get(index) {
            Some(item) => Some(item),
            None => self.later(index - self.first.len()),
        }
    }

    #[cold]
    fn later(&self, later: usize) -> Option<&T> {
        let (bucket, at) = bucket_of(later);
        self.buckets.get(bucket)?.get()?.get(at)?.get()
    }

    /// Fills the next place, which is `index`. For one thread at a time.
    pub(crate) fn fill(&self, index: usize, item: T) {
        let (bucket, at) = bucket_of(index - self.first.len());
        let empty = || (0..bucket_len(bucket)).map(|_| OnceLock::new()).collect();
        let filled = self.buckets[bucket].get_or_init(empty)[at].set(item);
        debug_assert!(filled.is_ok(), "place {index} is taken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_later_one_has_a_place_of_its_own_and_racks_double() {
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
    fn what_is_in_it_is_found_and_does_not_move() {
        let grow = AppendVec::new(vec![0, 1, 2].into());
        let second: *const i32 = grow.get(1).unwrap();
        assert_eq!((grow.get(3), grow.get(100_000)), (None, None));
        for n in 3..100 {
            grow.fill(n as usize, n);
            assert!((0..=n).all(|i| grow.get(i as usize) == Some(&i)));
            assert_eq!(grow.get(n as usize + 1), None);
        }
        assert_eq!(grow.get(1).unwrap() as *const i32, second);
    }
}
