//! The bits of a segment's `head` word: pure arithmetic. What each state allows whom is told
//! at the head of `segment.rs`.

use crate::log::partition_id::{MAX_PARTITIONS, PartitionId};

const _: () = assert!(MAX_PARTITIONS <= 1 << PARTITION_BITS);

/// Segment numbers stay under this: so many bits are left for them in a fresh head.
pub(crate) const MAX_NUMBER: u64 = (1 << 47) - 1;

/// The most records and units that a segment can have: each leaves the highest bit of its field
/// zero, which [`has_room`](Head::has_room) needs.
pub(crate) const MAX_RECORDS: u32 = (1 << (RECORD_BITS - 1)) - 1;

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

/// Two away from fresh, which [`has_room`](Head::has_room) needs.
const OPEN: u64 = 2 << STATE_SHIFT;

/// What is zero in the difference of two heads of one state and partition of which the second has no
/// more records and units than the first.
const OTHER: u64 = 1 << (u64::BITS - 1) | STATE | PARTITION | 1 << (UNIT_BITS - 1);

/// `records:22 | state:2 | partition:14 | units:26`, or in a fresh segment
/// `number's upper:22 | state:2 | partition:14 | 0:1 | number's lower:25`. Zero, as memory comes, is
/// fresh.
///
/// Records are uppermost and units lowest because each send takes both out: one instruction each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentState(pub(crate) u64);

impl SegmentState {
    /// No head at all: of no open segment, and so without room.
    pub(crate) const NONE: SegmentState = SegmentState(0);

    pub(crate) fn fresh(partition: PartitionId, number: u64) -> SegmentState {
        debug_assert!(number < MAX_NUMBER);
        let upper = number >> (UNIT_BITS - 1);
        SegmentState(
            upper << RECORD_SHIFT | u64::from(partition.number()) << UNIT_BITS | number & UNITS,
        )
    }

    pub(crate) fn open(partition: PartitionId) -> SegmentState {
        SegmentState(OPEN | u64::from(partition.number()) << UNIT_BITS)
    }

    pub(crate) fn is_fresh(self) -> bool {
        self.0 & STATE == 0
    }

    pub(crate) fn is_fresh_as(self, partition: PartitionId, number: u64) -> bool {
        self == SegmentState::fresh(partition, number)
    }

    /// The open head of a segment in which all of so many records and units are claimed: what
    /// [`has_room`](Self::has_room) compares with.
    #[inline]
    pub(crate) fn full(partition: PartitionId, records: u32, units: u32) -> SegmentState {
        SegmentState::open(partition).after(records, units)
    }

    /// Whether this head, of a segment of the shape of `full`, is open in the partition of `full`
    /// and has room for so much. `records` are no more than a segment has.
    ///
    /// One subtraction for all of it, of this head and of what is asked for from `full`:
    ///
    /// - Open in the same partition: state and partition leave nothing. Units that are missing set
    ///   the highest bit of their field, which amounts under half of the field do not set otherwise,
    ///   and so do records.
    /// - Sealed, or of another partition: state and partition differ by one at least. The units could
    ///   make that up by borrowing, if units are missing; but then their highest bit is set.
    /// - Fresh: what stands for units is a part of the number, so they may borrow and leave that bit
    ///   zero. State and partition differ by more than one, whatever the partitions.
    #[inline(always)]
    pub(crate) fn has_room(self, full: SegmentState, records: u32, units: u32) -> bool {
        debug_assert!((1..=full.claimed_records()).contains(&records) && units <= MAX_UNITS);
        let next = self.0.wrapping_add(Self::amount(records, units));
        full.0.wrapping_sub(next) & OTHER == 0
    }

    #[inline]
    pub(crate) fn is_open_in(self, partition: PartitionId) -> bool {
        self.0 & (STATE | PARTITION) == SegmentState::open(partition).0
    }

    pub(crate) fn is_sealed_in(self, partition: PartitionId) -> bool {
        self.0 & (STATE | PARTITION) == SEALED | u64::from(partition.number()) << UNIT_BITS
    }

    pub(crate) fn partition(self) -> PartitionId {
        PartitionId::new(((self.0 & PARTITION) >> UNIT_BITS) as u32)
    }

    /// Records claimed; none in a fresh segment.
    #[inline]
    pub(crate) fn records(self) -> u32 {
        if self.is_fresh() {
            return 0;
        }
        self.claimed_records()
    }

    #[inline(always)]
    pub(crate) fn claimed_records(self) -> u32 {
        (self.0 >> RECORD_SHIFT) as u32
    }

    /// Units claimed; none in a fresh segment.
    pub(crate) fn used_units(self) -> u32 {
        if self.is_fresh() {
            return 0;
        }
        self.units()
    }

    #[inline(always)]
    pub(crate) fn units(self) -> u32 {
        (self.0 & UNITS) as u32
    }

    pub(crate) fn sealed(self) -> SegmentState {
        SegmentState(self.0 & !STATE | SEALED)
    }

    /// This open head after a claim of so much.
    #[inline(always)]
    pub(crate) fn after(self, records: u32, units: u32) -> SegmentState {
        SegmentState(self.0 + Self::amount(records, units))
    }

    #[inline(always)]
    fn amount(records: u32, units: u32) -> u64 {
        u64::from(records) << RECORD_SHIFT | u64::from(units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The partition that many numbers before another.
    fn near(partition: PartitionId, before: u32) -> PartitionId {
        PartitionId::new(partition.number() - before)
    }

    #[test]
    fn the_head_keeps_its_fields_apart_at_their_limits() {
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
        assert_eq!((fresh.used_units(), open.used_units()), (0, units));
        let numbers = [0, 1, UNITS, UNITS + 1, MAX_NUMBER - 1];
        let fresh = numbers.map(|number| SegmentState::fresh(partition, number));
        for (i, head) in fresh.into_iter().enumerate() {
            assert!(head.is_fresh() && head.partition() == partition);
            assert_eq!(
                fresh.map(|other| other == head),
                core::array::from_fn(|j| i == j)
            );
        }
        assert!(SegmentState(0).is_fresh_as(PartitionId::new(0), 0));
    }

    #[test]
    fn there_is_room_in_an_open_head_of_the_partition_alone() {
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
                // One subtraction says what the fields say one by one.
                let plain = |head: SegmentState, (n, k): (u32, u32)| {
                    head.is_open_in(partition)
                        && head.records() + n <= most
                        && head.units() + k <= units
                };
                let sizes = [1, most.div_ceil(2), most].map(|n| (n, [0, 1, units, MAX_UNITS]));
                let sizes = sizes.into_iter().flat_map(|(n, of)| of.map(|k| (n, k)));
                for (head, (n, k)) in
                    sizes.flat_map(|size| heads(most, units).map(move |h| (h, size)))
                {
                    let has = head.has_room(full, n, k);
                    assert_eq!(has, plain(head, (n, k)), "{head:x?} {full:x?} {n} {k}");
                }
                let claimed = |records, units| SegmentState::open(partition).after(records, units);
                assert!(claimed(0, 0).has_room(full, most, units));
                assert!(claimed(most - 1, units - 1).has_room(full, 1, 1));
                assert!(!claimed(most, 0).has_room(full, 1, 0));
                assert!(!claimed(0, units).has_room(full, 1, 1));
            }
        }
    }

    /// Of every state, at the limits of every field, in neighbouring and in far partitions.
    fn heads(most: u32, units: u32) -> impl Iterator<Item = SegmentState> {
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
            // Whose lower part stands where units do, and whose upper part where records do.
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
