//! Where a consumer is, and where it might be: seeking, and asking about partitions.

use super::Consumer;
use crate::error::ConsumeError;
use crate::log::cursor::Cursor;
use crate::log::time_lookup::{self, TimeLookup};
use crate::record::check_timestamp;

impl Consumer {
    pub(crate) fn position_of(&self, topic: &str, partition: u32) -> Result<usize, ConsumeError> {
        let mut assigned = self.assigned.iter();
        assigned
            .position(|a| a.is(topic, partition))
            .ok_or_else(|| ConsumeError::NotAssigned {
                topic: topic.to_owned(),
                partition,
            })
    }

    /// Reads on from `offset` in this partition. An offset outside what is retained shows at
    /// the next poll, by the [`OffsetReset`](crate::OffsetReset) policy. One that is retained now is read under
    /// `Backpressure`; under `DropOldest` it may be gone by the next poll, and then counts as
    /// lost.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn seek(&mut self, topic: &str, partition: u32, offset: u64) -> Result<(), ConsumeError> {
        self.seek_by(topic, partition, offset, Cursor::seek)
    }

    fn seek_by(
        &mut self,
        topic: &str,
        partition: u32,
        offset: u64,
        go: impl FnOnce(&mut Cursor, u64),
    ) -> Result<(), ConsumeError> {
        let i = self.position_of(topic, partition)?;
        let assigned = &mut self.assigned[i];
        if let Some(owned) = &mut assigned.owned {
            owned.hold_back_to(offset);
        }
        go(&mut assigned.cursor, offset);
        assigned.positioned = true;
        assigned.closed_reported = false;
        Ok(())
    }

    /// Reads on from the first record that this partition retains now.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn seek_to_beginning(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        let i = self.position_of(topic, partition)?;
        if let Some(owned) = &mut self.assigned[i].owned {
            owned.hold_all();
        }
        self.seek_with(topic, partition, Cursor::go_to_start)
    }

    /// Reads on past the last record that this partition has now.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn seek_to_end(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        self.seek_with(topic, partition, Cursor::go_to_end)
    }

    /// Reads on from the first record of `time` or later, in milliseconds since 1970 UTC; when
    /// there is none, from where the records that can be read now end. Answers the position. What
    /// is found is what [`offsets_for_times`](Self::offsets_for_times) finds.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`]; [`ConsumeError::InvalidTimestamp`] for a time below zero.
    pub fn seek_to_time(
        &mut self,
        topic: &str,
        partition: u32,
        time: i64,
    ) -> Result<u64, ConsumeError> {
        let i = self.position_of(topic, partition)?;
        let log = self.assigned[i].cursor.partition();
        let offset = match time_lookup::find(log, check_timestamp(time)?) {
            TimeLookup::Found(found) => found.offset,
            TimeLookup::NotFound { end } => end,
        };
        // It was retained, or the end: what goes by before the next poll counts as lost.
        self.seek_by(topic, partition, offset, Cursor::resume_at)?;
        Ok(offset)
    }

    fn seek_with(
        &mut self,
        topic: &str,
        partition: u32,
        go: impl FnOnce(&mut Cursor),
    ) -> Result<(), ConsumeError> {
        let i = self.position_of(topic, partition)?;
        self.pin_only(i);
        let assigned = &mut self.assigned[i];
        go(&mut assigned.cursor);
        assigned.positioned = true;
        assigned.closed_reported = false;
        Ok(())
    }

    /// The next offset that this consumer reads in this partition.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn position(&self, topic: &str, partition: u32) -> Result<u64, ConsumeError> {
        let i = self.position_of(topic, partition)?;
        Ok(self.assigned[i].cursor.position())
    }

    /// How many offsets this partition has from the position on: `log_end_offset - position`.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn lag(&self, topic: &str, partition: u32) -> Result<u64, ConsumeError> {
        let i = self.position_of(topic, partition)?;
        let assigned = &self.assigned[i];
        let log = assigned.cursor.partition();
        let end = log.log_end_offset();
        Ok(end.saturating_sub(assigned.cursor.position()))
    }

    /// How many offsets this partition retains before the position: `position - log_start_offset`
    /// (Kafka's `records-lead`). Under `DropOldest` a lead near zero says that the consumer is
    /// about to lose records; one that was overtaken has none.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn lead(&self, topic: &str, partition: u32) -> Result<u64, ConsumeError> {
        let i = self.position_of(topic, partition)?;
        let assigned = &self.assigned[i];
        let log = assigned.cursor.partition();
        let start = log.log_start_offset();
        Ok(assigned.cursor.position().saturating_sub(start))
    }

    /// Does not read this partition until [`resume`](Self::resume). It stays assigned, and
    /// under `Backpressure` still holds back its producers.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn pause(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        let i = self.position_of(topic, partition)?;
        self.assigned[i].paused = true;
        Ok(())
    }

    /// Reads this partition again.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`].
    pub fn resume(&mut self, topic: &str, partition: u32) -> Result<(), ConsumeError> {
        let i = self.position_of(topic, partition)?;
        self.assigned[i].paused = false;
        Ok(())
    }
}
