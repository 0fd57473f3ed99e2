//! How a frame lies in memory: pure bit and byte arithmetic, no atomics.
//!
//! A **frame** is one append: a record, or a batch. Its **descriptor** is one word in the
//! segment's index, at the slot of the frame's first record; zero means "not published".
//! The same word describes a record inside a batch's table, so a record is read the same
//! way wherever it lies. Frames begin on **units** of 8 bytes from the segment's data.
//!
//! ```text
//! record     value, padded | [time i64] | [key length u32, headers length u32 | key | headers], padded
//! table      time i64 | one descriptor a record | the records, each as above
//! uniform    time i64 | value length u32, 0 u32 | the values, back to back, padded
//! ```
//!
//! Values start on a unit, so a value can be viewed in place as a type of alignment 8 or
//! less. All numbers are in the machine's own byte order: a segment never leaves it.

use super::state::MAX_UNITS;

/// Bytes in a unit, the grain of a segment's data.
pub(crate) const UNIT: usize = 8;

const POSITION_BITS: u32 = 28;

const LENGTH_BITS: u32 = 28;

const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;

const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;

const LENGTH_SHIFT: u32 = POSITION_BITS;

const META: u64 = 1 << 57;

const KEY: u64 = 1 << 58;

const TOMBSTONE: u64 = 1 << 59;

const KIND_SHIFT: u32 = 60;

// Positions, the one behind the last and lengths fit their fields.
const _: () =
    assert!(MAX_UNITS as u64 * UNIT as u64 <= POSITION_MASK && POSITION_MASK == LENGTH_MASK);

/// What a descriptor describes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::log) enum Kind {
    /// Nothing published here yet.
    Empty = 0,
    /// Several records, described by a table.
    Table = 1,
    /// Several values of one length, without keys or headers.
    Uniform = 2,
    /// The segment ends here: go on in the next.
    End = 3,
    /// A claim given up: as many offsets as its length says hold nothing.
    Aborted = 4,
    /// One record with a time of its own. The two kinds of single record, and no others, have
    /// the word's highest bit.
    Timed = 8,
    /// One record without: its batch's time, or none, is its time.
    Untimed = 9,
}

/// What a record has besides its value, as descriptor bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Flags {
    pub(super) key: bool,
    pub(super) headers: bool,
    pub(super) tombstone: bool,
}

/// One descriptor word.
///
/// `kind:4 | tombstone:1 | key:1 | meta:1 | unused:1 | length:28 | position:28`, the position in
/// bytes, the length in bytes of value for a record and in records for everything else. `meta` says
/// that a key or headers follow the value, `key` that one of them is a key.
///
/// The position is lowest and in bytes because it is all that differs from record to record where
/// they are of one kind: one addition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::log) struct Descriptor(pub(super) u64);

impl Descriptor {
    pub(super) const EMPTY: Descriptor = Descriptor(0);
    pub(in crate::log) const END: Descriptor = Descriptor((Kind::End as u64) << KIND_SHIFT);

    #[inline]
    pub(super) fn record(unit: u32, length: usize, timed: bool, flags: Flags) -> Descriptor {
        let kind = if timed { Kind::Timed } else { Kind::Untimed };
        let mut word = Self::new(kind, unit, length as u64).0;
        if flags.key {
            word |= KEY | META;
        }
        if flags.headers {
            word |= META;
        }
        if flags.tombstone {
            word |= TOMBSTONE;
        }
        Descriptor(word)
    }

    #[inline]
    pub(super) fn new(kind: Kind, unit: u32, length: u64) -> Descriptor {
        debug_assert!(unit <= MAX_UNITS && length <= LENGTH_MASK);
        let length = (length & LENGTH_MASK) << LENGTH_SHIFT;
        let position = u64::from(unit) * UNIT as u64;
        Descriptor((kind as u64) << KIND_SHIFT | length | position)
    }

    #[inline]
    pub(in crate::log) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(in crate::log) fn kind(self) -> Kind {
        match self.0 >> KIND_SHIFT {
            0 => Kind::Empty,
            1 => Kind::Table,
            2 => Kind::Uniform,
            3 => Kind::End,
            8 => Kind::Timed,
            9 => Kind::Untimed,
            _ => Kind::Aborted,
        }
    }

