//! Lookups by time: the earliest record at or after a moment.
//!
//! A lookup reads bytes, so it holds what it reads: one segment at a time, by a pin
//! (`log/holds.rs`) whatever the overflow policy. So it never holds back the log start. The pin
//! keeps one segment out of the reach of others, and like every handle the lookup brings a spare
//! for it (`log/segment_pool.rs`). When the log start passes the segment that it wants, the lookup
//! continues from the log start.
//!
//! Timestamps are in no order that could be relied on: users choose them freely, and producers
//! read the clock before they claim. So a binary search would miss records. A lookup visits segment
//! after segment, skips those whose maximum timestamp is known to be too early, and reads the
//! others from their first record on. When it has read a complete segment to its end without a
//! find, it caches the segment's maximum timestamp in the segment's header (`segment/mod.rs`),
//! where it stays until the segment is recycled. The lookup holds the segment while it stores the
//! value, so the value is of the right life (S4), and concurrent lookups store the same value.

use super::files::{Found, PartitionFiles};
use super::holds::{Hold, NO_SEGMENT};
use crate::log::partition::Partition;
use crate::log::segment::{Kind, RecordRun, Segment, StoredRecords};
use crate::log::segment_pool::SpareSegment;
use crate::record::NO_TIMESTAMP;
use crate::sync::spin_loop;
use std::sync::Arc;

/// A record's offset and time: what
/// [`Consumer::offsets_for_times`](crate::Consumer::offsets_for_times) finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OffsetAndTimestamp {
    /// The record's offset in its partition.
    pub offset: u64,
    /// The record's time in milliseconds since 1970 UTC.
    pub timestamp: i64,
}

/// A lookup's hold on one segment of a partition.
struct Pin<'p> {
    partition: &'p Partition,
    hold: Arc<Hold>,
    _spare: SpareSegment,
}

impl<'p> Pin<'p> {
    fn new(partition: &'p Partition) -> Pin<'p> {
        let spare = partition.pool().spare();
        Pin {
            partition,
            hold: partition.readers().join(NO_SEGMENT),
            _spare: spare,
        }
    }

    /// Pins segment `number`; `false` if the log start has passed it.
    fn hold(&self, number: u64) -> bool {
        self.hold.pin(number);
        self.partition.confirm_hold(number)
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.partition.readers().leave(&self.hold);
    }
}

/// The outcome of a scan through one segment.
enum Scan {
    Found(OffsetAndTimestamp),
    /// The scan reached the segment's end, which is this slot.
    End(u32),
    /// The scan stopped before this slot, which is not published yet.
    Unpublished(u32),
}

/// The outcome of a lookup by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeLookup {
    /// The earliest record at or after the time.
    Found(OffsetAndTimestamp),
    /// There is none before offset `end`, where the records that can be read now end.
    NotFound { end: u64 },
}

impl TimeLookup {
    /// The record, if there is one.
    pub(crate) fn found(self) -> Option<OffsetAndTimestamp> {
        match self {
            TimeLookup::Found(found) => Some(found),
            TimeLookup::NotFound { .. } => None,
        }
    }
}

/// Looks up the earliest record at or after `time`, in milliseconds since 1970 UTC.
///
/// In a durable partition it looks in the files first, and then in the ring. What the ring gives up
/// meanwhile is in the files by then: it looks there again.
pub(crate) fn find(log: &Partition, time: i64) -> TimeLookup {
    let Some(files) = log.files() else {
        return find_in_ring(log, time);
    };
    let mut from = log.log_start_offset();
    loop {
        let searched = files.written_end().max(from);
        if let Some(found) = find_in_files(files, time, from) {
            return TimeLookup::Found(found);
        }
        let found = find_in_ring(log, time);
        if log.ring_start_offset() <= searched || files.is_stopped() {
            return found;
        }
        from = searched;
    }
}

/// The same among the records in files, from offset `from` on.
fn find_in_files(files: &PartitionFiles, time: i64, mut from: u64) -> Option<OffsetAndTimestamp> {
    loop {
        let at = files.find_time(time, from)?;
        from = match files.read(at) {
            Found::Chunk(chunk) => {
                let (segment, base) = (chunk.segment(), chunk.first_offset());
                let found = scan_chunk(&segment, base, time, from);
                if found.is_some() {
                    return found;
                }
                chunk.end()
            }
            Found::Gap { next } | Found::Damaged { next, .. } => next.max(at + 1),
            Found::Unreadable { .. } | Found::Outside => return None,
        };
    }
}

