//! What has gone wrong with the files of a storage.

use crate::error::StorageError;
use crate::events::event;
use crate::log::waiting_readers::WaitingReaders;
use crate::sync::lock_std;
use std::sync::{Mutex, TryLockError};

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

    /// Wakes the readers that could not read a file. If a reader is being added, or is stopped there,
    /// they are woken by the next call: the copier does not wait for a reader.
    pub(crate) fn wake_unread(&self) {
        let unread = match self.unread.try_lock() {
            Ok(mut unread) => core::mem::take(&mut *unread),
            Err(TryLockError::Poisoned(poisoned)) => core::mem::take(&mut *poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => return,
        };
        unread.iter().for_each(WaitingReaders::notify);
    }

    pub(crate) fn all(&self) -> Vec<StorageError> {
        lock_std(&self.errors).clone()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_reader_that_is_stopped_while_it_is_added_holds_up_nothing() {
        let faults = Faults::default();
        faults.add_unread(&WaitingReaders::new(true));
        std::thread::scope(|scope| {
            let stopped = lock_std(&faults.unread);
            let (done, has_ended) = mpsc::channel();
            let faults = &faults;
            scope.spawn(move || {
                faults.wake_unread();
                done.send(())
            });
            let ended = has_ended.recv_timeout(Duration::from_secs(20));
            assert_eq!((ended, stopped.len()), (Ok(()), 1));
        });
        faults.wake_unread();
        assert!(lock_std(&faults.unread).is_empty());
    }
}
