//! The numbers at one time, and as Prometheus text.

use super::{BOUNDS, Metrics};
use crate::server::protocol::apis::SERVED;
use crate::server::security::SaslMechanism;
use kafka_protocol::error::ResponseError;
use std::fmt::Write;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A server's own numbers. Those of its topics are in the broker's snapshot.
///
/// They are read one after another while requests are answered, so they may differ by a few.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServerMetrics {
    /// Connections that are open.
    pub open_connections: u64,
    /// Connections that were accepted.
    pub connections: u64,
    /// Sessions whose client did not authenticate itself again in time.
    pub expired_sessions: u64,
    /// By mechanism; the last is for clients that have asked for none.
    pub authentications: Vec<AuthenticationMetrics>,
    /// By API, in the order of their names; APIs that were never asked for are left out.
    pub apis: Vec<ApiMetrics>,
}

/// The clients of a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthenticationMetrics {
    /// `None`: clients that were refused before they had asked for one that is enabled.
    pub mechanism: Option<SaslMechanism>,
    /// Clients that have authenticated themselves, each time that they did.
    pub succeeded: u64,
    /// Clients that were refused.
    pub failed: u64,
}

/// The numbers of an API.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ApiMetrics {
    /// Its name, as `Fetch`.
    pub name: String,
    /// Requests that were answered, or needed no answer.
    pub requests: u64,
    /// The bytes of these requests.
    pub received_bytes: u64,
    /// The bytes of the answers.
    pub sent_bytes: u64,
    /// Requests that wait: for records, members or room.
    pub waiting: u64,
    /// The sum of the times from a request's turn to its answer, waits included.
    pub time: Duration,
    /// How many of the times were not longer than the bound, and longer than the bound before; the
    /// last bucket has none.
    pub times: Vec<(Option<Duration>, u64)>,
    /// Errors in answers, with Kafka's codes. An answer may have many: one a partition, say.
    pub errors: Vec<(i16, u64)>,
}

impl Metrics {
    pub(crate) fn snapshot(&self) -> ServerMetrics {
        let errors = self.errors.lock();
        let errors = errors.unwrap_or_else(PoisonError::into_inner).clone();
        let mechanisms = SaslMechanism::ALL.into_iter().map(Some).chain([None]);
        let authentications = mechanisms.zip(&self.authentications);
        let authentications = authentications.map(|(mechanism, counters)| AuthenticationMetrics {
            mechanism,
            succeeded: counters.succeeded.load(Relaxed),
            failed: counters.failed.load(Relaxed),
        });
        let bounds = BOUNDS
            .into_iter()
            .map(|bound| Some(Duration::from_micros(bound)));
        let bounds = bounds.chain([None]);
        let apis = SERVED.iter().filter_map(|api| {
            let counters = self.api(api.key)?;
            let code = api.key as i16;
            let of_api = errors.range((code, i16::MIN)..=(code, i16::MAX));
            let api = ApiMetrics {
                name: format!("{:?}", api.key),
                requests: counters.requests.load(Relaxed),
                received_bytes: counters.received_bytes.load(Relaxed),
                sent_bytes: counters.sent_bytes.load(Relaxed),
                waiting: counters.waiting.load(Relaxed),
                time: Duration::from_nanos(counters.nanoseconds.load(Relaxed)),
                times: { bounds.clone() }
                    .zip(&counters.buckets)
                    .map(|(bound, count)| (bound, count.load(Relaxed)))
                    .collect(),
                errors: of_api.map(|((_, error), count)| (*error, *count)).collect(),
            };
            (api.requests > 0 || api.waiting > 0).then_some(api)
        });
        let mut apis: Vec<ApiMetrics> = apis.collect();
        apis.sort_by(|a, b| a.name.cmp(&b.name));
        ServerMetrics {
            open_connections: self.open_connections.load(Relaxed),
            connections: self.connections.load(Relaxed),
            expired_sessions: self.expired_sessions.load(Relaxed),
            authentications: authentications.collect(),
            apis,
        }
    }
}

