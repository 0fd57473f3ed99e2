//! Lookups by time: the earliest record at or after a moment.
//!
//! A lookup reads bytes, so it holds what it reads: one segment at a time, by a pin
//! (`readers.rs`) whatever the policy, so that it never holds back the log start. The pin keeps
//! one segment out of the others' reach, and like every handle the lookup brings a spare for
//! it (`pool.rs`). When the log start passes the segment that it wants, it goes on from there.
//!
//! Times are in no order that could be relied on: users give what times they like, and producers
//! look at the clock before they claim. So a search by halves would miss what it looks for. It
//! goes from segment to segment, passes by those whose latest time is known to be too early, and
//! reads the others from their first record on. A segment that is at its end and was
//! read without a find is known from then on: its latest time is left in its header (`segment.rs`)
//! until it is recycled. Whoever leaves it holds the segment, so the life is the right one
//! (S4), and several leave the same.

use super::holds::{Hold, NO_SEGMENT};
use crate::log::partition::Partition;
use crate::log::segment::{Kind, RecordRun, Records, Segment};
use crate::log::segment_pool::SpareSegment;
use crate::record::NO_TIMESTAMP;
use crate::sync::spin_loop;
use std::sync::Arc;

/// A record's offset and time, as
/// [`Consumer::offsets_for_times`](crate::Consumer::offsets_for_times) finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OffsetAndTimestamp {
    /// Its place in the partition.
    pub offset: u64,
    /// Its time in milliseconds since 1970 UTC.
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

/// How a look through a segment ended.
enum Scan {
    Found(OffsetAndTimestamp),
    /// At its end, which is this slot.
    Through(u32),
    /// Before this slot, which is not published yet.
    Stopped(u32),
}

/// The earliest record of `time` or later, or else the offset at which the search ended.
pub(crate) fn find(log: &Partition, time: i64) -> Result<OffsetAndTimestamp, u64> {
    let pin = Pin::new(log);
    let pool = log.pool();
    let deleted_before = log.deleted_before();
    let mut number = log.first();
    loop {
        if !pin.hold(number) {
            number = log.log_start();
            continue;
        }
        let Some(index) = log.find(number) else {
            spin_loop(); // it is there, but this thread may not see it yet
            continue;
        };
        let segment = pool.get(index);
        let slot = match look_through(segment, log, time, deleted_before) {
            Scan::Found(found) => return Ok(found),
            Scan::Stopped(slot) => {
                return Err((segment.base() + u64::from(slot)).max(deleted_before));
            }
            Scan::Through(slot) => slot,
        };
        number += 1;
        if log.find(number).is_none() {
            // Not there yet, or not any more: then whoever put another in its place has seen the
            // log start behind it, and what this thread has found there brings that with it (P3).
            let start = log.log_start();
            if start < number {
                return Err((segment.base() + u64::from(slot)).max(deleted_before));
            }
            number = start;
        }
    }
}

/// Looks through a segment, which is held.
fn look_through(segment: &Segment, log: &Partition, time: i64, deleted_before: u64) -> Scan {
    if segment.max_timestamp().is_some_and(|latest| latest < time) {
        // Two words with no order between them: this thread may know the latest time of a segment
        // that has come to its end, and yet see an older head, of fewer records. Then the search
        // ends early, and misses nothing: what is passed by is too early whatever the head says,
        // since nothing comes to a segment that has ended; the next segment is looked for all the
        // same; and the end is behind every record that was there before the call, because its
        // claim happened before this look at the head, which then cannot be older. A head is where
        // a claim ends, whenever it was, so that a reader may begin there.
        return Scan::Through(segment.state().records());
    }
    let base = segment.base();
    let mut latest = NO_TIMESTAMP;
    let mut slot = 0;
    while slot < segment.shape().records {
        let frame = segment.descriptor(slot);
        match frame.kind() {
            Kind::End => break,
            Kind::Aborted => {}
            Kind::Empty => {
                // Whoever owes END may have stopped before it: then the head says as much.
                let head = segment.state();
                if !head.is_sealed_in(log.id()) || head.records() != slot {
                    return Scan::Stopped(slot);
                }
                break;
            }
            _ => {
                let run = RecordRun {
                    base,
                    slot,
                    records: frame.slots(),
                    ..RecordRun::default()
                };
                for record in Records::new(&run, segment) {
                    let timestamp = record.timestamp();
                    if timestamp >= time && record.offset() >= deleted_before {
                        return Scan::Found(OffsetAndTimestamp {
                            offset: record.offset(),
                            timestamp,
                        });
                    }
                    latest = latest.max(timestamp);
                }
            }
        }
        slot += frame.slots();
    }
    segment.cache_max_timestamp(latest);
    Scan::Through(slot)
}
