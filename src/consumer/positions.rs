//! A consumer's positions in its own partitions: seeking, lag and lead, pausing.

use super::Consumer;
use crate::error::ConsumeError;
use crate::log::cursor::Cursor;
use crate::log::time_lookup::{self, TimeLookup};
use crate::record::check_timestamp;
use crate::topic::TopicPartition;

impl Consumer {
    /// The index of this partition among the assigned ones. Errors: `NotAssigned`.
    pub(super) fn index_of(&self, partition: &TopicPartition) -> Result<usize, ConsumeError> {
        let mut assigned = self.assigned.iter();
        assigned
            .position(|a| a.is_of(partition))
            .ok_or_else(|| ConsumeError::NotAssigned {
                topic: partition.topic.as_ref().to_owned(),
                partition: partition.partition,
            })
    }

    /// Continues at `offset` in this partition.
    ///
    /// The next poll deals with an offset outside what is retained, as
    /// [`offset_reset`](crate::ConsumerConfig::offset_reset) says. An offset that is retained now
    /// will be read under `Backpressure`. Under `DropOldest` it may be gone by the next poll, and
    /// then counts as lost.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`] if the consumer does not read this partition.
    pub fn seek(
        &mut self,
        partition: impl Into<TopicPartition>,
        offset: u64,
    ) -> Result<(), ConsumeError> {
        let i = self.index_of(&partition.into())?;
        self.seek_to(i, offset, Cursor::seek);
        Ok(())
    }

    /// Continues at the first offset that this partition retains now.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`] if the consumer does not read this partition.
    pub fn seek_to_beginning(
        &mut self,
        partition: impl Into<TopicPartition>,
    ) -> Result<(), ConsumeError> {
        let i = self.index_of(&partition.into())?;
        if let Some(owned) = &mut self.assigned[i].owned {
            owned.hold_all();
        }
        self.move_cursor(i, Cursor::go_to_start);
        Ok(())
    }

    /// Continues past the last offset that this partition has now.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`] if the consumer does not read this partition.
    pub fn seek_to_end(
        &mut self,
        partition: impl Into<TopicPartition>,
    ) -> Result<(), ConsumeError> {
        let i = self.index_of(&partition.into())?;
        self.move_cursor(i, Cursor::go_to_end);
        Ok(())
    }

    /// Continues at the first record with a timestamp at or after `time`, in milliseconds since
    /// 1970 UTC. Returns the new position.
    ///
    /// If there is no such record, the consumer continues where the records that can be read now
    /// end. The search is that of [`offsets_for_times`](Self::offsets_for_times).
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`] if the consumer does not read this partition;
    /// [`ConsumeError::InvalidTimestamp`] for a time below zero.
    pub fn seek_to_time(
        &mut self,
        partition: impl Into<TopicPartition>,
        time: i64,
    ) -> Result<u64, ConsumeError> {
        let i = self.index_of(&partition.into())?;
        let log = self.assigned[i].cursor.partition();
        let offset = match time_lookup::find(log, check_timestamp::<ConsumeError>(time)?) {
            TimeLookup::Found(found) => found.offset,
            TimeLookup::NotFound { end } => end,
        };
        // The offset was retained, or the end: what is dropped before the next poll counts as lost.
        self.seek_to(i, offset, Cursor::resume_at);
        Ok(offset)
    }

    /// Sends partition `i`'s cursor to an offset, which the next poll finds.
    fn seek_to(&mut self, i: usize, offset: u64, seek: impl FnOnce(&mut Cursor, u64)) {
        let assigned = &mut self.assigned[i];
        if let Some(owned) = &mut assigned.owned {
            owned.hold_also_from(offset);
        }
        seek(&mut assigned.cursor, offset);
        self.has_sought(i);
    }

    /// Moves partition `i`'s cursor at once, which may pin a segment.
    fn move_cursor(&mut self, i: usize, go: impl FnOnce(&mut Cursor)) {
        self.pin_only(i);
        let assigned = &mut self.assigned[i];
        go(&mut assigned.cursor);
        self.has_sought(i);
    }

    /// With auto-commit, the next poll commits the new position too.
    fn has_sought(&mut self, i: usize) {
        self.assigned[i].has_sought();
        if let Some(member) = &mut self.member {
            member.positions_changed();
        }
    }

    /// The position: the next offset that this consumer reads in this partition.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`] if the consumer does not read this partition.
    pub fn position(&self, partition: impl Into<TopicPartition>) -> Result<u64, ConsumeError> {
        let i = self.index_of(&partition.into())?;
        Ok(self.assigned[i].cursor.position())
    }

    /// Offsets that this partition retains from the position on (Kafka's `records-lag`):
    /// `log_end_offset - max(position, log_start_offset)`. Zero for a position past the end.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`] if the consumer does not read this partition.
    pub fn lag(&self, partition: impl Into<TopicPartition>) -> Result<u64, ConsumeError> {
        let i = self.index_of(&partition.into())?;
        let assigned = &self.assigned[i];
        let position = assigned.cursor.position();
        Ok(assigned.cursor.partition().extent().lag(position))
    }

    /// Offsets that this partition retains before the position: `position - log_start_offset`
    /// (Kafka's `records-lead`).
    ///
    /// Under `DropOldest` a lead near zero means that the consumer is about to lose records. Zero
    /// for a consumer that was overtaken.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`] if the consumer does not read this partition.
    pub fn lead(&self, partition: impl Into<TopicPartition>) -> Result<u64, ConsumeError> {
        let i = self.index_of(&partition.into())?;
        let assigned = &self.assigned[i];
        let position = assigned.cursor.position();
        Ok(assigned.cursor.partition().extent().lead(position))
    }

    /// Stops reading this partition until [`resume`](Self::resume). It stays assigned, and under
    /// `Backpressure` still holds back its producers.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`] if the consumer does not read this partition.
    pub fn pause(&mut self, partition: impl Into<TopicPartition>) -> Result<(), ConsumeError> {
        let i = self.index_of(&partition.into())?;
        self.assigned[i].set_paused(true);
        Ok(())
    }

    /// Reads a paused partition again, from its position on.
    ///
    /// # Errors
    /// [`ConsumeError::NotAssigned`] if the consumer does not read this partition.
    pub fn resume(&mut self, partition: impl Into<TopicPartition>) -> Result<(), ConsumeError> {
        let i = self.index_of(&partition.into())?;
        self.assigned[i].set_paused(false);
        Ok(())
    }
}
