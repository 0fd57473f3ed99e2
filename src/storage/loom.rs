//! A storage for the models: without threads, on a disk in memory whose operations are steps.
//!
//! A model runs the copier's and the syncer's work in threads of its own. At any moment it may ask
//! what a crash at that moment would leave ([`Files::after_kill`], [`Files::after_power_cut`]):
//! that is found by the real recovery on a copy of the disk, and so changes nothing.
//!
//! Loom switches threads only at steps. So each operation of the disk is one, and a sync may run
//! between two operations of an append. It orders nothing: what the files' threads share is under
//! locks.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::{Owner, PartitionCopier, Storage, StorageShared, catalog};
use crate::disk::model::{ModelDisk, Op};
use crate::disk::{Disk, DiskFile, Entry};
use crate::log::files::{ChunkBuffer, FileOptions, Found, PartitionFiles, PartitionName, SyncJob};
use crate::sync::{AtomicU64, ord};
use core::ops::Range;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A storage without threads.
pub struct ModelledStorage {
    disk: ModelDisk,
    steps: Arc<AtomicU64>,
    storage: Storage,
}

impl ModelledStorage {
    /// A storage whose files are full after about `file_bytes`.
    pub fn new(file_bytes: u64) -> ModelledStorage {
        let disk = ModelDisk::new(1);
        let steps = Arc::new(AtomicU64::new(0));
        let stepping = SteppingDisk {
            disk: disk.clone(),
            steps: steps.clone(),
        };
        let dir = Path::new("/data");
        disk.create_dir(&dir.join("topics")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.sync_dir(dir).unwrap();
        let config = Storage::dir(dir).disk(Arc::new(stepping));
        let config = config.file_bytes(file_bytes);
        let shared = Arc::new(StorageShared::new(config, Box::new(())));
        let threads = Mutex::new(Vec::new());
        let owner = Arc::new(Owner {
            shared,
            thread_ids: Vec::new(),
            threads,
        });
        let storage = Storage { owner };
        ModelledStorage {
            disk,
            steps,
            storage,
        }
    }

    /// For the configuration of the one topic that the storage has.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The copier of the topic's one partition, after the topic was created; and its files.
    pub fn copier(&self) -> (Copier, Files) {
        let shared = self.storage.shared();
        let (mut added, _) = shared.take_changes();
        let copier = added.pop().unwrap();
        let topics = catalog::list(&self.disk, &self.storage.topics_dir()).unwrap();
        let topic = &topics.topics[0];
        let files = Files {
            disk: self.disk.clone(),
            steps: self.steps.clone(),
            dir: catalog::partition_dir(&topic.dir, 0),
            name: shared.partition_name(&topic.record, 0),
            options: shared.file_options(),
            files: copier.durable.files.clone(),
        };
        let buffer = ChunkBuffer::new();
        (Copier { copier, buffer }, files)
    }
}

/// The copier of one partition.
pub struct Copier {
    copier: PartitionCopier,
    buffer: ChunkBuffer,
}

impl Copier {
    /// Copies what is published. Returns how many bytes; `None` if the disk is full.
    pub fn copy(&mut self) -> Option<usize> {
        match self.copier.copy(&mut self.buffer) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.is_full() => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Begins a sync of what was appended; `None` if all of it is durable.
    pub fn begin_sync(&self) -> Option<Sync> {
        self.copier.durable.files.begin_sync().map(Sync)
    }
}

/// A sync that has begun, for another thread to run.
pub struct Sync(SyncJob);

impl Sync {
    /// Returns the durable end.
    pub fn run(self) -> u64 {
        self.0.run().unwrap()
    }
}

/// The files of one partition, and the disk that they are on.
#[derive(Clone)]
pub struct Files {
    disk: ModelDisk,
    steps: Arc<AtomicU64>,
    dir: PathBuf,
    name: PartitionName,
    options: FileOptions,
    files: Arc<PartitionFiles>,
}

/// What a recovery has found.
#[derive(Debug)]
pub struct Recovered {
    /// The offset after the last.
    pub end: u64,
    /// Offsets and values.
    pub records: Vec<(u64, Vec<u8>)>,
    /// The offsets that were overwritten before they were copied.
    pub gaps: Vec<Range<u64>>,
    /// How many files there are.
    pub files: u64,
}

impl Files {
    /// A step that depends on the disk's operations. Loom runs independent steps in one order only,
    /// so a thread takes this step before what it has done is compared with the files.
    pub fn step(&self) {
        step(&self.steps);
    }

