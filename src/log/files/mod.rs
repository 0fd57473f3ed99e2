//! The files of one durable partition. (A stub.)
use crate::disk::Disk;
use crate::error::StorageError;
use crate::log::segment::Segment;
use core::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) struct PartitionName {
    pub(crate) topic: Arc<str>,
    pub(crate) topic_id: [u8; 16],
    pub(crate) partition: u32,
}
pub(crate) struct FileLimits {
    pub(crate) file_bytes: u64,
}
pub(crate) struct PartitionFiles;
pub(crate) struct SyncJob;
pub(crate) struct Chunk;
pub(crate) struct ChunkBuffer;
pub(crate) enum Found {
    Chunk(Chunk),
    Gap { next: u64 },
    Damaged { next: u64, fault: StorageError },
    Outside,
}
pub(crate) struct Aside {
    pub(crate) path: PathBuf,
    pub(crate) from: Option<u64>,
    pub(crate) reason: String,
}
pub(crate) struct Recovery {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) files: u64,
    pub(crate) scanned_bytes: u64,
    pub(crate) cut_bytes: u64,
    pub(crate) gaps: Vec<Range<u64>>,
    pub(crate) set_aside: Vec<Aside>,
}
pub(crate) fn topic_name_in(_disk: &dyn Disk, _dir: &Path) -> Option<String> {
    None
}
impl PartitionFiles {
    pub(crate) fn create(
        _: Arc<dyn Disk>,
        _: PathBuf,
        _: PartitionName,
        _: FileLimits,
        _: u64,
    ) -> Result<PartitionFiles, StorageError> {
        Ok(PartitionFiles)
    }
    pub(crate) fn recover(
        _: Arc<dyn Disk>,
        _: PathBuf,
        _: PartitionName,
        _: FileLimits,
    ) -> Result<(PartitionFiles, Recovery), StorageError> {
        todo!()
    }
    pub(crate) fn start(&self) -> u64 {
        0
    }
    pub(crate) fn written_end(&self) -> u64 {
        0
    }
    pub(crate) fn durable_end(&self) -> u64 {
        0
    }
    pub(crate) fn append(&self, _: &mut ChunkBuffer) -> Result<(), StorageError> {
        Ok(())
    }
    pub(crate) fn append_gap(&self, _: u64) -> Result<(), StorageError> {
        Ok(())
    }
    pub(crate) fn begin_sync(&self) -> Option<SyncJob> {
        None
    }
    pub(crate) fn read(&self, _: u64) -> Found {
        Found::Outside
    }
    pub(crate) fn find_time(&self, _: i64, _: u64) -> Option<Found> {
        None
    }
    pub(crate) fn apply_retention(
        &self,
        _: Option<u64>,
        _: Option<u64>,
        _: u64,
    ) -> Result<u64, StorageError> {
        Ok(0)
    }
    pub(crate) fn delete_before(&self, _: u64) -> Result<(), StorageError> {
        Ok(())
    }
    pub(crate) fn stop(&self, _: StorageError) -> bool {
        false
    }
    pub(crate) fn is_stopped(&self) -> bool {
        false
    }
    pub(crate) fn fault(&self) -> Option<StorageError> {
        None
    }
    pub(crate) fn report_damage(&self, _: StorageError) {}
    pub(crate) fn has_full_file(&self) -> bool {
        false
    }
    pub(crate) fn remove_oldest(&self) -> Result<bool, StorageError> {
        Ok(false)
    }
}
impl SyncJob {
    pub(crate) fn run(self) -> Result<u64, StorageError> {
        Ok(0)
    }
}
impl Chunk {
    pub(crate) fn first_offset(&self) -> u64 {
        0
    }
    pub(crate) fn segment(&self) -> Segment {
        todo!()
    }
}
impl ChunkBuffer {
    pub(crate) fn new() -> ChunkBuffer {
        ChunkBuffer
    }
    pub(crate) fn begin(&mut self, _: u64, _: u32, _: usize) -> (&mut [u64], &mut [u8]) {
        todo!()
    }
    pub(crate) fn set_latest_time(&mut self, _: i64) {}
}
