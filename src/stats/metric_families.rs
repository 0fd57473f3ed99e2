//! The metrics that a snapshot is exported as: their names, and which number is which.
//!
//! Where dashboards for Kafka have a name for a number it is that one: those of the Kafka
//! exporter for topics and groups, and those of the client's own metrics for consumers. What only
//! ringlog has begins with `ringlog_`.

use super::snapshot::{
    BrokerSnapshot, ConsumerPartitionStats, ConsumerStats, GroupPartitionStats, PartitionStats,
    TopicStats,
};
use std::collections::BTreeMap;

/// How a metric goes on: only up, or anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// What takes the metrics: one family after another, each with all its samples.
pub(super) trait Sink {
    fn family(&mut self, name: &'static str, kind: Kind, help: &'static str);
    fn sample(&mut self, labels: &[(&'static str, &str)], value: u64);
}

/// A family: its name and kind, what it is, and its number in one row, if that has it.
struct Family<T> {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&T) -> Option<u64>,
}

macro_rules! family {
    ($kind:ident, $name:literal, $help:literal, $value:expr) => {
        Family {
            name: $name,
            kind: Kind::$kind,
            help: $help,
            value: $value,
        }
    };
}

const TOPICS: &[Family<TopicStats>] = &[
    family!(
        Gauge,
        "kafka_topic_partitions",
        "Partitions of the topic.",
        |t| Some(t.partitions.len() as u64)
    ),
    family!(
        Gauge,
        "ringlog_topic_memory_bytes",
        "Bytes of all the topic's segments.",
        |t| Some(t.memory_bytes)
    ),
    family!(
        Gauge,
        "ringlog_topic_producers",
        "Producers that live.",
        |t| Some(t.producers)
    ),
];

const PARTITIONS: &[Family<PartitionStats>] = &[
    family!(
        Gauge,
        "kafka_topic_partition_current_offset",
        "One past the last offset of the partition.",
        |p| Some(p.log_end)
    ),
    family!(
        Gauge,
        "kafka_topic_partition_oldest_offset",
        "The first offset that the partition retains.",
        |p| Some(p.log_start)
    ),
    family!(
        Counter,
        "ringlog_appended_records_total",
        "Offsets given out, those of claims given up included.",
        |p| Some(p.appended_records)
    ),
    family!(
        Counter,
        "ringlog_appended_bytes_total",
        "Bytes that they take in the log.",
        |p| Some(p.appended_bytes)
    ),
    family!(
        Gauge,
        "ringlog_retained_bytes",
        "Bytes of the segments that are live.",
        |p| Some(p.retained_bytes)
    ),
    family!(
        Counter,
        "ringlog_rolls_total",
        "Times that the partition went on to another segment.",
        |p| Some(p.rolls)
    ),
    family!(
        Counter,
        "ringlog_retired_segments_total",
        "Segments given up, for room or by retention.",
        |p| Some(p.retired_segments)
    ),
    family!(
        Counter,
        "ringlog_reader_stalls_total",
        "Rolls that a reader held up.",
        |p| Some(p.reader_stalls)
    ),
    family!(
        Counter,
        "ringlog_blocked_sends_total",
        "Sends that waited for room.",
        |p| Some(p.blocked_sends)
    ),
    family!(
        Counter,
        "ringlog_refused_sends_total",
        "Sends that were refused because there was no room.",
        |p| Some(p.refused_sends)
    ),
    family!(
        Counter,
        "ringlog_aborted_frames_total",
        "Claims that were given up.",
        |p| Some(p.aborted_frames)
    ),
    family!(
        Counter,
        "ringlog_aborted_records_total",
        "Offsets that went with claims given up.",
        |p| Some(p.aborted_records)
    ),
];

const GROUPS: &[Family<GroupPartitionStats>] = &[
    family!(
        Gauge,
        "kafka_consumergroup_current_offset",
        "What the group has committed in the partition.",
        |g| g.committed
    ),
    family!(
        Gauge,
        "kafka_consumergroup_lag",
        "Offsets behind what the group has committed.",
        |g| g.lag
    ),
    family!(
        Gauge,
        "ringlog_consumergroup_lead",
        "Offsets retained before what the group has committed.",
        |g| g.lead
    ),
    family!(
        Counter,
        "ringlog_consumergroup_lost_total",
        "Offsets that went by the group's members unread.",
        |g| Some(g.lost)
    ),
];

const CONSUMERS: &[Family<ConsumerPartitionStats>] = &[
    family!(
        Gauge,
        "kafka_consumer_fetch_manager_records_lag",
        "Offsets still to be read, at most.",
        |c| Some(c.lag)
    ),
    family!(
        Gauge,
        "kafka_consumer_fetch_manager_records_lead",
        "Offsets retained before the position, at least.",
        |c| Some(c.lead)
    ),
    family!(
        Gauge,
        "ringlog_consumer_position",
        "The next offset to be read, at least.",
        |c| Some(c.position)
    ),
    family!(
        Counter,
        "ringlog_consumer_lost_total",
        "Offsets that went by unread, as far as the consumer has found it.",
        |c| Some(c.lost)
    ),
    family!(
        Gauge,
        "ringlog_consumer_overtaken",
        "Offsets that went by unread and that the next poll will find, at most.",
        |c| Some(c.overtaken)
    ),
];

impl BrokerSnapshot {
    /// Hands all metrics to `sink`.
    pub(super) fn export(&self, sink: &mut impl Sink) {
        for family in TOPICS {
            sink.begin(family);
            for topic in &self.topics {
                sink.row(family, topic, &[("topic", &topic.name)]);
            }
        }
        for family in PARTITIONS {
            sink.begin(family);
            for topic in &self.topics {
                for row in &topic.partitions {
                    let partition = row.partition.to_string();
                    let labels = [("topic", &*topic.name), ("partition", &*partition)];
                    sink.row(family, row, &labels);
                }
            }
        }
        sink.family(
            "kafka_consumergroup_members",
            Kind::Gauge,
            "Members of the group that live.",
        );
        for group in &self.groups {
            sink.sample(&[("consumergroup", &group.name)], group.members);
        }
        for family in GROUPS {
            sink.begin(family);
            for group in &self.groups {
                for row in &group.partitions {
                    let partition = row.partition.to_string();
                    let labels = [
                        ("consumergroup", &*group.name),
                        ("topic", &*row.topic),
                        ("partition", &*partition),
                    ];
                    sink.row(family, row, &labels);
                }
            }
        }
        let names = Names::of(&self.consumers);
        sink.family(
            "kafka_consumer_fetch_manager_records_lag_max",
            Kind::Gauge,
            "The greatest lag of the consumer in any partition, at most.",
        );
        for consumer in &self.consumers {
            if let Some(most) = consumer.partitions.iter().map(|p| p.lag).max() {
                names.with_labels(consumer, &[], |labels| sink.sample(labels, most));
            }
        }
        for family in CONSUMERS {
            sink.begin(family);
            for consumer in &self.consumers {
                for row in &consumer.partitions {
                    let partition = row.partition.to_string();
                    let place = [("topic", &*row.topic), ("partition", &*partition)];
                    names.with_labels(consumer, &place, |labels| sink.row(family, row, labels));
                }
            }
        }
    }
}

/// The labels that tell consumers apart.
struct Names<'s>(BTreeMap<&'s str, u32>);

impl<'s> Names<'s> {
    fn of(consumers: &'s [ConsumerStats]) -> Names<'s> {
        let mut names = BTreeMap::new();
        for consumer in consumers {
            *names.entry(&*consumer.client_id).or_insert(0) += 1;
        }
        Names(names)
    }

    /// A consumer's name is enough, but for those that were given the same: they have their
    /// number as well, because no two samples may have the same labels.
    fn with_labels(
        &self,
        consumer: &ConsumerStats,
        place: &[(&'static str, &str)],
        take: impl FnOnce(&[(&'static str, &str)]),
    ) {
        let id = consumer.id.to_string();
        let mut labels = vec![("client_id", &*consumer.client_id)];
        if self.0.get(&*consumer.client_id) != Some(&1) {
            labels.push(("consumer", &id));
        }
        labels.extend_from_slice(place);
        take(&labels);
    }
}

/// What all sinks do with a [`Family`].
trait SinkFamilies: Sink {
    fn begin<T>(&mut self, family: &Family<T>) {
        self.family(family.name, family.kind, family.help);
    }

    fn row<T>(&mut self, family: &Family<T>, row: &T, labels: &[(&'static str, &str)]) {
        if let Some(value) = (family.value)(row) {
            self.sample(labels, value);
        }
    }
}

impl<S: Sink> SinkFamilies for S {}
