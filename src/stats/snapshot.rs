//! What a snapshot has in it: plain numbers, each with its unit.

use crate::log::overflow::Overflow;

/// All that can be seen of a broker: see [`Broker::snapshot`](crate::Broker::snapshot).
///
/// With the feature `serde` it can be serialized, `to_prometheus` writes it in Prometheus's text
/// format with the feature `prometheus`, and `record_metrics` hands it to the recorder of the
/// `metrics` crate with the feature `metrics`.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BrokerSnapshot {
    /// The broker's topics, by name.
    pub topics: Vec<TopicStats>,
    /// Its groups, by name.
    pub groups: Vec<GroupStats>,
    /// Its consumers that live, as they were made.
    pub consumers: Vec<ConsumerStats>,
}

/// A topic in numbers: see [`Topic::stats`](crate::Topic::stats).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TopicStats {
    /// Its name.
    pub name: String,
    /// What happens when a partition is full.
    pub overflow: Overflow,
    /// Producers that live, the exclusive one among them.
    pub producers: u64,
    /// Bytes of all its segments, as [`Topic::memory_bytes`](crate::Topic::memory_bytes).
    pub memory_bytes: u64,
    /// How many records one partition has room for, if they are small.
    pub max_records: u64,
    /// How many bytes one partition has room for, as `retained_bytes` counts them.
    pub max_bytes: u64,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionStats>,
}

/// A partition in numbers, most of them since it was made.
///
/// The offsets and bytes of one partition belong together: they were all true at one moment, or,
/// where the log start moves faster than it can be looked at, at moments close to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PartitionStats {
    /// Which it is.
    pub partition: u32,
    /// The first offset retained.
    pub log_start: u64,
    /// One past the last offset. What another thread is just copying in counts.
    pub log_end: u64,
    /// Offsets given out: the records appended, and those of claims that were given up
    /// (`aborted_records`).
    pub appended_records: u64,
    /// Bytes that they take, as [`segment_bytes`](crate::TopicConfig::segment_bytes) counts them:
    /// padded, without their eight bytes of index.
    pub appended_bytes: u64,
    /// Bytes of the segments that are live, counted in the same way. Deleted records count for as
    /// long as their segment does.
    pub retained_bytes: u64,
    /// Claims that were given up.
    pub aborted_frames: u64,
    /// The offsets that went with them.
    pub aborted_records: u64,
    /// Times that the partition went on to another segment because one was full.
    pub rolls: u64,
    /// Segments given up: for room, by retention.
    pub retired_segments: u64,
    /// Rolls that a reader held up under [`Overflow::Backpressure`], each counted once: how often
    /// the ring was full.
    pub reader_stalls: u64,
    /// Sends that found no room and waited for it, whatever came of it. Of
    /// [`send_batch`](crate::Producer::send_batch) each partition's share is one.
    pub blocked_sends: u64,
    /// Sends that were refused with [`Full`](crate::SendError::Full), at once or after a wait.
    pub refused_sends: u64,
}

impl PartitionStats {
    /// How many offsets are retained: `log_end - log_start`.
    pub fn retained_records(&self) -> u64 {
        self.log_end - self.log_start
    }
}

/// A consumer in numbers: see [`Consumer::stats`](crate::Consumer::stats).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConsumerStats {
    /// Counts the broker's consumers: no two have the same.
    pub id: u64,
    /// Its name ([`ConsumerConfig::client_id`](crate::ConsumerConfig::client_id)).
    pub client_id: String,
    /// The group that it was made for.
    pub group: Option<String>,
    /// Offsets that went by unread in all partitions that it ever had, found so far.
    pub lost: u64,
    /// The partitions that it reads now.
    pub partitions: Vec<ConsumerPartitionStats>,
}

/// A consumer's place in one partition.
///
/// In [`Consumer::stats`](crate::Consumer::stats) it is exact. In a
/// [`snapshot`](crate::Broker::snapshot), which another thread takes, the position is a **bound**:
/// a consumer leaves word of it where it goes to another segment, seeks or waits for records, and
/// not at every poll, which would be work for each of them. So it is exact for a consumer that has
/// caught up and waits, and for one that streams it is at most one segment old, and never too far.
/// [`position_max`](Self::position_max) is the other end.
/// (For a member of a group that commits as it polls it is at most one batch old.) `lag` and
/// `overtaken` are then the most that they can be, and `lead` is the least.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConsumerPartitionStats {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The next offset to be read, or the log start, if that has been overtaken: at least.
    pub position: u64,
    /// The same: at most.
    pub position_max: u64,
    /// What its group has committed.
    pub committed: Option<u64>,
    /// The first offset retained.
    pub log_start: u64,
    /// One past the last offset.
    pub log_end: u64,
    /// Offsets still to be read: `log_end - position` (Kafka's `records-lag`).
    pub lag: u64,
    /// Offsets retained before the position: `position - log_start` (Kafka's `records-lead`).
    /// Under [`Overflow::DropOldest`] one that comes near zero is about to be overtaken.
    pub lead: u64,
    /// Offsets that went by unread, found by its polls so far since it has the partition: the sum
    /// of [`Batch::lost`](crate::Batch::lost).
    pub lost: u64,
    /// Offsets that went by unread and that its next poll will find.
    pub overtaken: u64,
}

/// A group in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GroupStats {
    /// Its name.
    pub name: String,
    /// Counts its assignments.
    pub generation: u64,
    /// Members that live.
    pub members: u64,
    /// The partitions that it knows, in order.
    pub partitions: Vec<GroupPartitionStats>,
}

/// A group's place in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GroupPartitionStats {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The name of the member that has it now.
    pub owner: Option<String>,
    /// Where that member is, as [`ConsumerPartitionStats::position`] has it.
    pub position: Option<u64>,
    /// What is committed: the next offset to be read by whoever gets it next.
    pub committed: Option<u64>,
    /// The first offset retained.
    pub log_start: u64,
    /// One past the last offset.
    pub log_end: u64,
    /// Offsets behind what is committed: `log_end - committed` (Kafka's consumer group lag).
    pub lag: Option<u64>,
    /// Offsets retained before it: `committed - log_start`.
    pub lead: Option<u64>,
    /// Offsets that went by unread, found by the group's members so far.
    pub lost: u64,
}
