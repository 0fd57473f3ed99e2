//! The format of a durable partition's files, version 1: headers, seals and indexes as bytes.
//!
//! All numbers are little-endian. A file is named by its base, the offset of its first record, as
//! twenty digits and `.rl`. It begins with a page of 4096 bytes:
//!
//! ```text
//!   0   8  magic "RLOGFILE"
//!   8   2  format version               10   2  oldest version whose reader can read it
//!  12   4  0
//!  16  16  the topic's id
//!  32   4  partition                    36   4  length of the topic's name
//!  40   8  base                         48   8  created at, ms since 1970
//!  56   8  file id, random
//!  64      the topic's name; zeros
//! 508   4  crc32c of bytes 0..508
//! ```
//!
//! The second page is the seal's; it is zero while the file is not sealed:
//!
//! ```text
//!   0   8  magic "RLOGSEAL"
//!   8   8  end: the offset after the last
//!  16   8  where the index begins        24   8  bytes of the index
//!  32   8  latest time of its records    40   8  sealed at, ms since 1970
//!  48   4  crc32c of the index           56   8  how many of its offsets are gaps
//! 508   4  crc32c of bytes 0..508, beginning with the file header's
//! ```
//!
//! Then come the chunks, each on a multiple of 64 bytes. The first chunk after a sync is on a
//! multiple of 4096, so that no page that may be durable is ever written again.
//!
//! ```text
//!   0   4  magic "RLCK"                  4   4  crc32c of bytes 8..64
//!   8   4  kind: 1 records, 2 gap       12   4  crc32c of the payload
//!  16   8  first offset                 24   8  offsets: slots, or those of the gap
//!  32   4  payload, in units of 8 bytes  36   4  number of the chunk in the file
//!  40   8  latest time of its records, -1 if none has one
//!  48   4  chain: the checksum at byte 4 of the chunk before, or the file header's
//!  52   4  how many offsets before the first were not durable yet when it was appended
//!  56   8  salt: the file id
//!  64      payload: a descriptor for each slot, then the frames (`log/segment/chunk.rs`)
//! ```
//!
//! The salt tells the chunk from one of another file, and the chain from one that was in this file
//! before it was cut. By the count of offsets that were not durable, recovery knows whether what is
//! damaged before a chunk that is whole had been reported durable.
//!
//! A full file gets an index behind its last chunk, on a multiple of 64: an entry for about each
//! 64 KiB, with an offset, the position of its chunk, and the latest time of the chunks from there
//! to the next entry, 8 bytes each. Then it is synced, then the seal is written, then it is synced
//! again. So a seal says that everything before it is whole.

/// The version that this code writes, and the newest that it reads.
pub(super) const FORMAT: u16 = 1;

/// The oldest version whose reader can read what this code writes.
pub(super) const OLDEST_READER: u16 = 1;

/// What the first chunk after a sync is aligned to.
pub(super) const PAGE: u64 = 4096;

/// Where the first chunk is: after the header's page and the seal's.
pub(super) const FIRST_CHUNK: u64 = 2 * PAGE;

/// What every chunk is aligned to.
pub(super) const CHUNK_ALIGN: u64 = 64;

pub(super) const CHUNK_HEADER: usize = 64;

pub(super) const FILE_HEADER: usize = 512;

/// Where the seal is.
pub(super) const SEAL_AT: u64 = PAGE;

pub(super) const SEAL: usize = 512;

const FILE_MAGIC: &[u8; 8] = b"RLOGFILE";
const SEAL_MAGIC: &[u8; 8] = b"RLOGSEAL";
const CHUNK_MAGIC: &[u8; 4] = b"RLCK";

/// The longest name that a header has room for.
const MAX_NAME: usize = 249;

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) topic_id: [u8; 16],
    pub(super) partition: u32,
    pub(super) base: u64,
    pub(super) created_at: u64,
    pub(super) file_id: u64,
    pub(super) topic: String,
}

/// Why a file's header was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// It needs a reader of this format at least.
    Newer(u16),
    Damaged(&'static str),
}

impl FileHeader {
    /// The header's bytes, and its checksum.
    pub(super) fn encode(&self) -> ([u8; FILE_HEADER], u32) {
        let mut out = [0; FILE_HEADER];
        let name = &self.topic.as_bytes()[..self.topic.len().min(MAX_NAME)];
        put(&mut out, 0, FILE_MAGIC);
        put(&mut out, 8, &FORMAT.to_le_bytes());
        put(&mut out, 10, &OLDEST_READER.to_le_bytes());
        put(&mut out, 16, &self.topic_id);
        put(&mut out, 32, &self.partition.to_le_bytes());
        put(&mut out, 36, &(name.len() as u32).to_le_bytes());
        put(&mut out, 40, &self.base.to_le_bytes());
        put(&mut out, 48, &self.created_at.to_le_bytes());
        put(&mut out, 56, &self.file_id.to_le_bytes());
        put(&mut out, 64, name);
        let crc = crc32c::crc32c(&out[..508]);
        put(&mut out, 508, &crc.to_le_bytes());
        (out, crc)
    }

