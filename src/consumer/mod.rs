//! Reading: which partitions, where in each, and batches out of them.

mod assigned_partition;
mod batch;
mod bounds;
mod commit;
mod config;
mod membership;
mod owned_partition;
mod poll;
mod poll_async;
mod poll_order;
mod positions;
mod rebalance;
mod rebalance_listener;
mod registry;
#[cfg(feature = "stream")]
mod stream;
mod subscribe;

pub use batch::Batch;
pub use config::{ConsumerConfig, HoldBack};
pub use poll_async::PollAsync;
pub use rebalance_listener::{Rebalance, RebalanceListener};
#[cfg(feature = "stream")]
pub use stream::{OwnedRecord, RecordStream};

pub(crate) use assigned_partition::AssignedPartition;
pub(crate) use registry::{ConsumerRegistry, RegisteredConsumer, RegisteredCursor};

use crate::group::{Group, Groups};
use crate::topic::{Directory, TopicSubscription};
use crate::wait::{WaitStrategy, Waiter, Wakeup, WakeupHandle};
use core::fmt;
use membership::Membership;
use poll_order::PollOrder;
use registry::Registration;
use std::sync::Arc;
use subscribe::AssignmentMode;

/// With so many partitions or more, a poll does not look at all of them.
const MANY: usize = 17;

/// Reads topics: every partition of those it is subscribed to, or the partitions it is
/// assigned.
///
/// Each consumer has positions of its own; several consumers of a topic each read all of it, unless
/// they are members of one [`group`](ConsumerConfig::group): then they share it.
/// Consumers come and go while producers run. Dropping one lets go of everything it held
/// back.
///
/// ```
/// use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
/// use std::time::Duration;
///
/// let broker = Broker::new();
/// let topic = broker.create_topic("orders", TopicConfig::new())?;
/// let mut consumer = broker.consumer(ConsumerConfig::new());
/// consumer.subscribe(&["orders"])?;
///
/// topic.producer().send(Record::new(b"login").key(b"user-001"))?;
/// let batch = consumer.poll(Duration::from_millis(100))?;
/// for record in &batch {
///     assert_eq!((record.offset(), record.value()), (0, &b"login"[..]));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Consumer {
    directory: Directory,
    groups: Arc<Groups>,
    config: ConsumerConfig,
    mode: Option<AssignmentMode>,
    /// What it is in a group, while it is subscribed.
    member: Option<Box<Membership>>,
    assigned: Vec<AssignedPartition>,
    subscriptions: Vec<TopicSubscription>,
    wait: WaitStrategy,
    /// Where the next poll begins to look, so that no partition starves: behind the one read last.
    next: usize,
    /// Where it looks if there are [`MANY`] partitions.
    poll_order: PollOrder,
    /// The partition that may have a pin: one at a time (pool.rs).
    pinned: usize,
    wakeup: Wakeup,
    /// What its polls sleep with.
    waiter: Waiter,
    /// Its place in the broker's list of consumers.
    entry: Registration,
}

impl Consumer {
    pub(crate) fn new(
        directory: Directory,
        groups: Arc<Groups>,
        consumers: &Arc<ConsumerRegistry>,
        config: ConsumerConfig,
    ) -> Consumer {
        Consumer {
            entry: consumers.enter(&config),
            directory,
            groups,
            config,
            mode: None,
            member: None,
            assigned: Vec::new(),
            subscriptions: Vec::new(),
            wait: WaitStrategy::default(),
            next: 0,
            poll_order: PollOrder::default(),
            pinned: 0,
            wakeup: Wakeup::default(),
            waiter: Waiter::default(),
        }
    }

    /// Its name: the one that it was mode, or the one it got
    /// ([`ConsumerConfig::client_id`]).
    pub fn client_id(&self) -> &str {
        &self.entry.card.client_id
    }

    /// Its group, if it has one that exists.
    pub(crate) fn group(&self) -> Option<Arc<Group>> {
        let name = self.config.group.as_ref()?;
        self.groups.find(name)
    }

    /// The partitions that it reads.
    pub(crate) fn assigned(&self) -> &[AssignedPartition] {
        &self.assigned
    }

    /// What others may know of it.
    pub(crate) fn card(&self) -> &Arc<RegisteredConsumer> {
        &self.entry.card
    }

    /// What ends this consumer's polls from another thread: see [`WakeupHandle`].
    pub fn wakeup_handle(&self) -> WakeupHandle {
        self.wakeup.handle()
    }

    /// Reads nothing any more and lets go of all it held back. Unlike one that is just dropped, a
    /// member of a group first commits what its polls have returned, if it does so by itself, and
    /// its listener is told.
    pub fn close(mut self) {
        self.leave_group(true, true);
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.leave_group(false, true);
        // The pins go before the seats they sit on.
        self.unsubscribe();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("config", &self.config)
            .field("assignment", &self.assignment())
            .finish_non_exhaustive()
    }
}
