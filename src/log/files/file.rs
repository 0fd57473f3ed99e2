//! One file: what is known of it, and its memory for readers.

use super::chunk::{Chunk, ChunkMemory};
use super::format::{CHUNK_HEADER, ChunkHeader, ChunkKind, Index, Seal};
use super::memory::{ChunkPlace, Memory};
use crate::disk::{Disk, DiskFile};
use crate::error::StorageError;
use crate::log::segment::WORDS_BEFORE_CHUNK;
use crate::sync::lock_std;
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// One file of a partition.
#[derive(Debug)]
pub(super) struct StoredFile {
    pub(super) path: PathBuf,
    /// The first offset.
    pub(super) base: u64,
    pub(super) created_at: u64,
    pub(super) file_id: u64,
    state: Mutex<FileState>,
}

/// What changes of a file, or is found only when it is read.
#[derive(Debug, Default)]
struct FileState {
    /// The offset after the last.
    end: u64,
    /// Bytes up to the end of the last chunk, or of the index.
    bytes: u64,
    latest_time: i64,
    /// How many of its offsets are gaps.
    gaps: u64,
    /// What was durable when its last chunk was appended.
    durable_end: u64,
    /// `None` until a sealed file is read.
    index: Option<Arc<Index>>,
    seal: Option<Seal>,
    memory: Option<Memory>,
    /// Positions of the chunks that were found whole. They do not change any more.
    checked: BTreeSet<u64>,
}

/// The outcome of a look for an offset in one file.
pub(super) enum InFile {
    Chunk(Chunk),
    Gap {
        next: u64,
    },
    /// Nothing before `next` can be read.
    Damaged {
        next: u64,
        fault: StorageError,
    },
    /// The system failed to open or to read the file. What is in it may be whole.
    Unreadable {
        fault: StorageError,
    },
}

/// Why a chunk was not read.
enum NotRead {
    Damaged(String),
    Failed(io::Error),
}

impl From<io::Error> for NotRead {
    fn from(error: io::Error) -> Self {
        NotRead::Failed(error)
    }
}

impl From<&str> for NotRead {
    fn from(reason: &str) -> Self {
        NotRead::Damaged(reason.to_owned())
    }
}

impl StoredFile {
    pub(super) fn new(
        path: PathBuf,
        base: u64,
        created_at: u64,
        file_id: u64,
        known: FileFacts,
    ) -> StoredFile {
        let FileFacts {
            end,
            bytes,
            latest_time,
            gaps,
            durable_end,
            index,
            seal,
        } = known;
        StoredFile {
            path,
            base,
            created_at,
            file_id,
            state: Mutex::new(FileState {
                end,
                bytes,
                latest_time,
                gaps,
                durable_end,
                index: index.map(Arc::new),
                seal,
                ..FileState::default()
            }),
        }
    }

    /// The offset after the last.
    pub(super) fn end(&self) -> u64 {
        lock_std(&self.state).end
    }

    pub(super) fn bytes(&self) -> u64 {
        lock_std(&self.state).bytes
    }

    pub(super) fn latest_time(&self) -> i64 {
        lock_std(&self.state).latest_time
    }

    /// How many of its offsets are gaps.
    pub(super) fn gaps(&self) -> u64 {
        lock_std(&self.state).gaps
    }

    /// Whether the file itself shows that all before it was durable: then what is not there was
    /// removed. A power cut may leave a file behind without those before it.
    pub(super) fn proves_start(&self) -> bool {
        let state = lock_std(&self.state);
        state.seal.is_some() || state.durable_end >= self.base
    }

    pub(super) fn is_sealed(&self) -> bool {
        lock_std(&self.state).seal.is_some()
    }

    /// A copy of the index, which is known: of a file that was written or scanned.
    pub(super) fn known_index(&self) -> Index {
        let index = lock_std(&self.state).index.clone();
        index.map_or_else(Index::default, |index| (*index).clone())
    }

    /// A chunk was appended at `position`.
    pub(super) fn add_chunk(&self, header: &ChunkHeader, position: u64) {
        let mut state = lock_std(&self.state);
        state.end = header.end();
        state.bytes = position + header.stride();
        state.latest_time = state.latest_time.max(header.latest_time);
        state.durable_end = state.durable_end.max(header.durable_end());
        if header.kind == ChunkKind::Gap {
            state.gaps += header.offsets;
        }
        let index = Arc::make_mut(state.index.get_or_insert_default());
        index.add(header.first, position, header.latest_time);
    }