    /// Whether this is one record: the common case, in one bit.
    #[inline(always)]
    pub(in crate::log) fn is_record(self) -> bool {
        self.0 >> 63 != 0
    }

    /// Whether each of these is one record: the same bit of all of them.
    #[inline(always)]
    pub(super) fn are_records(descriptors: &[Descriptor]) -> bool {
        let all = descriptors.iter().fold(u64::MAX, |all, one| all & one.0);
        Descriptor(all).is_record()
    }

    /// How many slots the frame takes.
    #[inline]
    pub(in crate::log) fn slots(self) -> u32 {
        if self.is_record() {
            1
        } else {
            match self.kind() {
                Kind::End | Kind::Empty => 0,
                _ => self.length() as u32,
            }
        }
    }

    /// Byte position in the segment's data.
    #[inline]
    pub(super) fn at(self) -> usize {
        (self.0 & POSITION_MASK) as usize
    }

    #[inline]
    pub(super) fn length(self) -> usize {
        ((self.0 >> LENGTH_SHIFT) & LENGTH_MASK) as usize
    }

    /// Byte position behind a record without key and headers.
    #[inline]
    pub(in crate::log) fn behind(self) -> usize {
        padded(self.at() + self.length()) + if self.is_timed() { 8 } else { 0 }
    }

    #[inline]
    pub(super) fn is_timed(self) -> bool {
        self.0 >> KIND_SHIFT == Kind::Timed as u64
    }

    #[inline]
    pub(super) fn has_key(self) -> bool {
        self.0 & KEY != 0
    }

    #[inline]
    pub(super) fn has_meta(self) -> bool {
        self.0 & META != 0
    }

    #[inline]
    pub(super) fn is_tombstone(self) -> bool {
        self.0 & TOMBSTONE != 0
    }
}

/// `bytes` rounded up to whole units. The caller keeps `bytes` far from `usize::MAX`.
#[inline]
pub(super) fn padded(bytes: usize) -> usize {
    (bytes + (UNIT - 1)) & !(UNIT - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_gives_back_what_was_put_in_at_the_edges_of_its_fields() {
        for unit in [0, 1, MAX_UNITS - 1, MAX_UNITS] {
            for length in [0usize, 1, 63, 1 << 27, (1 << 28) - 1] {
                for timed in [false, true] {
                    for bits in 0..8u8 {
                        let flags = Flags {
                            key: bits & 1 != 0,
                            headers: bits & 2 != 0,
                            tombstone: bits & 4 != 0,
                        };
                        let d = Descriptor::record(unit, length, timed, flags);
                        assert!(d.is_record() && !d.is_empty());
                        assert_eq!(d.at(), unit as usize * UNIT);
                        assert_eq!(d.length(), length);
                        assert_eq!(d.is_timed(), timed);
                        assert_eq!(d.has_key(), flags.key);
                        assert_eq!(d.has_meta(), flags.key || flags.headers);
                        assert_eq!(d.is_tombstone(), flags.tombstone);
                        assert_eq!(d.slots(), 1);
                    }
                }
            }
        }
    }

    #[test]
    fn every_kind_is_told_apart_and_knows_its_slots() {
        for (kind, slots) in [
            (Kind::Table, 7),
            (Kind::Uniform, 7),
            (Kind::Aborted, 7),
            (Kind::End, 0),
        ] {
            let d = Descriptor::new(kind, 5, 7);
            assert_eq!((d.kind(), d.slots()), (kind, slots));
            assert!(!d.is_record());
        }
        assert_eq!(Descriptor::EMPTY.kind(), Kind::Empty);
        assert_eq!(Descriptor::END.kind(), Kind::End);
    }

    #[test]
    fn records_are_told_from_anything_else_among_them() {
        let record = |timed| Descriptor::record(MAX_UNITS, 0, timed, Flags::default());
        assert!(Descriptor::are_records(&[record(true), record(false)]));
        for kind in [Kind::Table, Kind::Uniform, Kind::Aborted, Kind::End] {
            let other = Descriptor::new(kind, MAX_UNITS, LENGTH_MASK);
            assert!(!Descriptor::are_records(&[record(true), other]));
            assert!(!Descriptor::are_records(&[other, record(false)]));
        }
        assert!(!Descriptor::are_records(&[Descriptor::EMPTY, record(true)]));
    }
}
