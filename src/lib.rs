#![cfg_attr(not(loom), doc = include_str!("../README.md"))]
// The model-checked build uses what it needs of the whole.
#![cfg_attr(
    loom,
    allow(
        dead_code,
        unreachable_pub,
        missing_docs,
        missing_debug_implementations
    )
)]

mod assigned;
mod barrier;
mod batch;
mod broker;
mod claim;
mod clock;
mod config;
mod consumer;
mod counts;
mod cursor;
mod encode;
mod error;
mod frame;
mod futures;
mod group;
mod grow;
mod head;
mod lane;
mod memory;
#[cfg(loom)]
mod memory_loom;
mod partition;
mod partitioner;
mod pool;
mod positions;
#[cfg(not(loom))]
mod prefetch;
mod producer;
mod readers;
mod record;
mod records;
mod retention;
mod rotation;
mod segment;
mod send_batch;
mod send_values;
#[cfg(loom)]
pub mod sites_loom;
mod sleepers;
mod stats;
#[cfg(feature = "stream")]
mod stream;
mod sync;
#[cfg(loom)]
mod sync_loom;
mod times;
mod topic;
mod topic_inner;
mod trace;
mod wait;
mod wakeup;

pub use batch::{Batch, Values};
pub use broker::Broker;
pub use claim::Claim;
pub use config::{ConsumerConfig, HoldBack, OffsetReset, Overflow, Timestamps, TopicConfig};
pub use consumer::{Consumer, TopicPartition};
pub use encode::Headers;
pub use error::{
    BatchError, ConsumeError, FenceReason, GroupError, SendError, TopicError, ViewError,
};
pub use futures::{PollAsync, SendAsync, SendBatchAsync, SendValuesAsync};
pub use group::{
    Assignment, Assignor, CooperativeStickyAssignor, GroupDescription, GroupMember, GroupView,
    MemberDescription, MemberId, PartitionDescription, RangeAssignor, Rebalance, RebalanceListener,
    RebalanceProtocol, RoundRobinAssignor, StickyAssignor, TopicView,
};
pub use partitioner::{Murmur2, PartitionChoice, Partitioner, RoundRobin, Xxh3};
pub use producer::{ExclusiveProducer, Producer};
pub use record::{Destination, FrameMetadata, Header, NO_TIMESTAMP, Record, RecordMetadata};
pub use records::{RecordRef, Records};
pub use segment::{ExclusiveMode, SharedMode};
pub use send_batch::{BatchMetadata, BatchMetadataIter};
pub use stats::{
    BrokerSnapshot, ConsumerPartitionStats, ConsumerStats, GroupPartitionStats, GroupStats,
    PartitionStats, TopicStats,
};
#[cfg(feature = "stream")]
pub use stream::{OwnedRecord, RecordStream};
pub use times::OffsetAndTimestamp;
pub use topic::Topic;
pub use wait::{WaitAction, WaitPolicy, WaitStrategy};
pub use wakeup::WakeupHandle;

/// What callers may rely on: handles move between threads, and shared ones are shared.
const _: () = {
    const fn is_send<T: Send>() {}
    const fn is_sync<T: Sync>() {}
    is_send::<Broker>();
    is_sync::<Broker>();
    is_send::<Topic>();
    is_sync::<Topic>();
    is_send::<Producer>();
    is_send::<ExclusiveProducer>();
    is_send::<Consumer>();
    is_send::<WakeupHandle>();
    is_sync::<WakeupHandle>();
    is_send::<RecordRef<'static>>();
    is_sync::<RecordRef<'static>>();
};
