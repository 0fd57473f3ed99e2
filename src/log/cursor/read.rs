//! Reading past frames: what a poll returns is a run of records, still in the segment.
//!
//! Nothing is copied. The run says which frames were found published, and a batch lends their
//! records out while the cursor holds the segment.

use super::Cursor;
use crate::log::segment::{Descriptor, Kind, RecordRun, Records, Segment};

/// A reader that finds this many records in one poll has a backlog, and from there on loads the
/// descriptors of a whole line at a time. Readers that keep up with their producers do not: that
/// was measured, and makes the producers slower.
const BACKLOG: u32 = if cfg!(loom) { 1 } else { 256 };

impl Cursor {
    /// The frames that the last poll read past, and their segment.
    #[inline]
    pub(crate) fn run(&self) -> (&RecordRun, &Segment) {
        (&self.run, &self.segment)
    }

    /// The records of the run.
    #[inline]
    pub(crate) fn records(&self) -> Records<'_> {
        Records::new(&self.run, &self.segment, self.partition.topic_partition())
    }

    /// Counts the records that are published in this segment from the cursor on, up to `max`. An
    /// unpublished frame ends the count. The segment is held, and nothing is read.
    pub(crate) fn count_published(&self, max: u64) -> u64 {
        let last = self.segment.shape().records;
        let (mut slot, mut skip, mut records) = (self.slot, self.skip, 0);
        while slot < last && records < max {
            let descriptor = self.segment.descriptor(slot);
            match descriptor.kind() {
                Kind::Empty | Kind::End => break,
                Kind::Aborted => {}
                _ => records += u64::from(descriptor.slots().saturating_sub(skip)),
            }
            slot += descriptor.slots();
            skip = 0;
        }
        records.min(max)
    }

    /// Reads past frames, beginning with `first`, which is at the cursor. The segment is held.
    #[inline(always)]
    pub(super) fn read(&mut self, first: Descriptor, max: u32) {
        let start = self.slot;
        let (mut slot, mut descriptor) = (start, first);
        let stop = start + (self.segment.shape().records - start).min(max);
        // Single records first, as many as there are.
        let (mut last, mut bulk_from) = (first, stop.min(start + BACKLOG));
        while descriptor.is_single_record() {
            last = descriptor;
            slot += 1;
            if slot == bulk_from {
                (slot, last) = self.segment.skip_single_records(slot, stop, last);
                if slot == stop {
                    break;
                }
                bulk_from = stop;
            }
            descriptor = self.segment.descriptor(slot);
        }
        let lost = core::mem::take(&mut self.lost);
        self.run = RecordRun {
            base: self.base,
            slot: start,
            skip: self.skip,
            records: slot - start,
            singles: true,
            lost,
        };
        self.slot = slot;
        self.is_idle = false;
        if slot < stop && !matches!(descriptor.kind(), Kind::Empty | Kind::End) {
            return self.read_on(descriptor, max);
        }
        self.set_at_end(slot < stop && descriptor.is_empty());
        self.next_value = last.end();
    }

    /// Continues reading at a frame that is not a single record.
    #[inline(never)]
    fn read_on(&mut self, first: Descriptor, mut max: u32) {
        let segment = &self.segment;
        let last = segment.shape().records;
        // In locals: at each Acquire the compiler would write fields back and load them again.
        let (mut slot, mut skip, mut records) = (self.slot, self.skip, self.run.records);
        let mut descriptor = first;
        loop {
            match descriptor.kind() {
                Kind::Timed | Kind::Untimed => {
                    records += 1;
                    slot += 1;
                }
                Kind::Table | Kind::Uniform => {
                    let rest = descriptor.slots() - skip;
                    let taken = rest.min(max - records);
                    records += taken;
                    if taken < rest {
                        skip += taken;
                    } else {
                        slot += descriptor.slots();
                        skip = 0;
                    }
                }
                Kind::Aborted => {
                    slot += descriptor.slots();
                    max = max.min(records.saturating_add(self.slots_allowed(slot)));
                }
                Kind::Empty | Kind::End => break,
            }
            if slot == last || records == max {
                break;
            }
            descriptor = segment.descriptor(slot);
        }
        self.run.records = records;
        self.run.singles = false;
        self.set_at_end(slot < last && records < max && descriptor.is_empty());
        self.slot = slot;
        self.skip = skip;
    }
}
