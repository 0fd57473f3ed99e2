//! The server: listeners, connections, and what they share.
//!
//! # Tasks
//!
//! | task | owns | ends |
//! |---|---|---|
//! | a listener's, one each (`accept.rs`) | the socket, and its connections' tasks | with the server |
//! | a connection's, one each (`connection.rs`) | the stream, its buffers, its partition readers | with the stream |
//! | a group's timer, while the group has members (`group/timer.rs`) | nothing: it sleeps until a member's time is up | with the last member |
//!
//! There is no other task: a connection that waits for records waits on ringlog's wakers, and an idle
//! server does nothing. A check of a password (PLAIN) runs on a thread of the runtime for blocking work.
//!
//! # State and locks
//!
//! | state | lock | held |
//! |---|---|---|
//! | topics by name and id (`topics.rs`) | of `std` | for a few loads and stores |
//! | an idempotent producer's sequences, by partition (`sequences.rs`) | of tokio | while its batch is appended |
//! | groups by name; each group (`group/`) | of `std`, one each | for one step of the group |
//! | users by name (`security/users.rs`) | of `std` | for a copy of a credential |
//! | the phase: running or not | tokio's `watch` | |
//!
//! No lock of `std` is held across an `await`. A join or a sync that must wait does so on a channel,
//! whose other end the group has.

mod accept;
mod acknowledge;
mod api;
mod builder;
mod config;
mod connection;
mod group;
mod idle;
mod metrics;
mod new_topic;
mod protocol;
mod reader;
mod security;
mod sequences;
mod topic_settings;
mod topics;

pub use acknowledge::AckLevel;
pub use builder::{BindError, Server, ServerBuilder};
pub use config::{AdvertisedAddress, GroupTimes, Listener, ServerLimits, default_topic_config};
pub use metrics::{ApiMetrics, AuthenticationMetrics, MetricsReader, ServerMetrics};
pub use new_topic::{NewTopic, TopicConfigError};
#[cfg(feature = "tls")]
pub use security::{ClientCertificates, Tls, TlsError};
pub use security::{SaslMechanism, Security, UnknownMechanism, UserError};
pub use topics::is_valid_name as is_valid_topic_name;

use config::Config;
use connection::Phase;
use group::Groups;
use metrics::Metrics;
use security::users::Users;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::{Semaphore, watch};
use topics::Topics;

/// What all connections of a server share.
#[derive(Debug)]
struct Shared {
    config: Config,
    topics: Topics,
    groups: Groups,
    next_producer_id: AtomicI64,
    phase: watch::Sender<Phase>,
    metrics: Arc<Metrics>,
    users: Users,
    /// Admits one check of a password (PLAIN) at a time.
    password_checks: Arc<Semaphore>,
    /// A permit for each connection of a listener that may be served.
    slots: Arc<Semaphore>,
}

impl Shared {
    /// A producer id that no other producer of this server has.
    fn new_producer_id(&self) -> i64 {
        self.next_producer_id.fetch_add(1, Ordering::Relaxed)
    }
}
