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

/// How often a wait for records to be written looks: about as often as they are.
pub(crate) const LOOK_EACH: Duration = Duration::from_millis(1);
/// After this many looks a fault is looked for: a partition that has failed is never written.
const LOOKS_WITHOUT_FAULT: u32 = 20;

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
        AckLevel::Written => written(topic, partition, end).await,
        AckLevel::Durable => topic.wait_durable_async(partition, end).await,
    }
}

async fn written(topic: &Topic, partition: u32, end: u64) -> Result<(), StorageError> {
    let mut looks = 0u32;
    while topic.written_end(partition)? < end {
        looks = looks.wrapping_add(1);
        if looks % LOOKS_WITHOUT_FAULT == 0 {
            fault(topic, partition)?;
        }
        tokio::time::sleep(LOOK_EACH).await;
    }
    Ok(())
}

/// Why nothing more of a partition is stored, if that is so.
pub(crate) fn fault(topic: &Topic, partition: u32) -> Result<(), StorageError> {
    // No log ends there, so it fails at once: for want of time, or by what has gone wrong.
    match topic.wait_durable(partition, u64::MAX, Duration::ZERO) {
        Err(StorageError::TimedOut { .. }) | Ok(()) => Ok(()),
        failed => failed,
    }
}