/// Text in Prometheus's format. Writing to a string cannot fail.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl core::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    fn each_api(
        &mut self,
        metrics: &ServerMetrics,
        [name, kind, help]: [&str; 3],
        value: fn(&ApiMetrics) -> u64,
    ) {
        self.family(name, kind, help);
        for api in &metrics.apis {
            self.sample(name, &format!("api=\"{}\"", api.name), value(api));
        }
    }
}

impl ServerMetrics {
    /// The numbers as Prometheus text, to be put behind the broker's:
    /// `broker.snapshot().to_prometheus()` (feature `prometheus` of ringlog) has the topics.
    pub fn to_prometheus(&self) -> String {
        let mut text = Text(String::new());
        let counter = "counter";
        for (name, kind, help, value) in [
            (
                "ringlog_kafka_connections",
                "gauge",
                "Connections that are open.",
                self.open_connections,
            ),
            (
                "ringlog_kafka_connections_total",
                counter,
                "Connections that were accepted.",
                self.connections,
            ),
            (
                "ringlog_kafka_expired_sessions_total",
                counter,
                "Sessions whose client did not authenticate itself again in time.",
                self.expired_sessions,
            ),
        ] {
            text.family(name, kind, help);
            text.sample(name, "", value);
        }
        self.authentications(&mut text);
        for (family, value) in [
            (
                [
                    "ringlog_kafka_requests_total",
                    counter,
                    "Requests that were answered.",
                ],
                (|api| api.requests) as fn(&ApiMetrics) -> u64,
            ),
            (
                [
                    "ringlog_kafka_received_bytes_total",
                    counter,
                    "Bytes of requests.",
                ],
                |api| api.received_bytes,
            ),
            (
                [
                    "ringlog_kafka_sent_bytes_total",
                    counter,
                    "Bytes of answers.",
                ],
                |api| api.sent_bytes,
            ),
            (
                [
                    "ringlog_kafka_waiting_requests",
                    "gauge",
                    "Requests that wait for records, members or room.",
                ],
                |api| api.waiting,
            ),
        ] {
            text.each_api(self, family, value);
        }
        self.errors(&mut text);
        self.times(&mut text);
        text.0
    }

    fn authentications(&self, text: &mut Text) {
        let name = "ringlog_kafka_authentications_total";
        text.family(
            name,
            "counter",
            "Authentications of clients, by their outcome.",
        );
        for one in &self.authentications {
            let mechanism = one.mechanism.map_or("none", SaslMechanism::name);
            for (outcome, count) in [("succeeded", one.succeeded), ("failed", one.failed)] {
                let labels = format!("mechanism=\"{mechanism}\",outcome=\"{outcome}\"");
                text.sample(name, &labels, count);
            }
        }
    }

    fn errors(&self, text: &mut Text) {
        let name = "ringlog_kafka_errors_total";
        text.family(name, "counter", "Errors in answers, by Kafka's code.");
        for api in &self.apis {
            for (code, count) in &api.errors {
                let error = ResponseError::try_from_code(*code);
                let error =
                    error.map_or_else(|| "Unknown".to_owned(), |error| format!("{error:?}"));
                let api = &api.name;
                let labels = format!("api=\"{api}\",code=\"{code}\",error=\"{error}\"");
                text.sample(name, &labels, count);
            }
        }
    }

    fn times(&self, text: &mut Text) {
        let help = "From a request's turn to its answer, waits included.";
        text.family("ringlog_kafka_request_seconds", "histogram", help);
        for api in &self.apis {
            let name = &api.name;
            let mut sum = 0;
            for (bound, count) in &api.times {
                sum += count;
                let bound = bound.map(|bound| bound.as_secs_f64().to_string());
                let bound = bound.unwrap_or_else(|| "+Inf".to_owned());
                let labels = format!("api=\"{name}\",le=\"{bound}\"");
                text.sample("ringlog_kafka_request_seconds_bucket", &labels, sum);
            }
            let labels = format!("api=\"{name}\"");
            let seconds = api.time.as_secs_f64();
            text.sample("ringlog_kafka_request_seconds_sum", &labels, seconds);
            text.sample("ringlog_kafka_request_seconds_count", &labels, sum);
        }
    }
}
