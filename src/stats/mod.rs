//! Being watched: what a broker, a topic and a consumer can tell of themselves.
//!
//! | file | its one job |
//! |---|---|
//! | `types.rs` | what a snapshot has in it |
//! | `log.rs` | a partition's extent |
//! | `watched.rs` | the consumers that live |
//! | `families.rs` | the metrics that a snapshot is exported as |
//! | `prometheus.rs`, `recorder.rs` | as text; to the `metrics` crate |
//!
//! # Why it costs nothing to be watched
//!
//! No send that finds room and no poll that finds records, or none, does anything to be counted.
//! The numbers are there anyway, or are counted where such a call has failed to be short:
//!
//! | number | where it is |
//! |---|---|
//! | offsets appended and retained | the active segment's head and base, the log start |
//! | bytes | what was appended before a segment, written once when it is prepared; and the head |
//! | rolls, segments retired | the numbers of the active and the first segment |
//! | rolls held up | counted by the roll that finds a gate (`Partition::make_room`) |
//! | sends blocked, refused | counted before the wait, and with the error (`claim_slowly`) |
//! | claims given up | counted by the drop that publishes the aborted frame |
//! | position | left in the reader's hold when it goes to another segment, seeks, or waits |
//! | lost | counted where a poll finds that it was overtaken |
//! | committed | in the tenure, as before |
//!
//! So a consumer's position is exact when it waits and otherwise at most a segment old:
//! [`ConsumerPartitionStats`] says what that means. A word that each poll stores would be exact,
//! and work for each poll.
//!
//! # What a snapshot is
//!
//! Nobody is stopped, and no number is copied for it beforehand. Positions and commits are looked
//! at first, then the logs: so `log_start <= position <= log_end` holds throughout, and each number
//! was true at some moment of the call. The locks taken, one after the other, are those of the
//! groups and of the lists of consumers; a send takes none of them, and a poll only when its group
//! wants something.

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
use crate::topic::{Topic, TopicShared};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The numbers of these topics, groups and consumers now: see `Broker::snapshot`.
pub(crate) fn snapshot(
    topics: &[Topic],
    groups: &Groups,
    consumers: &ConsumerRegistry,
) -> BrokerSnapshot {
    // Where everybody is, and only then where the logs end.
    let consumers: Vec<_> = consumers.all().iter().map(SeenConsumer::look).collect();
    let groups: Vec<_> = groups.all().iter().map(SeenGroup::look).collect();
    let mut logs = Logs::default();
    let topics = topics.iter().map(|topic| logs.topic(topic.inner()));
    let topics = topics.collect();

    let mut committed = BTreeMap::new();
    for group in &groups {
        for place in &group.places {
            let key = (&*group.name, key(&place.topic, place.partition));
            committed.insert(key, place.committed);
        }
    }
    let mut owners = BTreeMap::new();
    let mut told = Vec::new();
    for consumer in &consumers {
        let card = &consumer.card;
        let mut stats = describe(card);
        for (cursor, position) in &consumer.cursors {
            let log = logs.of(&cursor.topic, cursor.partition);
            let group = card.group.as_deref();
            let key = group.map(|group| (group, key(&cursor.topic, cursor.partition)));
            let committed = key.and_then(|key| *committed.get(&key)?);
            let seen = cursor.place(*position, log, committed);
            if let Some(ownership) = &cursor.ownership {
                let ownership = Arc::as_ptr(ownership);
                owners.insert(ownership, (&*card.client_id, seen.position));
            }
            stats.partitions.push(seen);
        }
        told.push(stats);
    }
    let groups = groups
        .iter()
        .map(|group| group.describe(&mut logs, &owners));
    BrokerSnapshot {
        topics,
        groups: groups.collect(),
        consumers: told,
    }
}

impl Topic {
    /// What has happened in the topic so far, partition by partition, and what it retains now:
    /// one of the [`snapshot`](crate::Broker::snapshot)'s topics.
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
        Logs::default().topic(self.inner())
    }
}

impl Consumer {
    /// Where this consumer is, exactly, in each partition that it reads, and how far behind. What
    /// others see of it ([`Broker::snapshot`](crate::Broker::snapshot)) is brought up to date by this.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new().max_poll_records(1));
    /// consumer.subscribe(&["orders"])?;
    /// for order in ["first", "second", "third"] {
    ///     topic.producer().send(Record::new(order))?;
    /// }
    /// consumer.try_poll()?;
    /// let stats = &consumer.stats().partitions[0];
    /// assert_eq!((stats.position, stats.lag, stats.lead, stats.lost), (1, 2, 1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> ConsumerStats {
        let mut stats = describe(self.card());
        let group = self.group();
        for assigned in self.assigned() {
            assigned.show();
            let position = assigned.cursor.position();
            let group = group.as_ref();
            let at = (&assigned.topic, assigned.partition);
            let committed = group.and_then(|group| group.lock().committed(at.0, at.1));
            let log = at.0.partition(at.1).extent();
            stats.partitions.push(ConsumerPartitionStats {
                lost: assigned.lost(),
                ..place(at, position, position, log, committed)
            });
        }
        stats
    }
}

/// A consumer without its partitions.
fn describe(card: &RegisteredConsumer) -> ConsumerStats {
    ConsumerStats {
        id: card.id,
        client_id: card.client_id.to_string(),
        group: card.group.as_deref().map(str::to_owned),
        lost: card.lost.get(),
        partitions: Vec::new(),
    }
}

