//! Handing a snapshot to the recorder of the `metrics` crate.

use super::metric_families::{Kind, Sink};
use super::snapshot::BrokerSnapshot;
use metrics::{Key, Label, Level, Metadata, Recorder, with_recorder};

impl BrokerSnapshot {
    /// Hands the snapshot to the program's recorder of the [`metrics`] crate: counters as absolute
    /// values, the rest as gauges, under the names of
    #[cfg_attr(
        feature = "prometheus",
        doc = "[`to_prometheus`](Self::to_prometheus)."
    )]
    #[cfg_attr(not(feature = "prometheus"), doc = "`to_prometheus`.")]
    /// Without a recorder nothing happens. Needs the feature `metrics`.
    ///
    /// Call it now and then, from any thread. What is gone (a consumer that was dropped, a topic)
    /// stays with the recorder as it was last, unless that is told to forget what is idle.
    ///
    /// ```
    /// # use ringlog::Broker;
    /// # let broker = Broker::new();
    /// broker.snapshot().record_metrics();
    /// ```
    pub fn record_metrics(&self) {
        with_recorder(|recorder| {
            self.export(&mut Recording {
                recorder,
                name: "",
                kind: Kind::Gauge,
            });
        });
    }
}

const METADATA: Metadata<'static> = Metadata::new("ringlog", Level::INFO, Some(module_path!()));

struct Recording<'r> {
    recorder: &'r dyn Recorder,
    name: &'static str,
    kind: Kind,
}

impl Sink for Recording<'_> {
    fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) {
        (self.name, self.kind) = (name, kind);
        match kind {
            Kind::Counter => self
                .recorder
                .describe_counter(name.into(), None, help.into()),
            Kind::Gauge => self.recorder.describe_gauge(name.into(), None, help.into()),
        }
    }

    fn sample(&mut self, labels: &[(&'static str, &str)], value: u64) {
        let labels = labels.iter();
        let labels = labels.map(|&(label, value)| Label::new(label, value.to_owned()));
        let key = Key::from_parts(self.name, labels.collect::<Vec<_>>());
        match self.kind {
            Kind::Counter => self
                .recorder
                .register_counter(&key, &METADATA)
                .absolute(value),
            Kind::Gauge => self
                .recorder
                .register_gauge(&key, &METADATA)
                .set(value as f64),
        }
    }
}
