//! [`Topic`]'s calls about files: how far records are written and durable, and waiting for that.

use super::handle::Topic;
use crate::error::StorageError;
use crate::storage::{Level, Storage, WaitStoredAsync, wait_stored};
use std::time::Duration;

/// # Durable topics
///
/// A topic is durable if its broker was [opened](crate::Broker::open) on a directory, or if it was
/// [configured](crate::TopicConfig::storage) with a storage. Its records are then copied to files,
/// beside the sends:
///
/// | up to | a record survives |
/// |---|---|
/// | [`log_end_offset`](Topic::log_end_offset) | nothing: it is in memory |
/// | [`written_end`](Topic::written_end) | a crash of the process |
/// | [`durable_end`](Topic::durable_end) | a crash of the machine, or a power cut |
impl Topic {
    /// The storage that keeps the topic's records; `None` if it is in memory only.
    pub fn storage(&self) -> Option<&Storage> {
        self.inner().storage().map(|stored| stored.storage())
    }

    /// The offset before which all records of the partition are in its files: they survive a crash
    /// of the process. The copier writes what was published within about a millisecond, whatever
    /// the [`Flush`](crate::Flush) policy.
    ///
    /// # Errors
    /// [`StorageError::NotDurable`] and [`StorageError::PartitionOutOfRange`].
    pub fn written_end(&self, partition: u32) -> Result<u64, StorageError> {
        let wanted = self.inner().wanted(partition, 0)?;
        Ok(wanted.durable.files.written_end())
    }

    /// The offset before which all records of the partition are synced: they survive a power cut.
    /// It is never past [`written_end`](Self::written_end), and only grows.
    ///
    /// # Errors
    /// As [`written_end`](Self::written_end).
    pub fn durable_end(&self, partition: u32) -> Result<u64, StorageError> {
        let wanted = self.inner().wanted(partition, 0)?;
        Ok(wanted.durable.files.durable_end())
    }

    /// Why the partition's files take no more, if that is so: the error of the write or the sync that
    /// has failed, once and for all ([`OnWriteError`](crate::OnWriteError) says what becomes of the
    /// topic), [`StorageError::Closed`] or [`StorageError::Deleted`].
    ///
    /// # Errors
    /// As [`written_end`](Self::written_end).
    pub fn write_error(&self, partition: u32) -> Result<Option<StorageError>, StorageError> {
        let wanted = self.inner().wanted(partition, 0)?;
        Ok(wanted.durable.files.ends().fault)
    }

    /// Bytes of the partition's files.
    ///
    /// # Errors
    /// As [`written_end`](Self::written_end).
    pub fn file_bytes(&self, partition: u32) -> Result<u64, StorageError> {
        let wanted = self.inner().wanted(partition, 0)?;
        Ok(wanted.durable.files.bytes())
    }

    /// The topic's id, if it is durable: no other topic has it, nor one of the same name that is
    /// created later.
    pub fn id(&self) -> Option<[u8; 16]> {
        self.inner().storage().map(|stored| stored.id())
    }

    /// Waits until all records of the partition before `offset` are written to its files, at most for
    /// `timeout`: then they survive a crash of the process. For the record that a send has reported,
    /// that is `metadata.offset + 1`.
    ///
    /// They would be within about a millisecond; the copier is woken, so it takes less. Nothing is
    /// synced for it. An `offset` past the end waits for records that are not sent yet.
    ///
    /// # Errors
    /// As [`wait_durable`](Self::wait_durable).
    pub fn wait_written(
        &self,
        partition: u32,
        offset: u64,
        timeout: Duration,
    ) -> Result<(), StorageError> {
        self.wait(Level::Written, partition, offset, timeout)
    }

    /// [`wait_written`](Self::wait_written) for a task, on any executor. It has no time limit:
    /// combine it with the executor's timeout.
    pub fn wait_written_async(&self, partition: u32, offset: u64) -> WaitStoredAsync {
        self.wait_async(Level::Written, partition, offset)
    }

    /// Waits until all records of the partition before `offset` are durable, at most for `timeout`.
    /// For the record that a send has reported, that is `metadata.offset + 1`.
    ///
    /// The files are synced at once, whatever the [`Flush`](crate::Flush) policy. Calls that wait
    /// at the same time share a sync. An `offset` past the end waits for records that are not sent
    /// yet.
    ///
    /// ```
    /// # use ringlog::{Broker, Record, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = std::env::temp_dir().join(format!("ringlog-doc-{}", std::process::id()));
    /// let (broker, _) = Broker::open(&dir)?;
    /// let topic = broker.get_or_create_topic("orders", TopicConfig::new())?;
    /// let sent = topic.producer().send(Record::new("login"))?;
    /// topic.wait_durable(sent.partition, sent.offset + 1, Duration::from_secs(10))?;
    /// assert!(topic.durable_end(0)? > sent.offset);
    /// # drop((topic, broker));
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StorageError::TimedOut`]; [`StorageError::Io`] if writing or syncing the partition has
    /// failed, once and for all; [`StorageError::Closed`] if the storage was closed before;
    /// [`StorageError::Deleted`] if the topic was deleted; otherwise as [`written_end`](Self::written_end).
    pub fn wait_durable(
        &self,
        partition: u32,
        offset: u64,
        timeout: Duration,
    ) -> Result<(), StorageError> {
        self.wait(Level::Durable, partition, offset, timeout)
    }

    /// [`wait_durable`](Self::wait_durable) for a task, on any executor. It has no time limit:
    /// combine it with the executor's timeout.
    pub fn wait_durable_async(&self, partition: u32, offset: u64) -> WaitStoredAsync {
        self.wait_async(Level::Durable, partition, offset)
    }

    /// Waits until everything is durable that was sent before the call, in all partitions, at most
    /// for `timeout`.
    ///
    /// # Errors
    /// As [`wait_durable`](Self::wait_durable).
    pub fn flush(&self, timeout: Duration) -> Result<(), StorageError> {
        wait_stored(self.inner().wanted_now()?, Level::Durable, timeout)
    }

    /// [`flush`](Self::flush) for a task, without a time limit.
    pub fn flush_async(&self) -> WaitStoredAsync {
        WaitStoredAsync::new(self.inner().wanted_now(), Level::Durable)
    }

    fn wait(
        &self,
        level: Level,
        partition: u32,
        offset: u64,
        timeout: Duration,
    ) -> Result<(), StorageError> {
        let wanted = self.inner().wanted(partition, offset)?;
        wait_stored(vec![wanted], level, timeout)
    }

    fn wait_async(&self, level: Level, partition: u32, offset: u64) -> WaitStoredAsync {
        let wanted = self.inner().wanted(partition, offset);
        WaitStoredAsync::new(wanted.map(|one| vec![one]), level)
    }
}
