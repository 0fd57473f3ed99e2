//! The server's own numbers.
//!
//! | file | |
//! |---|---|
//! | `mod.rs` | the counters |
//! | `errors.rs` | where each response has its errors |
//! | `snapshot.rs` | the numbers at one time, and as Prometheus text |
//!
//! Each API has its own counters. A request changes them a few times, whatever the number of its
//! records. Errors are counted behind a lock, which requests without an error do not take.

pub(crate) mod errors;
mod snapshot;

pub use snapshot::{ApiMetrics, AuthenticationMetrics, ServerMetrics};

use super::protocol::apis::SERVED;
use super::security::SaslMechanism;
use core::fmt;
use errors::Errors;
use kafka_protocol::messages::ApiKey;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The upper bounds of the histogram's buckets, in microseconds. What is longer is in one more.
const BOUNDS: [u64; 15] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// The counters of an API, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct ApiCounters {
    requests: AtomicU64,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    waiting: AtomicU64,
    nanoseconds: AtomicU64,
    buckets: [AtomicU64; BOUNDS.len() + 1],
}

#[derive(Debug, Default)]
struct AuthenticationCounters {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// By the API's number.
    apis: Vec<ApiCounters>,
    /// By the API's number and the error's.
    errors: Mutex<BTreeMap<(i16, i16), u64>>,
    open_connections: AtomicU64,
    connections: AtomicU64,
    /// By mechanism; the last is for clients that have asked for none.
    authentications: [AuthenticationCounters; SaslMechanism::ALL.len() + 1],
    expired_sessions: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        let last = SERVED.iter().map(|api| api.key as usize).max();
        let apis = (0..=last.unwrap_or(0)).map(|_| ApiCounters::default());
        Metrics {
            apis: apis.collect(),
            errors: Mutex::default(),
            open_connections: AtomicU64::default(),
            connections: AtomicU64::default(),
            authentications: Default::default(),
            expired_sessions: AtomicU64::default(),
        }
    }
}

impl Metrics {
    fn api(&self, key: ApiKey) -> Option<&ApiCounters> {
        self.apis.get(key as usize)
    }

    /// A request was answered, or needed no answer.
    pub(crate) fn answered(&self, key: ApiKey, received: usize, sent: usize, time: Duration) {
        let Some(api) = self.api(key) else { return };
        api.requests.fetch_add(1, Relaxed);
        api.received_bytes.fetch_add(received as u64, Relaxed);
        api.sent_bytes.fetch_add(sent as u64, Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        api.nanoseconds.fetch_add(nanoseconds, Relaxed);
        let bucket = BOUNDS.partition_point(|bound| bound * 1_000 < nanoseconds);
        api.buckets[bucket].fetch_add(1, Relaxed);
    }

    /// Counts a response's errors.
    pub(crate) fn count_errors(&self, key: ApiKey, response: &impl Errors) {
        response.errors(&mut |code| {
            if code != 0 {
                let errors = self.errors.lock();
                let mut errors = errors.unwrap_or_else(PoisonError::into_inner);
                *errors.entry((key as i16, code)).or_default() += 1;
            }
        });
    }

    /// A request waits, until what is returned is dropped.
    pub(crate) fn waits(self: &Arc<Self>, key: ApiKey) -> Waits {
        if let Some(api) = self.api(key) {
            api.waiting.fetch_add(1, Relaxed);
        }
        Waits {
            metrics: self.clone(),
            key,
        }
    }

    /// A connection is open, until what is returned is dropped.
    pub(crate) fn connected(self: &Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Relaxed);
        self.open_connections.fetch_add(1, Relaxed);
        Connected {
            metrics: self.clone(),
        }
    }

    /// A client has authenticated itself, or failed to.
    pub(crate) fn authenticated(&self, mechanism: Option<SaslMechanism>, succeeded: bool) {
        let all = SaslMechanism::ALL.iter();
        let index = { all }.position(|one| Some(*one) == mechanism);
        let counters = &self.authentications[index.unwrap_or(SaslMechanism::ALL.len())];
        match succeeded {
            true => counters.succeeded.fetch_add(1, Relaxed),
            false => counters.failed.fetch_add(1, Relaxed),
        };
    }

    /// A session has ended because it was too old.
    pub(crate) fn expired(&self) {
        self.expired_sessions.fetch_add(1, Relaxed);
    }
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Waits {
    metrics: Arc<Metrics>,
    key: ApiKey,
}

impl Drop for Waits {
    fn drop(&mut self) {
        if let Some(api) = self.metrics.api(self.key) {
            api.waiting.fetch_sub(1, Relaxed);
        }
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct Connected {
    metrics: Arc<Metrics>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.metrics.open_connections.fetch_sub(1, Relaxed);
    }
}

/// Reads a server's numbers, also when the server is gone.
#[derive(Clone)]
pub struct MetricsReader(pub(super) Arc<Metrics>);

impl MetricsReader {
    /// The numbers now.
    pub fn read(&self) -> ServerMetrics {
        self.0.snapshot()
    }
}

impl fmt::Debug for MetricsReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsReader").finish_non_exhaustive()
    }
}