    /// The header and its checksum.
    pub(super) fn decode(bytes: &[u8; FILE_HEADER]) -> Result<(FileHeader, u32), BadHeader> {
        if &bytes[..8] != FILE_MAGIC {
            return Err(BadHeader::Damaged(
                "it does not begin as ringlog's files do",
            ));
        }
        let crc = u32_at(bytes, 508);
        if crc != crc32c::crc32c(&bytes[..508]) {
            return Err(BadHeader::Damaged("the checksum of its header is wrong"));
        }
        if u16_at(bytes, 10) > FORMAT {
            return Err(BadHeader::Newer(u16_at(bytes, 10)));
        }
        let name = bytes[64..508].get(..u32_at(bytes, 36) as usize);
        let name = name.and_then(|name| core::str::from_utf8(name).ok());
        let topic = name.ok_or(BadHeader::Damaged("its topic's name is not valid"))?;
        let mut topic_id = [0; 16];
        topic_id.copy_from_slice(&bytes[16..32]);
        let header = FileHeader {
            topic_id,
            partition: u32_at(bytes, 32),
            base: u64_at(bytes, 40),
            created_at: u64_at(bytes, 48),
            file_id: u64_at(bytes, 56),
            topic: topic.to_owned(),
        };
        Ok((header, crc))
    }
}

/// What the seal says of a file that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    pub(super) end: u64,
    pub(super) index_at: u64,
    pub(super) index_bytes: u64,
    pub(super) latest_time: i64,
    pub(super) sealed_at: u64,
    pub(super) index_crc: u32,
    pub(super) gaps: u64,
}

impl Seal {
    pub(super) fn encode(&self, header_crc: u32) -> [u8; SEAL] {
        let mut out = [0; SEAL];
        put(&mut out, 0, SEAL_MAGIC);
        put(&mut out, 8, &self.end.to_le_bytes());
        put(&mut out, 16, &self.index_at.to_le_bytes());
        put(&mut out, 24, &self.index_bytes.to_le_bytes());
        put(&mut out, 32, &self.latest_time.to_le_bytes());
        put(&mut out, 40, &self.sealed_at.to_le_bytes());
        put(&mut out, 48, &self.index_crc.to_le_bytes());
        put(&mut out, 56, &self.gaps.to_le_bytes());
        let crc = crc32c::crc32c_append(header_crc, &out[..508]);
        put(&mut out, 508, &crc.to_le_bytes());
        out
    }

    /// Whether there is a seal, whole or not.
    pub(super) fn is_begun(bytes: &[u8; SEAL]) -> bool {
        &bytes[..8] == SEAL_MAGIC
    }

    /// The seal; `None` if there is none, or it is not this file's.
    pub(super) fn decode(bytes: &[u8; SEAL], header_crc: u32) -> Option<Seal> {
        let crc = crc32c::crc32c_append(header_crc, &bytes[..508]);
        if &bytes[..8] != SEAL_MAGIC || crc != u32_at(bytes, 508) {
            return None;
        }
        Some(Seal {
            end: u64_at(bytes, 8),
            index_at: u64_at(bytes, 16),
            index_bytes: u64_at(bytes, 24),
            latest_time: u64_at(bytes, 32) as i64,
            sealed_at: u64_at(bytes, 40),
            index_crc: u32_at(bytes, 48),
            gaps: u64_at(bytes, 56),
        })
    }
}

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkKind {
    Records = 1,
    /// Offsets that were overwritten before they were copied.
    Gap = 2,
}

/// The header of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkHeader {
    pub(super) kind: ChunkKind,
    pub(super) payload_crc: u32,
    pub(super) first: u64,
    pub(super) offsets: u64,
    pub(super) payload: u64,
    pub(super) latest_time: i64,
    pub(super) chain: u32,
    pub(super) number: u32,
    /// Offsets before the first that were not durable when it was appended, at most `u32::MAX`.
    pub(super) undurable: u32,
    pub(super) salt: u64,
}

impl ChunkHeader {
    /// The header's bytes, and its checksum.
    pub(super) fn encode(&self) -> ([u8; CHUNK_HEADER], u32) {
        let mut out = [0; CHUNK_HEADER];
        put(&mut out, 0, CHUNK_MAGIC);
        put(&mut out, 8, &(self.kind as u32).to_le_bytes());
        put(&mut out, 12, &self.payload_crc.to_le_bytes());
        put(&mut out, 16, &self.first.to_le_bytes());
        put(&mut out, 24, &self.offsets.to_le_bytes());
        put(&mut out, 32, &((self.payload / 8) as u32).to_le_bytes());
        put(&mut out, 36, &self.number.to_le_bytes());
        put(&mut out, 40, &self.latest_time.to_le_bytes());
        put(&mut out, 48, &self.chain.to_le_bytes());
        put(&mut out, 52, &self.undurable.to_le_bytes());
        put(&mut out, 56, &self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&out[8..]);
        put(&mut out, 4, &crc.to_le_bytes());
        (out, crc)
    }

