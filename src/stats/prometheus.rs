//! Prometheus's text format, version 0.0.4.

use super::metric_families::{Kind, Sink};
use super::snapshot::BrokerSnapshot;
use core::fmt::Write;

impl BrokerSnapshot {
    /// The snapshot in Prometheus's text format (`text/plain; version=0.0.4`), to be served to a
    /// scrape. Needs the feature `prometheus`.
    ///
    /// Topics and groups have the names that the Kafka exporter gives them
    /// (`kafka_topic_partition_current_offset`, `kafka_topic_partition_oldest_offset`,
    /// `kafka_consumergroup_current_offset`, `kafka_consumergroup_lag`, ...), consumers those of
    /// Kafka's own client (`kafka_consumer_fetch_manager_records_lag`, `..._records_lead`, ...) by
    /// their `client_id`, and the rest begins with `ringlog_`. Of consumers that were given
    /// the same `client_id` each has a label `consumer` as well.
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
        let mut text = Text::default();
        self.export(&mut text);
        text.out
    }
}

#[derive(Default)]
struct Text {
    out: String,
    name: &'static str,
    /// What comes before the family's first sample: families without samples are left out.
    head: Option<(Kind, &'static str)>,
}

impl Sink for Text {
    fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) {
        self.name = name;
        self.head = Some((kind, help));
    }

    fn sample(&mut self, labels: &[(&'static str, &str)], value: u64) {
        let name = self.name;
        if let Some((kind, help)) = self.head.take() {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            // Writing to a string does not fail, here and below.
            let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        }
        self.out.push_str(name);
        let mut before = '{';
        for (label, value) in labels {
            let _ = write!(self.out, "{before}{label}=\"");
            escape(&mut self.out, value);
            self.out.push('"');
            before = ',';
        }
        let _ = writeln!(self.out, "}} {value}");
    }
}

/// A label's value: with `\`, `"` and line ends escaped, and all else as it is.
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
