#![cfg_attr(not(loom), doc = include_str!("../README.md"))]
// The model-checked build uses only a part of the library.
#![cfg_attr(
    loom,
    allow(
        dead_code,
        unreachable_pub,
        missing_docs,
        missing_debug_implementations
    )
)]

// The layers, highest first. A module uses its own folder and the layers below it; `producer` and
// `group` do not use each other.
//
//     broker      topics and groups by name; makes consumers; snapshots
//     stats       snapshots and their export
//     consumer    subscribe, poll, seek, commit; a group member's side
//     producer    send: choose the partition, claim, write, publish
//     group       the coordinator: members, ownership, commits, assignors
//     topic       a topic's partitions, configuration and handle
//     log         cursor, partition, segment pool, holds, segment: each a layer
//     wait        event counts, wait strategies, the wait loop
//     sync        atomics, orderings and locks, by `std` or by loom
//     error, record, owned_record, topic_partition, clock, events
mod broker;
mod clock;
mod consumer;
mod disk;
mod error;
mod events;
mod group;
mod log;
mod name;
mod owned_record;
mod producer;
mod record;
mod stats;
mod storage;
mod sync;
mod topic;
mod topic_partition;
mod wait;

// Broker and topics.
pub use broker::Broker;
pub use log::overflow::Overflow;
pub use log::time_lookup::OffsetAndTimestamp;
pub use topic::{Timestamps, Topic, TopicConfig, TopicPartition};

// Clocks of record timestamps.
pub use topic::{Clock, ManualClock};
// Partitioners.
pub use topic::{Murmur2, PartitionChoice, Partitioner, RoundRobin, Xxh3};

// Records.
pub use log::segment::{FrameNote, Headers, RecordRef, Records, Values};
pub use owned_record::{OwnedRecord, UnsentRecord};
pub use record::{Destination, FrameMetadata, Header, Record, RecordMetadata};

// Producers.
pub use log::segment::{ExclusiveMode, SharedMode};
pub use producer::{
    BatchMetadata, BatchMetadataIter, Claim, ExclusiveProducer, GatheringConfig, GatheringProducer,
    Producer, ProducerMode, SendAsync, SendBatchAsync, SendValuesAsync, SharedGatheringProducer,
    SharedProducer, Ticket,
};

// Consumers.
#[cfg(feature = "stream")]
pub use consumer::RecordStream;
pub use consumer::{
    Batch, Consumer, ConsumerConfig, HoldBack, PollAsync, ReadProgress, ReadUpTo, Rebalance,
    RebalanceListener,
};
pub use log::cursor::OffsetReset;
pub use wait::WakeupHandle;

// Consumer groups and assignors.
pub use group::{
    Assignment, Assignor, CooperativeStickyAssignor, GroupDescription, GroupMember, GroupView,
    MemberDescription, MemberId, PartitionDescription, RangeAssignor, RebalanceProtocol,
    RoundRobinAssignor, StickyAssignor, TopicView,
};

// Waiting.
pub use wait::{WaitAction, WaitPolicy, WaitStrategy};

// Statistics.
pub use storage::{
    DiskFull, Flush, OnWriteError, PartitionRecovery, RecoveryReport, SetAside, Storage,
    StorageConfig, TopicRecovery, WaitStoredAsync,
};

pub use stats::{
    BrokerSnapshot, ConsumerPartitionStats, ConsumerStats, GroupPartitionStats, GroupStats,
    PartitionStats, TopicStats,
};

// Errors.
pub use error::{
    BatchError, CloseError, ConsumeError, FenceReason, FlushError, GroupError, SendError,
    StorageError, TopicError, UpstreamError, ViewError,
};

#[cfg(all(doc, not(loom)))]
#[doc = include_str!("../docs/recipes.md")]
pub mod recipes {}

/// For the models.
#[cfg(loom)]
pub use storage::loom as modelled_storage;
#[cfg(loom)]
pub use sync::ordering_sites;

/// Guaranteed to callers: every handle can be sent to another thread, and shared ones are `Sync`.
const _: () = {
    const fn is_send<T: Send>() {}
    const fn is_sync<T: Sync>() {}
    is_send::<Broker>();
    is_sync::<Broker>();
    is_send::<Topic>();
    is_sync::<Topic>();
    is_send::<Producer>();
    is_send::<ExclusiveProducer>();
    is_send::<SharedProducer>();
    is_sync::<SharedProducer>();
    is_send::<GatheringProducer>();
    is_send::<GatheringProducer<ExclusiveMode>>();
    is_send::<SharedGatheringProducer>();
    is_sync::<SharedGatheringProducer>();
    is_send::<Ticket>();
    is_sync::<Ticket>();
    is_send::<Consumer>();
    is_send::<ReadProgress>();
    is_sync::<ReadProgress>();
    is_sync::<Consumer>();
    is_send::<WakeupHandle>();
    is_sync::<WakeupHandle>();
    is_send::<RecordRef<'static>>();
    is_sync::<RecordRef<'static>>();
    is_send::<OwnedRecord>();
    is_sync::<OwnedRecord>();
};

/// Not in a model, where a batch carries loom's tracking.
#[cfg(not(loom))]
const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Batch<'static>>();
};
