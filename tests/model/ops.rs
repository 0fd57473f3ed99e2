//! The operations, and the ranges that they are generated from.

use super::reference::SentRecord;
use ringlog::{OffsetReset, Overflow, Timestamps};
use std::ops::Range;

/// The most operations of a run.
pub(crate) const OPERATIONS: usize = 120;
pub(crate) const CONSUMERS: usize = 2;
/// The most members of the group.
pub(crate) const MEMBERS: usize = 3;

pub(crate) const PARTITIONS: Range<u32> = 1..4;
/// The total to which partitions are added; no more, so that numbers from [`NO_PARTITION`] on stay
/// unknown.
pub(crate) const TOTAL: Range<u32> = 0..NO_PARTITION + 1;
pub(crate) const SEGMENTS: Range<u32> = 2..5;
pub(crate) const SEGMENT_RECORDS: Range<u32> = 1..9;
pub(crate) const SEGMENT_BYTES: Range<usize> = 64..280;
pub(crate) const MAX_POLL: Range<u32> = 1..10;
/// How close to its limits a partition may begin: segments that are left, or offsets beyond those
/// of one segment.
pub(crate) const SEGMENTS_LEFT: Range<u64> = 0..12;
pub(crate) const OFFSETS_LEFT: Range<u64> = 0..40;

/// Retention in bytes: from zero to more than the ring holds.
pub(crate) const RETENTION_BYTES: Range<u64> = 0..1200;

pub(crate) const SMALL_VALUE: Range<usize> = 0..20;
/// Up to a whole segment, and beyond.
pub(crate) const LARGE_VALUE: Range<usize> = 0..280;
pub(crate) const KEY: Range<usize> = 0..20;
pub(crate) const HEADER_NAMES: [&str; 3] = ["a", "b", ""];
pub(crate) const HEADERS: Range<usize> = 1..4;
pub(crate) const HEADER_VALUE: Range<usize> = 0..9;
pub(crate) const BATCH: Range<usize> = 0..7;
/// Records of a batch of equal values, and the length of each.
pub(crate) const UNIFORM: Range<usize> = 0..10;
pub(crate) const UNIFORM_VALUE: Range<usize> = 0..12;
pub(crate) const VALUES: Range<usize> = 0..40;
pub(crate) const CLAIM: Range<usize> = 0..40;
/// More than any segment has room for.
pub(crate) const HUGE_CLAIM: Range<usize> = 280..1 << 40;
pub(crate) const ASSIGNED: Range<usize> = 0..5;
/// The number of operations during which a batch is held.
pub(crate) const HELD: Range<usize> = 0..16;

/// Partition numbers below this are taken modulo the topic's partitions; from this on, they are out
/// of range.
pub(crate) const NO_PARTITION: u32 = 3;

#[derive(Clone, Debug)]
pub(crate) enum Target {
    Key(Vec<u8>),
    Partition(u32),
    Any,
}

impl Target {
    pub(crate) fn partition(&self) -> Option<u32> {
        match self {
            Target::Partition(partition) => Some(*partition),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Seek {
    /// To this share, in 1/255, of the retained offsets.
    Retained(u8),
    Below,
    Above(u8),
    /// To this offset, in range or not.
    Offset(u64),
    Beginning,
    End,
    NearbyTime(NearbyTime),
}

/// A time near that of a retained record: the record's place, in 1/256 of those retained, and the
/// difference in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NearbyTime(pub(crate) u8, pub(crate) i8);

/// An operation of a member of the group, by the member's number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GroupOp {
    /// A new member, with an eager assignor or a cooperative one. (Never with `OffsetReset::None`.)
    Join(usize, OffsetReset, bool),
    Poll(usize),
    /// Every member polls.
    Round,
    Commit(usize),
    /// To this share, in 1/255, of the retained offsets.
    Seek(usize, u32, u8),
    Leave(usize, Leave),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Without a commit.
    Drop,
    Close,
    Unsubscribe,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Send(SentRecord, Option<u32>, bool),
    Batch(Vec<(SentRecord, Option<u32>)>, bool),
    Values(Target, usize, bool),
    Claim(Target, Option<Vec<u8>>, usize, bool),
    /// Replaces the producer by an exclusive one, or by a shared one.
    ReplaceProducer(bool),
    /// Reads a batch, waiting or not, and holds it during the given number of operations.
    Poll(usize, bool, usize),
    /// Polls for a task, once. A future that is pending is kept, or dropped.
    PollTask(usize, bool),
    Seek(usize, u32, Seek),
    /// Pauses a partition, or resumes it.
    SetPaused(usize, u32, bool),
    /// A new consumer, subscribed.
    Join(usize, OffsetReset),
    Leave(usize),
    Subscribe(usize),
    Assign(usize, Vec<u32>),
    Unsubscribe(usize),
    /// Ends the consumer's next poll.
    Wakeup(usize),
    /// Looks up a time.
    LookUpTime(u32, NearbyTime),
    ApplyRetention,
    /// Deletes the records before an offset.
    Delete(u32, Seek),
    /// Adds partitions up to this total.
    AddPartitions(u32),
    /// Deletes the topic, and creates it again. If it is closed first, all read to its end.
    Recreate(bool),
    Group(GroupOp),
}

/// A limit of retention, besides the size of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retention {
    /// Only the active segment is kept.
    ForNoTime,
    ForAnHour,
    Bytes(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) overflow: Overflow,
    pub(crate) retention: Option<Retention>,
    pub(crate) timestamps: Timestamps,
    pub(crate) partitions: u32,
    pub(crate) segments: u32,
    pub(crate) segment_records: u32,
    pub(crate) segment_bytes: usize,
    pub(crate) max_poll: u32,
    /// The segment numbers that are left; `None`: they begin at 0.
    pub(crate) segments_left: Option<u64>,
    /// The offsets that are left; `None`: they begin at 0.
    pub(crate) offsets_left: Option<u64>,
}

impl Setup {
    /// Segment numbers are below this, the width of their field.
    const NUMBERS: u64 = (1 << 47) - 1;

    pub(crate) fn first_segment(&self) -> u64 {
        self.segments_left
            .map_or(0, |left| Self::NUMBERS - 1 - left)
    }

    /// The number of segments that a partition can ever begin.
    pub(crate) fn max_segments(&self) -> u64 {
        Self::NUMBERS - self.first_segment()
    }

    /// The last offset at which a segment may begin, so that all its records have an offset, and
    /// its end differs from the sentinel for "none".
    pub(crate) fn last_base(&self) -> u64 {
        u64::MAX - 1 - u64::from(self.segment_records)
    }

    pub(crate) fn first_offset(&self) -> u64 {
        self.offsets_left.map_or(0, |left| self.last_base() - left)
    }

    /// Bytes of a segment, rounded up to units of 8.
    pub(crate) fn bytes(&self) -> usize {
        self.segment_bytes.div_ceil(8) * 8
    }
}
