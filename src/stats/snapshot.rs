//! The types of a snapshot: plain numbers, each with its unit.

use crate::log::overflow::Overflow;

/// The statistics of a broker: see [`Broker::snapshot`](crate::Broker::snapshot).
///
/// Features add ways to export it:
///
/// - `serde`: all types of a snapshot implement `Serialize`.
/// - `prometheus`: `to_prometheus` returns it in Prometheus's text format.
/// - `metrics`: `record_metrics` passes it to the recorder of the `metrics` crate.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BrokerSnapshot {
    /// The broker's topics, sorted by name.
    pub topics: Vec<TopicStats>,
    /// The broker's groups, sorted by name.
    pub groups: Vec<GroupStats>,
    /// The live consumers, in the order in which they were created.
    pub consumers: Vec<ConsumerStats>,
}

/// The statistics of a topic: see [`Topic::stats`](crate::Topic::stats).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TopicStats {
    /// The topic's name.
    pub name: String,
    /// What happens when a partition is full.
    pub overflow: Overflow,
    /// The number of live producers, shared and exclusive.
    pub producers: u64,
    /// The bytes of all segments, as [`Topic::memory_bytes`](crate::Topic::memory_bytes).
    pub memory_bytes: u64,
    /// The number of records that one partition has room for, if they are small.
    pub max_records: u64,
    /// The number of bytes that one partition has room for, as `retained_bytes` counts them.
    pub max_bytes: u64,
    /// The topic's partitions, sorted by number.
    pub partitions: Vec<PartitionStats>,
}

/// The statistics of a partition. Counters count since the partition was created.
///
/// The offsets and bytes of one partition belong together: they were all true at one moment. If the
/// log start moves faster than it can be read, they were true at moments close to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PartitionStats {
    /// The partition's number.
    pub partition: u32,
    /// The first retained offset.
    pub log_start: u64,
    /// The offset after the last one. Records that are claimed and not published yet count.
    pub log_end: u64,
    /// Offsets assigned: appended records, and the records of aborted claims
    /// (`aborted_records`).
    pub appended_records: u64,
    /// The bytes of these, as [`segment_bytes`](crate::TopicConfig::segment_bytes) counts them:
    /// padded, without their 8 bytes of index.
    pub appended_bytes: u64,
    /// The bytes in the live segments, counted in the same way. Deleted records count as long as
    /// their segment is live.
    pub retained_bytes: u64,
    /// Aborted claims: claims that were dropped without being published.
    pub aborted_frames: u64,
    /// The offsets of aborted claims.
    pub aborted_records: u64,
    /// Rolls: how often the partition went on to the next segment because one was full.
    pub rolls: u64,
    /// Segments evicted, for room or by retention.
    pub retired_segments: u64,
    /// Rolls that a reader stalled under [`Overflow::Backpressure`], each counted once: how often
    /// the ring was full.
    pub reader_stalls: u64,
    /// Sends that found no room and waited for it, with or without success. For
    /// [`send_batch`](crate::Producer::send_batch) each partition's share counts as one.
    pub blocked_sends: u64,
    /// Sends that failed with [`Full`](crate::SendError::Full), at once or after a wait.
    pub refused_sends: u64,
}

impl PartitionStats {
    /// The number of retained offsets: `log_end - log_start`.
    pub fn retained_records(&self) -> u64 {
        self.log_end - self.log_start
    }
}

/// The statistics of a consumer: see [`Consumer::stats`](crate::Consumer::stats).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConsumerStats {
    /// A number that no other consumer of the broker has.
    pub id: u64,
    /// The consumer's name ([`ConsumerConfig::client_id`](crate::ConsumerConfig::client_id)).
    pub client_id: String,
    /// The configured group, if any.
    pub group: Option<String>,
    /// Offsets lost in all partitions that the consumer ever had, as found by its polls so far.
    pub lost: u64,
    /// The partitions that the consumer reads now.
    pub partitions: Vec<ConsumerPartitionStats>,
}

/// A consumer's position in one partition.
///
/// In [`Consumer::stats`](crate::Consumer::stats) all numbers are exact. In a
/// [`snapshot`](crate::Broker::snapshot), which may be taken by another thread, the position is a
/// **lower bound**, and [`position_max`](Self::position_max) is the upper one. A consumer shows its
/// position when it enters another segment, seeks, or waits for records. It does not do so at every
/// poll, because that would cost each poll. So the position is
///
/// - exact for a consumer that has caught up and waits;
/// - at most one batch old for a member of a group that commits as it polls;
/// - at most one segment old for any other.
///
/// `lag` and `overtaken` are then upper bounds, and `lead` is a lower bound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConsumerPartitionStats {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: u32,
    /// The next offset to be read; the log start if that has overtaken the consumer. A lower
    /// bound, as of the consumer's last poll: a seek shows with the next one. With auto-commit, an
    /// offset that the application has committed ahead of the position passes for it until then.
    pub position: u64,
    /// The upper bound of the position.
    pub position_max: u64,
    /// The offset that the consumer's group has committed.
    pub committed: Option<u64>,
    /// The first retained offset.
    pub log_start: u64,
    /// The offset after the last one.
    pub log_end: u64,
    /// Offsets still to be read: `log_end - max(position, log_start)` (Kafka's `records-lag`).
    pub lag: u64,
    /// Retained offsets before the position: `position - log_start` (Kafka's `records-lead`).
    /// Under [`Overflow::DropOldest`] a consumer whose lead nears zero is about to be overtaken.
    pub lead: u64,
    /// Offsets lost since the consumer has the partition, as found by its polls so far: the sum of
    /// [`Batch::lost`](crate::Batch::lost).
    pub lost: u64,
    /// Offsets that are lost already, and that the consumer's next poll will report.
    pub overtaken: u64,
}

/// The statistics of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GroupStats {
    /// The group's name.
    pub name: String,
    /// The number of assignments so far.
    pub generation: u64,
    /// The number of live members.
    pub members: u64,
    /// The partitions that the group knows, sorted by topic and number.
    pub partitions: Vec<GroupPartitionStats>,
}

/// A group's progress in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GroupPartitionStats {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: u32,
    /// The `client_id` of the member that owns the partition now.
    pub owner: Option<String>,
    /// The position of that member, as in [`ConsumerPartitionStats::position`].
    pub position: Option<u64>,
    /// The committed offset, at which the next owner begins.
    pub committed: Option<u64>,
    /// The first retained offset.
    pub log_start: u64,
    /// The offset after the last one.
    pub log_end: u64,
    /// Offsets retained from the committed one on: `log_end - max(committed, log_start)` (Kafka's
    /// consumer group lag).
    pub lag: Option<u64>,
    /// Retained offsets before the committed one: `committed - log_start`.
    pub lead: Option<u64>,
    /// Offsets lost, as found by the polls of the group's members so far.
    pub lost: u64,
}
