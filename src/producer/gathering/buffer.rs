//! One partition's gathered records, and how they go into the log.
//!
//! | state | what a call may do |
//! |---|---|
//! | empty | gather a record (the first one allocates the memory) |
//! | gathered | gather one more if it has room; append all as one frame; take all back |
//! | full | as gathered, without room: it is appended before the next record is gathered |
//!
//! Records leave a buffer only together: when their frame is published, or when they are taken back.
//! Between the two nothing can fail: a claim is filled and published without a step that could be
//! refused, and the buffer is emptied after it. So no record is lost, and none is sent twice. An
//! append that is refused leaves the buffer as it was.
//!
//! A call has a buffer for itself, by `&mut` or by its lock. What is left to do for a frame's
//! [`Followers`] is returned ([`Completion`]), so that the call can release the lock first.

use super::config::GatherLimits;
use super::ticket::{Completion, Follower, Followers, Ticket};
use crate::error::SendError;
use crate::log::segment::{GatheredFrame, GatheredRecord, SimpleRecord};
use crate::owned_record::{UnsentRecord, owned_headers};
use crate::producer::appender::{FrameSize, Refusal, WhenFull};
use crate::producer::{Producer, ProducerMode};
use crate::record::{FrameMetadata, Record, known_timestamp};

/// A record that has passed its checks, and is to be gathered.
#[derive(Clone, Copy)]
pub(super) struct Planned {
    pub(super) partition: u32,
    /// Bytes of its body ([`GatheredFrame::push`]).
    pub(super) body: usize,
}

#[derive(Default)]
pub(super) struct GatherBuffer {
    frame: GatheredFrame,
    /// When the first of them was gathered, by the topic's clock.
    started: i64,
    followers: Option<Box<Followers>>,
}

impl GatherBuffer {
    pub(super) fn len(&self) -> usize {
        self.frame.len()
    }

    /// When the first record was gathered; `None` if there is none.
    pub(super) fn started(&self) -> Option<i64> {
        (!self.frame.is_empty()).then_some(self.started)
    }

    /// Lets the records linger once more, from `now` on.
    pub(super) fn linger_again(&mut self, now: i64) {
        self.started = now;
    }

    /// Whether the record of these bytes can be added at once.
    pub(super) fn has_room(&self, body: usize) -> bool {
        self.frame.has_room(body)
    }

    /// Whether no further record can be added.
    pub(super) fn is_full(&self) -> bool {
        self.frame.is_full()
    }

    /// Makes room for any record that may be gathered. The buffer is empty.
    pub(super) fn allocate(&mut self, limits: &GatherLimits) {
        debug_assert!(self.frame.is_empty());
        self.frame = GatheredFrame::new(limits.records, limits.bytes);
    }

    /// Adds a simple record that nothing follows to records that were gathered before, if there is
    /// room for it, and then for another record: the fast path.
    #[inline(always)]
    pub(super) fn try_push(&mut self, record: SimpleRecord<'_>) -> bool {
        self.frame.try_push(record)
    }

    /// Bytes of the log that the records will take, or a few less.
    #[inline(always)]
    pub(super) fn size(&self) -> usize {
        self.frame.table_size()
    }

    /// Adds a record, for which there is room.
    pub(super) fn push(
        &mut self,
        record: &Record<'_>,
        body: usize,
        now: i64,
        follower: Follower,
    ) -> Option<Ticket> {
        if self.frame.is_empty() {
            self.started = now;
        }
        let ticket = match follower {
            Follower::Nothing => None,
            follower => self.follow(record.timestamp, follower),
        };
        self.frame.push(record, body);
        ticket
    }

    /// Adds a follower for the next record.
    #[inline(never)]
    fn follow(&mut self, timestamp: Option<i64>, follower: Follower) -> Option<Ticket> {
        let rank = self.frame.len() as u32; // less than a segment's records
        let followers = self.followers.get_or_insert_default();
        match follower {
            Follower::Nothing => None,
            Follower::Ticket => Some(followers.ticket(rank, timestamp)),
            Follower::Callback(callback) => {
                followers.call_back(rank, timestamp, callback);
                None
            }
        }
    }

    /// Appends the records as one frame, in one attempt, at the time `now`.
    ///
    /// # Errors
    /// [`Refusal::Blocked`] if the partition is full, and why the producer may not send at all. The
    /// records are still gathered then.
    pub(super) fn append<M: ProducerMode>(
        &mut self,
        producer: &mut Producer<M>,
        partition: u32,
        now: i64,
    ) -> Result<Option<Completion>, Refusal> {
        if self.frame.is_empty() {
            return Ok(None);
        }
        producer.check_topic()?;
        let (topic, records) = (&producer.appenders.topic, self.frame.len());
        let size = FrameSize::of_batch(topic, partition, records, self.frame.size())?;
        let timestamp = producer.gathered_timestamp(now);
        let claim = producer
            .appenders
            .claim::<M>(partition, size, WhenFull::Attempt)?;
        let base_offset = claim.publish_gathered(&self.frame, timestamp);
        self.frame.clear();
        Ok(self.followers.take().map(|followers| {
            let (records, timestamp) = (records as u64, known_timestamp(timestamp));
            let frame = FrameMetadata::new(partition, base_offset, records, timestamp);
            followers.complete(Ok(frame))
        }))
    }

    /// Takes the records back, for the reason that their followers learn.
    pub(super) fn take_back(
        &mut self,
        partition: u32,
        reason: &SendError,
        unsent: &mut Vec<UnsentRecord>,
    ) -> Option<Completion> {
        let records = self.frame.records();
        unsent.extend(records.map(|record| unsent_record(partition, record)));
        self.frame.clear();
        let followers = self.followers.take()?;
        Some(followers.complete(Err(reason.clone())))
    }
}

fn unsent_record(partition: u32, record: GatheredRecord<'_>) -> UnsentRecord {
    UnsentRecord {
        partition,
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: owned_headers(record.headers),
    }
}