/// A reader between two positions, in a log.
fn place(
    (topic, partition): (&Arc<TopicShared>, u32),
    least: u64,
    most: u64,
    log: LogExtent,
    committed: Option<u64>,
) -> ConsumerPartitionStats {
    // One that was sent past the end goes there by its reset policy; where that is, nobody knows.
    let position = least.clamp(log.start, log.end);
    ConsumerPartitionStats {
        topic: topic.name().to_string(),
        partition,
        position,
        position_max: most.clamp(position, log.end),
        committed,
        log_start: log.start,
        log_end: log.end,
        lag: log.lag(position),
        lead: log.lead(position),
        lost: 0,
        overtaken: log.start.saturating_sub(least),
    }
}

// ---- first, where everybody is ------------------------------------------------------------

struct SeenConsumer {
    card: Arc<RegisteredConsumer>,
    /// Each with the position that it told.
    cursors: Vec<(Arc<RegisteredCursor>, u64)>,
}

impl SeenConsumer {
    fn look(card: &Arc<RegisteredConsumer>) -> SeenConsumer {
        let cursors = card.cursors().into_iter();
        let cursors = cursors.map(|cursor| {
            let position = cursor.hold.reported_position().get();
            (cursor, position)
        });
        SeenConsumer {
            cursors: cursors.collect(),
            card: card.clone(),
        }
    }
}

impl RegisteredCursor {
    /// Where it is, having told of `told` before `log` was looked at.
    fn place(&self, told: u64, log: LogExtent, committed: Option<u64>) -> ConsumerPartitionStats {
        let at = (&self.topic, self.partition);
        let partition = at.0.partition(at.1);
        let reach = partition.furthest_position(told, log.end);
        // What was committed as it polled is nearer, if it is of the same segment.
        let ownership = self.ownership.as_ref().filter(|_| self.commits);
        let near = ownership.and_then(|ownership| ownership.committed());
        let near = near.filter(|near| (told..=reach).contains(near));
        ConsumerPartitionStats {
            lost: self.lost.get(),
            ..place(at, near.unwrap_or(told), reach, log, committed)
        }
    }
}

struct SeenGroup {
    name: Arc<str>,
    generation: u64,
    members: usize,
    places: Vec<SeenPlace>,
}

struct SeenPlace {
    topic: Arc<TopicShared>,
    partition: u32,
    ownership: Option<Arc<Ownership>>,
    committed: Option<u64>,
    lost: u64,
}

impl SeenGroup {
    fn look(group: &Arc<Group>) -> SeenGroup {
        let coordinator = group.lock();
        let places = coordinator.places.iter();
        let places = places.map(|(&(_, partition), place)| SeenPlace {
            topic: place.topic.clone(),
            partition,
            ownership: place.owner.as_ref().map(|(_, ownership)| ownership.clone()),
            committed: place.committed(),
            lost: place.lost.get(),
        });
        SeenGroup {
            name: group.name().clone(),
            generation: coordinator.generation,
            members: coordinator.live_members(),
            places: places.collect(),
        }
    }

    fn describe(
        &self,
        logs: &mut Logs,
        owners: &BTreeMap<*const Ownership, (&str, u64)>,
    ) -> GroupStats {
        let places = self.places.iter();
        let partitions = places.map(|place| {
            let log = logs.of(&place.topic, place.partition);
            let ownership = place.ownership.as_ref();
            let owner = ownership.and_then(|ownership| owners.get(&Arc::as_ptr(ownership)));
            GroupPartitionStats {
                topic: place.topic.name().to_string(),
                partition: place.partition,
                owner: owner.map(|&(name, _)| name.to_owned()),
                position: owner.map(|&(_, position)| position),
                committed: place.committed,
                log_start: log.start,
                log_end: log.end,
                lag: place.committed.map(|c| log.end.saturating_sub(c)),
                lead: place.committed.map(|c| c.saturating_sub(log.start)),
                lost: place.lost,
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

// ---- then, where the logs are -------------------------------------------------------------

type LogKey = (*const TopicShared, u32);

fn key(topic: &Arc<TopicShared>, partition: u32) -> LogKey {
    (Arc::as_ptr(topic), partition)
}

/// The extents that were looked at: each once, so that all of a snapshot agrees.
#[derive(Default)]
struct Logs(BTreeMap<LogKey, LogExtent>);

impl Logs {
    fn of(&mut self, topic: &Arc<TopicShared>, partition: u32) -> LogExtent {
        let look = || topic.partition(partition).extent();
        *self.0.entry(key(topic, partition)).or_insert_with(look)
    }

    fn topic(&mut self, topic: &Arc<TopicShared>) -> TopicStats {
        let (config, shape) = (topic.config(), topic.pool().shape());
        let partitions = (0..topic.partitions()).map(|id| self.partition(topic, id));
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

    fn partition(&mut self, topic: &Arc<TopicShared>, id: u32) -> PartitionStats {
        let counts = topic.partition(id).counters();
        // Before the end is looked at: what was given up had been claimed.
        let (aborted_frames, aborted_records) =
            (counts.aborted_frames.get(), counts.aborted_records.get());
        let log = self.of(topic, id);
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
