//! The copier: one thread that appends the published frames of all durable partitions to their
//! files, and says when they are synced.
//!
//! For each partition it is one more reader (`log/cursor/copy.rs`): it copies frames out of the
//! ring as chunks, and appends them. Under `Backpressure` its hold is a gate, which moves on only
//! when what is behind it is in the files. Under `DropOldest` it may be overtaken; then the files
//! record which offsets they miss.
//!
//! # When it runs
//!
//! Sends do not know of it: a producer that would wake it at each send would pay for that. While
//! records come, it looks once a [`TICK`], and at once again after it has copied much. When none
//! have come for [`IDLE_AFTER`], it enrols as a waiting reader in all its partitions, so that the
//! next send wakes it, once. A call that waits for a sync wakes it too.
//!
//! # Who does what
//!
//! | step | thread | may fail by |
//! |---|---|---|
//! | copy, append, roll to the next file | copier | a full disk, or too many open files: it waits and tries again. Another error: the partition stops |
//! | sync, seal | syncer (`syncer.rs`) | any error: the partition stops |
//! | retention | syncer | an error is reported, and tried again a second later |
//!
//! While a sync runs the copier goes on: the chunks that it appends meanwhile begin on pages of
//! their own, and belong to the next sync. One sync is under way at a time, for all partitions:
//! every call that waits meanwhile shares the next one (group commit).

use super::config::{DiskFull, Flush};
use super::syncer::{SyncItem, SyncRequest};
use super::{Durable, StorageShared, StoredCommit};
use crate::error::StorageError;
use crate::events::event;
use crate::log::cursor::Cursor;
use crate::log::files::ChunkBuffer;
use crate::log::partition::Partition;
use crate::log::segment_pool::SpareSegment;
use crate::wait::{EventCount, Waiter};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

/// How often the copier looks for records while they come: short beside the default time to a
/// sync, and long beside the microseconds of a wake-up.
const TICK: Duration = Duration::from_millis(1);

/// After this much time without a record the copier waits to be woken.
const IDLE_AFTER: Duration = Duration::from_millis(50);

/// About the most data of a chunk, in bytes: it fits the second-level cache, where it is summed
/// and handed to the system after it was copied.
const CHUNK_BYTES: usize = 256 << 10;

/// About the most that is copied of one partition before the next one has its turn, in bytes.
const TURN_BYTES: usize = 2 << 20;

/// After a round that has copied this much the next one follows at once, in bytes.
const BUSY_BYTES: usize = 64 << 10;

/// How long the copier waits before it tries to write to a full disk again, or to create a file after
/// too many were open.
const FULL_RETRY: Duration = Duration::from_millis(100);

/// How often retention is applied, and the groups' commits are looked at when nothing happens.
const UPKEEP: Duration = Duration::from_secs(1);

/// How often the groups' commits are looked at while records come, and for [`COMMITS_FOLLOW`] after
/// the last record and the last commit that has changed.
const COMMITS: Duration = Duration::from_millis(100);

/// Commits follow records, and each other: after this much time without either they are looked at
/// with the upkeep, which has the copier woken anyway.
const COMMITS_FOLLOW: Duration = Duration::from_secs(2);

/// One partition that is copied.
pub(crate) struct PartitionCopier {
    pub(super) durable: Arc<Durable>,
    cursor: Cursor,
    /// Stands in for the segment that the cursor pins.
    spare: SpareSegment,
    /// When to try again, after the disk was full, or too many files were open.
    full_until: Option<Instant>,
    /// Once the storage is closing: what is copied yet.
    last: Option<Last>,
}

/// What is copied before a storage is closed.
struct Last {
    /// What was sent before.
    end: u64,
    /// When something was copied last.
    copied: Instant,
}

impl PartitionCopier {
    /// Copies from the ring's first offset on. The caller has not appended to it yet.
    pub(crate) fn new(partition: &Arc<Partition>, durable: Arc<Durable>) -> PartitionCopier {
        PartitionCopier {
            durable,
            spare: partition.pool().spare(),
            cursor: Cursor::join_copier(partition),
            full_until: None,
            last: None,
        }
    }

