//! Consumers: which partitions they read, from where, and the batches that they return.
//!
//! | file | contents |
//! |---|---|
//! | `config.rs` | the configuration |
//! | `subscribe.rs`, `resolved_partition.rs` | which partitions are read; partitions by name |
//! | `following.rs` | subscriptions that take in topics created later; by pattern |
//! | `assigned_partition.rs` | one partition: its cursor, and the topic's state |
//! | `owned_partition.rs` | the same partition in a group: its ownership and gate |
//! | `poll.rs`, `poll_order.rs` | polling; the order in which many partitions are checked |
//! | `fetch_min.rs` | polls that wait for several records |
//! | `poll_pacing.rs` | how a consumer keeps its distance from producers |
//! | `batch.rs`, `poll_async.rs`, `stream.rs` | what a poll returns; polling from tasks |
//! | `positions.rs`, `bounds.rs` | the consumer's own positions; any partition's offsets |
//! | `topic_end.rs` | which topics have ended, and when that is reported |
//! | `commit.rs` | committing offsets |
//! | `progress.rs`, `read_limit.rs`, `dependencies.rs` | consumers that read after others |
//! | `membership.rs`, `liveness_watch.rs` | the consumer's membership in a group |
//! | `rebalance.rs`, `rebalance_listener.rs` | the steps of the group's protocol; the callbacks |
//! | `registry.rs` | the broker's live consumers, for snapshots |

mod assigned_partition;
mod batch;
mod bounds;
mod commit;
mod config;
mod dependencies;
mod fetch_min;
mod following;
mod liveness_watch;
mod membership;
mod owned_partition;
mod poll;
mod poll_async;
mod poll_order;
mod poll_pacing;
mod positions;
mod progress;
mod read_limit;
mod rebalance;
mod rebalance_listener;
mod registry;
mod resolved_partition;
#[cfg(feature = "stream")]
mod stream;
mod subscribe;
mod topic_end;

pub use batch::Batch;
pub use config::{ConsumerConfig, HoldBack, ReadUpTo};
pub use poll_async::PollAsync;
pub use progress::ReadProgress;
pub use rebalance_listener::{Rebalance, RebalanceListener};
#[cfg(feature = "stream")]
pub use stream::RecordStream;

pub(crate) use assigned_partition::AssignedPartition;
pub(crate) use registry::{ConsumerRegistry, RegisteredConsumer, RegisteredCursor};

use crate::error::ConsumeError;
use crate::group::{Group, Groups};
use crate::topic::{Directory, TopicSubscription};
use crate::wait::{WaitStrategy, Waiter, Wakeup, WakeupHandle};
use core::fmt;
use fetch_min::FetchMin;
use following::FollowedTopics;
use membership::Membership;
use poll_order::PollOrder;
use poll_pacing::PollPacing;
use rebalance::LeaveReason;
use registry::Registration;
use std::sync::Arc;
use subscribe::AssignmentMode;

/// With this many partitions or more, a poll does not check all of them.
const MANY_PARTITIONS: usize = 17;

/// Reads records: of all partitions of the topics it is subscribed to, or of the partitions that it
/// is assigned.
///
/// Each consumer has its own positions. Several consumers of a topic each read all of it, unless
/// they are members of one [`group`](ConsumerConfig::group): then they share its partitions.
/// Consumers can be created and dropped while producers run. A dropped consumer holds nothing back
/// any more.
///
/// ```
/// use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
/// use std::time::Duration;
///
/// let broker = Broker::new();
/// let topic = broker.create_topic("orders", TopicConfig::new())?;
/// let mut consumer = broker.consumer(ConsumerConfig::new())?;
/// consumer.subscribe(["orders"])?;
///
/// topic.producer().send(Record::new(b"login").key(b"user-001"))?;
/// let batch = consumer.poll(Duration::from_millis(100))?;
/// for record in &batch {
///     assert_eq!((record.offset(), record.value()), (0, Some(&b"login"[..])));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Consumer {
    directory: Directory,
    groups: Arc<Groups>,
    config: ConsumerConfig,
    mode: Option<AssignmentMode>,
    /// The membership in a group, while the consumer is subscribed with one.
    member: Option<Box<Membership>>,
    assigned: Vec<AssignedPartition>,
    subscriptions: Vec<TopicSubscription>,
    /// What the subscription follows, if it takes in topics that are created later.
    followed: Option<FollowedTopics>,
    wait: WaitStrategy,
    /// The partition that the next poll checks first: the one after that read last, so that none
    /// starves.
    next: usize,
    /// A poll has returned records of the partition before `next`, and no poll has begun since.
    has_lent: bool,
    /// The order of the checks if there are [`MANY_PARTITIONS`].
    poll_order: PollOrder,
    /// When a poll looks again, behind a fast producer.
    pacing: PollPacing,
    /// How many records a poll waits for.
    fetch_min: FetchMin,
    /// The partition that may have a pin: one at a time (`log/segment_pool.rs`).
    pinned: usize,
    wakeup: Wakeup,
    /// The waiter of its polls.
    waiter: Waiter,
    registration: Registration,
}

impl Consumer {
    pub(crate) fn new(
        directory: Directory,
        groups: Arc<Groups>,
        registry: &Arc<ConsumerRegistry>,
        config: ConsumerConfig,
    ) -> Result<Consumer, ConsumeError> {
        config.validate()?;
        let registration = registry.register(&config)?;
        for group in &config.read_after_groups {
            groups.with_group(group, |_| Ok(()))?;
        }
        Ok(Consumer {
            pacing: PollPacing::new(config.max_poll_records, config.max_poll_pause),
            fetch_min: FetchMin::new(config.fetch_min_records, config.fetch_max_wait),
            registration,
            directory,
            groups,
            config,
            mode: None,
            member: None,
            assigned: Vec::new(),
            subscriptions: Vec::new(),
            followed: None,
            wait: WaitStrategy::default(),
            next: 0,
            has_lent: false,
            poll_order: PollOrder::default(),
            pinned: 0,
            wakeup: Wakeup::default(),
            waiter: Waiter::default(),
        })
    }

    /// The consumer's name: the configured [`client_id`](ConsumerConfig::client_id), or the default
    /// one.
    pub fn client_id(&self) -> &str {
        &self.registered().client_id
    }

    /// The configured group, if it exists.
    pub(crate) fn group(&self) -> Option<Arc<Group>> {
        let name = self.config.group.as_ref()?;
        self.groups.find(name)
    }

    /// The partitions that the consumer reads.
    pub(crate) fn assigned(&self) -> &[AssignedPartition] {
        &self.assigned
    }

    /// The consumer's entry in the registry.
    pub(crate) fn registered(&self) -> &Arc<RegisteredConsumer> {
        self.registration.consumer()
    }

    /// A handle that ends this consumer's polls from another thread: see [`WakeupHandle`].
    pub fn wakeup_handle(&self) -> WakeupHandle {
        self.wakeup.handle()
    }

    /// Drops the consumer, after a member of a group has left it in order.
    ///
    /// Such a member first commits what its polls have returned, if it has
    /// [`auto_commit`](ConsumerConfig::auto_commit), and calls its listener. A member that is just
    /// dropped does neither.
    pub fn close(mut self) {
        self.publish_all_read();
        self.leave_group(LeaveReason::Closed);
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.leave_group(LeaveReason::Dropped);
        // Drops the cursors before the spare segments that pay for their pins, and without counting
        // the last batch as read.
        self.assigned.clear();
        self.registered().progress.end();
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
