//! Chunks: frames of one segment, copied out of it as they lie there, and read again in a file.
//!
//! A **chunk** is what the copier of a durable topic takes from a segment at once
//! (`storage/copier.rs`), and what a file stores under one checksum (`log/files/`):
//!
//! ```text
//! descriptors   one word a slot, as in the segment's index; zero where a frame has more slots
//! data          the frames' bytes, as in the segment
//! ```
//!
//! Positions count from the beginning of the chunk's data, those in the tables of frames too. So a
//! chunk is read as a sealed segment is, by the same code, wherever it lies: [`Segment::of_chunk`].
//! A chunk has no END: it ends at its last slot.
//!
//! The bytes of aborted frames are not copied, because their claims may still be written to while
//! they are given up. So a chunk's aborted frames come first, and other frames follow them.
//!
//! # Invariant
//!
//! **C1** A chunk that [`check_chunk`] has accepted can be read without further checks: each frame
//! and each part of it lies within the chunk. What the copier has copied is accepted; what was in a
//! file is checked before it is read, whatever its checksum says.
#![allow(unsafe_code)]

use super::SegmentShape;
use super::descriptor::{Descriptor, Kind, padded};
use super::frame::{TABLE_PREFIX, UNIFORM_PREFIX};
use super::memory::Block;
use super::records::{RecordRun, StoredRecords};
use super::{Segment, UNIT};
use crate::record::NO_TIMESTAMP;

/// Words that must precede a chunk's descriptors in memory: what a segment's header takes.
pub(crate) const WORDS_BEFORE_CHUNK: usize = super::shape::HEADER_BYTES / 8;

/// Published frames of one segment, next to each other, that can be copied as one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRun {
    /// The slot of the first frame.
    pub(in crate::log) slot: u32,
    /// Slots of all frames.
    pub(crate) slots: u32,
    /// Where their bytes begin in the segment's data.
    at: usize,
    /// Bytes of the frames that are not aborted, whole units.
    pub(crate) bytes: usize,
    /// Records of those frames.
    records: u32,
    /// Whether each frame is a single record.
    singles: bool,
}

impl Segment {
    /// The published frames from `slot` on, which is where a frame begins, up to about `max_bytes`;
    /// at least one frame, if one is published. The caller holds the segment.
    pub(in crate::log) fn published_run(&self, slot: u32, max_bytes: usize) -> FrameRun {
        let mut run = FrameRun {
            slot,
            slots: 0,
            at: 0,
            bytes: 0,
            records: 0,
            singles: true,
        };
        let mut last = Descriptor::EMPTY;
        let mut next = slot;
        while next < self.shape.records {
            let descriptor = self.descriptor(next);
            match descriptor.kind() {
                Kind::Empty | Kind::End => break,
                Kind::Aborted if run.records > 0 => break,
                Kind::Aborted => run.singles = false,
                _ => {
                    if run.records == 0 {
                        run.at = descriptor.at();
                    } else if descriptor.at() - run.at >= max_bytes {
                        break;
                    }
                    run.records += descriptor.slots();
                    run.singles &= descriptor.is_single_record();
                    last = descriptor;
                }
            }
            next += descriptor.slots();
        }
        run.slots = next - slot;
        if run.records > 0 {
            run.bytes = self.frame_end(last) - run.at;
        }
        run
    }

    /// Byte position of the end of a published frame of records, of a segment that is held.
    fn frame_end(&self, frame: Descriptor) -> usize {
        let data = |at, len| {
            // SAFETY: part of a published frame, by its layout (`frame.rs`), and the segment is
            // held (M3, M4).
            unsafe { self.bytes().slice(at, len) }
        };
        let u32_at = |at| {
            let bytes = data(at, 4).try_into().unwrap_or_default();
            u32::from_le_bytes(bytes) as usize
        };
        let record_end = |record: Descriptor| {
            let end = record.end();
            match record.has_meta() {
                true => end + 8 + padded(u32_at(end) + u32_at(end + 4)),
                false => end,
            }
        };
        let (at, records) = (frame.at(), frame.slots() as usize);
        match frame.kind() {
            Kind::Uniform => at + UNIFORM_PREFIX + padded(records * u32_at(at + 8)),
            Kind::Table => {
                let last = data(at + TABLE_PREFIX + (records - 1) * 8, 8);
                let last = u64::from_le_bytes(last.try_into().unwrap_or_default());
                record_end(Descriptor(last))
            }
            _ => record_end(frame),
        }
    }

