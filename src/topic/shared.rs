//! What all handles of a topic share: partitions, segments, the state word, the producer count.
//!
//! - A handle finds every change of the topic by comparing one word, [`TopicState`], with the
//!   value that it last acted on (row P13). It acts on a change at its next call.
//! - An added partition is complete, and every subscriber holds it, before a producer can send
//!   to it. So no subscriber misses a record.
//! - After `close`, the partitions' logs are ended (T5), but never while an exclusive producer may
//!   be claiming (row P17).

use super::config::TopicConfig;
use super::inbox::{AddedPartition, Inbox};
use super::state::TopicState;
use super::stored::TopicStorage;
use crate::error::{ClosedError, TopicError};
use crate::log::files::PartitionFiles;
use crate::log::holds::NO_SEGMENT;
use crate::log::overflow::Overflow;
use crate::log::partition::{LogOrigin, Partition, last_base};
use crate::log::partition_id::{MAX_PARTITIONS, PartitionId};
use crate::log::retention::RetentionLimits;
use crate::log::segment::{MAX_NUMBER, SegmentShape};
use crate::log::segment_pool::{MAX_SEGMENTS, NoSegments, SegmentPool};
use crate::name::name_fault;
use crate::storage::{Storage, StoredTopic};
use crate::sync::{AppendVec, AtomicU64, Mutex, MutexGuard, lock, ord};
use crate::topic_partition::TopicPartition;
use crate::wait::EventCount;
use std::sync::Arc;

/// What all handles of a topic share.
pub(crate) struct TopicShared {
    name: Arc<str>,
    config: TopicConfig,
    pool: Arc<SegmentPool>,
    /// The limits of the topic: for its rings, or, if it is durable, for its files.
    retention: Arc<RetentionLimits>,
    /// The limits of the rings.
    ring_retention: Arc<RetentionLimits>,
    /// What a durable topic has of its storage.
    storage: Option<TopicStorage>,
    partitions: AppendVec<Arc<Partition>>,
    /// A [`TopicState`], read by every send and poll, and written seldom (row P13).
    pub(super) state: AtomicU64,
    /// Inboxes of the subscribers, which receive added partitions. The lock also serialises
    /// adding partitions with subscribing and with closing.
    subscribers: Mutex<Vec<Arc<Inbox>>>,
    /// The producer count (`producer_count.rs`, row P9).
    pub(super) producers: AtomicU64,
    /// Waits for changes of the topic, also of consumers that read none of its partitions now.
    waiting_for_changes: Arc<EventCount>,
}