    pub(super) fn set_bytes(&self, bytes: u64) {
        lock_std(&self.state).bytes = bytes;
    }

    pub(super) fn set_sealed(&self, seal: Seal) {
        lock_std(&self.state).seal = Some(seal);
    }

    fn damaged(&self, position: u64, from: u64, to: u64, reason: impl Into<String>) -> InFile {
        InFile::Damaged {
            next: to,
            fault: StorageError::Damaged {
                path: self.path.clone(),
                position,
                from,
                to,
                reason: reason.into(),
            },
        }
    }

    fn unreadable(&self, error: &io::Error) -> InFile {
        InFile::Unreadable {
            fault: StorageError::io("reading", &self.path, error),
        }
    }

    /// What holds `offset`, which is in the file. `map_bytes` is how much of the file to map.
    pub(super) fn read(&self, disk: &dyn Disk, offset: u64, map_bytes: u64) -> InFile {
        let (memory, index) = match self.opened(disk, map_bytes) {
            Ok(opened) => opened,
            Err(fault) => return InFile::Unreadable { fault },
        };
        let next = index
            .after(offset)
            .map_or_else(|| self.end(), |entry| entry.offset);
        let Some(entry) = index.find(offset) else {
            return self.damaged(0, offset, next, "its index does not begin at its base");
        };
        let limit = self.bytes();
        let mut at = entry.position;
        let mut expected = entry.offset;
        loop {
            let place = match memory.place(at, limit, expected, self.file_id) {
                Ok(place) => place,
                Err(error) => return self.unreadable(&error),
            };
            let Some(ChunkPlace { position, header }) = place else {
                return self.damaged(at, offset, next, "there is no chunk where one should be");
            };
            if header.end() > self.end() {
                return self.damaged(position, offset, next, "a chunk ends after its file");
            }
            if offset >= header.end() {
                (at, expected) = (position + header.stride(), header.end());
                continue;
            }
            return match header.kind {
                ChunkKind::Gap => InFile::Gap { next: header.end() },
                ChunkKind::Records => match self.chunk(&memory, position, &header, disk, map_bytes)
                {
                    Ok(chunk) => InFile::Chunk(chunk),
                    Err(NotRead::Damaged(reason)) => {
                        self.damaged(position, offset, header.end(), reason)
                    }
                    Err(NotRead::Failed(error)) => self.unreadable(&error),
                },
            };
        }
    }

    /// The first offset from `from` on whose chunk has a record at or after `time`, as far as the
    /// chunks' headers say.
    pub(super) fn find_time(
        &self,
        disk: &dyn Disk,
        time: i64,
        from: u64,
        map_bytes: u64,
    ) -> Option<u64> {
        let (memory, index) = self.opened(disk, map_bytes).ok()?;
        let ends = index.entries.iter().skip(1).map(|entry| entry.offset);
        let ends = ends.chain([self.end()]);
        let limit = self.bytes();
        for (entry, end) in index.entries.iter().zip(ends) {
            if entry.latest_time < time || end <= from {
                continue;
            }
            let mut at = entry.position;
            // What cannot be read is reported by the reader that comes to it.
            let mut first = entry.offset;
            while first < end {
                let place = memory.place(at, limit, first, self.file_id).ok()?;
                let Some(ChunkPlace { position, header }) = place else {
                    break;
                };
                if header.latest_time >= time && header.end() > from {
                    return Some(header.first.max(from));
                }
                (at, first) = (position + header.stride(), header.end());
            }
        }
        None
    }