    /// The header and its checksum; `None` if there is no chunk header.
    pub(super) fn decode(bytes: &[u8]) -> Option<(ChunkHeader, u32)> {
        let bytes = bytes.get(..CHUNK_HEADER)?;
        let crc = u32_at(bytes, 4);
        if &bytes[..4] != CHUNK_MAGIC || crc != crc32c::crc32c(&bytes[8..]) {
            return None;
        }
        let kind = match u32_at(bytes, 8) {
            1 => ChunkKind::Records,
            2 => ChunkKind::Gap,
            _ => return None,
        };
        let header = ChunkHeader {
            kind,
            payload_crc: u32_at(bytes, 12),
            first: u64_at(bytes, 16),
            offsets: u64_at(bytes, 24),
            payload: u64::from(u32_at(bytes, 32)) * 8,
            latest_time: u64_at(bytes, 40) as i64,
            chain: u32_at(bytes, 48),
            number: u32_at(bytes, 36),
            undurable: u32_at(bytes, 52),
            salt: u64_at(bytes, 56),
        };
        header.is_possible().then_some((header, crc))
    }

    /// Whether its sizes fit each other, so that sums of them do not overflow.
    fn is_possible(&self) -> bool {
        let slots = match self.kind {
            ChunkKind::Records => self.offsets.checked_mul(8),
            ChunkKind::Gap => Some(0),
        };
        self.offsets > 0
            && self.first.checked_add(self.offsets).is_some()
            && slots.is_some_and(|slots| slots <= self.payload)
            && (self.kind == ChunkKind::Records || self.payload == 0)
    }

    /// The offset after the chunk's last.
    pub(super) fn end(&self) -> u64 {
        self.first + self.offsets
    }

    /// What was durable when the chunk was appended: everything before this offset. 0 if that is not
    /// known: of 2^32 offsets or more that were not.
    pub(super) fn durable_end(&self) -> u64 {
        match self.undurable {
            u32::MAX => 0,
            undurable => self.first.saturating_sub(undurable.into()),
        }
    }

    /// Bytes of header and payload, up to where the next chunk may begin.
    pub(super) fn stride(&self) -> u64 {
        (CHUNK_HEADER as u64 + self.payload).next_multiple_of(CHUNK_ALIGN)
    }
}

/// Where the chunk of an offset is, in the index of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) offset: u64,
    pub(super) position: u64,
    /// The latest time of the chunks from this one to the next entry.
    pub(super) latest_time: i64,
}

/// Bytes of an entry.
pub(super) const INDEX_ENTRY: usize = 24;

pub(super) fn encode_index(index: &[IndexEntry]) -> Vec<u8> {
    let words = |entry: &IndexEntry| {
        let time = entry.latest_time as u64;
        [entry.offset, entry.position, time].map(u64::to_le_bytes)
    };
    index.iter().flat_map(words).flatten().collect()
}

/// The index; `None` if these bytes are none: its entries must be in order.
pub(super) fn decode_index(bytes: &[u8]) -> Option<Vec<IndexEntry>> {
    let entries = bytes.chunks_exact(INDEX_ENTRY);
    if bytes.is_empty() || !entries.remainder().is_empty() {
        return None;
    }
    let entries = entries.map(|entry| IndexEntry {
        offset: u64_at(entry, 0),
        position: u64_at(entry, 8),
        latest_time: u64_at(entry, 16) as i64,
    });
    let index: Vec<_> = entries.collect();
    let in_order = |pair: &[IndexEntry]| {
        pair[0].offset < pair[1].offset && pair[0].position < pair[1].position
    };
    index.windows(2).all(in_order).then_some(index)
}

/// An index that grows with its file.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) entries: Vec<IndexEntry>,
}

/// About the bytes of a file for each entry of its index.
const INDEX_INTERVAL: u64 = 64 << 10;

impl Index {
    /// Adds a chunk, which is the last so far.
    pub(super) fn add(&mut self, offset: u64, position: u64, latest_time: i64) {
        match self.entries.last_mut() {
            Some(last) if position - last.position < INDEX_INTERVAL => {
                last.latest_time = last.latest_time.max(latest_time);
            }
            _ => self.entries.push(IndexEntry {
                offset,
                position,
                latest_time,
            }),
        }
    }

    /// The last entry at or before `offset`.
    pub(super) fn find(&self, offset: u64) -> Option<IndexEntry> {
        let after = self.entries.partition_point(|entry| entry.offset <= offset);
        self.entries.get(after.checked_sub(1)?).copied()
    }

    /// The first entry after `offset`.
    pub(super) fn after(&self, offset: u64) -> Option<IndexEntry> {
        let after = self.entries.partition_point(|entry| entry.offset <= offset);
        self.entries.get(after).copied()
    }
}
