//! Statistics: snapshots of a broker, a topic or a consumer, and their export as metrics.
//!
//! | file | its one job |
//! |---|---|
//! | `mod.rs` | takes a snapshot |
//! | `snapshot.rs` | the types of a snapshot |
//! | `metric_families.rs` | the metrics that a snapshot is exported as |
//! | `prometheus.rs` | exports a snapshot as Prometheus text |
//! | `metrics_recorder.rs` | exports a snapshot to the recorder of the `metrics` crate |
//!
//! A partition's extent is read in `log/partition/extent.rs`. The live consumers of a broker are
//! listed in `consumer/registry.rs`.
//!
//! # What it costs
//!
//! No send that finds room, and no poll, with or without records, does any work for statistics. The
//! numbers exist anyway, or are counted where such a call is off its fast path:
//!
//! | number | where it is |
//! |---|---|
//! | offsets appended and retained | base and state word of the active segment; the log start |
//! | bytes | units appended before a segment, written once when it is prepared; its state word |
//! | rolls, retired segments | the numbers of the active and of the first live segment |
//! | stalled rolls | counted by the roll that finds a gate (`Partition::make_room`) |
//! | blocked and refused sends | counted before the wait, and with the error (`producer/appender.rs`) |
//! | aborted claims | counted by the drop that publishes the aborted frame |
//! | position | beside the reader's hold, written when it enters another segment, seeks, or waits |
//! | lost | counted by the poll that finds that it was overtaken |
//! | committed | in the ownership, which a member's poll writes anyway |
//!
//! So the position of a consumer is exact while it waits, and otherwise at most one segment old:
//! see [`ConsumerPartitionStats`]. A word that each poll stores would be exact, and work for each
//! poll.
//!
//! # What a snapshot guarantees
//!
//! It stops no thread. Positions and commits are read first and the logs second. So
//! `log_start <= position <= log_end` holds throughout, and each number was true at some moment of
//! the call. It takes the locks of the groups, of the consumer registry and its entries, and of the
//! segment pools, one after the other. A send takes none of them, and a poll only if its group has
//! something for it to do.

#[cfg(any(feature = "prometheus", feature = "metrics"))]
mod metric_families;
#[cfg(feature = "metrics")]
mod metrics_recorder;
#[cfg(feature = "prometheus")]
mod prometheus;
mod snapshot;

pub use snapshot::{
    BrokerSnapshot, ConsumerPartitionStats, ConsumerStats, GroupPartitionStats, GroupStats,
    PartitionStats, TopicStats,
};

use crate::consumer::{Consumer, ConsumerRegistry, RegisteredConsumer, RegisteredCursor};
use crate::group::{Group, Groups, Ownership};
use crate::log::partition::LogExtent;
use crate::topic::{Directory, Topic, TopicShared};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Takes a snapshot of a broker's topics, groups and consumers: see
/// [`Broker::snapshot`](crate::Broker::snapshot).
pub(crate) fn snapshot(
    directory: &Directory,
    groups: &Groups,
    consumers: &ConsumerRegistry,
) -> BrokerSnapshot {
    // All positions are read before any log.
    let consumers: Vec<_> = consumers.all().iter().map(ConsumerSample::take).collect();
    let groups: Vec<_> = groups.all().iter().map(GroupSample::take).collect();
    let mut logs = LogExtents::default();
    // The topics are listed last. So a consumer or group names no topic that is missing here,
    // unless the topic was deleted.
    let topics = directory.all();
    let topics = topics.iter().map(|topic| logs.topic_stats(topic.inner()));
    let topics = topics.collect();

    let mut committed = BTreeMap::new();
    for group in &groups {
        for partition in &group.partitions {
            let log = log_key(&partition.topic, partition.partition);
            committed.insert((&*group.name, log), partition.committed);
        }
    }
    let mut owners = BTreeMap::new();
    let mut consumer_stats = Vec::new();
    for consumer in &consumers {
        let registered = &consumer.registered;
        let mut stats = without_partitions(registered);
        for CursorSample { cursor, position } in &consumer.cursors {
            let log = logs.extent(&cursor.topic, cursor.partition);
            let group = registered.group.as_deref();
            let key = group.map(|group| (group, log_key(&cursor.topic, cursor.partition)));
            let committed = key.and_then(|key| *committed.get(&key)?);
            let partition = cursor_stats(cursor, *position, log, committed);
            if let Some(ownership) = &cursor.ownership {
                let owner = OwnerSample {
                    client_id: &registered.client_id,
                    position: partition.position,
                };
                owners.insert(Arc::as_ptr(ownership), owner);
            }
            stats.partitions.push(partition);
        }
        consumer_stats.push(stats);
    }
    let groups = groups.iter().map(|group| group.stats(&mut logs, &owners));
    BrokerSnapshot {
        topics,
        groups: groups.collect(),
        consumers: consumer_stats,
    }
}

