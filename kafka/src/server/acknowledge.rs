//! When a batch is acknowledged: in memory, written to its file, or synced.

use ringlog::{StorageError, Topic};
use std::str::FromStr;
use std::time::Duration;

/// How far a batch in a durable topic is stored before it is acknowledged. Topics in memory have
/// one level alone: [`Memory`](Self::Memory).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AckLevel {
    /// It is appended. It is written to a file about a millisecond later: a crash of the process
    /// before that loses it.
    Memory,
    /// It is in a file: it survives a crash of the process.
    Written,
    /// Its file is synced: it survives a power cut. Batches that wait at the same time share a sync.
    Durable,
}

impl FromStr for AckLevel {
    type Err = String;

    fn from_str(name: &str) -> Result<AckLevel, String> {
        match name {
            "memory" => Ok(AckLevel::Memory),
            "written" => Ok(AckLevel::Written),
            "durable" => Ok(AckLevel::Durable),
            other => Err(format!("{other:?} is none of memory, written and durable")),
        }
    }
}

/// Waits until all records of the partition before `end` are stored as this level says.
pub(crate) async fn stored(
    topic: &Topic,
    partition: u32,
    end: u64,
    level: AckLevel,
) -> Result<(), StorageError> {
    if topic.storage().is_none() {
        return Ok(());
    }
    match level {
        AckLevel::Memory => Ok(()),
        AckLevel::Written => topic.wait_written_async(partition, end).await,
        AckLevel::Durable => topic.wait_durable_async(partition, end).await,
    }
}

/// Why nothing more of a partition is stored, if that is so.
pub(crate) fn fault(topic: &Topic, partition: u32) -> Result<(), StorageError> {
    // No log ends there, so it fails at once: for want of time, or by what has gone wrong.
    match topic.wait_durable(partition, u64::MAX, Duration::ZERO) {
        Err(StorageError::TimedOut { .. }) | Ok(()) => Ok(()),
        failed => failed,
    }
}
