//! Durable topics: a directory, the files in it, and the two threads that write them.
//!
//! The ring of a durable topic is the same as any other's, in memory that is never written back. A
//! **copier** reads what is published, as one more reader, and appends it to files
//! (`log/files/`). So a send does not know of the files. Consumers read from the ring, and go on in
//! the files where the ring has been overwritten (`log/cursor/files.rs`).
//!
//! | file | its one job |
//! |---|---|
//! | `config.rs` | `StorageConfig` and the policies |
//! | `copier.rs`, `syncer.rs` | the two threads |
//! | `shared.rs` | what the threads and all handles share |
//! | `durable.rs` | what the threads and a topic share of one partition |
//! | `catalog.rs`, `text.rs` | the topics of a directory; small files that are replaced as a whole |
//! | `commits.rs` | the groups' commits |
//! | `waiting.rs` | waits until records are durable |
//! | `report.rs` | what was found when a directory was opened |

mod catalog;
mod commits;
mod config;
mod copier;
mod durable;
#[cfg(loom)]
pub mod loom;
mod report;
mod shared;
mod syncer;
mod text;
mod waiting;

pub use config::{DiskFull, Flush, OnWriteError, StorageConfig};
pub use report::{PartitionRecovery, RecoveryReport, SetAside, TopicRecovery};
pub use waiting::WaitStoredAsync;

pub(crate) use catalog::TopicRecord;
pub(crate) use commits::StoredCommit;
pub(crate) use copier::PartitionCopier;
pub(crate) use durable::Durable;
pub(crate) use shared::{Served, StorageShared};
pub(crate) use waiting::{Level, Wanted, wait_stored};

use crate::disk::Disk;
use crate::error::{StorageError, TopicError};
use crate::log::files::PartitionFiles;
use crate::sync::lock_std;
use crate::wait::contain_panic;
use core::fmt;
use std::fmt::Debug;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{Builder, JoinHandle, ThreadId};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A directory of durable topics, open for writing.
///
/// It has two threads: one copies records from the topics' rings to files, and one syncs them. Make
/// one storage for each disk; topics choose theirs by [`TopicConfig::storage`](crate::TopicConfig::storage).
/// [`Broker::open`](crate::Broker::open) makes one for all topics of a broker.
///
/// This is a handle: clones refer to the same storage. Topics and brokers hold one too. When the
/// last is dropped, the storage is [closed](Self::close).
#[derive(Clone)]
pub struct Storage {
    owner: Arc<Owner>,
}

/// Ends the threads when it is dropped.
struct Owner {
    shared: Arc<StorageShared>,
    thread_ids: Vec<ThreadId>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The time in milliseconds since 1970 UTC.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// How often a lock is tried again, and how long after the try before: 100 ms in all.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Locks a directory against other storages.
///
/// While this process starts another, the child has a copy of its open files for a moment, and so of
/// a lock that was just released: it is tried for a short time.
fn lock_directory(
    disk: &dyn Disk,
    dir: &Path,
) -> Result<Box<dyn Debug + Send + Sync>, StorageError> {
    let path = dir.join("LOCK");
    let mut tries = 0;
    loop {
        match disk.lock(&path) {
            Ok(lock) => return Ok(lock),
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                return Err(StorageError::io("locking", path, &error));
            }
            Err(_) if tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(_) => {
                return Err(StorageError::Locked {
                    dir: dir.to_owned(),
                });
            }
        }
    }
}

/// Makes the names durable that were there when the directory was opened: this process may have
/// created some, or one that was killed before it had synced them.
fn sync_directories(disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
    let failed = |dir: &Path, error| StorageError::io("syncing the directory", dir, &error);
    for dir in [dir, &dir.join("topics")] {
        disk.sync_dir(dir).map_err(|error| failed(dir, error))?;
    }
    let values = dir.join("values");
    match disk.sync_dir(&values) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&values, error)),
        _ => {}
    }
    for above in dir.ancestors().skip(1) {
        let above = if above.as_os_str().is_empty() {
            Path::new(".")
        } else {
            above
        };
        match disk.sync_dir(above) {
            // A directory that this process may not open, or a file system whose directories cannot
            // be synced: then it has not created a name there that needs it, or cannot do more.
            Err(error) if is_refused(&error) => {}
            synced => synced.map_err(|error| failed(above, error))?,
        }
    }
    Ok(())
}

fn is_refused(error: &std::io::Error) -> bool {
    let kinds = [
        ErrorKind::PermissionDenied,
        ErrorKind::InvalidInput,
        ErrorKind::Unsupported,
    ];
    kinds.contains(&error.kind())
}

/// A random id: from the time, the process and an address that differs between runs.
fn random_id() -> [u8; 16] {
    use std::hash::{BuildHasher, RandomState};
    let word = || RandomState::new().hash_one((now_ms(), std::process::id()));
    let mut id = [0; 16];
    id[..8].copy_from_slice(&word().to_le_bytes());
    id[8..].copy_from_slice(&word().to_le_bytes());
    id
}

