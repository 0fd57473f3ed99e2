//! What the copier of a durable topic needs of a cursor: frames as they are, not records.
//!
//! The copier is one more reader (`storage/copier.rs`). Under `Backpressure` its hold is a gate, so
//! nothing is overwritten that it has not copied; under `DropOldest` it is a pin, and the copier
//! may be overtaken like any reader. It moves on only after what it has taken is in the files: a
//! [`peek_frames`](Cursor::peek_frames) that is not followed by [`pass`](Cursor::pass) finds the
//! same frames again, and their segment stays held.

use super::{Cursor, CursorPosition, OutOfRange};
use crate::log::partition::Partition;
use crate::log::segment::{FrameRun, Kind};
use std::sync::Arc;

impl Cursor {
    /// A cursor for the copier, at the ring's first offset.
    pub(crate) fn join_copier(partition: &Arc<Partition>) -> Cursor {
        let mut cursor = Self::join_as(partition.is_gated_by_copier(), partition, false);
        cursor.unpin();
        cursor
    }

    /// The frames that are published from the position on, up to about `max_bytes`, of one segment,
    /// which is held. `None` when there are none yet.
    pub(crate) fn peek_frames(&mut self, max_bytes: usize) -> Result<Option<FrameRun>, OutOfRange> {
        loop {
            if self.located != CursorPosition::Resolved && !self.resolve()? {
                return Ok(None);
            }
            let descriptor = self.descriptor();
            if descriptor.is_empty() {
                if !self.leave_finished_segment()? {
                    return Ok(None);
                }
                continue;
            }
            if !self.try_hold(self.number) {
                return Err(OutOfRange::Overtaken);
            }
            if descriptor.kind() != Kind::End {
                return Ok(Some(self.segment.published_run(self.slot, max_bytes)));
            }
            if !self.next_segment() {
                return Ok(None);
            }
        }
    }

    /// Copies the frames that the last [`peek_frames`](Self::peek_frames) has found, as
    /// [`copy_run`](crate::log::segment::Segment::copy_run) does.
    pub(crate) fn copy_frames(
        &self,
        run: &FrameRun,
        descriptors: &mut [u64],
        data: &mut [u8],
    ) -> i64 {
        self.segment.copy_run(run, descriptors, data, self.base)
    }

    /// Moves past those frames.
    pub(crate) fn pass(&mut self, run: &FrameRun) {
        self.slot = run.slot + run.slots;
        self.skip = 0;
    }

    /// Moves an overtaken copier to the ring's first offset.
    pub(crate) fn skip_overwritten(&mut self) {
        self.go_to_ring_start();
    }
}
