//! Where things are in a partition's files, and checksums that are made right again.
//!
//! The format is described in `src/log/files/format.rs`; this is a second reading of it.

use crc32c::{crc32c, crc32c_append};

pub(crate) const PAGE: usize = 4096;
pub(crate) const FILE_HEADER: usize = 512;
pub(crate) const SEAL_AT: usize = PAGE;
pub(crate) const SEAL: usize = 512;
pub(crate) const FIRST_CHUNK: usize = 2 * PAGE;
pub(crate) const CHUNK_ALIGN: usize = 64;
pub(crate) const CHUNK_HEADER: usize = 64;
pub(crate) const INDEX_ENTRY: usize = 24;

/// The fields of a header, a seal, a chunk's header and an index entry: where they are, and their
/// bytes.
pub(crate) const HEADER_FIELDS: &[(usize, usize)] = &[
    (0, 8),
    (8, 2),
    (10, 2),
    (16, 8),
    (32, 4),
    (36, 4),
    (40, 8),
    (48, 8),
    (56, 8),
    (64, 1),
    (508, 4),
];
pub(crate) const SEAL_FIELDS: &[(usize, usize)] = &[
    (0, 8),
    (8, 8),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 4),
    (56, 8),
    (508, 4),
];
pub(crate) const CHUNK_FIELDS: &[(usize, usize)] = &[
    (0, 4),
    (4, 4),
    (8, 4),
    (12, 4),
    (16, 8),
    (24, 8),
    (32, 4),
    (36, 4),
    (40, 8),
    (48, 4),
    (52, 4),
    (56, 8),
];
pub(crate) const ENTRY_FIELDS: &[(usize, usize)] = &[(0, 8), (8, 8), (16, 8)];

/// The number of `width` bytes at `at`; zero where the file has none.
pub(crate) fn number_at(bytes: &[u8], at: usize, width: usize) -> u64 {
    let mut word = [0; 8];
    if let Some(found) = bytes.get(at..at + width) {
        word[..width].copy_from_slice(found);
    }
    u64::from_le_bytes(word)
}

pub(crate) fn put_number(bytes: &mut [u8], at: usize, width: usize, number: u64) {
    if let Some(place) = bytes.get_mut(at..at + width) {
        place.copy_from_slice(&number.to_le_bytes()[..width]);
    }
}

/// The positions of all chunks' headers, whole or not.
pub(crate) fn chunks(bytes: &[u8]) -> Vec<usize> {
    let places = (FIRST_CHUNK..bytes.len()).step_by(CHUNK_ALIGN);
    places
        .filter(|&at| bytes[at..].starts_with(b"RLCK"))
        .collect()
}

pub(crate) fn payload_len(bytes: &[u8], chunk: usize) -> usize {
    number_at(bytes, chunk + 32, 4) as usize * 8
}

pub(crate) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.len() >= SEAL_AT + SEAL && bytes[SEAL_AT..].starts_with(b"RLOGSEAL")
}

/// Where the index is, if the file says so and has it.
pub(crate) fn index(bytes: &[u8]) -> Option<std::ops::Range<usize>> {
    if !is_sealed(bytes) {
        return None;
    }
    let at = usize::try_from(number_at(bytes, SEAL_AT + 16, 8)).ok()?;
    let len = usize::try_from(number_at(bytes, SEAL_AT + 24, 8)).ok()?;
    let end = at.checked_add(len)?;
    (end <= bytes.len()).then_some(at..end)
}

/// What is made right.
#[derive(Clone, Copy)]
pub(crate) struct Repair {
    pub(crate) header: bool,
    pub(crate) payloads: bool,
    pub(crate) chunks: bool,
    /// Each chunk is chained to the one before, and has its file's id and the next number.
    pub(crate) chain: bool,
    pub(crate) seal: bool,
}

impl Repair {
    pub(crate) const ALL: Repair = Repair {
        header: true,
        payloads: true,
        chunks: true,
        chain: true,
        seal: true,
    };

    pub(crate) fn apply(self, bytes: &mut [u8]) {
        if bytes.len() < FIRST_CHUNK {
            return;
        }
        if self.header {
            let crc = crc32c(&bytes[..508]);
            put_number(bytes, 508, 4, crc.into());
        }
        let header_crc = number_at(bytes, 508, 4) as u32;
        let file_id = number_at(bytes, 56, 8);
        let mut chain = u64::from(header_crc);
        for (number, at) in chunks(bytes).into_iter().enumerate() {
            let payload = at + CHUNK_HEADER..at + CHUNK_HEADER + payload_len(bytes, at);
            if let (true, Some(payload)) = (self.payloads, bytes.get(payload)) {
                let crc = crc32c(payload);
                put_number(bytes, at + 12, 4, crc.into());
            }
            if self.chain {
                put_number(bytes, at + 36, 4, number as u64);
                put_number(bytes, at + 48, 4, chain);
                put_number(bytes, at + 56, 8, file_id);
            }
            if let (true, Some(header)) = (self.chunks, bytes.get(at + 8..at + CHUNK_HEADER)) {
                let crc = crc32c(header);
                put_number(bytes, at + 4, 4, crc.into());
            }
            chain = number_at(bytes, at + 4, 4);
        }
        if self.seal && is_sealed(bytes) {
            if let Some(index) = index(bytes) {
                let crc = crc32c(&bytes[index]);
                put_number(bytes, SEAL_AT + 48, 4, crc.into());
            }
            let crc = crc32c_append(header_crc, &bytes[SEAL_AT..SEAL_AT + 508]);
            put_number(bytes, SEAL_AT + 508, 4, crc.into());
        }
    }
}

/// A `log-start` whose checksum is right.
pub(crate) fn log_start(topic_id: [u8; 16], start: u64) -> Vec<u8> {
    let mut bytes = b"RLOGSTRT".to_vec();
    bytes.extend_from_slice(&start.to_le_bytes());
    let mut crc = crc32c(&topic_id);
    crc = crc32c_append(crc, &0u32.to_le_bytes());
    crc = crc32c_append(crc, &bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// The lines of a small file, under their checksum.
pub(crate) fn checked_lines(lines: &str) -> Vec<u8> {
    format!("{lines}crc32c {:08x}\n", crc32c(lines.as_bytes())).into_bytes()
}