/// A topic of a storage: its directory, what is stored of it, and its partitions' files.
pub(crate) struct StoredTopic {
    pub(crate) dir: PathBuf,
    pub(crate) record: TopicRecord,
    pub(crate) files: Vec<Arc<PartitionFiles>>,
    pub(crate) served: Arc<Served>,
}

impl Storage {
    /// A storage in this directory, to be configured and [opened](StorageConfig::open).
    pub fn dir(path: impl AsRef<Path>) -> StorageConfig {
        StorageConfig::new(path.as_ref())
    }

    fn open(config: StorageConfig) -> Result<Storage, StorageError> {
        let (disk, dir) = (&config.disk, &config.dir);
        let topics = dir.join("topics");
        disk.create_dir(&topics)
            .map_err(|error| StorageError::io("creating the directory", &topics, &error))?;
        let lock = lock_directory(&**disk, dir)?;
        sync_directories(&**disk, dir)?;
        let shared = Arc::new(StorageShared::new(config, lock));
        let (syncs, items) = sync_channel(1);
        let (for_syncer, copier) = (shared.clone(), copier::Copier::new(shared.clone(), syncs));
        let hook = shared.config.on_thread_start.clone();
        let spawned = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let hook = hook.clone();
            let work = move || {
                if let Some(hook) = hook {
                    contain_panic(|| hook());
                }
                work();
            };
            let thread = Builder::new().name(name.to_owned()).spawn(work);
            thread
                .map_err(|error| StorageError::io("starting a thread", &shared.config.dir, &error))
        };
        let syncer = spawned(
            "ringlog-syncer",
            Box::new(move || syncer::run(&for_syncer, &items)),
        )?;
        let copier = spawned("ringlog-copier", Box::new(move || copier.run()))?;
        Ok(Storage {
            owner: Arc::new(Owner {
                shared,
                thread_ids: vec![copier.thread().id(), syncer.thread().id()],
                threads: Mutex::new(vec![copier, syncer]),
            }),
        })
    }

    pub(crate) fn shared(&self) -> &Arc<StorageShared> {
        &self.owner.shared
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.shared().config.dir
    }

    /// Writes and syncs what was sent before the call, and ends the threads. With
    /// [`Flush::Never`] nothing is synced.
    ///
    /// Records that are sent later stay in memory: under
    /// [`Backpressure`](crate::Overflow::Backpressure) sends to the storage's topics wait once
    /// their rings are full. So end the producers first. Closing a closed storage has no effect.
    ///
    /// # Errors
    /// The first error of those that keep something from being durable: a full disk, or what
    /// [`faults`](Self::faults) lists.
    pub fn close(&self) -> Result<(), StorageError> {
        self.owner.close();
        match self.faults().into_iter().next() {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    /// What has gone wrong with the files since the storage was opened, the first hundred: writes
    /// and syncs that failed, and records that readers found damaged.
    pub fn faults(&self) -> Vec<StorageError> {
        self.shared().faults.all()
    }

    /// Stores `value` under `name`, durably, in place of what was stored under it. For what a
    /// program keeps beside its topics; names are of letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// [`StorageError::Io`], for an invalid name too; [`StorageError::Closed`]. What was stored before
    /// then stays.
    pub fn put_value(&self, name: &str, value: &[u8]) -> Result<(), StorageError> {
        let (disk, path) = (&self.shared().config.disk, self.value_path(name)?);
        let _access = self.shared().directory()?;
        let dir = self.path().join("values");
        disk.create_dir(&dir)
            .map_err(|error| StorageError::io("creating the directory", &dir, &error))?;
        disk.sync_dir(self.path())
            .map_err(|error| StorageError::io("syncing the directory", self.path(), &error))?;
        crate::disk::replace(&**disk, &path, &commits::with_crc(value))
    }

    /// What was stored under `name`; `None` if nothing was.
    ///
    /// # Errors
    /// [`StorageError::Io`], and [`StorageError::Damaged`] if it is not what was stored.
    pub fn value(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let (disk, path) = (&self.shared().config.disk, self.value_path(name)?);
        let Some(bytes) = crate::disk::read_small(&**disk, &path)? else {
            return Ok(None);
        };
        match commits::without_crc(bytes) {
            Some(value) => Ok(Some(value)),
            None => Err(StorageError::Damaged {
                path,
                position: 0,
                from: 0,
                to: 0,
                reason: "its checksum is wrong".to_owned(),
            }),
        }
    }

    fn value_path(&self, name: &str) -> Result<PathBuf, StorageError> {
        let path = self.path().join("values").join(name);
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 200 || !name.chars().all(fits) {
            let error = std::io::Error::from(std::io::ErrorKind::InvalidInput);
            return Err(StorageError::io("naming the value", path, &error));
        }
        Ok(path)
    }

    // ---- topics -------------------------------------------------------------------------

    fn topics_dir(&self) -> PathBuf {
        self.path().join("topics")
    }

    /// One thread at a time creates and deletes topics, so that there are not two of one name. The
    /// guard is to be kept meanwhile.
    pub(crate) fn lock_topics(&self) -> MutexGuard<'_, ()> {
        self.shared().lock_topics()
    }

    /// All topics of the directory, with their files, recovered. What the caller `has` already
    /// is left out; after an error of it, none is recovered.
    pub(crate) fn recover(
        &self,
        report: &mut RecoveryReport,
        has: impl Fn(&TopicRecord) -> Result<bool, TopicError>,
    ) -> Result<Vec<StoredTopic>, TopicError> {
        let shared = self.shared();
        let _topics = shared.lock_topics();
        let _access = shared.directory()?;
        let mut wanted = Vec::new();
        let catalog = catalog::list(&*shared.config.disk, &self.topics_dir())?;
        report.not_served = catalog.unserved.into_iter().map(SetAside::from).collect();
        for found in catalog.topics {
            if has(&found.record)? {
                continue;
            }
            // Another broker has it.
            if shared.is_served(found.record.id) {
                return Err(StorageError::Locked { dir: found.dir }.into());
            }
            wanted.push(found);
        }
        let mut topics = Vec::new();
        for found in wanted {
            let Some(served) = shared.serve(found.record.id) else {
                return Err(StorageError::Locked { dir: found.dir }.into());
            };
            let mut recovery = TopicRecovery::new(&found.record.name, found.was_damaged);
            if found.was_damaged {
                // Before any file is set aside: without one the name would be lost.
                let _ = found.record.store(&*shared.config.disk, &found.dir);
            }
            let mut files = Vec::new();
            for partition in 0..found.record.partitions {
                let (one, recovered) = PartitionFiles::recover(
                    shared.config.disk.clone(),
                    catalog::partition_dir(&found.dir, partition),
                    shared.partition_name(&found.record, partition),
                    shared.file_options(),
                )?;
                recovery.add(partition, recovered);
                files.push(Arc::new(one));
            }
            // A process that was killed may have replaced the topic's record, or created directories
            // of partitions, and not synced that; nor has what was created just now.
            let failed = |error| StorageError::io("syncing the directory", &found.dir, &error);
            shared.config.disk.sync_dir(&found.dir).map_err(failed)?;
            report.topics.push(recovery);
            topics.push(StoredTopic {
                dir: found.dir,
                record: found.record,
                files,
                served: Arc::new(served),
            });
        }
        Ok(topics)
    }

    /// A new topic, durably created, with empty partitions.
    pub(crate) fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        settings: Vec<(String, String)>,
        first_offset: u64,
    ) -> Result<StoredTopic, StorageError> {
        let shared = self.shared();
        let _access = shared.directory()?;
        let known = catalog::list(&*shared.config.disk, &self.topics_dir())?.topics;
        if known.iter().any(|found| found.record.name == name) {
            return Err(StorageError::NotAttached {
                name: name.to_owned(),
                dir: self.path().to_owned(),
            });
        }
        let record = TopicRecord {
            name: name.to_owned(),
            id: random_id(),
            partitions,
            closed: false,
            settings,
        };
        let dir = self.topics_dir().join(record.dir_name());
        let Some(served) = shared.serve(record.id) else {
            return Err(StorageError::Locked { dir }); // an id that is not random
        };
        match self.create_files(&dir, &record, first_offset) {
            Ok(files) => Ok(StoredTopic {
                dir,
                record,
                files,
                served: Arc::new(served),
            }),
            Err(error) => {
                // What was created of it must not keep the name, nor the room. What fails here has no
                // record, or is found at the next start, without records.
                let _ = catalog::remove(&*shared.config.disk, &self.topics_dir(), &dir, record.id);
                Err(error)
            }
        }
    }

    fn create_files(
        &self,
        dir: &Path,
        record: &TopicRecord,
        first_offset: u64,
    ) -> Result<Vec<Arc<PartitionFiles>>, StorageError> {
        let shared = self.shared();
        let disk = &shared.config.disk;
        disk.create_dir(dir)
            .map_err(|error| StorageError::io("creating the directory", dir, &error))?;
        let files = (0..record.partitions)
            .map(|partition| shared.create_partition(dir, record, partition, first_offset))
            .collect::<Result<_, _>>()?;
        // The topic exists once its record does: without it, a directory is not a topic's.
        record.store(&**disk, dir)?;
        let topics = self.topics_dir();
        disk.sync_dir(&topics)
            .map_err(|error| StorageError::io("syncing the directory", &topics, &error))?;
        Ok(files)
    }

    /// The groups' commits that were stored.
    pub(crate) fn stored_commits(&self) -> Result<Option<Vec<StoredCommit>>, StorageError> {
        self.shared().read_commits()
    }
}

impl Owner {
    fn close(&self) {
        self.shared.change(|inbox| inbox.is_closing = true);
        if self.thread_ids.contains(&std::thread::current().id()) {
            // A waker that one of the threads has called: the threads end by themselves, and give the
            // directory up.
            return;
        }
        // The lock is held meanwhile: a second call returns when the threads have ended.
        let mut threads = lock_std(&self.threads);
        for thread in threads.drain(..) {
            // A thread that has panicked has stopped copying: what it wrote is recovered.
            let _ = thread.join();
        }
        drop(threads);
        self.shared.leave_directory();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("dir", &self.path())
            .field("closed", &self.shared().is_closed())
            .finish()
    }
}
