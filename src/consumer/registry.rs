//! The registry of a broker's live consumers, for snapshots.
//!
//! A consumer is registered from its creation until it is dropped. So is each partition that it
//! reads, with its consumer. Entries are added and removed under locks that no poll takes
//! otherwise. What changes at each poll lies in atomic words that an entry refers to: the position
//! in the reader's hold (`log/holds.rs`), the committed offset of the ownership
//! (`group/ownership.rs`) and the counts of lost offsets.

use super::config::{ConsumerConfig, ReadUpTo};
use super::dependencies::refuse_circle;
use super::progress::{ConsumerProgress, Upstream};
use crate::error::ConsumeError;
use crate::error::UpstreamError;
use crate::group::Ownership;
use crate::log::holds::Hold;
use crate::sync::Count;
use crate::sync::lock_std as lock;
use crate::topic::TopicShared;
// Not the facade's lock: in the models no thread waits for another under these locks.
use std::sync::{Arc, Mutex, Weak};

/// The live consumers of a broker.
#[derive(Default)]
pub(crate) struct ConsumerRegistry(Mutex<Consumers>);

#[derive(Default)]
struct Consumers {
    /// Consumers created so far.
    created: u64,
    live: Vec<Arc<RegisteredConsumer>>,
}

impl ConsumerRegistry {
    /// Registers a consumer. Without a configured client id it gets one as Kafka's do:
    /// `consumer-1`, or `consumer-billing-1` in a group.
    ///
    /// Errors: `Upstream`, if it cannot read after its upstreams.
    pub(super) fn register(
        self: &Arc<Self>,
        config: &ConsumerConfig,
    ) -> Result<Registration, ConsumeError> {
        let upstreams = self.upstreams(config)?;
        let mut consumers = lock(&self.0);
        consumers.created += 1;
        let id = consumers.created;
        let default_name = || match &config.group {
            Some(group) => format!("consumer-{group}-{id}").into(),
            None => format!("consumer-{id}").into(),
        };
        let client_id = config.client_id.clone().unwrap_or_else(default_name);
        let consumer = Arc::new(RegisteredConsumer {
            id,
            progress: Arc::new(ConsumerProgress::new(id, &client_id)),
            upstreams,
            read_up_to: config.read_up_to,
            client_id,
            group: config.group.clone(),
            lost: Count::default(),
            cursors: Mutex::default(),
        });
        refuse_circle(&consumer, &consumers.live)?;
        consumers.live.push(consumer.clone());
        Ok(Registration {
            registry: self.clone(),
            consumer,
        })
    }

    /// The configured upstreams. Errors: `UpstreamError::OtherBroker`.
    fn upstreams(
        self: &Arc<Self>,
        config: &ConsumerConfig,
    ) -> Result<Arc<[Upstream]>, UpstreamError> {
        for progress in &config.read_after {
            if progress.broker.as_ptr() != Arc::as_ptr(self) {
                let upstream = progress.upstream.to_string();
                return Err(UpstreamError::OtherBroker { upstream });
            }
        }
        let consumers = config.read_after.iter().map(|p| p.upstream.clone());
        let groups = config
            .read_after_groups
            .iter()
            .cloned()
            .map(Upstream::Group);
        Ok(consumers.chain(groups).collect())
    }

    /// All live consumers, in the order of their creation.
    pub(crate) fn all(&self) -> Vec<Arc<RegisteredConsumer>> {
        lock(&self.0).live.clone()
    }
}

/// A consumer's entry in the registry. Dropping it removes the entry.
pub(super) struct Registration {
    registry: Arc<ConsumerRegistry>,
    consumer: Arc<RegisteredConsumer>,
}

impl Registration {
    pub(super) fn consumer(&self) -> &Arc<RegisteredConsumer> {
        &self.consumer
    }

    /// Identifies the broker.
    pub(super) fn broker(&self) -> Weak<ConsumerRegistry> {
        Arc::downgrade(&self.registry)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        remove(&mut lock(&self.registry.0).live, &self.consumer);
    }
}

/// What a snapshot can see of a consumer.
pub(crate) struct RegisteredConsumer {
    /// The number of this consumer among all that the broker created, from 1.
    pub(crate) id: u64,
    pub(crate) client_id: Arc<str>,
    pub(crate) group: Option<Arc<str>>,
    /// Offsets lost in all partitions that the consumer ever read.
    pub(crate) lost: Count,
    cursors: Mutex<Vec<Arc<RegisteredCursor>>>,
    /// What it has read, for consumers that read after it.
    pub(super) progress: Arc<ConsumerProgress>,
    /// What it reads after.
    pub(super) upstreams: Arc<[Upstream]>,
    pub(super) read_up_to: ReadUpTo,
}

impl RegisteredConsumer {
    /// The cursors of the partitions that the consumer reads now.
    pub(crate) fn cursors(&self) -> Vec<Arc<RegisteredCursor>> {
        lock(&self.cursors).clone()
    }
}

/// What a snapshot can see of a consumer's cursor in one partition.
pub(crate) struct RegisteredCursor {
    pub(crate) topic: Arc<TopicShared>,
    pub(crate) partition: u32,
    pub(crate) hold: Arc<Hold>,
    /// The ownership under which a group's member reads the partition.
    pub(crate) ownership: Option<Arc<Ownership>>,
    /// Each poll commits the position to the ownership.
    pub(crate) commits_each_poll: bool,
    /// Offsets lost in this partition since the consumer began to read it.
    pub(crate) lost: Count,
}

/// A cursor's entry with its consumer. Dropping it removes the entry.
pub(super) struct CursorRegistration {
    consumer: Arc<RegisteredConsumer>,
    cursor: Arc<RegisteredCursor>,
}

impl CursorRegistration {
    pub(super) fn new(
        consumer: &Arc<RegisteredConsumer>,
        cursor: RegisteredCursor,
    ) -> CursorRegistration {
        let cursor = Arc::new(cursor);
        lock(&consumer.cursors).push(cursor.clone());
        CursorRegistration {
            consumer: consumer.clone(),
            cursor,
        }
    }

    pub(super) fn client_id(&self) -> &str {
        &self.consumer.client_id
    }

    pub(super) fn lost(&self) -> u64 {
        self.cursor.lost.get()
    }

    /// Counts `lost` more offsets that were dropped unread.
    pub(super) fn add_lost(&self, lost: u64) {
        self.consumer.lost.add(lost);
        self.cursor.lost.add(lost);
        if let Some(ownership) = &self.cursor.ownership {
            ownership.add_lost(lost);
        }
    }
}

impl Drop for CursorRegistration {
    fn drop(&mut self) {
        remove(&mut lock(&self.consumer.cursors), &self.cursor);
    }
}

fn remove<T>(list: &mut Vec<Arc<T>>, item: &Arc<T>) {
    list.retain(|other| !Arc::ptr_eq(other, item));
}
