//! What all handles of a topic share: its partitions and segments, the word that tells whether
//! anything has changed, and the count of who produces.

use super::config::TopicConfig;
use super::inbox::Inbox;
use super::name::name_fault;
use super::state::TopicState;
use crate::error::TopicError;
use crate::log::holds::NO_SEGMENT;
use crate::log::overflow::Overflow;
use crate::log::partition::{LogOrigin, Partition, last_base};
use crate::log::partition_id::{MAX_PARTITIONS, PartitionId};
use crate::log::segment::{MAX_NUMBER, SegmentShape};
use crate::log::segment_pool::{MAX_SEGMENTS, NoSegments, SegmentPool};
use crate::sync::{AppendVec, AtomicU64, Mutex, MutexGuard, lock, ord};
use crate::wait::EventCount;
use std::sync::Arc;

/// What all handles of a topic share.
pub(crate) struct TopicShared {
    name: Arc<str>,
    config: TopicConfig,
    pub(super) pool: Arc<SegmentPool>,
    partitions: AppendVec<Arc<Partition>>,
    /// Read by every send and poll, written seldom: whether the topic is closed, how many
    /// partitions it has, and how often something was changed that a handle must look at (P13).
    pub(super) state: AtomicU64,
    /// Consumers that are to have the partitions that are added.
    subscribers: Mutex<Vec<Arc<Inbox>>>,
    /// Who produces (row P9).
    pub(super) producers: AtomicU64,
    /// Who sleeps until something is changed, also who reads none of its partitions now.
    waiting_for_changes: Arc<EventCount>,
}

impl TopicShared {
    pub(crate) fn new(name: &str, config: TopicConfig) -> Result<TopicShared, TopicError> {
        if let Some(reason) = name_fault(name) {
            return Err(TopicError::InvalidName {
                name: name.to_owned(),
                reason,
            });
        }
        let (shape, segments) = config.validate()?;
        let partitions = config.partitions as usize;
        let out_of_memory = || TopicError::OutOfMemory {
            bytes: (shape.block_bytes() as u64).saturating_mul(segments as u64),
        };
        let may_sleep = config.wait.may_sleep();
        let pool = SegmentPool::new(shape, segments, partitions, config.prefault, may_sleep)
            .ok_or_else(out_of_memory)?;
        let pool = Arc::new(pool);
        let gated = config.overflow == Overflow::Backpressure;
        let first = first(&config, shape);
        let partitions = (0..config.partitions)
            .map(|id| {
                let (segments, kept) = (config.segments as usize, config.limits());
                let near = id as usize * (segments + 1);
                let index = pool.take(near as u16)?;
                let new = Partition::new(
                    PartitionId::new(id),
                    segments,
                    gated,
                    kept,
                    &pool,
                    index,
                    first,
                );
                Some(Arc::new(new))
            })
            .collect::<Option<_>>()
            .ok_or_else(out_of_memory)?;
        let state = AtomicU64::new(TopicState::of(config.partitions).0);
        Ok(TopicShared {
            name: name.into(),
            config,
            pool,
            partitions: AppendVec::new(partitions),
            state,
            subscribers: Mutex::new(Vec::new()),
            producers: AtomicU64::new(0),
            waiting_for_changes: Arc::new(EventCount::new(may_sleep)),
        })
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The first segment and offset that each partition ever had.
    pub(crate) fn first(&self) -> LogOrigin {
        first(&self.config, self.pool.shape())
    }

    pub(crate) fn config(&self) -> &TopicConfig {
        &self.config
    }

    #[inline]
    pub(crate) fn pool(&self) -> &Arc<SegmentPool> {
        &self.pool
    }

    /// A partition whose number has been checked.
    #[inline]
    pub(crate) fn partition(&self, partition: u32) -> &Arc<Partition> {
        match self.partitions.get(partition as usize) {
            Some(partition) => partition,
            None => unreachable!("a partition whose number was not checked"),
        }
    }

    /// How many partitions there are; those may be used.
    pub(crate) fn partitions(&self) -> u32 {
        self.refreshed().partitions()
    }

    /// Whether nothing more is to be appended. A hint: a partition's end tells what was.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.state().0 & TopicState::CLOSED != 0
    }

    /// Whether the topic was deleted. A hint: it takes nothing back.
    #[inline]
    pub(crate) fn is_deleted(&self) -> bool {
        self.state().0 & TopicState::DELETED != 0
    }

    /// Nothing is to be appended or read any more.
    pub(crate) fn delete(&self) {
        self.state
            .fetch_or(TopicState::CLOSED | TopicState::DELETED, ord!(Relaxed));
        self.notify_all();
    }

    /// Nothing is to be appended any more (row P17).
    ///
    /// The partitions' logs are ended here and now if no exclusive producer lives, whose claims are
    /// plain stores; otherwise by that one, at its next call or when it goes. None can come any
    /// more. Here the word is exchanged, and then who produces is looked at; there who produces is
    /// changed, then the word is exchanged, for itself, and looked at. Of two exchanges of one word
    /// one comes after the other: either it finds the topic closed there, or it finds here who
    /// produces.
    pub(crate) fn close(&self) {
        // No partition is added any more.
        let subscribers = self.subscribers();
        // Acquire, from the exclusive producers that came or went before: that they did.
        self.state
            .fetch_or(TopicState::CLOSED, ord!("topic.close", P17, Acquire));
        drop(subscribers);
        if self.is_shared() {
            self.end_logs();
        } else {
            self.notify_all();
        }
    }

