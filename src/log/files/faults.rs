//! What has gone wrong with the files of a storage.

use crate::error::StorageError;
use crate::events::event;
use crate::sync::lock_std;
use std::sync::Mutex;

/// The most errors that are remembered.
const MAX_FAULTS: usize = 100;

/// The errors since a storage was opened.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<StorageError>>);

impl Faults {
    /// Remembers an error, unless it is remembered already.
    pub(crate) fn report(&self, error: StorageError) {
        let mut faults = lock_std(&self.0);
        if faults.len() >= MAX_FAULTS || faults.contains(&error) {
            return;
        }
        faults.push(error.clone());
        drop(faults);
        event!(error, "storage fault", error = error.to_string().as_str());
    }

    pub(crate) fn all(&self) -> Vec<StorageError> {
        lock_std(&self.0).clone()
    }
}
