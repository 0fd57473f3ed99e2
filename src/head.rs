//! The bits of a segment's `head` word: pure arithmetic. What each state allows whom is told
//! at the head of `segment.rs`.

/// The most partitions a topic can have: a partition's number must fit its field of `head`.
pub(crate) const MAX_PARTITIONS: u32 = 1 << 14;

/// Segment numbers stay under this: in the partition's table they have one bit less than here.
pub(crate) const MAX_NUMBER: u64 = (1 << 47) - 1;

const UNIT_BITS: u32 = 26;
const RECORD_BITS: u32 = 22;
const PARTITION_SHIFT: u32 = UNIT_BITS + RECORD_BITS;
const STATE_SHIFT: u32 = 62;
const OPEN: u64 = 1 << STATE_SHIFT;
const SEALED: u64 = 2 << STATE_SHIFT;

/// `state:2 | partition:14 | records:22 | units:26`, or in a fresh segment
/// `state:2 | partition:14 | number:48`. Zero, as memory comes, is fresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head(pub(crate) u64);

impl Head {
    pub(crate) fn fresh(partition: u16, number: u64) -> Head {
        debug_assert!(u32::from(partition) < MAX_PARTITIONS && number < MAX_NUMBER);
        Head(u64::from(partition) << PARTITION_SHIFT | number)
    }

    pub(crate) fn open(partition: u16) -> Head {
        Head(OPEN | u64::from(partition) << PARTITION_SHIFT)
    }

    pub(crate) fn is_fresh(self) -> bool {
        self.0 >> STATE_SHIFT == 0
    }

    pub(crate) fn is_fresh_as(self, partition: u16, number: u64) -> bool {
        self == Head::fresh(partition, number)
    }

    /// The open head of a segment in which all of so many records are claimed, less its units:
    /// what [`has_records`](Self::has_records) compares with.
    #[inline]
    pub(crate) fn full(partition: u16, records: u32) -> Head {
        Head::open(partition).after(records, 0)
    }

    /// Whether this head is open in the partition of `full`, with room for so many more of the
    /// `most` records that a segment holds.
    ///
    /// One subtraction for both: a head of another state or partition is further from `full` than
    /// all records are.
    #[inline(always)]
    pub(crate) fn has_records(self, full: Head, most: u32, records: u32) -> bool {
        debug_assert!(full.claimed_records() == most && (1..=most).contains(&records));
        let room = (full.0 >> UNIT_BITS).wrapping_sub(self.0 >> UNIT_BITS);
        let (most, records) = (u64::from(most), u64::from(records));
        room.wrapping_sub(records) <= most.wrapping_sub(records)
    }

    #[inline]
    pub(crate) fn is_open_in(self, partition: u16) -> bool {
        self.0 >> PARTITION_SHIFT == Head::open(partition).0 >> PARTITION_SHIFT
    }

    pub(crate) fn is_sealed_in(self, partition: u16) -> bool {
        self.0 >> PARTITION_SHIFT
            == (SEALED | u64::from(partition) << PARTITION_SHIFT) >> PARTITION_SHIFT
    }

    pub(crate) fn partition(self) -> u16 {
        ((self.0 >> PARTITION_SHIFT) & u64::from(MAX_PARTITIONS - 1)) as u16
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
        ((self.0 >> UNIT_BITS) & ((1 << RECORD_BITS) - 1)) as u32
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
        (self.0 & ((1 << UNIT_BITS) - 1)) as u32
    }

    pub(crate) fn sealed(self) -> Head {
        Head(self.0 & !OPEN | SEALED)
    }

    /// This open head after a claim of so much.
    #[inline(always)]
    pub(crate) fn after(self, records: u32, units: u32) -> Head {
        Head(self.0 + (u64::from(records) << UNIT_BITS | u64::from(units)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_keeps_its_fields_apart_at_their_limits() {
        let partition = (MAX_PARTITIONS - 1) as u16;
        let fresh = Head::fresh(partition, MAX_NUMBER - 1);
        assert!(fresh.is_fresh() && fresh.is_fresh_as(partition, MAX_NUMBER - 1));
        assert!(!fresh.is_fresh_as(partition - 1, MAX_NUMBER - 1));
        assert!(!fresh.is_fresh_as(partition, MAX_NUMBER - 2));
        assert_eq!((fresh.partition(), fresh.records()), (partition, 0));
        assert!(!fresh.is_open_in(partition) && !fresh.is_sealed_in(partition));

        let records = crate::memory::MAX_RECORDS;
        let units = crate::frame::MAX_UNITS;
        let open =
            Head(Head::open(partition).0 | u64::from(records) << UNIT_BITS | u64::from(units));
        assert!(open.is_open_in(partition) && !open.is_open_in(partition - 1));
        assert_eq!((open.records(), open.units()), (records, units));
        let sealed = open.sealed();
        assert!(sealed.is_sealed_in(partition) && !sealed.is_open_in(partition));
        assert!(!sealed.is_fresh());
        assert_eq!((sealed.records(), sealed.units()), (records, units));
        assert_eq!(sealed.partition(), partition);
        assert_eq!((fresh.used_units(), open.used_units()), (0, units));
        assert!(Head(0).is_fresh_as(0, 0));
    }

    #[test]
    fn there_is_room_for_records_in_an_open_head_of_the_partition_alone() {
        let last = (MAX_PARTITIONS - 1) as u16;
        for most in [1, 2, 7, crate::memory::MAX_RECORDS] {
            for partition in [0, 1, last - 1, last] {
                let full = Head::full(partition, most);
                assert!(full.is_open_in(partition));
                assert_eq!((full.records(), full.units()), (most, 0));
                // One subtraction says what the fields say one by one.
                let plain = |head: Head, records| {
                    head.is_open_in(partition) && head.records() + records <= most
                };
                let amounts = [1, most.div_ceil(2), most];
                for (head, records) in heads(most).flat_map(|h| amounts.map(|n| (h, n))) {
                    let has = head.has_records(full, most, records);
                    assert_eq!(has, plain(head, records), "{head:x?} {full:x?} {records}");
                }
                let claimed = |records| Head::open(partition).after(records, 0);
                assert!(claimed(0).has_records(full, most, most));
                assert!(claimed(most - 1).has_records(full, most, 1));
                assert!(!claimed(most).has_records(full, most, 1));
            }
        }
    }

    /// Of every state, at the limits of every field, in neighbouring and in far partitions.
    fn heads(most: u32) -> impl Iterator<Item = Head> {
        let last = (MAX_PARTITIONS - 1) as u16;
        let partitions = [0, 1, 2, last - 2, last - 1, last].into_iter();
        partitions.flat_map(move |partition| {
            let numbers = [0, 1, u64::from(most) << (UNIT_BITS - 1), MAX_NUMBER - 1];
            let fresh = numbers.map(|number| Head::fresh(partition, number));
            let claimed = [0, 1, most / 2, most - 1, most].into_iter();
            let units = [0, 1, crate::frame::MAX_UNITS];
            let open = claimed.flat_map(move |records| {
                units.map(|units| Head::open(partition).after(records, units))
            });
            let ended = open.clone().map(Head::sealed);
            fresh.into_iter().chain(open).chain(ended)
        })
    }
}