    /// Copies nothing more, because of this, which is no error.
    pub(super) fn end(mut self, reason: &StorageError) {
        self.durable.end(reason.clone());
        self.cursor.unpin();
        self.durable.park(self.cursor, self.spare);
    }

    /// Whether nothing more is copied of what was sent before the storage was closed.
    fn is_done(&self) -> bool {
        let is_done = |last: &Last| {
            // What is sent at that moment may be published a little later than what follows it.
            self.cursor.position() >= last.end || last.copied.elapsed() >= IDLE_AFTER
        };
        self.last.as_ref().is_some_and(is_done)
    }

    fn partition(&self) -> &Arc<Partition> {
        self.cursor.partition()
    }

    fn waiting_for_records(&self) -> &Arc<EventCount> {
        self.partition().readers().waiting().for_records()
    }

    /// Copies what is published, at most about [`TURN_BYTES`]. Returns how many bytes.
    pub(super) fn copy(&mut self, buffer: &mut ChunkBuffer) -> Result<usize, StorageError> {
        let mut copied = 0;
        let copied_all = loop {
            if copied >= TURN_BYTES {
                break Ok(());
            }
            match self.copy_one(buffer) {
                Ok(0) => break Ok(()),
                Ok(bytes) => copied += bytes,
                Err(error) => break Err(error),
            }
        };
        // Also after an error: before it, a gap may have been written.
        if copied > 0 || copied_all.is_err() {
            // Readers that were overtaken before their offsets were in the files.
            self.partition().readers().waiting().notify();
            self.durable.storage.written.notify();
        }
        copied_all.map(|()| copied)
    }

    /// Copies one chunk. Returns its bytes; 0 if nothing is published.
    fn copy_one(&mut self, buffer: &mut ChunkBuffer) -> Result<usize, StorageError> {
        let files = &self.durable.files;
        let run = loop {
            match self.cursor.peek_frames(CHUNK_BYTES) {
                Ok(Some(run)) => break run,
                Ok(None) => return Ok(0),
                Err(_overtaken) => self.cursor.skip_overwritten(),
            }
        };
        let first = self.cursor.position();
        if first > files.written_end() {
            files.append_gap(first)?;
        }
        let (descriptors, data) = buffer.begin(first, run.slots, run.bytes);
        let latest = self.cursor.copy_frames(&run, descriptors, data);
        buffer.set_latest_time(latest);
        files.append(buffer)?;
        self.cursor.pass(&run);
        Ok(run.slots as usize * 8 + run.bytes)
    }

    /// Makes room on a full disk by the oldest file. Returns whether there was one to give up.
    fn forget_oldest(&self) -> bool {
        self.durable.files.remove_oldest().unwrap_or(false)
    }
}

/// Whether the same may succeed later: the disk is full, or too many files are open.
fn may_pass(error: &StorageError) -> bool {
    let is_busy = |kind: &ErrorKind| *kind == ErrorKind::ResourceBusy;
    error.is_full() || matches!(error, StorageError::Io { kind, .. } if is_busy(kind))
}

/// The copier's thread.
pub(super) struct Copier {
    shared: Arc<StorageShared>,
    partitions: Vec<PartitionCopier>,
    buffer: ChunkBuffer,
    syncs: SyncSender<SyncRequest>,
    waiter: Waiter,
    /// Bytes that were written since the last sync began.
    unsynced_bytes: u64,
    /// When the first of them was.
    unsynced_since: Option<Instant>,
    last_copied: Instant,
    last_upkeep: Instant,
    /// When the commits were looked at.
    last_commits: Instant,
    /// When they were found changed.
    commits_changed: Instant,
}

