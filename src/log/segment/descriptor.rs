//! Descriptors: one word each, which says what is published in a slot and where it lies.
//!
//! A **frame** is one append: a record, or several of one batch. Its descriptor stands in the
//! segment's index, at the slot of the frame's first record; zero means "not published". The table
//! of a frame of several records consists of the same words, so that a record is read the same way
//! wherever it lies. [`frame`](super::frame) has the bytes that a descriptor points at.
//!
//! ```text
//!  63      60   59    58    57   56  55          28 27            0
//! +----------+------+-----+------+---+--------------+--------------+
//! |   kind   | tomb | key | meta | 0 |    length    |   position   |
//! +----------+------+-----+------+---+--------------+--------------+
//! ```
//!
//! | field | meaning |
//! |---|---|
//! | `kind` | a [`Kind`]; the highest bit alone says "a single record" |
//! | `tomb` | the record is a tombstone |
//! | `key` | the record has a key |
//! | `meta` | a key or headers follow the value |
//! | `length` | bytes of value for a record; records for every other kind |
//! | `position` | where the frame begins in the segment's data, in bytes |
//!
//! The position is lowest and in bytes because it is all that differs from record to record where
//! they are alike: one addition.
//!
//! This is pure bit arithmetic, without atomics.

use super::state::MAX_UNITS;

/// Bytes in a unit. Frames begin on units from the beginning of a segment's data.
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

// Positions, the end of the last frame and lengths fit their fields.
const _: () =
    assert!(MAX_UNITS as u64 * UNIT as u64 <= POSITION_MASK && POSITION_MASK == LENGTH_MASK);

/// What a descriptor describes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::log) enum Kind {
    /// Nothing is published here yet.
    Empty = 0,
    /// Several records, each described in a table.
    Table = 1,
    /// Several values of one length, without keys or headers.
    Uniform = 2,
    /// The segment ends here; the log continues in the next.
    End = 3,
    /// A claim that was given up: `length` offsets hold nothing.
    Aborted = 4,
    /// One record with a time of its own. Only the two kinds of single record have the word's
    /// highest bit.
    Timed = 8,
    /// One record without a time of its own: its time is its batch's, or none.
    Untimed = 9,
}

/// What a record has besides its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Flags {
    pub(super) key: bool,
    pub(super) headers: bool,
    pub(super) tombstone: bool,
}

/// One descriptor word: see the [module](self).
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

    /// Whether this is a single record: the common case, in one bit.
    #[inline(always)]
    pub(in crate::log) fn is_single_record(self) -> bool {
        self.0 >> 63 != 0
    }

    /// Whether each of these is a single record: the conjunction of that bit.
    #[inline(always)]
    pub(super) fn are_single_records(descriptors: &[Descriptor]) -> bool {
        let all = descriptors.iter().fold(u64::MAX, |all, one| all & one.0);
        Descriptor(all).is_single_record()
    }

    /// Slots that the frame takes.
    #[inline]
    pub(in crate::log) fn slots(self) -> u32 {
        if self.is_single_record() {
            1
        } else {
            match self.kind() {
                Kind::End | Kind::Empty => 0,
                _ => self.length() as u32,
            }
        }
    }

    /// Byte position of the frame in the segment's data.
    #[inline]
    pub(super) fn at(self) -> usize {
        (self.0 & POSITION_MASK) as usize
    }

    /// The same, `bytes` further on. The caller keeps the sum within a segment.
    #[inline]
    pub(super) fn moved_by(self, bytes: usize) -> Descriptor {
        Descriptor(self.0 + bytes as u64)
    }

    /// Bytes of value for a record; records for every other kind.
    #[inline]
    pub(super) fn length(self) -> usize {
        ((self.0 >> LENGTH_SHIFT) & LENGTH_MASK) as usize
    }

    /// Byte position of the end of a record that has neither key nor headers.
    #[inline]
    pub(in crate::log) fn end(self) -> usize {
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
    fn a_descriptor_gives_back_its_fields_at_their_limits() {
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
                        assert!(d.is_single_record() && !d.is_empty());
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
    fn every_kind_is_distinct_and_knows_its_slots() {
        for (kind, slots) in [
            (Kind::Table, 7),
            (Kind::Uniform, 7),
            (Kind::Aborted, 7),
            (Kind::End, 0),
        ] {
            let d = Descriptor::new(kind, 5, 7);
            assert_eq!((d.kind(), d.slots()), (kind, slots));
            assert!(!d.is_single_record());
        }
        assert_eq!(Descriptor::EMPTY.kind(), Kind::Empty);
        assert_eq!(Descriptor::END.kind(), Kind::End);
    }

    #[test]
    fn single_records_are_distinguished_from_every_other_kind() {
        let record = |timed| Descriptor::record(MAX_UNITS, 0, timed, Flags::default());
        assert!(Descriptor::are_single_records(&[
            record(true),
            record(false)
        ]));
        for kind in [Kind::Table, Kind::Uniform, Kind::Aborted, Kind::End] {
            let other = Descriptor::new(kind, MAX_UNITS, LENGTH_MASK);
            assert!(!Descriptor::are_single_records(&[record(true), other]));
            assert!(!Descriptor::are_single_records(&[other, record(false)]));
        }
        assert!(!Descriptor::are_single_records(&[
            Descriptor::EMPTY,
            record(true)
        ]));
    }
}
