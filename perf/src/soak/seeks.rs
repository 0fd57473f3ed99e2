//! Going elsewhere in a partition, and what has to come then.
//!
//! What was retained at a seek is read under `Backpressure`, and read or lost by count under
//! `DropOldest`. A target that was not retained, or may not have been, leads where
//! `OffsetReset` says.

use super::ledger::Wrong;
use super::transient::{Visitor, told};
use super::worker::Doing;
use ringlog::Consumer;

/// Where to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Beginning,
    End,
    Offset(u64),
}

/// Offsets that no log of a round comes to.
const OUTSIDE: u64 = 1 << 40;

/// Offsets back and forth: often within what was just read.
const NEAR: u64 = 3_000;

impl Visitor<'_> {
    /// Seeks in a partition that it reads, if there is one.
    pub(crate) fn seek_somewhere(&mut self, consumer: &mut Consumer) -> Result<(), Wrong> {
        let assignment = consumer.assignment();
        let some = self.dice.below(assignment.len() as u64) as usize;
        let Some(there) = assignment.get(some) else {
            return Ok(());
        };
        let (topic, partition) = (&*there.topic, there.partition);
        let position = told(consumer.position(topic, partition))?;
        let ledger = self.checker(topic)?.ledger.clone();
        let (start, end) = (ledger.log_start(partition)?, ledger.log_end(partition)?);
        let target = match self.dice.below(10) {
            0 => Target::Beginning,
            1 => Target::End,
            2..5 => Target::Offset(self.dice.between(start, end)),
            5..8 => Target::Offset(position.saturating_sub(self.dice.below(NEAR))),
            8 => Target::Offset(position + self.dice.below(NEAR)),
            _ => Target::Offset(self.dice.pick([0, end + OUTSIDE])),
        };
        self.seek(consumer, topic, partition, target)
    }

    pub(crate) fn seek(
        &mut self,
        consumer: &mut Consumer,
        topic: &str,
        partition: u32,
        target: Target,
    ) -> Result<(), Wrong> {
        self.station.doing(Doing::Seeking);
        self.tally.seeks += 1;
        let ledger = self.checker(topic)?.ledger.clone();
        let before = told(consumer.position(topic, partition))?;
        let end = ledger.log_end(partition)?;
        match target {
            Target::Beginning => told(consumer.seek_to_beginning(topic, partition))?,
            Target::End => told(consumer.seek_to_end(topic, partition))?,
            Target::Offset(offset) => told(consumer.seek(topic, partition, offset))?,
        }
        let position = told(consumer.position(topic, partition))?;
        let (from, retained) = match target {
            // Both go to a place at once.
            Target::Beginning | Target::End => (position, true),
            Target::Offset(offset) if offset > end => (0, false),
            // The log start only grows: it was there at the seek if it is now.
            Target::Offset(offset) => (offset, ledger.log_start(partition)? <= offset),
        };
        let right = match target {
            Target::Beginning => position <= ledger.log_start(partition)?,
            Target::End => position >= end,
            Target::Offset(offset) => position == offset,
        };
        if !right {
            let bounds = ledger.bounds();
            return Err(format!(
                "{topic}, partition {partition}: sought {target:?}, and is at {position} ({bounds})"
            ));
        }
        let checker = self.checker(topic)?;
        // What was lost before the seek and not told yet comes with the next batch, and then
        // does not say what was lost after it.
        let told_all = ledger.plan.gated() || checker.next(partition) == Some(before);
        checker.begin(partition, from, retained && told_all);
        Ok(())
    }

    /// Pauses a partition, or resumes the one that is paused. One at a time: a paused partition
    /// holds back its producers.
    pub(crate) fn pause_or_resume(&mut self, consumer: &mut Consumer) -> Result<(), Wrong> {
        if let Some(there) = self.paused.take() {
            told(consumer.resume(&there.topic, there.partition))?;
            self.checker(&there.topic)?.pause(there.partition, false);
            return Ok(());
        }
        let mut assignment = consumer.assignment();
        let some = self.dice.below(assignment.len() as u64) as usize;
        if some < assignment.len() {
            let there = assignment.swap_remove(some);
            told(consumer.pause(&there.topic, there.partition))?;
            self.checker(&there.topic)?.pause(there.partition, true);
            self.tally.pauses += 1;
            self.paused = Some(there);
        }
        Ok(())
    }
}
