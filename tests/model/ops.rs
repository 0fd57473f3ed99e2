//! The operations, and the limits within which they are made up.

use super::reference::Sent;
use ringlog::{OffsetReset, Overflow, Timestamps};
use std::ops::Range;

/// At most so many operations in a run.
pub(crate) const OPERATIONS: usize = 120;
pub(crate) const CONSUMERS: usize = 2;
/// Of the group.
pub(crate) const MEMBERS: usize = 3;

pub(crate) const PARTITIONS: Range<u32> = 1..4;
/// Up to how many are added later; no more, so that those from [`NO_PARTITION`] on stay unknown.
pub(crate) const TOTAL: Range<u32> = 0..NO_PARTITION + 1;
pub(crate) const SEGMENTS: Range<u32> = 2..5;
pub(crate) const SEGMENT_RECORDS: Range<u32> = 1..9;
pub(crate) const SEGMENT_BYTES: Range<usize> = 64..280;
pub(crate) const MAX_POLL: Range<u32> = 1..10;
/// How near to its end a partition may begin: so many more segments, or offsets beyond a
/// segment's.
pub(crate) const SEGMENTS_LEFT: Range<u64> = 0..12;
pub(crate) const OFFSETS_LEFT: Range<u64> = 0..40;

/// Bytes that are kept: none to more than the ring has.
pub(crate) const KEPT: Range<u64> = 0..1200;

pub(crate) const SMALL_VALUE: Range<usize> = 0..20;
/// Up to a whole segment, and more.
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
/// What nobody has room for.
pub(crate) const HUGE_CLAIM: Range<usize> = 280..1 << 40;
pub(crate) const ASSIGNED: Range<usize> = 0..5;
/// How many operations a batch is held over.
pub(crate) const HELD: Range<usize> = 0..16;

/// Numbers of partitions below this are taken modulo the topic's partitions; it and those above
/// are the numbers of none.
pub(crate) const NO_PARTITION: u32 = 3;

#[derive(Clone, Debug)]
pub(crate) enum To {
    Key(Vec<u8>),
    Partition(u32),
    Any,
}

impl To {
    pub(crate) fn partition(&self) -> Option<u32> {
        match self {
            To::Partition(partition) => Some(*partition),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Seek {
    /// To this share, in 1/256, of what is retained.
    Retained(u8),
    Below,
    Above(u8),
    /// Wherever that is.
    To(u64),
    Beginning,
    End,
    Time(Time),
}

/// A time near to that of this record, in 1/256 of what is retained: by so much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) u8, pub(crate) i8);

/// What a member of the group does, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GroupOp {
    /// A new member, with an eager assignor or not. (No `OffsetReset::None`.)
    Join(usize, OffsetReset, bool),
    Poll(usize),
    /// Everybody polls.
    Round,
    Commit(usize),
    /// To this share, in 1/255, of what is retained.
    Seek(usize, u32, u8),
    Leave(usize, Leave),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// Without a word.
    Drop,
    Close,
    Unsubscribe,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Send(Sent, Option<u32>, bool),
    Batch(Vec<(Sent, Option<u32>)>, bool),
    Values(To, usize, bool),
    Claim(To, Option<Vec<u8>>, usize, bool),
    /// Another producer instead of the one there was, alone or not.
    HandOver(bool),
    /// Reads a batch, and holds it over so many of the operations that follow.
    Poll(usize, bool, usize),
    Seek(usize, u32, Seek),
    /// Pauses a partition, or resumes it.
    Pause(usize, u32, bool),
    /// A new consumer, subscribed.
    Join(usize, OffsetReset),
    Leave(usize),
    Subscribe(usize),
    Assign(usize, Vec<u32>),
    Unsubscribe(usize),
    /// Ends the consumer's next poll.
    Wakeup(usize),
    /// Looks a time up.
    Lookup(u32, Time),
    ApplyRetention,
    /// Deletes what is before there.
    Delete(u32, Seek),
    /// Adds partitions, up to so many.
    AddPartitions(u32),
    /// Deletes the topic, and makes it again.
    Recreate,
    Group(GroupOp),
}

/// What the topic keeps besides what its ring has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The last segment.
    ForNoTime,
    ForAnHour,
    Bytes(u64),
}

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) overflow: Overflow,
    pub(crate) kept: Option<Kept>,
    pub(crate) timestamps: Timestamps,
    pub(crate) partitions: u32,
    pub(crate) segments: u32,
    pub(crate) segment_records: u32,
    pub(crate) segment_bytes: usize,
    pub(crate) max_poll: u32,
    /// `None`: its segment numbers begin at 0, and so many are left.
    pub(crate) segments_left: Option<u64>,
    /// `None`: its offsets begin at 0.
    pub(crate) offsets_left: Option<u64>,
}

impl Setup {
    /// Numbers of segments are below this (the width of a field, in docs/design.md).
    const NUMBERS: u64 = (1 << 47) - 1;

    pub(crate) fn first_segment(&self) -> u64 {
        self.segments_left
            .map_or(0, |left| Self::NUMBERS - 1 - left)
    }

    /// How many segments a partition can have in its life.
    pub(crate) fn lives(&self) -> u64 {
        Self::NUMBERS - self.first_segment()
    }

    /// The last offset where a segment may begin, so that all its records have one, and its end is
    /// one that can be told from none.
    pub(crate) fn last_base(&self) -> u64 {
        u64::MAX - 1 - u64::from(self.segment_records)
    }

    pub(crate) fn first_offset(&self) -> u64 {
        self.offsets_left.map_or(0, |left| self.last_base() - left)
    }

    /// Bytes of a segment: whole units of 8.
    pub(crate) fn bytes(&self) -> usize {
        self.segment_bytes.div_ceil(8) * 8
    }
}