/// Scans a chunk for the earliest record at or after `time`, from offset `from` on.
fn scan_chunk(segment: &Segment, base: u64, time: i64, from: u64) -> Option<OffsetAndTimestamp> {
    let mut slot = 0;
    while slot < segment.shape().records {
        let descriptor = segment.descriptor(slot);
        if descriptor.kind() != Kind::Aborted {
            let run = RecordRun {
                base,
                slot,
                records: descriptor.slots(),
                ..RecordRun::default()
            };
            for record in StoredRecords::new(&run, segment) {
                if let Some(timestamp) = record.timestamp().filter(|&at| at >= time) {
                    if record.offset >= from {
                        return Some(OffsetAndTimestamp {
                            offset: record.offset,
                            timestamp,
                        });
                    }
                }
            }
        }
        slot += descriptor.slots();
    }
    None
}

fn find_in_ring(log: &Partition, time: i64) -> TimeLookup {
    let pin = Pin::new(log);
    let deleted_before = log.deleted_before();
    let mut number = log.first_readable();
    loop {
        if !pin.hold(number) {
            number = log.log_start();
            continue;
        }
        let Some(segment) = log.segment(number) else {
            spin_loop(); // it is in the table, but this thread may not see it yet
            continue;
        };
        let slot = match scan_segment(segment, log, time, deleted_before) {
            Scan::Found(found) => return TimeLookup::Found(found),
            Scan::Unpublished(slot) => {
                let end = (segment.base() + u64::from(slot)).max(deleted_before);
                return TimeLookup::NotFound { end };
            }
            Scan::End(slot) => slot,
        };
        number += 1;
        if log.segment(number).is_none() {
            // Not there yet, or not any more. In the second case the thread that replaced it had
            // seen the log start past it, and the entry found here brings that with it (P3).
            let start = log.log_start();
            if start < number {
                let end = (segment.base() + u64::from(slot)).max(deleted_before);
                return TimeLookup::NotFound { end };
            }
            number = start;
        }
    }
}

/// Scans a segment, which is held, for the earliest record at or after `time`.
fn scan_segment(segment: &Segment, log: &Partition, time: i64, deleted_before: u64) -> Scan {
    if segment.max_timestamp().is_some_and(|latest| latest < time) {
        // The two words have no order between them: this thread may see the maximum timestamp of a
        // segment that is complete, and yet load an older state word, of fewer records. Then the
        // scan ends early, and misses nothing:
        // - What it skips is too early whatever the state word says, since nothing is added to a
        //   segment that is complete.
        // - The next segment is looked up all the same.
        // - The end is past every record that was there before the call: its claim happened before
        //   this load of the state word, which then cannot be older.
        // A state word of any moment is where a claim ends, so a reader may begin there.
        return Scan::End(segment.state().records());
    }
    let base = segment.base();
    let mut max_timestamp = NO_TIMESTAMP;
    let mut slot = 0;
    while slot < segment.shape().records {
        let descriptor = segment.descriptor(slot);
        match descriptor.kind() {
            Kind::End => break,
            Kind::Aborted => {}
            Kind::Empty => {
                // The thread that owes END may not have stored it yet; then the state word says
                // where the segment ends.
                let state = segment.state();
                if !state.is_sealed_in(log.id()) || state.records() != slot {
                    return Scan::Unpublished(slot);
                }
                break;
            }
            _ => {
                let run = RecordRun {
                    base,
                    slot,
                    records: descriptor.slots(),
                    ..RecordRun::default()
                };
                for record in StoredRecords::new(&run, segment) {
                    let Some(timestamp) = record.timestamp() else {
                        continue;
                    };
                    if timestamp >= time && record.offset >= deleted_before {
                        return Scan::Found(OffsetAndTimestamp {
                            offset: record.offset,
                            timestamp,
                        });
                    }
                    max_timestamp = max_timestamp.max(timestamp);
                }
            }
        }
        slot += descriptor.slots();
    }
    segment.cache_max_timestamp(max_timestamp);
    Scan::End(slot)
}