impl Copier {
    pub(super) fn new(shared: Arc<StorageShared>, syncs: SyncSender<SyncRequest>) -> Copier {
        let now = Instant::now();
        Copier {
            shared,
            partitions: Vec::new(),
            buffer: ChunkBuffer::new(),
            syncs,
            waiter: Waiter::default(),
            unsynced_bytes: 0,
            unsynced_since: None,
            last_copied: now,
            last_upkeep: now,
            last_commits: now,
            commits_changed: now,
        }
    }

    /// Runs until the storage is closed. What was published by then is written, and synced unless
    /// the policy is [`Flush::Never`].
    pub(super) fn run(mut self) {
        loop {
            let closing = self.take_changes();
            let copied = self.copy_round();
            if closing && self.partitions.iter().all(PartitionCopier::is_done) {
                return self.end();
            }
            self.upkeep();
            self.sync_if_due();
            if copied >= BUSY_BYTES {
                continue;
            }
            self.rest();
        }
    }

    /// Takes in new partitions, and drops stopped ones. Returns whether the storage is
    /// closing.
    fn take_changes(&mut self) -> bool {
        let (added, closing) = self.shared.take_changes();
        if !added.is_empty() {
            // What was recovered may not be synced.
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
        self.partitions.extend(added);
        self.partitions
            .retain(|one| !one.durable.files.is_stopped());
        if closing {
            for one in &mut self.partitions {
                one.last.get_or_insert_with(|| Last {
                    end: one.cursor.partition().log_end_offset(),
                    copied: Instant::now(),
                });
            }
        }
        closing
    }

    /// Copies what is published in every partition. Returns how many bytes.
    fn copy_round(&mut self) -> usize {
        let now = Instant::now();
        let mut all = 0;
        for one in &mut self.partitions {
            if one.full_until.is_some_and(|until| now < until) {
                continue;
            }
            one.full_until = None;
            match one.copy(&mut self.buffer) {
                Ok(copied) => {
                    all += copied;
                    if let Some(last) = one.last.as_mut().filter(|_| copied > 0) {
                        last.copied = now;
                    }
                }
                Err(error) if may_pass(&error) => {
                    let forgets = self.shared.config.disk_full == DiskFull::ForgetOldest;
                    if !(error.is_full() && forgets && one.forget_oldest()) {
                        one.full_until = Some(now + FULL_RETRY);
                        self.shared.report(error);
                    }
                }
                Err(error) => self.shared.stop(&one.durable, error),
            }
        }
        if all > 0 {
            self.last_copied = now;
            self.unsynced_bytes += all as u64;
            self.unsynced_since.get_or_insert(now);
        }
        all
    }

    // ---- syncing ------------------------------------------------------------------------

    /// When the next sync is due, as far as is known; `None` if nothing makes one due.
    fn sync_due(&self) -> Option<Instant> {
        let since = self.unsynced_since?;
        if self.shared.is_sync_wanted() {
            return Some(since);
        }
        match self.shared.config.flush {
            Flush::Within { bytes, .. } if self.unsynced_bytes >= bytes => Some(since),
            Flush::Within { time, .. } => since.checked_add(time),
            Flush::OnSeal => self
                .partitions
                .iter()
                .any(|one| one.durable.files.has_full_file())
                .then_some(since),
            Flush::Manual | Flush::Never => None,
        }
    }

    fn sync_if_due(&mut self) {
        if self.sync_due().is_some_and(|due| due <= Instant::now()) {
            self.begin_sync(None);
        }
    }

    /// Hands what is written to the syncer, unless it is still busy.
    fn begin_sync(&mut self, commits: Option<Vec<StoredCommit>>) {
        if !self.shared.begin_sync() {
            return;
        }
        let items = self.partitions.iter().filter_map(|one| {
            Some(SyncItem {
                job: one.durable.files.begin_sync()?,
                durable: one.durable.clone(),
            })
        });
        let items: Vec<_> = items.collect();
        self.unsynced_bytes = 0;
        self.unsynced_since = None;
        self.request(SyncRequest {
            items,
            commits,
            retained: Vec::new(),
        });
    }

    /// Hands to the syncer what was begun.
    fn request(&mut self, request: SyncRequest) {
        // The syncer has ended the one before, so this does not wait.
        if self.syncs.send(request).is_err() {
            self.shared.end_sync();
            let error = std::io::Error::other("the syncer has panicked");
            self.stop_all(&StorageError::io(
                "syncing",
                self.shared.config.dir.clone(),
                &error,
            ));
        }
    }

    /// Nothing is written any more.
    fn stop_all(&mut self, error: &StorageError) {
        for one in self.partitions.drain(..) {
            self.shared.stop(&one.durable, error.clone());
        }
    }

    /// The last sync, and the end of the syncer.
    fn end(mut self) {
        if let Some(commits) = self.shared.changed_commits() {
            self.shared.store_commits(commits);
        }
        if self.shared.config.flush != Flush::Never || self.shared.is_sync_wanted() {
            self.shared.wait_for_syncer();
            self.begin_sync(None);
            self.shared.wait_for_syncer();
        }
    }

    // ---- upkeep -------------------------------------------------------------------------

    /// Retention, the groups' commits, and readers that could not read a file.
    fn upkeep(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.last_commits) >= COMMITS {
            self.last_commits = now;
            if !self.shared.is_syncing() {
                if let Some(commits) = self.shared.changed_commits() {
                    self.commits_changed = now;
                    self.begin_sync(Some(commits));
                }
            }
        }
        if now.duration_since(self.last_upkeep) < UPKEEP {
            return;
        }
        self.shared.faults.wake_unread();
        let durable = self.partitions.iter().map(|one| &one.durable);
        let retained: Vec<_> = durable.filter(|one| one.is_retained()).cloned().collect();
        if retained.is_empty() {
            self.last_upkeep = now;
        } else if self.shared.begin_sync() {
            self.last_upkeep = now;
            self.request(SyncRequest {
                items: Vec::new(),
                commits: None,
                retained,
            });
        }
    }

