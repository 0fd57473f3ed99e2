//! The bits of a segment's state word.
//!
//! ```text
//!          63        42 41   40 39         26 25               0
//!         +------------+-------+-------------+------------------+
//! OPEN    |  records   |   2   |  partition  |      units       |
//! SEALED  |  records   |   1   |  partition  |      units       |
//! FRESH   |  number,   |   0   |  partition  | 0 |   number,    |
//!         |  upper 22  |       |             |   |   lower 25   |
//!         +------------+-------+-------------+------------------+
//! ```
//!
//! Zero, the state of memory that was never used, is fresh. Records and units are counted from the
//! segment's beginning, and the highest bit of each field is zero ([`MAX_RECORDS`], [`MAX_UNITS`]).
//! Records are uppermost and units lowest because each send extracts both: one instruction each.
//!
//! This is pure arithmetic, without atomics. [`segment`](super) says what each state allows.

use crate::log::partition_id::{MAX_PARTITIONS, PartitionId};

const _: () = assert!(MAX_PARTITIONS <= 1 << PARTITION_BITS);

/// Segment numbers are below this: a fresh word has 47 bits for them.
pub(crate) const MAX_NUMBER: u64 = (1 << 47) - 1;

/// The most records that a segment can have. Leaves the highest bit of the field zero, which
/// [`has_room`](SegmentState::has_room) needs.
pub(crate) const MAX_RECORDS: u32 = (1 << (RECORD_BITS - 1)) - 1;

/// The most units that a segment can have, for the same reason.
pub(crate) const MAX_UNITS: u32 = (1 << (UNIT_BITS - 1)) - 1;

const UNIT_BITS: u32 = 26;

const PARTITION_BITS: u32 = 14;

const STATE_BITS: u32 = 2;

const RECORD_BITS: u32 = 22;

const STATE_SHIFT: u32 = UNIT_BITS + PARTITION_BITS;

const RECORD_SHIFT: u32 = STATE_SHIFT + STATE_BITS;

const UNITS: u64 = MAX_UNITS as u64;

const PARTITION: u64 = ((1 << PARTITION_BITS) - 1) << UNIT_BITS;

const STATE: u64 = ((1 << STATE_BITS) - 1) << STATE_SHIFT;

const SEALED: u64 = 1 << STATE_SHIFT;

/// Two away from fresh, which [`has_room`](SegmentState::has_room) needs.
const OPEN: u64 = 2 << STATE_SHIFT;

/// Bits that must be zero in `full - next` iff `next` is open in the same partition and neither
/// field underflowed.
const MUST_BE_ZERO: u64 = 1 << (u64::BITS - 1) | STATE | PARTITION | 1 << (UNIT_BITS - 1);

/// A state word: see the [module](self).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentState(pub(super) u64);

impl SegmentState {
    /// Of no open segment, and so without room.
    pub(crate) const NONE: SegmentState = SegmentState(0);

    pub(super) fn fresh(partition: PartitionId, number: u64) -> SegmentState {
        debug_assert!(number < MAX_NUMBER);
        let upper = number >> (UNIT_BITS - 1);
        SegmentState(
            upper << RECORD_SHIFT | u64::from(partition.number()) << UNIT_BITS | number & UNITS,
        )
    }

    pub(super) fn open(partition: PartitionId) -> SegmentState {
        SegmentState(OPEN | u64::from(partition.number()) << UNIT_BITS)
    }

    pub(in crate::log) fn is_fresh(self) -> bool {
        self.0 & STATE == 0
    }

    pub(crate) fn is_fresh_as(self, partition: PartitionId, number: u64) -> bool {
        self == SegmentState::fresh(partition, number)
    }

    /// The word of a segment that is open and has all of its `records` and `units` claimed:
    /// [`has_room`](Self::has_room) compares with it.
    #[inline]
    pub(super) fn full(partition: PartitionId, records: u32, units: u32) -> SegmentState {
        SegmentState::open(partition).after(records, units)
    }