impl Topic {
    /// Returns the topic's statistics, with those of each partition: the topic's part of a
    /// [`snapshot`](crate::Broker::snapshot).
    ///
    /// ```
    /// # use ringlog::{Broker, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// let config = TopicConfig::new().segments(2).segment_records(1);
    /// let topic = broker.create_topic("orders", config)?;
    /// let mut producer = topic.producer();
    /// for order in ["first", "second", "third"] {
    ///     producer.send(Record::new(order))?;
    /// }
    /// let stats = topic.stats().partitions[0];
    /// assert_eq!((stats.appended_records, stats.retained_records()), (3, 2));
    /// assert_eq!((stats.rolls, stats.retired_segments), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> TopicStats {
        LogExtents::default().topic_stats(self.inner())
    }
}

impl Consumer {
    /// Returns this consumer's exact position in each partition that it reads, and its lag.
    ///
    /// It also brings the position that others see ([`Broker::snapshot`](crate::Broker::snapshot))
    /// up to date.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new().max_poll_records(1))?;
    /// consumer.subscribe(["orders"])?;
    /// for order in ["first", "second", "third"] {
    ///     topic.producer().send(Record::new(order))?;
    /// }
    /// consumer.try_poll()?;
    /// let stats = &consumer.stats().partitions[0];
    /// assert_eq!((stats.position, stats.lag, stats.lead, stats.lost), (1, 2, 1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> ConsumerStats {
        let mut stats = without_partitions(self.registered());
        let group = self.group();
        for assigned in self.assigned() {
            assigned.publish_position();
            let position = assigned.cursor.position();
            let (topic, partition) = (&assigned.topic, assigned.partition);
            let group = group.as_ref();
            let committed = group.and_then(|group| group.lock().committed(topic, partition));
            let log = topic.partition(partition).extent();
            let bounds = PositionBounds {
                min: position,
                max: position,
            };
            stats.partitions.push(ConsumerPartitionStats {
                lost: assigned.lost(),
                ..partition_stats(topic, partition, bounds, log, committed)
            });
        }
        stats
    }
}

/// The statistics of a consumer, without its partitions.
fn without_partitions(consumer: &RegisteredConsumer) -> ConsumerStats {
    ConsumerStats {
        id: consumer.id,
        client_id: consumer.client_id.to_string(),
        group: consumer.group.as_deref().map(str::to_owned),
        lost: consumer.lost.get(),
        partitions: Vec::new(),
    }
}

/// What is known of a reader's position.
#[derive(Clone, Copy)]
struct PositionBounds {
    min: u64,
    max: u64,
}

/// The statistics of a reader between these positions of this log. `lost` is left at zero.
fn partition_stats(
    topic: &TopicShared,
    partition: u32,
    bounds: PositionBounds,
    log: LogExtent,
    committed: Option<u64>,
) -> ConsumerPartitionStats {
    // A consumer that has sought past the end is moved by its reset policy at its next poll. Until
    // then it is shown at the end.
    let position = bounds.min.clamp(log.start, log.end);
    ConsumerPartitionStats {
        topic: topic.name().to_string(),
        partition,
        position,
        position_max: bounds.max.clamp(position, log.end),
        committed,
        log_start: log.start,
        log_end: log.end,
        lag: log.lag(position),
        lead: log.lead(position),
        lost: 0,
        overtaken: log.start.saturating_sub(bounds.min),
    }
}

/// The statistics of another thread's cursor. `shown` is the position that it had shown before
/// `log` was read.
fn cursor_stats(
    cursor: &RegisteredCursor,
    shown: u64,
    log: LogExtent,
    committed: Option<u64>,
) -> ConsumerPartitionStats {
    let (topic, partition) = (&cursor.topic, cursor.partition);
    let max = topic.partition(partition).furthest_position(shown, log.end);
    // What a member has committed as it polled is closer, if it is in the same segment.
    let ownership = cursor
        .ownership
        .as_ref()
        .filter(|_| cursor.commits_each_poll);
    let closer = ownership.and_then(|ownership| ownership.committed());
    let closer = closer.filter(|closer| (shown..=max).contains(closer));
    let bounds = PositionBounds {
        min: closer.unwrap_or(shown),
        max,
    };
    ConsumerPartitionStats {
        lost: cursor.lost.get(),
        ..partition_stats(topic, partition, bounds, log, committed)
    }
}

// ---- first: positions and commits ---------------------------------------------------------

/// A consumer, with the positions that its cursors showed.
struct ConsumerSample {
    registered: Arc<RegisteredConsumer>,
    cursors: Vec<CursorSample>,
}

struct CursorSample {
    cursor: Arc<RegisteredCursor>,
    /// The position that the cursor showed last.
    position: u64,
}

