//! Why a call on durable topics or their files failed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a call on a [`Storage`](crate::Storage), or on the files of a durable topic, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// An operation on a file or directory failed.
    #[error("{path}: {operation} failed: {message}", path = path.display())]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kind of the system's error.
        kind: io::ErrorKind,
        /// The system's error.
        message: String,
    },
    /// Another storage has the directory open, in this process or another.
    #[error("{dir} is in use by another storage, of this process or another", dir = dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A file was written by a newer version of ringlog, and cannot be read by this one.
    #[error(
        "{path} has format {found}, but this version reads formats up to {supported}",
        path = path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The oldest format that its reader must know.
        found: u16,
        /// The newest format that this version knows.
        supported: u16,
    },
    /// What a file holds is not what was written there.
    #[error("{path}, byte {position}: {reason}; offsets {from} to {to} cannot be read",
        path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes.
        position: u64,
        /// The first offset that cannot be read.
        from: u64,
        /// The offset after the last one that cannot be read.
        to: u64,
        /// What is wrong.
        reason: String,
    },
    /// The storage's directory already has a topic of this name, which no broker has attached.
    #[error(
        "{dir} already has a topic named {name:?}: attach the storage to the broker first",
        dir = dir.display()
    )]
    NotAttached {
        /// The topic.
        name: String,
        /// The storage's directory.
        dir: PathBuf,
    },
    /// The topic is not durable.
    #[error("topic {topic:?} is in memory only")]
    NotDurable {
        /// The topic.
        topic: Arc<str>,
    },
    /// The topic has no such partition.
    #[error("topic {topic:?} has no partition {partition}: it has {partitions} partitions")]
    PartitionOutOfRange {
        /// The topic.
        topic: Arc<str>,
        /// The requested partition.
        partition: u32,
        /// The number of partitions that the topic has.
        partitions: u32,
    },
    /// The time was over before everything asked for was written, or durable.
    #[error(
        "topic {topic:?}, partition {partition}: written up to offset {written_end} and durable up to \
         {durable_end}, not yet up to {wanted}"
    )]
    TimedOut {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The offset before which everything was asked for.
        wanted: u64,
        /// The offset before which everything is written.
        written_end: u64,
        /// The offset before which everything is durable.
        durable_end: u64,
    },
    /// The topic was deleted: nothing more of it becomes durable.
    #[error("topic {topic:?} was deleted")]
    Deleted {
        /// The topic.
        topic: Arc<str>,
    },
    /// The storage was closed.
    #[error("the storage of {dir} is closed", dir = dir.display())]
    Closed {
        /// Its directory.
        dir: PathBuf,
    },
}

impl StorageError {
    /// An operation on `path` that failed.
    pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>, error: &io::Error) -> Self {
        StorageError::Io {
            operation,
            path: path.into(),
            kind: error.kind(),
            message: error.to_string(),
        }
    }

    /// Whether the disk is full: the operation may succeed later.
    pub fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, StorageError::Io { kind, .. } if full.contains(kind))
    }
}