    /// Whether a segment in this state, of the shape of `full`, is open in the partition of `full`
    /// and has room for `records` and `units`. `records` is no more than a segment has.
    ///
    /// One subtraction, `full - (self + records + units)`, answers all of it:
    ///
    /// - Open in the same partition: state and partition cancel out. If the segment has too few
    ///   units left, the field underflows and its highest bit is set; an amount below half of the
    ///   field does not set it otherwise. The same holds for records.
    /// - Sealed, or of another partition: state and partition differ by at least one. A borrow of
    ///   the units could make up for that, if units are missing; but then their highest bit is set.
    /// - Fresh: a part of the number stands in the units' field, so it may borrow and leave that
    ///   bit zero. State and partition differ by more than one, whatever the partitions.
    #[inline(always)]
    pub(super) fn has_room(self, full: SegmentState, records: u32, units: u32) -> bool {
        debug_assert!((1..=full.record_field()).contains(&records) && units <= MAX_UNITS);
        let next = self.0.wrapping_add(Self::addend(records, units));
        full.0.wrapping_sub(next) & MUST_BE_ZERO == 0
    }

    #[inline]
    pub(crate) fn is_open_in(self, partition: PartitionId) -> bool {
        self.0 & (STATE | PARTITION) == SegmentState::open(partition).0
    }

    pub(crate) fn is_sealed_in(self, partition: PartitionId) -> bool {
        self.0 & (STATE | PARTITION) == SEALED | u64::from(partition.number()) << UNIT_BITS
    }

    pub(in crate::log) fn partition(self) -> PartitionId {
        PartitionId::new(((self.0 & PARTITION) >> UNIT_BITS) as u32)
    }

    /// Records claimed; zero in a fresh segment.
    #[inline]
    pub(crate) fn records(self) -> u32 {
        if self.is_fresh() {
            return 0;
        }
        self.record_field()
    }

    /// The field of records: those claimed, unless the segment is fresh.
    #[inline(always)]
    pub(super) fn record_field(self) -> u32 {
        (self.0 >> RECORD_SHIFT) as u32
    }

    /// The records claimed since the segment was in state `earlier`; `None` if it is not open as it
    /// was then, or in another life.
    #[inline]
    pub(super) fn records_since(self, earlier: SegmentState) -> Option<u32> {
        if (self.0 ^ earlier.0) & (STATE | PARTITION) != 0 {
            return None;
        }
        self.record_field().checked_sub(earlier.record_field())
    }

    /// Units claimed; zero in a fresh segment.
    pub(crate) fn units(self) -> u32 {
        if self.is_fresh() {
            return 0;
        }
        self.unit_field()
    }

    /// The field of units: those claimed, unless the segment is fresh.
    #[inline(always)]
    pub(super) fn unit_field(self) -> u32 {
        (self.0 & UNITS) as u32
    }

    pub(super) fn sealed(self) -> SegmentState {
        SegmentState(self.0 & !STATE | SEALED)
    }

    /// This open state after a claim of `records` and `units`.
    #[inline(always)]
    pub(crate) fn after(self, records: u32, units: u32) -> SegmentState {
        SegmentState(self.0 + Self::addend(records, units))
    }

