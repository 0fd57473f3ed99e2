//! What the server keeps beside the records: values by their keys, which outlive the process.
//!
//! It is a journal: a durable topic of its own, in a storage of its own below the directory of the
//! broker's. A record is a change: a key with its new value, or a tombstone. Changes that belong
//! together are one frame, so a crash leaves all of them or none. All values are in memory as well,
//! and are read from the journal when the store is opened.
//!
//! When the journal is several times as long as what it holds, all values are appended again, and
//! what is before them is deleted ([`Store::compact`]).
//!
//! | first byte of a key | what it keeps |
//! |---|---|
//! | `c` | the cluster's id |
//! | `i` | up to where producer ids may have been given |
//! | `b` | the broker's configuration, as it was altered (`broker_settings.rs`) |
//! | `t`, `n` | a topic's settings, by its id; by its name while it is being created |
//! | `u` | a user's credentials |
//! | `g`, `m`, `o` | a group, its members, its offsets (`group/stored/`) |
//! | `l`, `e` | the leader epoch; the epochs of a partition (`epochs.rs`) |
//! | `w`, `p` | up to where a partition's idempotent producers are known, and these (`windows.rs`) |

mod broker_settings;
mod codec;
pub(crate) mod epochs;
pub(crate) mod ids;
pub(crate) mod settings;
pub(crate) mod users;
pub(crate) mod windows;

pub(crate) use codec::{Reader, Writer};

use super::acknowledge::{AckLevel, stored};
use ringlog::{
    Broker, ConsumeError, ConsumerConfig, Flush, OffsetReset, Record, SendError, SharedProducer,
    Storage, StorageError, Topic, TopicConfig, TopicError,
};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{debug, warn};

/// The journal's topic.
const TOPIC: &str = "journal";
/// The journal's files: small, since most of it is deleted again.
const FILE_BYTES: u64 = 4 << 20;
/// A change is synced within this time: commits need not survive a power cut sooner.
const SYNC_WITHIN: Duration = Duration::from_millis(50);
const SEGMENT_BYTES: usize = 4 << 20;
const SEGMENT_RECORDS: u32 = 64 << 10;
/// A shorter journal is not compacted.
const COMPACT_FROM: u64 = 8 << 20;
/// A journal is compacted when it is this many times as long as what it holds.
const COMPACT_TIMES: u64 = 4;
/// About how many bytes of values are appended again at once: far less than the journal's ring holds.
const COMPACT_STEP: usize = 1 << 20;
/// How long opening may wait for what is in the journal's files.
const READ_LIMIT: Duration = Duration::from_secs(60);
/// How long a change that must be durable at once may take.
const SYNC_LIMIT: Duration = Duration::from_secs(30);

