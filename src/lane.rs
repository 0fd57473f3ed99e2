//! Claiming a frame: first in the segment of the last claim, and where that has no room, by way
//! of the partition.

use crate::error::SendError;
use crate::frame::UNIT;
use crate::head::Head;
use crate::partition::Blocked;
use crate::segment::{self, ClaimStep, Segment};
use crate::topic_inner::TopicInner;
use crate::wait::Waiter;
use std::time::Duration;

/// What a producer remembers of one partition.
pub(crate) struct Lane {
    /// The segment of the last claim. (A copy: the topic keeps its memory.)
    segment: Segment,
    full: Head,
}

impl Lane {
    pub(crate) fn new(topic: &TopicInner, partition: u32) -> Lane {
        Lane {
            // Any will do: a head says whose it is.
            segment: topic.pool().get(0).clone(),
            full: Head::full(partition as u16, topic.pool().shape().records),
        }
    }

    /// Claims a frame, if the segment of the last claim has room for it.
    #[inline(always)]
    pub(crate) fn try_claim<S: ClaimStep>(
        &self,
        records: u32,
        units: u32,
    ) -> Option<segment::Claim<'_>> {
        let head = self
            .segment
            .try_claim::<S>(self.full, records, units)
            .ok()?;
        Some(segment::Claim::new(&self.segment, head, records, units))
    }
}

/// Claims a frame: a record, or records that fit a segment. Apart from `self`, so that what
/// else a producer has stays free to use while the claim lives.
#[inline(always)]
pub(crate) fn claim_frame<'p, S: ClaimStep>(
    topic: &TopicInner,
    lanes: &'p mut [Lane],
    partition: u32,
    records: u32,
    units: u32,
    wait: bool,
) -> Result<segment::Claim<'p>, SendError> {
    let lane = &mut lanes[partition as usize];
    let head = match lane.segment.try_claim::<S>(lane.full, records, units) {
        Ok(head) => head,
        Err(_) => {
            let segment = &mut lane.segment;
            claim_slowly::<S>(topic, partition, segment, records, units, wait)?
        }
    };
    Ok(segment::Claim::new(&lane.segment, head, records, units))
}

/// Claims a frame where the segment of the last claim has no room for it.
#[cold]
#[inline(never)]
fn claim_slowly<S: ClaimStep>(
    topic: &TopicInner,
    partition: u32,
    cached: &mut Segment,
    records: u32,
    units: u32,
    wait: bool,
) -> Result<Head, SendError> {
    let (pool, config) = (topic.pool(), topic.config());
    if units > pool.shape().units {
        return Err(too_large(topic, units as usize * UNIT));
    }
    let mut waiter = None;
    loop {
        match topic.partition(partition).claim::<S>(pool, records, units) {
            Ok((index, head)) => {
                *cached = pool.get(index).clone();
                return Ok(head);
            }
            Err(Blocked::Exhausted) => {
                return Err(SendError::Exhausted {
                    topic: topic.name().clone(),
                    partition,
                });
            }
            Err(Blocked::Reader | Blocked::Segments) => {}
        }
        let waiter = waiter.get_or_insert_with(|| {
            let limit = if wait {
                config.max_block
            } else {
                Duration::ZERO
            };
            Waiter::new(config.wait, limit)
        });
        if !waiter.wait() {
            return Err(SendError::Full {
                topic: topic.name().clone(),
                partition,
                waited: waiter.waited(),
            });
        }
        if topic.is_closed() {
            return Err(SendError::Closed {
                topic: topic.name().clone(),
            });
        }
    }
}

#[cold]
pub(crate) fn too_large(topic: &TopicInner, bytes: usize) -> SendError {
    SendError::RecordTooLarge {
        size: bytes as u64,
        max: topic.pool().shape().data_bytes() as u64,
    }
}