    /// What a claim adds to the word.
    #[inline(always)]
    fn addend(records: u32, units: u32) -> u64 {
        u64::from(records) << RECORD_SHIFT | u64::from(units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The partition whose number is `distance` below that of `partition`.
    fn near(partition: PartitionId, distance: u32) -> PartitionId {
        PartitionId::new(partition.number() - distance)
    }

    #[test]
    fn the_fields_of_the_word_are_separate_at_their_limits() {
        let partition = PartitionId::new(MAX_PARTITIONS - 1);
        let fresh = SegmentState::fresh(partition, MAX_NUMBER - 1);
        assert!(fresh.is_fresh() && fresh.is_fresh_as(partition, MAX_NUMBER - 1));
        assert!(!fresh.is_fresh_as(near(partition, 1), MAX_NUMBER - 1));
        assert!(!fresh.is_fresh_as(partition, MAX_NUMBER - 2));
        assert_eq!((fresh.partition(), fresh.records()), (partition, 0));
        assert!(!fresh.is_open_in(partition) && !fresh.is_sealed_in(partition));

        let (records, units) = (MAX_RECORDS, MAX_UNITS);
        let open = SegmentState::open(partition).after(records, units);
        assert!(open.is_open_in(partition) && !open.is_open_in(near(partition, 1)));
        assert_eq!((open.records(), open.units()), (records, units));
        let sealed = open.sealed();
        assert!(sealed.is_sealed_in(partition) && !sealed.is_open_in(partition));
        assert!(!sealed.is_fresh());
        assert_eq!((sealed.records(), sealed.units()), (records, units));
        assert_eq!(sealed.partition(), partition);
        assert_eq!((fresh.units(), open.units()), (0, units));
        let numbers = [0, 1, UNITS, UNITS + 1, MAX_NUMBER - 1];
        let fresh = numbers.map(|number| SegmentState::fresh(partition, number));
        for (i, state) in fresh.into_iter().enumerate() {
            assert!(state.is_fresh() && state.partition() == partition);
            assert_eq!(
                fresh.map(|other| other == state),
                core::array::from_fn(|j| i == j)
            );
        }
        assert!(SegmentState(0).is_fresh_as(PartitionId::new(0), 0));
    }

    #[test]
    fn only_an_open_segment_of_the_partition_has_room() {
        let last = PartitionId::new(MAX_PARTITIONS - 1);
        let shapes = [1, 2, 7, MAX_RECORDS].map(|records| [1, 9, MAX_UNITS].map(|u| (records, u)));
        for (most, units) in shapes.into_iter().flatten() {
            for partition in [
                PartitionId::new(0),
                PartitionId::new(1),
                near(last, 1),
                last,
            ] {
                let full = SegmentState::full(partition, most, units);
                assert!(full.is_open_in(partition));
                assert_eq!((full.records(), full.units()), (most, units));
                // One subtraction gives the same answer as the fields one by one.
                let expected = |state: SegmentState, (n, k): (u32, u32)| {
                    state.is_open_in(partition)
                        && state.records() + n <= most
                        && state.units() + k <= units
                };
                let sizes = [1, most.div_ceil(2), most].map(|n| (n, [0, 1, units, MAX_UNITS]));
                let sizes = sizes.into_iter().flat_map(|(n, of)| of.map(|k| (n, k)));
                for (state, (n, k)) in
                    sizes.flat_map(|size| states(most, units).map(move |s| (s, size)))
                {
                    let has = state.has_room(full, n, k);
                    assert_eq!(has, expected(state, (n, k)), "{state:x?} {full:x?} {n} {k}");
                }
                let claimed = |records, units| SegmentState::open(partition).after(records, units);
                assert!(claimed(0, 0).has_room(full, most, units));
                assert!(claimed(most - 1, units - 1).has_room(full, 1, 1));
                assert!(!claimed(most, 0).has_room(full, 1, 0));
                assert!(!claimed(0, units).has_room(full, 1, 1));
            }
        }
    }

    /// Words of every state, at the limits of every field, in neighbouring and in distant
    /// partitions.
    fn states(most: u32, units: u32) -> impl Iterator<Item = SegmentState> {
        let last = PartitionId::new(MAX_PARTITIONS - 1);
        let partitions = [
            PartitionId::new(0),
            PartitionId::new(1),
            PartitionId::new(2),
            near(last, 2),
            near(last, 1),
            last,
        ]
        .into_iter();
        partitions.flat_map(move |partition| {
            // The lower part stands where units do, and the upper part where records do.
            let upper = [0, 1, u64::from(most), MAX_NUMBER >> 25];
            let lower = [0, 1, u64::from(units), UNITS - 1, UNITS];
            let numbers = upper
                .into_iter()
                .flat_map(move |u| lower.map(|l| u << 25 | l));
            let numbers = numbers.filter(|&number| number < MAX_NUMBER);
            let fresh = numbers.map(move |number| SegmentState::fresh(partition, number));
            let claimed = [0, 1, most / 2, most - 1, most].into_iter();
            let used = [0, 1, units / 2, units - 1, units];
            let open = claimed.flat_map(move |records| {
                used.map(|units| SegmentState::open(partition).after(records, units))
            });
            let ended = open.clone().map(SegmentState::sealed);
            fresh.chain(open).chain(ended)
        })
    }
}
