//! Decodes bytes into operations, within the ranges of `tests/model/ops.rs`.
//!
//! Every operation is short and is read from the front, so that a change of one byte changes one
//! operation and leaves the others as they are. Contents are a seed and a length, because only
//! lengths lead to new behaviour.

use crate::model::ops::*;
use crate::model::reference::SentRecord;
use arbitrary::{Result, Unstructured};
use ringlog::{OffsetReset, Overflow, Timestamps};
use std::ops::Range;

fn below(u: &mut Unstructured<'_>, range: Range<usize>) -> Result<usize> {
    u.int_in_range(range.start..=range.end - 1)
}

fn below_u32(u: &mut Unstructured<'_>, range: Range<u32>) -> Result<u32> {
    u.int_in_range(range.start..=range.end - 1)
}

fn below_u64(u: &mut Unstructured<'_>, range: Range<u64>) -> Result<u64> {
    u.int_in_range(range.start..=range.end - 1)
}

fn flag(u: &mut Unstructured<'_>) -> Result<bool> {
    u.arbitrary()
}

/// One in `n`.
fn seldom(u: &mut Unstructured<'_>, n: u8) -> Result<bool> {
    Ok(u.int_in_range(0..=n - 1)? == n - 1)
}

/// Bytes that differ from their neighbours, and from the same bytes shifted by one.
fn content(u: &mut Unstructured<'_>, length: usize) -> Result<Vec<u8>> {
    let seed: u8 = u.arbitrary()?;
    let step = |last: &u8| Some(last.wrapping_add(7));
    Ok(std::iter::successors(Some(seed), step)
        .take(length)
        .collect())
}

fn key(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = below(u, KEY)?;
    content(u, length)
}