impl ConsumerSample {
    fn take(registered: &Arc<RegisteredConsumer>) -> ConsumerSample {
        let cursors = registered.cursors().into_iter();
        let cursors = cursors.map(|cursor| CursorSample {
            position: cursor.hold.reported_position().get(),
            cursor,
        });
        ConsumerSample {
            cursors: cursors.collect(),
            registered: registered.clone(),
        }
    }
}

/// The owner of a partition, as found in the consumer registry.
struct OwnerSample<'s> {
    client_id: &'s str,
    position: u64,
}

/// A group, as it was under its lock.
struct GroupSample {
    name: Arc<str>,
    generation: u64,
    members: usize,
    partitions: Vec<GroupPartitionSample>,
}

struct GroupPartitionSample {
    topic: Arc<TopicShared>,
    partition: u32,
    ownership: Option<Arc<Ownership>>,
    committed: Option<u64>,
    lost: u64,
}

impl GroupSample {
    fn take(group: &Arc<Group>) -> GroupSample {
        let mut coordinator = group.lock();
        coordinator.take_added();
        let partitions = coordinator.partitions.iter();
        let partitions = partitions.map(|(key, partition)| GroupPartitionSample {
            topic: partition.topic().clone(),
            partition: key.partition,
            ownership: partition.ownership().cloned(),
            committed: partition.committed(),
            lost: partition.lost(),
        });
        GroupSample {
            name: group.name().clone(),
            generation: coordinator.generation,
            members: coordinator.live_members(),
            partitions: partitions.collect(),
        }
    }

    fn stats(
        &self,
        logs: &mut LogExtents,
        owners: &BTreeMap<*const Ownership, OwnerSample<'_>>,
    ) -> GroupStats {
        let partitions = self.partitions.iter().map(|partition| {
            let log = logs.extent(&partition.topic, partition.partition);
            let ownership = partition.ownership.as_ref();
            let owner = ownership.and_then(|ownership| owners.get(&Arc::as_ptr(ownership)));
            GroupPartitionStats {
                topic: partition.topic.name().to_string(),
                partition: partition.partition,
                owner: owner.map(|owner| owner.client_id.to_owned()),
                position: owner.map(|owner| owner.position),
                committed: partition.committed,
                log_start: log.start,
                log_end: log.end,
                lag: partition.committed.map(|c| log.lag(c)),
                lead: partition.committed.map(|c| log.lead(c)),
                lost: partition.lost,
            }
        });
        GroupStats {
            name: self.name.to_string(),
            generation: self.generation,
            members: self.members as u64,
            partitions: partitions.collect(),
        }
    }
}

// ---- second: the logs ---------------------------------------------------------------------

type LogKey = (*const TopicShared, u32);

fn log_key(topic: &Arc<TopicShared>, partition: u32) -> LogKey {
    (Arc::as_ptr(topic), partition)
}

/// The extents that were read so far: each log once, so that all of a snapshot agrees.
#[derive(Default)]
struct LogExtents(BTreeMap<LogKey, LogExtent>);

impl LogExtents {
    fn extent(&mut self, topic: &Arc<TopicShared>, partition: u32) -> LogExtent {
        let extent = self.0.entry(log_key(topic, partition));
        *extent.or_insert_with(|| topic.partition(partition).extent())
    }

    fn topic_stats(&mut self, topic: &Arc<TopicShared>) -> TopicStats {
        let (config, shape) = (topic.config(), topic.pool().shape());
        let partitions = (0..topic.partitions()).map(|id| self.partition_stats(topic, id));
        TopicStats {
            name: topic.name().to_string(),
            overflow: config.overflow,
            producers: topic.producer_count(),
            memory_bytes: topic.pool().bytes() as u64,
            max_records: u64::from(config.segments) * u64::from(shape.records),
            max_bytes: u64::from(config.segments) * shape.data_bytes() as u64,
            partitions: partitions.collect(),
        }
    }

    fn partition_stats(&mut self, topic: &Arc<TopicShared>, id: u32) -> PartitionStats {
        let counts = topic.partition(id).counters();
        // Read before the log end: every aborted claim then lies before the end.
        let (aborted_frames, aborted_records) =
            (counts.aborted_frames.get(), counts.aborted_records.get());
        let log = self.extent(topic, id);
        let origin = topic.origin();
        PartitionStats {
            partition: id,
            log_start: log.start,
            log_end: log.end,
            appended_records: log.end - origin.offset,
            appended_bytes: log.appended_bytes,
            retained_bytes: log.retained_bytes,
            aborted_frames,
            aborted_records,
            rolls: log.active - origin.segment,
            retired_segments: log.first - origin.segment,
            reader_stalls: counts.reader_stalls.get(),
            blocked_sends: counts.blocked_sends.get(),
            refused_sends: counts.refused_sends.get(),
        }
    }
}
