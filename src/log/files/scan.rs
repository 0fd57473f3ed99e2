//! Scanning a file that is not sealed: which of its chunks are whole.

use super::format::{CHUNK_ALIGN, CHUNK_HEADER, ChunkHeader, ChunkKind, FIRST_CHUNK, Index, PAGE};
use crate::disk::DiskFile;
use crate::record::NO_TIMESTAMP;
use std::io;
use std::sync::Arc;

/// Bytes that are read and summed at once where files are not mapped.
const PIECE: usize = 1 << 20;

/// What a scan has found: everything before `end` is whole.
#[derive(Debug)]
pub(super) struct Scanned {
    /// The offset after the last of the chunks that are whole.
    pub(super) end: u64,
    /// Where the chunk after them would begin.
    pub(super) position: u64,
    /// The checksum of the last one's header, or the file header's.
    pub(super) chain: u32,
    /// How many there are.
    pub(super) number: u32,
    pub(super) index: Index,
    pub(super) latest_time: i64,
    /// How many offsets the file says were overwritten before they were copied.
    pub(super) gaps: u64,
    /// What was durable when the last of the chunks was appended.
    pub(super) durable_end: u64,
    /// Behind them is a chunk that is whole, by which offsets from `end` on were durable: so the
    /// file is damaged, not just incomplete. The offset up to which they were.
    pub(super) damaged_to: Option<u64>,
}

/// A file's bytes.
struct Contents {
    file: Arc<dyn DiskFile>,
    len: u64,
    mapping: Option<crate::disk::Mapping>,
    piece: Vec<u8>,
}

impl Contents {
    fn open(file: &Arc<dyn DiskFile>) -> io::Result<Contents> {
        let len = file.len()?;
        Ok(Contents {
            file: file.clone(),
            len,
            // A file that cannot be mapped is read.
            mapping: file.map(len).ok().flatten(),
            piece: Vec::new(),
        })
    }

    fn mapped(&self, at: u64, len: u64) -> Option<&[u8]> {
        if let Some(mapping) = &self.mapping {
            return mapping.bytes(usize::try_from(at).ok()?, usize::try_from(len).ok()?);
        }
        None
    }

    /// The header of a chunk at `at`, and its checksum.
    fn header(&self, at: u64) -> io::Result<Option<(ChunkHeader, u32)>> {
        if at + CHUNK_HEADER as u64 > self.len {
            return Ok(None);
        }
        if let Some(bytes) = self.mapped(at, CHUNK_HEADER as u64) {
            return Ok(ChunkHeader::decode(bytes));
        }
        let mut bytes = [0; CHUNK_HEADER];
        self.file.read_at(&mut bytes, at)?;
        Ok(ChunkHeader::decode(&bytes))
    }

    /// The checksum of `len` bytes at `at`; `None` if the file does not have them.
    fn crc(&mut self, at: u64, len: u64) -> io::Result<Option<u32>> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        if let Some(bytes) = self.mapped(at, len) {
            return Ok(Some(crc32c::crc32c(bytes)));
        }
        let (mut crc, mut done) = (0, 0);
        while done < len {
            let piece = (len - done).min(PIECE as u64) as usize;
            self.piece.resize(piece, 0);
            if self.file.read_at(&mut self.piece, at + done)? < piece {
                return Ok(None);
            }
            crc = crc32c::crc32c_append(crc, &self.piece);
            done += piece as u64;
        }
        Ok(Some(crc))
    }
}

/// Scans a file whose header says that it begins at `base`.
pub(super) fn scan(
    file: &Arc<dyn DiskFile>,
    base: u64,
    file_id: u64,
    header_crc: u32,
) -> io::Result<Scanned> {
    let mut contents = Contents::open(file)?;
    let mut found = Scanned {
        end: base,
        position: FIRST_CHUNK,
        chain: header_crc,
        number: 0,
        index: Index::default(),
        latest_time: NO_TIMESTAMP,
        gaps: 0,
        durable_end: 0,
        damaged_to: None,
    };
    'chunks: loop {
        let page = found.position.next_multiple_of(PAGE);
        // If a chunk is at both, the one at the end of the last was left by an append that failed.
        let places = [page, found.position];
        for position in places.into_iter().skip((page == found.position).into()) {
            let Some((header, crc)) = contents.header(position)? else {
                continue;
            };
            let follows = header.salt == file_id
                && header.first == found.end
                && header.number == found.number
                && header.chain == found.chain;
            let payload_at = position + CHUNK_HEADER as u64;
            if !follows || contents.crc(payload_at, header.payload)? != Some(header.payload_crc) {
                continue;
            }
            found.index.add(header.first, position, header.latest_time);
            found.latest_time = found.latest_time.max(header.latest_time);
            if header.kind == ChunkKind::Gap {
                found.gaps += header.offsets;
            }
            found.durable_end = header.durable_end();
            found.end = header.end();
            found.position = position + header.stride();
            found.chain = crc;
            found.number += 1;
            continue 'chunks;
        }
        break;
    }
    found.damaged_to = damaged_to(&contents, &found, file_id)?;
    Ok(found)
}

/// See [`Scanned::damaged_to`].
fn damaged_to(contents: &Contents, found: &Scanned, file_id: u64) -> io::Result<Option<u64>> {
    let mut durable = found.end;
    let mut at = found.position;
    while at + CHUNK_HEADER as u64 <= contents.len {
        if let Some((header, _)) = contents.header(at)? {
            // Of another life of the file if its number is one that was found whole.
            if header.salt == file_id && header.number > found.number {
                durable = durable.max(header.durable_end());
            }
        }
        at += CHUNK_ALIGN;
    }
    Ok((durable > found.end).then_some(durable))
}

/// What was durable by any chunk's header that is whole, in a file whose own header is not.
pub(super) fn durable_end_shown(file: &Arc<dyn DiskFile>) -> io::Result<u64> {
    let contents = Contents::open(file)?;
    let (mut durable, mut at) = (0, FIRST_CHUNK);
    while at + CHUNK_HEADER as u64 <= contents.len {
        if let Some((header, _)) = contents.header(at)? {
            durable = durable.max(header.durable_end());
        }
        at += CHUNK_ALIGN;
    }
    Ok(durable)
}