fn option<T>(
    u: &mut Unstructured<'_>,
    some: impl FnOnce(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Option<T>> {
    Ok(if flag(u)? { Some(some(u)?) } else { None })
}

fn value(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let large = seldom(u, 4)?;
    let length = below(u, if large { LARGE_VALUE } else { SMALL_VALUE })?;
    content(u, length)
}

fn headers(u: &mut Unstructured<'_>) -> Result<Vec<(String, Option<Vec<u8>>)>> {
    let count = below(u, HEADERS)?;
    (0..count)
        .map(|_| {
            let name = u.choose(&HEADER_NAMES)?.to_string();
            let value = option(u, |u| {
                let length = below(u, HEADER_VALUE)?;
                content(u, length)
            })?;
            Ok((name, value))
        })
        .collect()
}

fn sent(u: &mut Unstructured<'_>) -> Result<SentRecord> {
    // One bit for each part of the record besides its value.
    let has: u8 = u.arbitrary()?;
    let tombstone = has & 7 == 7;
    Ok(SentRecord {
        value: if tombstone { None } else { Some(value(u)?) },
        // Only a record with a key can be a tombstone.
        key: if tombstone || has & 8 != 0 {
            Some(key(u)?)
        } else {
            None
        },
        headers: if has & 0x30 == 0x30 {
            headers(u)?
        } else {
            Vec::new()
        },
        time: match has >> 6 {
            0..2 => None,
            // Any time, including invalid ones.
            2 => Some(u.arbitrary()?),
            _ => Some(i64::from(u.arbitrary::<u8>()?)),
        },
    })
}

/// Seldom out of range.
fn partition(u: &mut Unstructured<'_>) -> Result<u32> {
    match u.arbitrary::<u8>()? {
        255 => u.int_in_range(NO_PARTITION..=u32::MAX),
        254 => Ok(NO_PARTITION),
        number => Ok(u32::from(number) % NO_PARTITION),
    }
}

fn to(u: &mut Unstructured<'_>) -> Result<Target> {
    Ok(match below(u, 0..3)? {
        0 => Target::Key(key(u)?),
        1 => Target::Partition(partition(u)?),
        _ => Target::Any,
    })
}

fn batch(u: &mut Unstructured<'_>) -> Result<Vec<(SentRecord, Option<u32>)>> {
    if flag(u)? {
        let count = below(u, BATCH)?;
        return (0..count)
            .map(|_| Ok((sent(u)?, option(u, partition)?)))
            .collect();
    }
    let (length, count) = (below(u, UNIFORM_VALUE)?, below(u, UNIFORM)?);
    let partition = option(u, partition)?;
    (0..count)
        .map(|_| Ok((SentRecord::plain(content(u, length)?), partition)))
        .collect()
}

fn time(u: &mut Unstructured<'_>) -> Result<NearbyTime> {
    Ok(NearbyTime(u.arbitrary()?, u.int_in_range(-1..=1)?))
}

fn seek(u: &mut Unstructured<'_>) -> Result<Seek> {
    Ok(match below(u, 0..7)? {
        6 => Seek::NearbyTime(time(u)?),
        0 => Seek::Retained(u.arbitrary()?),
        1 => Seek::Below,
        2 => Seek::Above(u.arbitrary()?),
        3 => Seek::Offset(u.arbitrary()?),
        4 => Seek::Beginning,
        _ => Seek::End,
    })
}

fn claim_length(u: &mut Unstructured<'_>) -> Result<usize> {
    let huge = seldom(u, 40)?;
    below(u, if huge { HUGE_CLAIM } else { CLAIM })
}

fn reset(u: &mut Unstructured<'_>) -> Result<OffsetReset> {
    let all = [
        OffsetReset::Earliest,
        OffsetReset::Latest,
        OffsetReset::None,
    ];
    Ok(*u.choose(&all)?)
}

fn op(u: &mut Unstructured<'_>) -> Result<Op> {
    // Out of 32, so that the most frequent operations take most of the byte values.
    let kind = match u.arbitrary::<u8>()? {
        kind @ 0..224 => kind % 32,
        other => return seldom_op(u, other - 224),
    };
    if let 0..13 = kind {
        return append(u, kind);
    }
    let consumer = below(u, 0..CONSUMERS)?;
    Ok(match kind {
        13..20 => Op::Poll(consumer, flag(u)?, 0),
        20..22 => Op::Poll(consumer, flag(u)?, below(u, HELD)?),
        22..24 => Op::Seek(consumer, partition(u)?, seek(u)?),
        24 => Op::SetPaused(consumer, partition(u)?, flag(u)?),
        25 => Op::Join(consumer, reset(u)?),
        26 => Op::Leave(consumer),
        27 => Op::Subscribe(consumer),
        28 => {
            let count = below(u, ASSIGNED)?;
            let partitions = (0..count).map(|_| partition(u));
            Op::Assign(consumer, partitions.collect::<Result<_>>()?)
        }
        29 => Op::Unsubscribe(consumer),
        30 => Op::ReplaceProducer(flag(u)?),
        _ => Op::Recreate(flag(u)?),
    })
}

fn seldom_op(u: &mut Unstructured<'_>, kind: u8) -> Result<Op> {
    Ok(match kind {
        0..4 => Op::Wakeup(below(u, 0..CONSUMERS)?),
        4..8 => Op::PollTask(below(u, 0..CONSUMERS)?, flag(u)?),
        8..12 => Op::LookUpTime(partition(u)?, time(u)?),
        12..24 => Op::Group(group_op(u)?),
        24..28 => Op::ApplyRetention,
        28 => Op::AddPartitions(below_u32(u, TOTAL)?),
        _ => Op::Delete(partition(u)?, seek(u)?),
    })
}

fn group_op(u: &mut Unstructured<'_>) -> Result<GroupOp> {
    let (kind, member) = (below(u, 0..16)?, below(u, 0..MEMBERS)?);
    Ok(match kind {
        0..6 => GroupOp::Poll(member),
        6..9 => GroupOp::Round,
        9..12 => {
            let reset = *u.choose(&[OffsetReset::Earliest, OffsetReset::Latest])?;
            GroupOp::Join(member, reset, seldom(u, 3)?)
        }
        12 => GroupOp::Commit(member),
        13..15 => GroupOp::Seek(member, partition(u)?, u.arbitrary()?),
        _ => {
            let all = [Leave::Drop, Leave::Close, Leave::Unsubscribe];
            GroupOp::Leave(member, *u.choose(&all)?)
        }
    })
}

fn append(u: &mut Unstructured<'_>, kind: u8) -> Result<Op> {
    let wait = flag(u)?;
    Ok(match kind {
        0..6 => Op::Send(sent(u)?, option(u, partition)?, wait),
        6..9 => Op::Batch(batch(u)?, wait),
        9..11 => Op::Values(to(u)?, below(u, VALUES)?, wait),
        _ => Op::Claim(to(u)?, option(u, key)?, claim_length(u)?, flag(u)?),
    })
}

/// As many operations as the bytes encode.
pub(crate) fn ops(u: &mut Unstructured<'_>) -> Result<Vec<Op>> {
    let mut ops = Vec::new();
    while !u.is_empty() && ops.len() < OPERATIONS {
        ops.push(op(u)?);
    }
    Ok(ops)
}

fn retention(u: &mut Unstructured<'_>) -> Result<Option<Retention>> {
    Ok(match below(u, 0..8)? {
        0..4 => None,
        4 => Some(Retention::ForNoTime),
        5 => Some(Retention::ForAnHour),
        _ => Some(Retention::Bytes(below_u64(u, RETENTION_BYTES)?)),
    })
}

pub(crate) fn setup(u: &mut Unstructured<'_>) -> Result<Setup> {
    let bits: u8 = u.arbitrary()?;
    let left = |bit: u8| bits & bit == bit;
    Ok(Setup {
        overflow: if bits & 1 == 0 {
            Overflow::Backpressure
        } else {
            Overflow::DropOldest
        },
        retention: retention(u)?,
        timestamps: if bits & 2 == 0 {
            Timestamps::Append
        } else {
            Timestamps::Given
        },
        partitions: below_u32(u, PARTITIONS)?,
        segments: below_u32(u, SEGMENTS)?,
        segment_records: below_u32(u, SEGMENT_RECORDS)?,
        segment_bytes: below(u, SEGMENT_BYTES)?,
        max_poll: below_u32(u, MAX_POLL)?,
        // Mostly a partition begins at segment and offset 0.
        segments_left: if left(0x1c) {
            Some(below_u64(u, SEGMENTS_LEFT)?)
        } else {
            None
        },
        offsets_left: if left(0xe0) {
            Some(below_u64(u, OFFSETS_LEFT)?)
        } else {
            None
        },
    })
}