/// A change: the new value, or none.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Why the store could not be opened, or take a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The files cannot be read, written or synced; or another server has the directory open.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The journal cannot be created or opened.
    #[error("{dir}: {reason}", dir = dir.display())]
    Open {
        /// Its directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The journal takes nothing: its disk is full, or a value is too large for it.
    #[error("{dir}: a change cannot be stored: {reason}", dir = dir.display())]
    Refused {
        /// Its directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Changes that were not all appended.
struct Unappended {
    /// How many of the first were.
    appended: usize,
    error: StoreError,
}

#[derive(Debug, Default)]
struct Values {
    by_key: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes of all of them.
    live_bytes: u64,
    /// Bytes that the journal has.
    journal_bytes: u64,
    /// Changes for which the journal has had no room yet: its disk is full.
    pending: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Values {
    /// Whether the journal is to be compacted.
    fn is_long(&self) -> bool {
        self.journal_bytes >= COMPACT_FROM.max(COMPACT_TIMES * self.live_bytes)
    }

    /// Takes over a change that the journal has, or will have.
    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let key_bytes = key.len() as u64;
        let bytes = |value: &Vec<u8>| key_bytes + value.len() as u64;
        self.journal_bytes += key_bytes + value.as_ref().map_or(0, |value| value.len() as u64);
        self.live_bytes += value.as_ref().map_or(0, bytes);
        let before = match value {
            Some(value) => self.by_key.insert(key, value),
            None => self.by_key.remove(&key),
        };
        self.live_bytes -= before.as_ref().map_or(0, bytes);
    }
}

/// Values by their keys, which outlive the process.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    storage: Storage,
    topic: Topic,
    producer: SharedProducer,
    values: Mutex<Values>,
    /// When it was opened, something was damaged or cut off.
    may_have_lost_changes: bool,
    /// Wakes the task that stores what has changed, and compacts the journal (`upkeep.rs`).
    pub(crate) has_work: Notify,
    /// As if the disk were full.
    #[cfg(test)]
    is_full: std::sync::atomic::AtomicBool,
}

impl Store {
    /// The store in this directory, which is created if it is missing.
    ///
    /// It blocks while it reads the journal.
    pub(crate) fn open(dir: &Path) -> Result<Store, StoreError> {
        create_private(dir).map_err(|error| StoreError::Open {
            dir: dir.to_owned(),
            reason: error.to_string(),
        })?;
        let failed = |error: TopicError| match error {
            TopicError::Storage(error) => StoreError::Storage(error),
            other => StoreError::Open {
                dir: dir.to_owned(),
                reason: other.to_string(),
            },
        };
        let config = Storage::dir(dir)
            .file_bytes(FILE_BYTES)
            .flush(Flush::Within {
                time: SYNC_WITHIN,
                bytes: FILE_BYTES,
            });
        let storage = config.open()?;
        let broker = Broker::new();
        let report = broker.attach(&storage).map_err(failed)?;
        if report.has_damage() {
            let dir = dir.display();
            warn!(%dir, "damaged: some of what the server kept beside the records is lost");
        }
        let mut partitions = report.topics.iter().flat_map(|topic| &topic.partitions);
        let is_cut = partitions.any(|one| one.cut_bytes > 0 || !one.set_aside.is_empty());
        let may_have_lost_changes = report.has_damage() || is_cut;
        let config = TopicConfig::new()
            .segment_bytes(SEGMENT_BYTES)
            .segment_records(SEGMENT_RECORDS)
            .storage(&storage);
        let topic = broker.get_or_create_topic(TOPIC, config).map_err(failed)?;
        let values = read(&broker, &topic).map_err(|reason| StoreError::Open {
            dir: dir.to_owned(),
            reason,
        })?;
        let mut producer = topic.shared_producer();
        producer.set_max_block(Duration::ZERO);
        Ok(Store {
            dir: dir.to_owned(),
            storage,
            topic,
            producer,
            values: Mutex::new(values),
            may_have_lost_changes,
            has_work: Notify::new(),
            #[cfg(test)]
            is_full: std::sync::atomic::AtomicBool::default(),
        })
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.values().by_key.get(key).cloned()
    }

    fn is_empty(&self) -> bool {
        self.values().by_key.is_empty()
    }

    /// All keys that begin so, with their values.
    pub(crate) fn with_prefix(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let values = self.values();
        let from = values.by_key.range(prefix.to_vec()..);
        let found = from.take_while(|(key, _)| key.starts_with(prefix));
        found.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Sets values, or removes them: all of these, or none. What is as it was is left alone.
    ///
    /// They are written about a millisecond later, or when there is room on a disk that is full;
    /// [`written`](Self::written) and [`durable`](Self::durable) wait for that.
    pub(crate) fn apply(&self, mut changes: Vec<Change>) -> Result<(), StoreError> {
        let mut values = self.values();
        changes.retain(|(key, value)| values.by_key.get(key) != value.as_ref());
        if changes.iter().any(is_too_large) {
            return self.refused("it is too large");
        }
        // In their order: what came before goes first.
        let appended = match self.append_pending(&mut values) {
            Ok(()) => self.append(&changes),
            Err(error) => Err(Unappended { appended: 0, error }),
        };
        if let Err(Unappended { appended, .. }) = appended {
            values.pending.extend(changes[appended..].iter().cloned());
        }
        for (key, value) in changes {
            values.set(key, value);
        }
        if values.is_long() {
            self.has_work.notify_one();
        }
        Ok(())
    }

    fn refusal(&self, reason: impl ToString) -> StoreError {
        StoreError::Refused {
            dir: self.dir.clone(),
            reason: reason.to_string(),
        }
    }

    fn refused<T>(&self, reason: impl ToString) -> Result<T, StoreError> {
        Err(self.refusal(reason))
    }

    /// Appends the changes that have waited for room.
    fn append_pending(&self, values: &mut Values) -> Result<(), StoreError> {
        if values.pending.is_empty() {
            return Ok(());
        }
        let pending: Vec<Change> = mem::take(&mut values.pending).into_iter().collect();
        self.append(&pending).map_err(|stopped| {
            // There may be more of them than the journal's ring ever holds.
            values.pending = pending.into_iter().skip(stopped.appended).collect();
            stopped.error
        })
    }

    pub(crate) fn put(&self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        self.apply(vec![(key, Some(value))])
    }

    /// Appends changes as one frame, if a segment can hold that, and otherwise as several.
    fn append(&self, changes: &[Change]) -> Result<(), Unappended> {
        if changes.is_empty() {
            return Ok(());
        }
        let unappended = |reason: &dyn fmt::Display| Unappended {
            appended: 0,
            error: self.refusal(reason),
        };
        #[cfg(test)]
        if self.is_full.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(unappended(&"there is no room"));
        }
        let records: Vec<Record<'_>> = changes
            .iter()
            .map(|(key, value)| match value {
                Some(value) => Record::new(value).key(key),
                None => Record::tombstone(key),
            })
            .collect();
        match self.producer.try_send_batch(&records) {
            Ok(_) => Ok(()),
            Err(error) => match error.cause {
                SendError::BatchTooLarge { .. } if changes.len() > 1 => {
                    let (first, rest) = changes.split_at(changes.len() / 2);
                    self.append(first)?;
                    self.append(rest).map_err(|stopped| Unappended {
                        appended: first.len() + stopped.appended,
                        ..stopped
                    })
                }
                cause => Err(unappended(&cause)),
            },
        }
    }

    /// The end of what was put so far.
    fn end(&self) -> Result<u64, StoreError> {
        self.append_pending(&mut self.values())?;
        self.log_end()
    }

    fn log_end(&self) -> Result<u64, StoreError> {
        let end = self.topic.log_end_offset(0);
        end.or_else(|error| self.refused(error))
    }

    async fn stored(&self, level: AckLevel) -> Result<(), StoreError> {
        let end = self.end()?;
        match timeout(SYNC_LIMIT, stored(&self.topic, 0, end, level)).await {
            Ok(stored) => Ok(stored?),
            Err(_) => self.refused("it is not stored in time"),
        }
    }

    /// Waits until all that was put before this call survives a crash of the process.
    pub(crate) async fn written(&self) -> Result<(), StoreError> {
        self.stored(AckLevel::Written).await
    }

    /// Waits until all that was put before this call survives a power cut.
    pub(crate) async fn durable(&self) -> Result<(), StoreError> {
        self.stored(AckLevel::Durable).await
    }

    /// [`durable`](Self::durable), on this thread.
    pub(crate) fn make_durable(&self) -> Result<(), StoreError> {
        let end = self.end()?;
        Ok(self.topic.wait_durable(0, end, SYNC_LIMIT)?)
    }

    /// Appends all values again, and deletes what is before them, if the journal has become long.
    pub(crate) async fn compact(&self) -> Result<(), StoreError> {
        let (keys, start, journal_bytes) = {
            let values = self.values();
            if !values.is_long() {
                return Ok(());
            }
            let keys: Vec<Vec<u8>> = values.by_key.keys().cloned().collect();
            (keys, self.log_end()?, values.journal_bytes)
        };
        let mut left = &keys[..];
        while !left.is_empty() {
            left = self.append_again(left)?;
            // There is room for the next ones then.
            self.written().await?;
        }
        self.durable().await?;
        let deleted = self.topic.delete_records(0, start);
        deleted.or_else(|error| self.refused(error))?;
        self.values().journal_bytes -= journal_bytes;
        debug!(
            values = keys.len(),
            before = start,
            "the journal was compacted"
        );
        Ok(())
    }

    /// Appends the values of the first of these keys again. Returns the other keys.
    fn append_again<'k>(&self, keys: &'k [Vec<u8>]) -> Result<&'k [Vec<u8>], StoreError> {
        // Under the lock: what is appended again is not older than what comes after.
        let mut values = self.values();
        let mut current: Vec<Change> = Vec::new();
        let (mut taken, mut bytes) = (0, 0);
        for key in keys {
            if let Some(value) = values.by_key.get(key) {
                let more = key.len() + value.len();
                if taken > 0 && bytes + more > COMPACT_STEP {
                    break;
                }
                bytes += more;
                current.push((key.clone(), Some(value.clone())));
            }
            taken += 1;
        }
        self.append(&current).map_err(|stopped| stopped.error)?;
        values.journal_bytes += bytes as u64;
        Ok(&keys[taken..])
    }

    /// Writes and syncs everything, and gives the directory free.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        let pending = self.append_pending(&mut self.values());
        self.storage.close()?;
        pending
    }
}

