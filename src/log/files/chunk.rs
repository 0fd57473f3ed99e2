//! A chunk while it is being filled, and a chunk that was read.
#![allow(unsafe_code)]

use super::format::{CHUNK_HEADER, ChunkHeader};
use crate::disk::Mapping;
use crate::log::segment::{Segment, WORDS_BEFORE_CHUNK, check_chunk};
use crate::record::NO_TIMESTAMP;
use std::sync::Arc;

const HEADER_WORDS: usize = CHUNK_HEADER / 8;

/// Where the copier fills in a chunk: one buffer, for all of them in turn.
pub(crate) struct ChunkBuffer {
    /// Room for the header, the descriptors and the data.
    words: Vec<u64>,
    pub(super) first: u64,
    pub(super) slots: u32,
    pub(super) latest_time: i64,
}

impl ChunkBuffer {
    pub(crate) fn new() -> ChunkBuffer {
        ChunkBuffer {
            words: Vec::new(),
            first: 0,
            slots: 0,
            latest_time: NO_TIMESTAMP,
        }
    }

    /// Begins a chunk whose first offset is `first`: its descriptors and its data, to be filled in.
    /// What they hold is left over.
    pub(crate) fn begin(
        &mut self,
        first: u64,
        slots: u32,
        data_bytes: usize,
    ) -> (&mut [u64], &mut [u8]) {
        let data_words = data_bytes.div_ceil(8);
        let descriptors = HEADER_WORDS + slots as usize;
        self.words.resize(descriptors + data_words, 0);
        (self.first, self.slots) = (first, slots);
        self.latest_time = NO_TIMESTAMP;
        let (head, data) = self.words.split_at_mut(descriptors);
        (&mut head[HEADER_WORDS..], bytes_of_mut(data))
    }

    pub(crate) fn set_latest_time(&mut self, time: i64) {
        self.latest_time = time;
    }

    /// Bytes of descriptors and data.
    pub(super) fn payload_bytes(&self) -> u64 {
        (self.words.len() - HEADER_WORDS) as u64 * 8
    }

    /// The descriptors and the data as they are stored. To be called once a chunk: on a big-endian
    /// machine it turns the descriptors round.
    pub(super) fn payload(&mut self) -> &[u8] {
        if cfg!(target_endian = "big") {
            let descriptors = self.words.iter_mut().skip(HEADER_WORDS);
            descriptors
                .take(self.slots as usize)
                .for_each(|word| *word = word.to_le());
        }
        &bytes_of(&self.words)[CHUNK_HEADER..]
    }

    /// The chunk under this header, as it is stored.
    pub(super) fn with_header(&mut self, header: &[u8; CHUNK_HEADER]) -> &[u8] {
        bytes_of_mut(&mut self.words)[..CHUNK_HEADER].copy_from_slice(header);
        bytes_of(&self.words)
    }
}

fn bytes_of(words: &[u64]) -> &[u8] {
    zerocopy::IntoBytes::as_bytes(words)
}

fn bytes_of_mut(words: &mut [u64]) -> &mut [u8] {
    zerocopy::IntoBytes::as_mut_bytes(words)
}

/// Where a chunk lies in memory.
#[derive(Clone, Debug)]
pub(super) enum ChunkMemory {
    Mapped(Arc<Mapping>),
    /// Read: what precedes the descriptors, the descriptors, the data.
    Words(Arc<[u64]>),
}

/// A chunk of records that was read and found whole. A clone is the same chunk.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    memory: ChunkMemory,
    /// Byte position of the descriptors in the memory.
    at: usize,
    first: u64,
    slots: u32,
    data_words: usize,
}

impl Chunk {
    /// The chunk of this header whose descriptors lie at byte `at` of `memory`; what is wrong with
    /// it otherwise. Its checksum was found right, or it was `checked` whole before.
    pub(super) fn new(
        header: &ChunkHeader,
        memory: ChunkMemory,
        at: usize,
        checked: bool,
    ) -> Result<Chunk, &'static str> {
        let slots = u32::try_from(header.offsets).map_err(|_| "it has too many slots")?;
        let chunk = Chunk {
            memory,
            at,
            first: header.first,
            slots,
            data_words: (header.payload / 8) as usize - slots as usize,
        };
        let Some(words) = chunk.words() else {
            return Err("it is not within its file");
        };
        if !checked {
            let (descriptors, data) = words[WORDS_BEFORE_CHUNK..].split_at(slots as usize);
            check_chunk(descriptors, bytes_of(data))?;
        }
        Ok(chunk)
    }

    /// The words from [`WORDS_BEFORE_CHUNK`] before the descriptors to the end of the data.
    fn words(&self) -> Option<&[u64]> {
        let words = WORDS_BEFORE_CHUNK + self.slots as usize + self.data_words;
        let at = self.at.checked_sub(WORDS_BEFORE_CHUNK * 8)?;
        match &self.memory {
            ChunkMemory::Mapped(mapping) => mapping.words(at, words),
            ChunkMemory::Words(all) => all.get(at / 8..at / 8 + words),
        }
    }

    pub(crate) fn first_offset(&self) -> u64 {
        self.first
    }

    /// The offset after its last.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.slots)
    }

    /// The chunk as a segment to read from. The caller keeps the chunk for as long as it uses the
    /// segment, a copy of it, or what it has borrowed from it.
    pub(crate) fn segment(&self) -> Segment {
        let Some(words) = self.words() else {
            unreachable!("`new` has found them")
        };
        // SAFETY: C1: `new` has checked the chunk, or it was checked before. It is in a mapped file,
        // where it does not change (D6), or in memory that is shared and not written; both stay as
        // long as the chunk, which the caller keeps.
        unsafe { Segment::of_chunk(words, self.slots) }
    }
}
