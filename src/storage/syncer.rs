//! The syncer: the thread that makes what the copier has written durable, while the copier goes on.
//!
//! It takes one group of partitions at a time, syncs their files, seals those that are full, and
//! raises each partition's durable end. Then it wakes all that wait for that. It removes what is not
//! retained too, because that syncs as well: the copier goes on meanwhile.

use super::{Durable, StorageShared, StoredCommit};
use crate::log::files::SyncJob;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// One partition's part of a sync.
pub(super) struct SyncItem {
    pub(super) job: SyncJob,
    pub(super) durable: Arc<Durable>,
}

/// What the copier hands to the syncer at once.
pub(super) struct SyncRequest {
    pub(super) items: Vec<SyncItem>,
    /// The groups' commits, if they have changed.
    pub(super) commits: Option<Vec<StoredCommit>>,
    /// The partitions whose files retention is to be applied to.
    pub(super) retained: Vec<Arc<Durable>>,
}

/// Ends with the syncer, also by a panic.
struct Ending<'s>(&'s StorageShared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The copier finds out at its next sync, and stops.
            self.0.end_sync();
        } else {
            // The copier has ended before.
            self.0.leave_directory();
        }
    }
}

/// Runs until the copier has ended.
pub(super) fn run(shared: &StorageShared, syncs: &Receiver<SyncRequest>) {
    let _ending = Ending(shared);
    while let Ok(request) = syncs.recv() {
        let SyncRequest {
            items,
            commits,
            retained,
        } = request;
        for SyncItem { job, durable } in items {
            // A stopped partition is never synced again: what failed might seem to succeed.
            if durable.files.is_stopped() {
                continue;
            }
            match job.run() {
                Ok(_) => durable.readers.notify(),
                Err(error) => shared.stop(&durable, error),
            }
        }
        // After the records: a commit that is stored is of records that are.
        if let Some(commits) = commits {
            shared.store_commits(commits);
        }
        for durable in retained {
            match durable.apply_retention_now() {
                // Not of a topic that was deleted meanwhile.
                Err(error) if !durable.files.is_stopped() => shared.report(error),
                _ => {}
            }
        }
        shared.end_sync();
    }
}
