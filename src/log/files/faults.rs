//! What has gone wrong with the files of a storage.

use crate::error::StorageError;
use crate::events::event;
use crate::log::waiting_readers::WaitingReaders;
use crate::sync::lock_std;
use std::sync::Mutex;

/// The most errors that are remembered.
const MAX_FAULTS: usize = 100;

/// The errors since a storage was opened.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    errors: Mutex<Vec<StorageError>>,
    /// The readers of partitions with a file that could not be read at the last attempt.
    unread: Mutex<Vec<WaitingReaders>>,
}

impl Faults {
    /// Remembers an error, unless it is remembered already.
    pub(crate) fn report(&self, error: StorageError) {
        let mut faults = lock_std(&self.errors);
        if faults.len() >= MAX_FAULTS || faults.contains(&error) {
            return;
        }
        faults.push(error.clone());
        drop(faults);
        event!(error, "storage fault", error = error.to_string().as_str());
    }

    /// A file could not be read, for a reason that may pass without a notification: the next
    /// [`wake_unread`](Self::wake_unread) wakes the partition's readers for another attempt.
    pub(super) fn add_unread(&self, readers: &WaitingReaders) {
        let mut unread = lock_std(&self.unread);
        if !unread.iter().any(|other| other.is_same(readers)) {
            unread.push(readers.clone());
        }
    }

    /// Wakes the readers that could not read a file.
    pub(crate) fn wake_unread(&self) {
        let unread = core::mem::take(&mut *lock_std(&self.unread));
        unread.iter().for_each(WaitingReaders::notify);
    }

    pub(crate) fn all(&self) -> Vec<StorageError> {
        lock_std(&self.errors).clone()
    }
}
