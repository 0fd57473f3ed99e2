//! How a file is read: mapped, or piece by piece where files are not mapped.

use super::format::{
    CHUNK_HEADER, ChunkHeader, FIRST_CHUNK, Index, IndexEntry, PAGE, Seal, decode_index,
};
use crate::disk::DiskFile;
use std::io;
use std::sync::Arc;

/// How a file is read.
#[derive(Clone, Debug)]
pub(super) enum Memory {
    Mapped(Arc<crate::disk::Mapping>),
    Open(Arc<dyn DiskFile>),
}

/// A place in a file, while chunk after chunk is visited.
pub(super) struct ChunkPlace {
    pub(super) position: u64,
    pub(super) header: ChunkHeader,
}

impl Memory {
    /// The header of the chunk at `at`, if there is one before `limit`: what is written of the file.
    pub(super) fn header(&self, at: u64, limit: u64) -> io::Result<Option<ChunkHeader>> {
        if at + CHUNK_HEADER as u64 > limit {
            return Ok(None);
        }
        let header = match self {
            Memory::Mapped(mapping) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                let bytes = mapping.bytes(at, CHUNK_HEADER);
                bytes.and_then(ChunkHeader::decode)
            }
            Memory::Open(file) => {
                let mut bytes = [0; CHUNK_HEADER];
                file.read_at(&mut bytes, at)?;
                ChunkHeader::decode(&bytes)
            }
        };
        Ok(header.map(|(header, _)| header))
    }

    /// The chunk with the first offset `first` that is at `at`, or on the next page if a sync was
    /// between.
    ///
    /// An append that failed, or a crash, may have left a chunk at `at`, or a part of one, and
    /// appending went on behind it. Then there is one at both places: if the one behind is whole,
    /// it is the one that was appended.
    pub(super) fn place(
        &self,
        at: u64,
        limit: u64,
        first: u64,
        file_id: u64,
    ) -> io::Result<Option<ChunkPlace>> {
        let found = |position| {
            let header = self.header(position, limit)?;
            let fits = |header: &ChunkHeader| header.first == first && header.salt == file_id;
            let header = header.filter(fits);
            io::Result::Ok(header.map(|header| ChunkPlace { position, header }))
        };
        let page = at.next_multiple_of(PAGE);
        let behind = if page == at { None } else { found(page)? };
        Ok(match (found(at)?, behind) {
            (Some(_), Some(behind)) if self.is_whole(&behind, limit)? => Some(behind),
            (Some(here), _) => Some(here),
            (None, behind) => behind,
        })
    }

    pub(super) fn is_whole(&self, place: &ChunkPlace, limit: u64) -> io::Result<bool> {
        let (at, len) = (place.position + CHUNK_HEADER as u64, place.header.payload);
        if at + len > limit {
            return Ok(false);
        }
        let crc = match self {
            Memory::Mapped(mapping) => mapping.bytes(at as usize, len as usize).map(crc32c::crc32c),
            Memory::Open(file) => {
                let mut bytes = vec![0; len as usize];
                let read = file.read_at(&mut bytes, at)?;
                (read == bytes.len()).then(|| crc32c::crc32c(&bytes))
            }
        };
        Ok(crc == Some(place.header.payload_crc))
    }

    /// The index of a sealed file, as it is stored.
    pub(super) fn index(&self, seal: &Seal, base: u64) -> io::Result<Option<Index>> {
        let place = (
            usize::try_from(seal.index_at),
            usize::try_from(seal.index_bytes),
        );
        let (Ok(at), Ok(len)) = place else {
            return Ok(None);
        };
        let mut read = Vec::new();
        let bytes = match self {
            Memory::Mapped(mapping) => mapping.bytes(at, len),
            Memory::Open(file) => {
                read.resize(len, 0);
                let found = file.read_at(&mut read, seal.index_at)?;
                (found == len).then_some(&read[..])
            }
        };
        let whole = bytes.filter(|bytes| crc32c::crc32c(bytes) == seal.index_crc);
        let entries = whole.and_then(decode_index);
        // The entries are in order: those before the last are within the file too.
        let is_ours = |entries: &Vec<IndexEntry>| {
            entries.first().is_some_and(|e| e.offset == base)
                && entries.last().is_some_and(|e| e.position < seal.index_at)
        };
        Ok(entries.filter(is_ours).map(|entries| Index { entries }))
    }

    /// The index, from the chunks' headers: as far as they follow each other.
    pub(super) fn walk(&self, base: u64, file_id: u64, limit: u64) -> io::Result<Index> {
        let mut index = Index::default();
        let (mut at, mut first) = (FIRST_CHUNK, base);
        while let Some(place) = self.place(at, limit, first, file_id)? {
            let ChunkPlace { position, header } = place;
            index.add(header.first, position, header.latest_time);
            (at, first) = (position + header.stride(), header.end());
        }
        Ok(index)
    }
}
