//! Exports a snapshot in Prometheus's text format, version 0.0.4.

use super::metric_families::{MetricKind, MetricSink};
use super::snapshot::BrokerSnapshot;
use core::fmt::Write;

impl BrokerSnapshot {
    /// Returns the snapshot in Prometheus's text format (`text/plain; version=0.0.4`), as the
    /// response to a scrape. Needs the feature `prometheus`.
    ///
    /// - Topics and groups have the metric names of the Kafka exporter:
    ///   `kafka_topic_partition_current_offset`, `kafka_topic_partition_oldest_offset`,
    ///   `kafka_consumergroup_current_offset`, `kafka_consumergroup_lag`, ...
    /// - Consumers have the metric names of Kafka's own client, and a label `client_id`:
    ///   `kafka_consumer_fetch_manager_records_lag`, `..._records_lead`, ... Consumers that share a
    ///   `client_id` also have a label `consumer`.
    /// - All other names begin with `ringlog_`.
    ///
    /// ```
    /// # use ringlog::{Broker, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// topic.producer().send(Record::new("login"))?;
    /// let text = broker.snapshot().to_prometheus();
    /// let sample = r#"kafka_topic_partition_current_offset{topic="orders",partition="0"} 1"#;
    /// assert!(text.contains(sample));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_prometheus(&self) -> String {
        let mut text = PrometheusText::default();
        self.export(&mut text);
        text.out
    }
}

#[derive(Default)]
struct PrometheusText {
    out: String,
    name: &'static str,
    /// The family's header, until its first sample is written. Families without samples are left
    /// out.
    header: Option<(MetricKind, &'static str)>,
}

impl MetricSink for PrometheusText {
    fn family(&mut self, name: &'static str, kind: MetricKind, help: &'static str) {
        self.name = name;
        self.header = Some((kind, help));
    }

    fn sample(&mut self, labels: &[(&'static str, &str)], value: u64) {
        let name = self.name;
        if let Some((kind, help)) = self.header.take() {
            let kind = match kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
            };
            // Writing to a string cannot fail, here and below.
            let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        }
        self.out.push_str(name);
        let mut separator = '{';
        for (label, value) in labels {
            let _ = write!(self.out, "{separator}{label}=\"");
            escape(&mut self.out, value);
            self.out.push('"');
            separator = ',';
        }
        let _ = writeln!(self.out, "}} {value}");
    }
}

/// Appends a label's value, with `\`, `"` and line ends escaped.
fn escape(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut out = String::new();
        escape(&mut out, "a\\b\"c\nd é");
        assert_eq!(out, r#"a\\b\"c\nd é"#);
    }
}
