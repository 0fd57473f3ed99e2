//! Lookups in the ring by a thread that holds nothing: bounds, and the segment of an offset.
//!
//! A lookup reads a segment's words and then checks, by the log start, that the segment was still
//! live: a later life's values would have brought that life's log start with them (P7).

use super::Partition;
use crate::log::segment::Segment;
use crate::sync::spin_loop;

/// The bounds of a live segment.
pub(super) struct SegmentBounds {
    /// Its first offset.
    pub(super) base: u64,
    /// Units of the partition's segments before it.
    pub(super) units_before: u64,
    /// Records claimed in it.
    pub(super) records: u32,
    /// Units claimed in it.
    pub(super) units: u32,
}

impl Partition {
    /// A live segment and its base; `None` if it is not there yet or not any more.
    fn lookup(&self, number: u64) -> Option<(&Segment, u64)> {
        let segment = self.segment(number)?;
        let base = segment.base_unheld();
        // A later life's base would have brought that life's log start with it.
        (self.log_start() <= number).then_some((segment, base))
    }

    /// The bounds of a live segment; `None` if it is not there yet or not any more.
    pub(super) fn segment_bounds(&self, number: u64) -> Option<SegmentBounds> {
        let segment = self.segment(number)?;
        let (base, units_before) = (segment.base_unheld(), segment.units_before_unheld());
        let state = segment.state_unheld();
        // As in `lookup`, for each of the three.
        (self.log_start() <= number).then_some(SegmentBounds {
            base,
            units_before,
            records: state.records(),
            units: state.units(),
        })
    }

    /// The first offset retained, in the ring or in the files.
    pub(crate) fn log_start_offset(&self) -> u64 {
        let ring = self.ring_start_offset();
        match self.files() {
            Some(files) => files.start().max(self.deleted_before()).min(ring),
            None => ring,
        }
    }

    /// The first offset that the ring retains.
    pub(in crate::log) fn ring_start_offset(&self) -> u64 {
        loop {
            if let Some((_, base)) = self.lookup(self.log_start()) {
                return base.max(self.deleted_before());
            }
            spin_loop();
        }
    }

    /// One past the last offset claimed.
    pub(crate) fn log_end_offset(&self) -> u64 {
        loop {
            let number = self.active();
            if let Some((segment, base)) = self.lookup(number) {
                let state = segment.state_unheld();
                if self.log_start() <= number {
                    return base + u64::from(state.records());
                }
            }
            spin_loop();
        }
    }

    /// The live segment where reading begins now: the log start, or later if records were deleted.
    pub(in crate::log) fn first_readable(&self) -> u64 {
        let deleted = match self.deleted_before() {
            0 => None,
            deleted_before => self.segment_of(deleted_before),
        };
        deleted.unwrap_or_else(|| self.log_start())
    }

    /// The live segment with the greatest base at or below `offset`; `None` if the offset is not
    /// retained any more.
    pub(in crate::log) fn locate(&self, offset: u64) -> Option<u64> {
        if offset < self.deleted_before() {
            return None;
        }
        self.segment_of(offset)
    }

    /// Binary search over the bases of the live segments.
    fn segment_of(&self, offset: u64) -> Option<u64> {
        'again: loop {
            let (mut low, mut high) = (self.log_start(), self.active());
            match self.lookup(low) {
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
                match self.lookup(middle) {
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