impl TopicShared {
    /// A topic whose records are kept in `storage` too, if there is one; `recovered` is what is
    /// there of it already.
    pub(super) fn new(
        name: &str,
        config: TopicConfig,
        storage: Option<&Storage>,
        recovered: Option<StoredTopic>,
    ) -> Result<TopicShared, TopicError> {
        if let Some(reason) = name_fault(name) {
            return Err(TopicError::InvalidName {
                name: name.to_owned(),
                reason,
            });
        }
        let name: Arc<str> = name.into();
        let (shape, segments) = config.validate()?;
        let partitions = config.partitions as usize;
        let out_of_memory = || TopicError::OutOfMemory {
            bytes: (shape.block_bytes() as u64).saturating_mul(segments as u64),
        };
        let may_sleep = config.wait.may_sleep();
        let pool = SegmentPool::new(shape, segments, partitions, config.prefault, may_sleep)
            .ok_or_else(out_of_memory)?;
        let pool = Arc::new(pool);
        let retention = Arc::new(config.retention_limits());
        // Last of what may fail: a topic that is refused leaves no files.
        let stored = match (storage, recovered) {
            (Some(_), Some(recovered)) => Some(recovered),
            (Some(storage), None) => {
                let first = log_origin(&config, pool.shape()).offset;
                let settings = config.to_settings();
                Some(storage.create_topic(&name, config.partitions, settings, first)?)
            }
            (None, _) => None,
        };
        let ring_retention = match &stored {
            Some(_) => Arc::new(RetentionLimits::new(None, None)),
            None => retention.clone(),
        };
        let partitions = (0..config.partitions)
            .map(|id| {
                let near = id as usize * (config.segments as usize + 1);
                let index = pool.take(near as u16)?;
                let files = stored
                    .as_ref()
                    .map(|stored| stored.files[id as usize].clone());
                Some(new_partition(
                    &config,
                    &pool,
                    &ring_retention,
                    &name,
                    id,
                    index,
                    files,
                ))
            })
            .collect::<Option<_>>()
            .ok_or_else(out_of_memory)?;
        let state = AtomicU64::new(TopicState::with_partitions(config.partitions).0);
        let storage = storage.zip(stored.as_ref());
        let storage = storage.map(|(storage, stored)| TopicStorage::new(storage.clone(), stored));
        Ok(TopicShared {
            name,
            config,
            pool,
            retention,
            ring_retention,
            storage,
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

    /// What a durable topic has of its storage.
    pub(crate) fn storage(&self) -> Option<&TopicStorage> {
        self.storage.as_ref()
    }

    /// The limits of the topic, to be shared.
    pub(super) fn retention_arc(&self) -> &Arc<RetentionLimits> {
        &self.retention
    }

    /// Where the log of each partition begins that is added.
    pub(crate) fn origin(&self) -> LogOrigin {
        log_origin(&self.config, self.pool.shape())
    }

    pub(crate) fn config(&self) -> &TopicConfig {
        &self.config
    }

    #[inline]
    pub(crate) fn pool(&self) -> &Arc<SegmentPool> {
        &self.pool
    }

    pub(crate) fn retention(&self) -> &RetentionLimits {
        &self.retention
    }

    /// The partition of this number, which must be less than [`partitions`](Self::partitions).
    #[inline]
    pub(crate) fn partition(&self, partition: u32) -> &Arc<Partition> {
        match self.partitions.get(partition as usize) {
            Some(partition) => partition,
            None => unreachable!("a partition whose number was not checked"),
        }
    }

    /// How many partitions the topic has. All of them may be used.
    pub(crate) fn partitions(&self) -> u32 {
        self.acquire_state().partitions()
    }

    // ---- closing and deleting -----------------------------------------------------------

    /// Whether the topic was closed. A hint: what was appended before is known from each
    /// partition's end.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.state().0 & TopicState::CLOSED != 0
    }

    /// Whether the topic was deleted. A hint: it revokes nothing that was read before.
    #[inline]
    pub(crate) fn is_deleted(&self) -> bool {
        self.state().0 & TopicState::DELETED != 0
    }

    /// The caller's error for "the topic is closed".
    #[cold]
    pub(crate) fn closed_error<E: ClosedError>(&self) -> E {
        E::closed(self.name.clone())
    }

    /// Refuses a call on a topic that was deleted.
    #[inline]
    pub(crate) fn refuse_deleted<E: ClosedError>(&self) -> Result<(), E> {
        if self.is_deleted() {
            return Err(self.closed_error());
        }
        Ok(())
    }

    /// Marks the topic as deleted: nothing is to be appended or read any more.
    pub(crate) fn delete(&self) {
        self.state
            .fetch_or(TopicState::CLOSED | TopicState::DELETED, ord!(Relaxed));
        self.notify_all();
    }

    /// Marks the topic as closed: nothing is to be appended any more (row P17).
    ///
    /// If no exclusive producer lives, this ends the partitions' logs. The claims of an exclusive
    /// producer are plain stores, so while one lives, the logs are left to it: it ends them at
    /// its next call or when it is dropped. A new one can no longer enter.
    ///
    /// One of the two always ends the logs. `close` exchanges the state word, then reads the
    /// producer count. An exclusive producer that enters or leaves changes the producer count,
    /// then exchanges the state word for itself, then checks whether the topic is closed. Of two
    /// exchanges of one word one comes second: either the producer finds the topic closed, or
    /// `close` finds the new producer count.
    pub(crate) fn close(&self) {
        self.end();
        self.store_closed();
    }

    /// The same, until the next start: after a failed write the topic is closed, and may be whole
    /// again on another disk.
    pub(super) fn end(&self) {
        // While this lock is held no partition is added; afterwards the topic refuses to.
        let subscribers = self.subscribers();
        // Acquire: the producer count as of every exclusive producer that entered or left before
        // (`topic.enter_exchange`, `topic.leave_exchange`).
        self.state
            .fetch_or(TopicState::CLOSED, ord!("topic.close", P17, Acquire));
        drop(subscribers);
        if self.has_exclusive_producer() {
            self.notify_all();
        } else {
            self.end_logs();
        }
    }

    /// Ends the logs of a closed topic. No exclusive producer may be claiming.
    pub(crate) fn end_logs(&self) {
        for partition in 0..self.partitions() {
            self.partition(partition).close();
        }
        self.notify_all();
    }

    // ---- changes ------------------------------------------------------------------------

    /// The event count of threads and tasks that wait for a change of the topic.
    pub(crate) fn waiting_for_changes(&self) -> &Arc<EventCount> {
        &self.waiting_for_changes
    }

    /// Wakes every thread and task that waits for something in this topic.
    fn notify_all(&self) {
        self.waiting_for_changes.notify();
        for partition in 0..self.partitions() {
            let readers = self.partition(partition).readers();
            readers.waiting().notify();
            readers.waiting_for_room().notify();
        }
    }

    /// The state now, as a hint: a handle compares it with the state that it last acted on.
    #[inline]
    pub(crate) fn state(&self) -> TopicState {
        TopicState(self.state.load(ord!(Relaxed)))
    }

    /// The state for a handle to keep. The handle must then look at everything that can have
    /// changed. The bits "closed" and "deleted" are cleared, so the kept state never equals that
    /// of a closed topic.
    pub(crate) fn acquire_state(&self) -> TopicState {
        // Acquire: what was changed before the count of changes was raised.
        let state = self.state.load(ord!("topic.acquire_state", P13, Acquire));
        TopicState(state & !(TopicState::CLOSED | TopicState::DELETED))
    }

    /// Makes every handle look for what the caller has changed. Wakes waiting threads, so the
    /// caller must hold no lock.
    pub(crate) fn announce_change(&self) {
        self.count_change(0);
        self.notify_all();
    }

    fn count_change(&self, added: u32) {
        let change = TopicState::CHANGE + TopicState::with_partitions(added).0;
        // Release, to `acquire_state`: what was changed.
        self.state
            .fetch_add(change, ord!("topic.announce_change", P13, Release));
    }

    fn subscribers(&self) -> MutexGuard<'_, Vec<Arc<Inbox>>> {
        lock(&self.subscribers)
    }

    /// Subscribes an inbox, and returns the number of partitions that the topic has now. Every
    /// partition beyond that number arrives in the inbox.
    pub(crate) fn subscribe(&self, inbox: &Arc<Inbox>) -> u32 {
        let mut subscribers = self.subscribers();
        subscribers.push(inbox.clone());
        self.partitions()
    }

    /// Subscribes an inbox, which gets all partitions, the ones that the topic has now included.
    ///
    /// Only for a topic that no other thread has yet: no record was sent, so a hold of a partition
    /// is in force at once.
    pub(super) fn subscribe_to_all(&self, inbox: &Arc<Inbox>) {
        let mut subscribers = self.subscribers();
        subscribers.push(inbox.clone());
        for partition in 0..self.partitions() {
            self.deliver(partition, inbox);
        }
    }

    /// Puts a partition into an inbox, with a hold on it. No record was sent there yet.
    fn deliver(&self, partition: u32, inbox: &Inbox) {
        let held = match self.config.overflow {
            Overflow::Backpressure if inbox.holds_back && self.storage.is_none() => {
                self.origin().segment
            }
            Overflow::Backpressure | Overflow::DropOldest => NO_SEGMENT,
        };
        let readers = self.pool.readers(PartitionId::new(partition));
        let hold = readers.join(held);
        inbox.deliver(AddedPartition { partition, hold });
    }

    pub(crate) fn unsubscribe(&self, inbox: &Arc<Inbox>) {
        self.subscribers()
            .retain(|other| !Arc::ptr_eq(other, inbox));
    }

    /// Adds partitions until there are `total`. On an error nothing has changed.
    pub(crate) fn add_partitions(self: &Arc<Self>, total: u32) -> Result<(), TopicError> {
        // The lock admits one addition at a time, and no subscription in between.
        let subscribers = self.subscribers();
        if self.is_closed() {
            return Err(self.closed_error());
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
        let first_index = pool.add_partitions(added, segments, config.prefault);
        let index = first_index.map_err(|refused| match refused {
            NoSegments::TooMany(segments) => TopicError::TooManySegments {
                segments: segments as u64,
                max: MAX_SEGMENTS as u64,
            },
            NoSegments::OutOfMemory => TopicError::OutOfMemory {
                bytes: (pool.shape().block_bytes() as u64).saturating_mul(segments as u64),
            },
        })?;
        let files = self.create_files(before..total)?;
        let mut added = Vec::new();
        for (id, index) in (before..total).zip(index..) {
            let new = new_partition(
                config,
                pool,
                &self.ring_retention,
                &self.name,
                id,
                index,
                files.get(added.len()).cloned(),
            );
            added.push(new.clone());
            self.partitions.fill(id as usize, new);
            // The hold is in force before the state word announces the partition. So a producer
            // cannot send a record there that the subscriber would miss.
            for inbox in subscribers.iter() {
                self.deliver(id, inbox);
            }
        }
        // Before a producer can send there: the copier's hold is in force.
        self.start_copying(&added);
        self.count_change(total - before);
        drop(subscribers);
        self.notify_all();
        Ok(())
    }
}

/// A partition whose first segment is the one at `index`, which the caller has taken from `pool`.
fn new_partition(
    config: &TopicConfig,
    pool: &Arc<SegmentPool>,
    retention: &Arc<RetentionLimits>,
    topic: &Arc<str>,
    id: u32,
    index: u16,
    files: Option<Arc<PartitionFiles>>,
) -> Arc<Partition> {
    let topic_partition = TopicPartition {
        topic: topic.clone(),
        partition: id,
    };
    let mut origin = log_origin(config, pool.shape());
    if let Some(files) = &files {
        // The ring goes on where the files end.
        origin.offset = files.written_end().min(last_base(pool.shape().records));
    }
    let new = Partition::new(
        topic_partition,
        config.segments as usize,
        config.overflow == Overflow::Backpressure,
        retention,
        pool,
        index,
        origin,
    );
    Arc::new(new.with_files(files))
}

/// The configured origin, within what the numbers of segments and offsets allow.
fn log_origin(config: &TopicConfig, shape: SegmentShape) -> LogOrigin {
    let LogOrigin { segment, offset } = config.origin;
    LogOrigin {
        segment: segment.min(MAX_NUMBER - 1),
        offset: offset.min(last_base(shape.records)),
    }
}