    /// The chunk at `position`, checked.
    fn chunk(
        &self,
        memory: &Memory,
        position: u64,
        header: &ChunkHeader,
        disk: &dyn Disk,
        map_bytes: u64,
    ) -> Result<Chunk, NotRead> {
        let payload_at = position + CHUNK_HEADER as u64;
        let words = (header.payload / 8) as usize;
        if payload_at + header.payload > self.bytes() {
            return Err("it is not within its file".into());
        }
        if let Memory::Mapped(mapping) = memory {
            let checked = lock_std(&self.state).checked.contains(&position);
            let (at, len) = (payload_at as usize, header.payload as usize);
            let mut mapping = mapping.clone();
            if mapping.bytes(at, len).is_none() {
                // It lies past what was mapped when the file was shorter.
                let needed = (payload_at + header.payload).max(map_bytes);
                match self.map(disk, needed) {
                    Ok(Memory::Mapped(longer)) => mapping = longer,
                    Ok(memory) => return self.chunk(&memory, position, header, disk, map_bytes),
                    Err(StorageError::Io { kind, message, .. }) => {
                        return Err(io::Error::new(kind, message).into());
                    }
                    Err(error) => return Err(io::Error::other(error).into()),
                }
            }
            let payload = mapping.bytes(at, len).ok_or("it is not within its file")?;
            if !checked && crc32c::crc32c(payload) != header.payload_crc {
                return Err("the checksum of a chunk is wrong".into());
            }
            let chunk = Chunk::new(header, ChunkMemory::Mapped(mapping.clone()), at, checked)?;
            if !checked {
                lock_std(&self.state).checked.insert(position);
            }
            return Ok(chunk);
        }
        let Memory::Open(file) = memory else {
            return Err("it could not be mapped".into());
        };
        let mut words = vec![0u64; WORDS_BEFORE_CHUNK + words];
        let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut words[WORDS_BEFORE_CHUNK..]);
        if file.read_at(bytes, payload_at)? < bytes.len() {
            return Err("it is not within its file".into());
        }
        if crc32c::crc32c(bytes) != header.payload_crc {
            return Err("the checksum of a chunk is wrong".into());
        }
        if cfg!(target_endian = "big") {
            let descriptors = words.iter_mut().skip(WORDS_BEFORE_CHUNK);
            let descriptors = descriptors.take(header.offsets as usize);
            descriptors.for_each(|word| *word = u64::from_le(*word));
        }
        let at = WORDS_BEFORE_CHUNK * 8;
        Ok(Chunk::new(
            header,
            ChunkMemory::Words(words.into()),
            at,
            false,
        )?)
    }

    /// The file's memory and index: opened, mapped and read now, if they are not known.
    fn opened(
        &self,
        disk: &dyn Disk,
        map_bytes: u64,
    ) -> Result<(Memory, Arc<Index>), StorageError> {
        let (memory, index, seal) = {
            let state = lock_std(&self.state);
            (state.memory.clone(), state.index.clone(), state.seal)
        };
        let memory = match memory {
            Some(memory) => memory,
            // A sealed file has its length; one that is written becomes longer.
            None => self.map(disk, if seal.is_some() { 0 } else { map_bytes })?,
        };
        let index = match index {
            Some(index) => index,
            None => {
                let failed = |error| StorageError::io("reading", &self.path, &error);
                let stored = match seal {
                    Some(seal) => memory.index(&seal, self.base).map_err(failed)?,
                    None => None,
                };
                let limit = seal.map_or(0, |seal| seal.index_at);
                let index = match stored {
                    Some(index) => index,
                    None => memory
                        .walk(self.base, self.file_id, limit)
                        .map_err(failed)?,
                };
                let index = Arc::new(index);
                lock_std(&self.state).index = Some(index.clone());
                index
            }
        };
        Ok((memory, index))
    }

    /// Opens the file for reading, and maps `bytes` of it where files are mapped.
    fn map(&self, disk: &dyn Disk, bytes: u64) -> Result<Memory, StorageError> {
        let failed = |error| StorageError::io("opening the file", &self.path, &error);
        let file = disk.open(&self.path, false).map_err(failed)?;
        let memory = Self::memory(file, bytes)
            .map_err(|error| StorageError::io("mapping", &self.path, &error))?;
        lock_std(&self.state).memory = Some(memory.clone());
        Ok(memory)
    }

    fn memory(file: Arc<dyn DiskFile>, bytes: u64) -> std::io::Result<Memory> {
        // Descriptors would have to be turned round.
        if cfg!(target_endian = "big") {
            return Ok(Memory::Open(file));
        }
        let bytes = file.len()?.max(bytes);
        Ok(match file.map(bytes) {
            Ok(Some(mapping)) => Memory::Mapped(Arc::new(mapping)),
            // Where there are too many mappings, or too few addresses, the file is read.
            Ok(None) | Err(_) => Memory::Open(file),
        })
    }
}

/// What is known of a file when it is opened.
pub(super) struct FileFacts {
    pub(super) end: u64,
    pub(super) bytes: u64,
    pub(super) latest_time: i64,
    pub(super) gaps: u64,
    pub(super) durable_end: u64,
    /// `None` for a sealed file, which is read later.
    pub(super) index: Option<Index>,
    pub(super) seal: Option<Seal>,
}