    /// What is before this offset survives a crash of the process.
    pub fn written_end(&self) -> u64 {
        self.files.written_end()
    }

    /// What is before this offset survives a power cut.
    pub fn durable_end(&self) -> u64 {
        self.files.durable_end()
    }

    /// The number of operations so far that change the disk: while it stays, a crash leaves the
    /// same.
    pub fn operations(&self) -> u64 {
        self.disk.operations()
    }

    /// Fails the next write: the disk is full.
    pub fn fail_next_write(&self) {
        self.disk.fail_next(Op::Write, io::ErrorKind::StorageFull);
    }

    /// What a crash of the process now would leave: all that was written.
    pub fn after_kill(&self) -> Recovered {
        let disk = self.disk.fork();
        disk.kill();
        self.recover(disk)
    }

    /// What a crash of the machine now may leave: what was synced, and of the rest what the seed
    /// chooses.
    pub fn after_power_cut(&self, seed: u64) -> Recovered {
        let disk = self.disk.fork();
        disk.reseed(seed);
        disk.restart();
        self.recover(disk)
    }

    fn recover(&self, disk: ModelDisk) -> Recovered {
        let (dir, name) = (self.dir.clone(), self.name.clone());
        let recovered = PartitionFiles::recover(Arc::new(disk), dir, name, self.options.clone());
        let (files, found) = recovered.unwrap();
        assert!(
            found.set_aside.iter().all(|aside| !aside.was_durable),
            "durable records were set aside: {found:?}"
        );
        let mut recovered = Recovered {
            end: files.written_end(),
            records: Vec::new(),
            gaps: Vec::new(),
            files: found.files,
        };
        let mut at = files.start();
        while at < recovered.end {
            at = match files.read(at) {
                Found::Chunk(chunk) => {
                    let values = chunk.segment().values_of_chunk(chunk.first_offset());
                    recovered.records.extend(values);
                    chunk.end()
                }
                Found::Gap { next } => {
                    recovered.gaps.push(at..next);
                    next
                }
                Found::Damaged { fault, .. } | Found::Unreadable { fault } => panic!("{fault}"),
                Found::Outside => panic!("offset {at} is outside of the files"),
            };
        }
        recovered
    }
}

/// A disk whose operations are steps of the model.
#[derive(Clone)]
struct SteppingDisk {
    disk: ModelDisk,
    steps: Arc<AtomicU64>,
}

struct SteppingFile {
    file: Arc<dyn DiskFile>,
    steps: Arc<AtomicU64>,
}

impl Debug for SteppingDisk {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SteppingDisk")
    }
}

impl Debug for SteppingFile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SteppingFile")
    }
}

fn step(steps: &AtomicU64) {
    steps.fetch_add(1, ord!(Relaxed));
}

impl SteppingDisk {
    fn step(&self) -> &ModelDisk {
        step(&self.steps);
        &self.disk
    }

    fn stepping(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let steps = self.steps.clone();
        Arc::new(SteppingFile { file, steps })
    }
}

impl Disk for SteppingDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.step().create(path).map(|file| self.stepping(file))
    }

    fn open(&self, path: &Path, for_writing: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(path, for_writing);
        file.map(|file| self.stepping(file))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.step().create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step().rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step().remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.step().remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step().sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Debug + Send + core::marker::Sync>> {
        self.step().lock(path)
    }
}

impl SteppingFile {
    fn step(&self) -> &dyn DiskFile {
        step(&self.steps);
        &*self.file
    }
}

impl DiskFile for SteppingFile {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.step().write_at(bytes, at)
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(out, at)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step().set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.step().allocate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.step().sync()
    }

    #[cfg(unix)]
    fn map(&self, _len: u64) -> io::Result<Option<crate::disk::Mapping>> {
        Ok(None)
    }
}
