//! Seeks in a partition, and what must be read after them.
//!
//! What was retained at a seek is read under `Backpressure`, and read or counted as lost under
//! `DropOldest`. From a target that was not retained, or may not have been, the reader continues
//! where `OffsetReset` says.

use super::reader::{TransientReader, as_fault};
use crate::soak::fault::Fault;
use crate::soak::watchdog::Activity;
use ringlog::Consumer;

/// The target of a seek.
#[derive(Clone, Copy, Debug)]
pub(super) enum SeekTarget {
    Beginning,
    End,
    Offset(u64),
}

/// A distance beyond the log end that no log of a round reaches.
const OUTSIDE: u64 = 1 << 40;

/// The largest short seek, back or forth: often within what was just read.
const NEAR: u64 = 3_000;

impl TransientReader<'_> {
    /// Seeks in a partition that it reads, if there is one.
    pub(super) fn seek_somewhere(&mut self, consumer: &mut Consumer) -> Result<(), Fault> {
        let assignment = consumer.assignment();
        let index = self.rng.below(assignment.len() as u64) as usize;
        let Some(partition) = assignment.get(index) else {
            return Ok(());
        };
        let (topic, partition) = (&*partition.topic, partition.partition);
        let position = as_fault(consumer.position((topic, partition)))?;
        let ledger = self.checker(topic)?.ledger.clone();
        let (start, end) = (ledger.log_start(partition)?, ledger.log_end(partition)?);
        let target = match self.rng.below(10) {
            0 => SeekTarget::Beginning,
            1 => SeekTarget::End,
            2..5 => SeekTarget::Offset(self.rng.between(start, end)),
            5..8 => SeekTarget::Offset(position.saturating_sub(self.rng.below(NEAR))),
            8 => SeekTarget::Offset(position + self.rng.below(NEAR)),
            _ => SeekTarget::Offset(self.rng.pick([0, end + OUTSIDE])),
        };
        self.seek(consumer, topic, partition, target)
    }

    pub(super) fn seek(
        &mut self,
        consumer: &mut Consumer,
        topic: &str,
        partition: u32,
        target: SeekTarget,
    ) -> Result<(), Fault> {
        self.heartbeat.set_activity(Activity::Seeking);
        self.counts.seeks += 1;
        let ledger = self.checker(topic)?.ledger.clone();
        let before = as_fault(consumer.position((topic, partition)))?;
        let end = ledger.log_end(partition)?;
        match target {
            SeekTarget::Beginning => as_fault(consumer.seek_to_beginning((topic, partition)))?,
            SeekTarget::End => as_fault(consumer.seek_to_end((topic, partition)))?,
            SeekTarget::Offset(offset) => as_fault(consumer.seek((topic, partition), offset))?,
        }
        let position = as_fault(consumer.position((topic, partition)))?;
        let (from, retained) = match target {
            // Both set the position at once.
            SeekTarget::Beginning | SeekTarget::End => (position, true),
            SeekTarget::Offset(offset) if offset > end => (0, false),
            // The log start only grows: it was there at the seek if it is now.
            SeekTarget::Offset(offset) => (offset, ledger.log_start(partition)? <= offset),
        };
        let correct = match target {
            SeekTarget::Beginning => position <= ledger.log_start(partition)?,
            SeekTarget::End => position >= end,
            SeekTarget::Offset(offset) => position == offset,
        };
        if !correct {
            let bounds = ledger.bounds();
            return Err(format!(
                "{topic}, partition {partition}: sought {target:?}, and is at {position} ({bounds})"
            ));
        }
        let checker = self.checker(topic)?;
        // A loss before the seek that is not reported yet is reported with the next batch. Then
        // that batch does not report what was lost after the seek.
        let all_reported = ledger.plan.gated() || checker.next(partition) == Some(before);
        checker.begin(partition, from, retained && all_reported);
        Ok(())
    }

    /// Pauses a partition, or resumes the paused one. One at a time, since a paused partition holds
    /// back its producers.
    pub(super) fn pause_or_resume(&mut self, consumer: &mut Consumer) -> Result<(), Fault> {
        if let Some(paused) = self.paused.take() {
            as_fault(consumer.resume((&paused.topic, paused.partition)))?;
            self.checker(&paused.topic)?.pause(paused.partition, false);
            return Ok(());
        }
        let mut assignment = consumer.assignment();
        let index = self.rng.below(assignment.len() as u64) as usize;
        if index < assignment.len() {
            let chosen = assignment.swap_remove(index);
            as_fault(consumer.pause((&chosen.topic, chosen.partition)))?;
            self.checker(&chosen.topic)?.pause(chosen.partition, true);
            self.counts.pauses += 1;
            self.paused = Some(chosen);
        }
        Ok(())
    }
}
