use super::Partition;
use crate::sync::spin_loop;

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

impl Partition {
    /// Index and base of a live segment; `None` if it is not, or not any more.
    fn lookup(&self, number: u64) -> Option<(u16, u64)> {
        let index = self.find(number)?;
        let base = self.pool.get(index).base_unheld();
        // A later life's base would have brought that life's log start with it.
        (self.log_start() <= number).then_some((index, base))
    }

    /// All that is to see of a live segment; `None` if it is not, or not any more.
    pub(crate) fn look(&self, number: u64) -> Option<SegmentBounds> {
        let segment = self.pool.get(self.find(number)?);
        let (base, before) = (segment.base_unheld(), segment.units_before_unheld());
        let head = segment.state_unheld();
        // As in `lookup`, for each of the three.
        (self.log_start() <= number).then_some(SegmentBounds {
            base,
            before,
            records: head.records(),
            units: head.units(),
        })
    }

    /// The first offset retained.
    pub(crate) fn log_start_offset(&self) -> u64 {
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
            if let Some((index, base)) = self.lookup(number) {
                let head = self.pool.get(index).state_unheld();
                if self.log_start() <= number {
                    return base + u64::from(head.records());
                }
            }
            spin_loop();
        }
    }

    /// The live segment where reading begins, now.
    pub(crate) fn first(&self) -> u64 {
        let deleted = match self.deleted_before() {
            0 => None,
            deleted_before => self.segment_of(deleted_before),
        };
        deleted.unwrap_or_else(|| self.log_start())
    }

    /// The live segment with the greatest base at or below `offset`; `None` when the log
    /// starts after it.
    pub(crate) fn locate(&self, offset: u64) -> Option<u64> {
        if offset < self.deleted_before() {
            return None;
        }
        self.segment_of(offset)
    }

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