    /// Copies the frames of a run as a chunk: its descriptors and its data, both of exactly the
    /// run's size. Returns the latest time of their records, or [`NO_TIMESTAMP`]. The caller has
    /// held the segment since it measured the run.
    ///
    /// `base` is the offset of the segment's slot 0.
    pub(in crate::log) fn copy_run(
        &self,
        run: &FrameRun,
        descriptors: &mut [u64],
        data: &mut [u8],
        base: u64,
    ) -> i64 {
        let index = self.published_index();
        let moved = |descriptor: Descriptor| Descriptor(descriptor.0 - run.at as u64);
        // SAFETY: the bytes of published frames that are not aborted, next to each other, in a
        // segment that is held (M3, M4).
        data.copy_from_slice(unsafe { self.bytes().slice(run.at, run.bytes) });
        if run.singles {
            for (slot, out) in (run.slot..).zip(descriptors.iter_mut()) {
                // SAFETY: M5: found published by `published_run`.
                *out = moved(unsafe { index.descriptor(slot) }).0;
            }
        } else {
            descriptors.fill(0);
            let mut slot = 0;
            while slot < run.slots {
                // SAFETY: as above: a frame begins here.
                let descriptor = unsafe { index.descriptor(run.slot + slot) };
                let stored = match descriptor.kind() {
                    Kind::Aborted => Descriptor::new(Kind::Aborted, 0, descriptor.slots().into()),
                    _ => moved(descriptor),
                };
                descriptors[slot as usize] = stored.0;
                if descriptor.kind() == Kind::Table {
                    let table = &mut data[stored.at() + TABLE_PREFIX..];
                    for entry in table.chunks_exact_mut(8).take(descriptor.slots() as usize) {
                        let word = u64::from_le_bytes((&*entry).try_into().unwrap_or_default());
                        entry.copy_from_slice(&moved(Descriptor(word)).0.to_le_bytes());
                    }
                }
                slot += descriptor.slots();
            }
        }
        let records = RecordRun {
            base,
            slot: run.slot,
            records: run.records,
            singles: run.singles,
            ..RecordRun::default()
        };
        let times = StoredRecords::new(&records, self);
        times.fold(NO_TIMESTAMP, |latest, record| {
            latest.max(record.timestamp().unwrap_or(NO_TIMESTAMP))
        })
    }

    /// A chunk as a segment to read from: it has as many record slots as the chunk.
    ///
    /// `words` are the chunk's descriptors and data, and [`WORDS_BEFORE_CHUNK`] words before them,
    /// which are not read.
    ///
    /// # Safety
    /// C1: the chunk was accepted by [`check_chunk`]; and the words stay as they are for as long as
    /// the segment, a copy of it, or what was borrowed from it is used.
    #[cfg(not(loom))]
    pub(in crate::log) unsafe fn of_chunk(words: &[u64], slots: u32) -> Segment {
        let units = words.len() - WORDS_BEFORE_CHUNK - slots as usize;
        let shape = SegmentShape {
            records: slots,
            units: units as u32,
        };
        // SAFETY: by the caller's promise, and M7.
        let block = unsafe { Block::of_chunk(words, WORDS_BEFORE_CHUNK + slots as usize) };
        Segment { block, shape }
    }

    /// The same on loom's types, which hold a copy.
    #[cfg(loom)]
    pub(in crate::log) unsafe fn of_chunk(words: &[u64], slots: u32) -> Segment {
        let (descriptors, data) = words[WORDS_BEFORE_CHUNK..].split_at(slots as usize);
        let shape = SegmentShape {
            records: slots,
            units: data.len() as u32,
        };
        let block = Block::of_chunk(shape, descriptors, data);
        Segment { block, shape }
    }

