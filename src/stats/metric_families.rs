//! The metrics that a snapshot is exported as: their names, kinds, help texts and values.
//!
//! A number that Kafka dashboards know has the name that they know: the Kafka exporter's names for
//! topics and groups, and the names of the Kafka client's own metrics for consumers. Metrics that
//! only ringlog has begin with `ringlog_`.

use super::snapshot::{
    BrokerSnapshot, ConsumerPartitionStats, ConsumerStats, GroupPartitionStats, PartitionStats,
    TopicStats,
};
use std::collections::BTreeMap;

/// The kind of a metric: a counter only grows, a gauge goes up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricKind {
    Counter,
    Gauge,
}

/// A receiver of metrics: one family after another, each with all its samples.
pub(super) trait MetricSink {
    fn family(&mut self, name: &'static str, kind: MetricKind, help: &'static str);
    fn sample(&mut self, labels: &[(&'static str, &str)], value: u64);
}

/// A family of metrics. `value` is its value in one row of statistics; `None` leaves the row out.
struct Family<T> {
    name: &'static str,
    kind: MetricKind,
    help: &'static str,
    value: fn(&T) -> Option<u64>,
}

macro_rules! family {
    ($kind:ident, $name:literal, $help:literal, $value:expr) => {
        Family {
            name: $name,
            kind: MetricKind::$kind,
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
        "Bytes of all segments of the topic.",
        |t| Some(t.memory_bytes)
    ),
    family!(
        Gauge,
        "ringlog_topic_producers",
        "Live producers, shared and exclusive.",
        |t| Some(t.producers)
    ),
];

const PARTITIONS: &[Family<PartitionStats>] = &[
    family!(
        Gauge,
        "kafka_topic_partition_current_offset",
        "The offset after the last one of the partition.",
        |p| Some(p.log_end)
    ),
    family!(
        Gauge,
        "kafka_topic_partition_oldest_offset",
        "The first retained offset of the partition.",
        |p| Some(p.log_start)
    ),
    family!(
        Counter,
        "ringlog_appended_records_total",
        "Offsets assigned, including those of aborted claims.",
        |p| Some(p.appended_records)
    ),
    family!(
        Counter,
        "ringlog_appended_bytes_total",
        "Bytes appended to the partition, including those of aborted claims.",
        |p| Some(p.appended_bytes)
    ),
    family!(
        Gauge,
        "ringlog_retained_bytes",
        "Bytes in the live segments of the partition.",
        |p| Some(p.retained_bytes)
    ),
    family!(
        Counter,
        "ringlog_rolls_total",
        "Rolls: how often the partition went on to the next segment.",
        |p| Some(p.rolls)
    ),
    family!(
        Counter,
        "ringlog_retired_segments_total",
        "Segments evicted, for room or by retention.",
        |p| Some(p.retired_segments)
    ),
    family!(
        Counter,
        "ringlog_reader_stalls_total",
        "Rolls that a reader stalled because the ring was full.",
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
        "Sends that failed because there was no room.",
        |p| Some(p.refused_sends)
    ),
    family!(
        Counter,
        "ringlog_aborted_frames_total",
        "Aborted claims: dropped without being published.",
        |p| Some(p.aborted_frames)
    ),
    family!(
        Counter,
        "ringlog_aborted_records_total",
        "Offsets of aborted claims.",
        |p| Some(p.aborted_records)
    ),
];

const GROUPS: &[Family<GroupPartitionStats>] = &[
    family!(
        Gauge,
        "kafka_consumergroup_current_offset",
        "The offset that the group has committed in the partition.",
        |g| g.committed
    ),
    family!(
        Gauge,
        "kafka_consumergroup_lag",
        "Retained offsets from the group's committed offset to the end of the log.",
        |g| g.lag
    ),
    family!(
        Gauge,
        "ringlog_consumergroup_lead",
        "Retained offsets before the group's committed offset.",
        |g| g.lead
    ),
    family!(
        Counter,
        "ringlog_consumergroup_lost_total",
        "Offsets that the group's members have lost, as found by their polls.",
        |g| Some(g.lost)
    ),
];

const CONSUMERS: &[Family<ConsumerPartitionStats>] = &[
    family!(
        Gauge,
        "kafka_consumer_fetch_manager_records_lag",
        "Offsets still to be read: an upper bound.",
        |c| Some(c.lag)
    ),
    family!(
        Gauge,
        "kafka_consumer_fetch_manager_records_lead",
        "Retained offsets before the position: a lower bound.",
        |c| Some(c.lead)
    ),
    family!(
        Gauge,
        "ringlog_consumer_position",
        "The next offset to be read: a lower bound.",
        |c| Some(c.position)
    ),
    family!(
        Counter,
        "ringlog_consumer_lost_total",
        "Offsets that the consumer has lost, as found by its polls.",
        |c| Some(c.lost)
    ),
    family!(
        Gauge,
        "ringlog_consumer_overtaken",
        "Offsets lost already, which the next poll will report: an upper bound.",
        |c| Some(c.overtaken)
    ),
];

impl BrokerSnapshot {
    /// Writes all metrics to `sink`.
    pub(super) fn export(&self, sink: &mut impl MetricSink) {
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
            MetricKind::Gauge,
            "Live members of the group.",
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
        let consumer_labels = ConsumerLabels::new(&self.consumers);
        sink.family(
            "kafka_consumer_fetch_manager_records_lag_max",
            MetricKind::Gauge,
            "The greatest lag of the consumer in any partition: an upper bound.",
        );
        for consumer in &self.consumers {
            if let Some(max) = consumer.partitions.iter().map(|p| p.lag).max() {
                consumer_labels.with(consumer, &[], |labels| sink.sample(labels, max));
            }
        }
        for family in CONSUMERS {
            sink.begin(family);
            for consumer in &self.consumers {
                for row in &consumer.partitions {
                    let partition = row.partition.to_string();
                    let labels = [("topic", &*row.topic), ("partition", &*partition)];
                    consumer_labels.with(consumer, &labels, |all| sink.row(family, row, all));
                }
            }
        }
    }
}

/// The labels that distinguish consumers. Holds how many consumers have each `client_id`.
struct ConsumerLabels<'s>(BTreeMap<&'s str, u32>);

impl<'s> ConsumerLabels<'s> {
    fn new(consumers: &'s [ConsumerStats]) -> ConsumerLabels<'s> {
        let mut counts = BTreeMap::new();
        for consumer in consumers {
            *counts.entry(&*consumer.client_id).or_insert(0) += 1;
        }
        ConsumerLabels(counts)
    }

    /// Calls `write` with the labels of a consumer, followed by `more`. No two samples may have the
    /// same labels, so consumers that share a `client_id` have their number as a label, too.
    fn with(
        &self,
        consumer: &ConsumerStats,
        more: &[(&'static str, &str)],
        write: impl FnOnce(&[(&'static str, &str)]),
    ) {
        let id = consumer.id.to_string();
        let mut labels = vec![("client_id", &*consumer.client_id)];
        if self.0.get(&*consumer.client_id) != Some(&1) {
            labels.push(("consumer", &id));
        }
        labels.extend_from_slice(more);
        write(&labels);
    }
}

/// Writes rows of a [`Family`] to a sink.
trait FamilySink: MetricSink {
    fn begin<T>(&mut self, family: &Family<T>) {
        self.family(family.name, family.kind, family.help);
    }

    fn row<T>(&mut self, family: &Family<T>, row: &T, labels: &[(&'static str, &str)]) {
        if let Some(value) = (family.value)(row) {
            self.sample(labels, value);
        }
    }
}

impl<S: MetricSink> FamilySink for S {}