/// Whether no segment can hold a change.
fn is_too_large((key, value): &Change) -> bool {
    // Each part is rounded up, and has a length.
    let bytes = key.len() + value.as_ref().map_or(0, Vec::len) + 64;
    bytes > SEGMENT_BYTES
}

/// Creates the directory, which only its owner may read: it has what is kept of passwords.
fn create_private(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// All values of the journal.
fn read(broker: &Broker, topic: &Topic) -> Result<Values, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let config = ConsumerConfig::new().offset_reset(OffsetReset::Earliest);
    let mut consumer = broker.consumer(config).map_err(|error| text(&error))?;
    let assigned = consumer.assign([(TOPIC, 0)]);
    assigned.map_err(|error| text(&error))?;
    let end = topic.log_end_offset(0).map_err(|error| text(&error))?;
    let mut values = Values::default();
    let mut next = topic.log_start_offset(0).map_err(|error| text(&error))?;
    let mut limit = Duration::ZERO;
    while next < end {
        let batch = match consumer.poll(limit) {
            Ok(batch) => batch,
            Err(ConsumeError::Closed { .. }) => return Err("its topic is closed".to_owned()),
            Err(error) => return Err(error.to_string()),
        };
        for record in &batch {
            let key = record.key().unwrap_or_default().to_vec();
            values.set(key, record.value().map(<[u8]>::to_vec));
        }
        // It passes what is damaged, too: at the end of the journal without a batch.
        let position = consumer.position((TOPIC, 0));
        let position = position.map_err(|error| text(&error))?;
        if position == next && !limit.is_zero() {
            return Err(format!("nothing can be read at offset {next}"));
        }
        limit = match position == next {
            true => READ_LIMIT,
            false => Duration::ZERO,
        };
        next = position;
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