    /// In a model: the values of a chunk's records, by offset, without a step. The segment is one
    /// of [`of_chunk`](Self::of_chunk); `first` is the offset of its slot 0.
    #[cfg(loom)]
    pub(crate) fn values_of_chunk(&self, first: u64) -> Vec<(u64, Vec<u8>)> {
        let index = self.published_index();
        let (mut slot, mut records) = (0, 0);
        while slot < self.shape.records {
            // SAFETY: M5: no thread writes to a chunk, and a frame begins here (C1).
            let frame = unsafe { index.descriptor(slot) };
            slot += frame.slots();
            if frame.kind() != Kind::Aborted {
                records += frame.slots();
            }
        }
        let run = RecordRun {
            base: first,
            records,
            ..RecordRun::default()
        };
        let records = StoredRecords::new(&run, self);
        let values = records.map(|record| (record.offset, record.value_bytes().to_vec()));
        values.collect()
    }
}

/// The cursor over a chunk's bytes, for [`check_chunk`].
struct Data<'d>(&'d [u8]);

impl Data<'_> {
    fn u32(&self, at: usize) -> Option<usize> {
        let bytes = self.0.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    }

    fn contains(&self, at: usize, len: usize) -> bool {
        at.checked_add(len).is_some_and(|end| end <= self.0.len())
    }

    /// Whether a record's value, time, key and headers lie within the data.
    fn has_record(&self, record: Descriptor) -> bool {
        let end = record.end();
        if !self.contains(record.at(), end - record.at()) {
            return false;
        }
        if !record.has_meta() {
            return !record.has_key();
        }
        let (Some(key), Some(headers)) = (self.u32(end), self.u32(end + 4)) else {
            return false;
        };
        (record.has_key() || key == 0) && self.contains(end + 8, padded(key + headers))
    }

    fn has_table(&self, frame: Descriptor) -> bool {
        let (at, records) = (frame.at() + TABLE_PREFIX, frame.slots() as usize);
        let Some(table) = self.0.get(at..at + records * 8) else {
            return false;
        };
        table.chunks_exact(8).all(|entry| {
            let word = u64::from_le_bytes(entry.try_into().unwrap_or_default());
            has_kind(word, &[Kind::Timed, Kind::Untimed]) && self.has_record(Descriptor(word))
        })
    }

    fn has_values(&self, frame: Descriptor) -> bool {
        let at = frame.at();
        let values = self.u32(at + 8).and_then(|value| {
            let values = (frame.slots() as usize).checked_mul(value)?;
            Some(UNIFORM_PREFIX + values)
        });
        values.is_some_and(|values| self.contains(at, values))
    }
}

/// Whether the kind of this word is one of `kinds`, and nothing else. ([`Descriptor::kind`] takes
/// unknown ones for aborted.)
fn has_kind(word: u64, kinds: &[Kind]) -> bool {
    kinds.iter().any(|&kind| word >> 60 == kind as u64)
}

/// Whether a chunk may be read without further checks (C1); otherwise what is wrong with it.
pub(crate) fn check_chunk(descriptors: &[u64], data: &[u8]) -> Result<(), &'static str> {
    if data.len() % UNIT != 0 {
        return Err("its data is not a whole number of units");
    }
    let data = Data(data);
    let mut slot = 0;
    while let Some(&word) = descriptors.get(slot) {
        let frame = Descriptor(word);
        if frame.at() % UNIT != 0 || word & UNUSED_BIT != 0 {
            return Err("a descriptor has bits that no descriptor has");
        }
        let fits = match frame.kind() {
            Kind::Timed | Kind::Untimed => data.has_record(frame),
            Kind::Table => data.has_table(frame),
            Kind::Uniform => data.has_values(frame),
            Kind::Aborted => has_kind(word, &[Kind::Aborted]),
            Kind::Empty | Kind::End => false,
        };
        let slots = frame.slots() as usize;
        if !fits || slots == 0 {
            return Err("a frame is not within its data");
        }
        let Some(rest) = descriptors.get(slot + 1..slot + slots) else {
            return Err("a frame has more records than there are slots");
        };
        if rest.iter().any(|&word| word != 0) {
            return Err("a frame begins within another");
        }
        slot += slots;
    }
    Ok(())
}

/// The bit of a descriptor that is always zero.
const UNUSED_BIT: u64 = 1 << 56;

#[cfg(test)]
mod tests;