    /// Ends the logs of a topic that is closed. Not while an exclusive producer may claim.
    pub(crate) fn end_logs(&self) {
        for partition in 0..self.partitions() {
            self.partition(partition).close();
        }
        self.notify_all();
    }

    /// Who sleeps until something is changed.
    pub(crate) fn waiting_for_changes(&self) -> &Arc<EventCount> {
        &self.waiting_for_changes
    }

    /// Wakes everybody who waits for something in this topic.
    fn notify_all(&self) {
        self.waiting_for_changes.notify();
        for partition in 0..self.partitions() {
            let readers = self.partition(partition).readers();
            readers.waiting_for_records().notify();
            readers.waiting_for_room().notify();
        }
    }

    /// What every handle remembers, to see at a glance that nothing has changed.
    #[inline]
    pub(crate) fn state(&self) -> TopicState {
        TopicState(self.state.load(ord!(Relaxed)))
    }

    /// The state to be remembered by a handle that looks at everything afterwards. It is never
    /// that of a closed topic.
    pub(crate) fn refreshed(&self) -> TopicState {
        // Acquire, from whoever has changed it: the change.
        let state = self.state.load(ord!("topic.refreshed", P13, Acquire));
        TopicState(state & !(TopicState::CLOSED | TopicState::DELETED))
    }

    /// Has every handle look. Not under a lock: it wakes those who sleep.
    pub(crate) fn change(&self) {
        self.count_change(0);
        self.notify_all();
    }

    fn count_change(&self, added: u32) {
        let change = TopicState::CHANGE + TopicState::of(added).0;
        self.state
            .fetch_add(change, ord!("topic.change", P13, Release));
    }

    fn subscribers(&self) -> MutexGuard<'_, Vec<Arc<Inbox>>> {
        lock(&self.subscribers)
    }

    /// From now on this inbox gets the partitions that are added: all beyond those that the answer
    /// says.
    pub(crate) fn subscribe(&self, inbox: &Arc<Inbox>) -> u32 {
        let mut subscribers = self.subscribers();
        subscribers.push(inbox.clone());
        self.partitions()
    }

    pub(crate) fn unsubscribe(&self, inbox: &Arc<Inbox>) {
        self.subscribers()
            .retain(|other| !Arc::ptr_eq(other, inbox));
    }

    /// Adds partitions, up to `total`. All or nothing.
    pub(crate) fn add_partitions(&self, total: u32) -> Result<(), TopicError> {
        // One at a time, and no subscription in between.
        let subscribers = self.subscribers();
        if self.is_closed() {
            return Err(TopicError::Closed {
                topic: self.name.clone(),
            });
        }
        let before = self.partitions();
        if before == MAX_PARTITIONS {
            return Err(TopicError::NoMorePartitions {
                topic: self.name.clone(),
                partitions: before,
                asked: total,
            });
        }
        if total <= before || total > MAX_PARTITIONS {
            return Err(TopicError::InvalidConfig {
                setting: "partitions",
                value: total.into(),
                min: u64::from(before) + 1,
                max: MAX_PARTITIONS.into(),
            });
        }
        let (config, pool) = (&self.config, &self.pool);
        let added = (total - before) as usize;
        let segments = added * (config.segments as usize + 1);
        let grown = pool.add_partitions(added, segments, config.prefault);
        let index = grown.map_err(|refused| match refused {
            NoSegments::TooMany(segments) => TopicError::TooManySegments {
                segments: segments as u64,
                max: MAX_SEGMENTS as u64,
            },
            NoSegments::OutOfMemory => TopicError::OutOfMemory {
                bytes: (pool.shape().block_bytes() as u64).saturating_mul(segments as u64),
            },
        })?;
        let gated = config.overflow == Overflow::Backpressure;
        for (id, index) in (before..total).zip(index..) {
            let segments = config.segments as usize;
            let (kept, first) = (config.limits(), first(config, pool.shape()));
            let new = Partition::new(
                PartitionId::new(id),
                segments,
                gated,
                kept,
                pool,
                index,
                first,
            );
            self.partitions.add(id as usize, Arc::new(new));
            // Before anybody can send there: nothing that is sent is missed.
            let number = if gated { first.segment } else { NO_SEGMENT };
            for inbox in subscribers.iter() {
                let hold = pool.readers(PartitionId::new(id)).join(number);
                let mut inbox = lock(inbox);
                inbox.push((id, hold));
            }
        }
        self.count_change(total - before);
        drop(subscribers);
        self.notify_all();
        Ok(())
    }
}

/// Number and offset of every partition's first segment.
fn first(config: &TopicConfig, shape: SegmentShape) -> LogOrigin {
    let (number, offset) = config.first();
    LogOrigin {
        segment: number.min(MAX_NUMBER - 1),
        offset: offset.min(last_base(shape.records)),
    }
}