    // ---- waiting ------------------------------------------------------------------------

    /// Waits for the next tick, or for a record if none has come for some time.
    fn rest(&mut self) {
        let wake = self.shared.wake.clone();
        let idle = self.last_copied.elapsed() >= IDLE_AFTER;
        // Until the next sync is due; and while partitions are retained by time, until the upkeep.
        let mut longest = match self.sync_due() {
            Some(due) if !self.shared.is_syncing() => due.saturating_duration_since(Instant::now()),
            _ => UPKEEP,
        };
        let changed = self.last_copied.max(self.commits_changed);
        if changed.elapsed() < COMMITS_FOLLOW {
            longest = longest.min(COMMITS);
        }
        if !idle {
            longest = longest.min(TICK);
        }
        if longest.is_zero() {
            return;
        }
        if !idle {
            // Enrolling would fence every core (`wait/asymmetric_fence.rs`): at each tick, producers
            // would notice.
            return self.shared.wait_for_changes(longest);
        }
        let records = self.partitions.iter();
        let records = records.map(PartitionCopier::waiting_for_records);
        self.waiter
            .enrol_thread(std::iter::once(&wake).chain(records));
        // What came before the enrolment (P15).
        if self.shared.has_changes() || self.copy_round() > 0 {
            self.waiter.withdraw();
            return;
        }
        self.waiter.sleep(longest, true);
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        event!(debug, "copier ended", partitions = self.partitions.len());
        self.partitions.extend(self.shared.refuse_partitions());
        // A panic must not leave waiting calls behind, nor a topic that seems to be copied.
        if std::thread::panicking() {
            let error = std::io::Error::other("the copier has panicked");
            let dir = self.shared.config.dir.clone();
            return self.stop_all(&StorageError::io("copying", dir, &error));
        }
        let closed = self.shared.closed();
        for one in self.partitions.drain(..) {
            one.end(&closed);
        }
    }
}
