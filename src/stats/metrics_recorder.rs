//! Exports a snapshot to the recorder of the `metrics` crate.

use super::metric_families::{MetricKind, MetricSink};
use super::snapshot::BrokerSnapshot;
use metrics::{Key, Label, Level, Metadata, Recorder, with_recorder};

impl BrokerSnapshot {
    /// Passes the snapshot to the program's recorder of the [`metrics`] crate: counters as
    /// absolute values, all other numbers as gauges. The metric names are those of
    #[cfg_attr(
        feature = "prometheus",
        doc = "[`to_prometheus`](Self::to_prometheus)."
    )]
    #[cfg_attr(not(feature = "prometheus"), doc = "`to_prometheus`.")]
    /// Without a recorder it does nothing. Needs the feature `metrics`.
    ///
    /// Call it periodically, from any thread. The recorder keeps the last values of dropped
    /// consumers and deleted topics, unless it is configured to expire idle metrics.
    ///
    /// ```
    /// # use ringlog::Broker;
    /// # let broker = Broker::new();
    /// broker.snapshot().record_metrics();
    /// ```
    pub fn record_metrics(&self) {
        with_recorder(|recorder| {
            self.export(&mut RecorderSink {
                recorder,
                name: "",
                kind: MetricKind::Gauge,
            });
        });
    }
}

const METADATA: Metadata<'static> = Metadata::new("ringlog", Level::INFO, Some(module_path!()));

struct RecorderSink<'r> {
    recorder: &'r dyn Recorder,
    name: &'static str,
    kind: MetricKind,
}

impl MetricSink for RecorderSink<'_> {
    fn family(&mut self, name: &'static str, kind: MetricKind, help: &'static str) {
        (self.name, self.kind) = (name, kind);
        match kind {
            MetricKind::Counter => self
                .recorder
                .describe_counter(name.into(), None, help.into()),
            MetricKind::Gauge => self.recorder.describe_gauge(name.into(), None, help.into()),
        }
    }

    fn sample(&mut self, labels: &[(&'static str, &str)], value: u64) {
        let labels = labels.iter();
        let labels = labels.map(|&(label, value)| Label::new(label, value.to_owned()));
        let key = Key::from_parts(self.name, labels.collect::<Vec<_>>());
        match self.kind {
            MetricKind::Counter => self
                .recorder
                .register_counter(&key, &METADATA)
                .absolute(value),
            MetricKind::Gauge => self
                .recorder
                .register_gauge(&key, &METADATA)
                .set(value as f64),
        }
    }
}
