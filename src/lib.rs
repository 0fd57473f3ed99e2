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

mod broker;
mod clock;
mod consumer;
mod error;
mod events;
mod group;
mod log;
mod producer;
mod record;
mod stats;
mod sync;
mod topic;
mod wait;

pub use broker::Broker;
pub use consumer::{
    Batch, Consumer, ConsumerConfig, HoldBack, PollAsync, Rebalance, RebalanceListener,
};
#[cfg(feature = "stream")]
pub use consumer::{OwnedRecord, RecordStream};
pub use error::{
    BatchError, ConsumeError, FenceReason, GroupError, SendError, TopicError, ViewError,
};
pub use group::{
    Assignment, Assignor, CooperativeStickyAssignor, GroupDescription, GroupMember, GroupView,
    MemberDescription, MemberId, PartitionDescription, RangeAssignor, RebalanceProtocol,
    RoundRobinAssignor, StickyAssignor, TopicView,
};
pub use log::cursor::OffsetReset;
pub use log::overflow::Overflow;
pub use log::segment::{ExclusiveMode, Headers, RecordRef, Records, SharedMode, Values};
pub use log::time_lookup::OffsetAndTimestamp;
pub use producer::{
    BatchMetadata, BatchMetadataIter, Claim, ExclusiveProducer, Producer, SendAsync,
    SendBatchAsync, SendValuesAsync,
};
pub use record::{Destination, FrameMetadata, Header, NO_TIMESTAMP, Record, RecordMetadata};
pub use stats::{
    BrokerSnapshot, ConsumerPartitionStats, ConsumerStats, GroupPartitionStats, GroupStats,
    PartitionStats, TopicStats,
};
#[cfg(loom)]
pub use sync::ordering_sites;
pub use topic::{
    Murmur2, PartitionChoice, Partitioner, RoundRobin, Timestamps, Topic, TopicConfig,
    TopicPartition, Xxh3,
};
pub use wait::{WaitAction, WaitPolicy, WaitStrategy, WakeupHandle};

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
