//! The server: listeners, connections, and what they share.
//!
//! # Tasks
//!
//! | task | owns | ends |
//! |---|---|---|
//! | a listener's, one each (`accept.rs`) | the socket, and its connections' tasks | with the server |
//! | a connection's, one each (`connection.rs`) | the stream, its buffers, its partition readers | with the stream |
//! | the upkeep of a durable broker's server (`upkeep.rs`) | nothing: it stores what has changed of idempotent producers | with the server |
//! | a group's timer, while the group has members (`group/timer.rs`) | nothing: it sleeps until a member's time is up | with the last member |
//!
//! There is no other task. A connection that waits for records waits on ringlog's wakers, and an idle
//! server does nothing. A check of a password (PLAIN) runs on a thread of the runtime for blocking work.
//!
//! # State and locks
//!
//! | state | lock | held |
//! |---|---|---|
//! | topics by name and id (`topics.rs`) | of `std` | for a few loads and stores |
//! | where a topic's leader epochs begin (`store/epochs.rs`) | of `std` | for a load, at each fetch of a partition |
//! | an idempotent producer's sequences, by partition (`sequences.rs`) | of tokio | while its batch is appended |
//! | groups by name; each group (`group/`) | of `std`, one each | for one step of the group |
//! | users by name (`security/users.rs`) | of `std` | for a copy of a credential |
//! | the phase: running or not | tokio's `watch` | |
//! | what outlives the process (`store/`) | of `std`, the last of all | for an append to the journal |
//!
//! No lock of `std` is held across an `await`. A join or a sync that must wait does so on a channel,
//! whose other end the group has.

mod accept;
mod acknowledge;
mod api;
mod bind_error;
mod broker_settings;
mod builder;
mod busy_poll;
mod config;
mod connection;
mod group;
mod idle;
mod leader_epochs;
mod metrics;
mod new_topic;
mod owed;
mod protocol;
mod reader;
mod security;
mod sequences;
mod served_settings;
mod store;
mod topic_settings;
mod topics;
mod upkeep;

pub use acknowledge::AckLevel;
pub use bind_error::BindError;
pub use builder::{Server, ServerBuilder};
pub use config::{AdvertisedAddress, GroupTimes, Listener, ServerLimits, default_topic_config};
pub use metrics::{ApiMetrics, AuthenticationMetrics, MetricsReader, ServerMetrics};
pub use new_topic::{NewTopic, TopicConfigError};
#[cfg(feature = "tls")]
pub use security::{ClientCertificates, Tls, TlsError};
pub use security::{SaslMechanism, Security, UnknownMechanism, UserError};
pub use store::StoreError;
pub use topics::is_valid_name as is_valid_topic_name;

use config::Config;
use connection::Phase;
use group::Groups;
use metrics::Metrics;
use security::users::Users;
use std::sync::Arc;
use store::Store;
use store::ids::ProducerIds;
use tokio::sync::{Semaphore, watch};
use topics::Topics;

/// What all connections of a server share.
#[derive(Debug)]
struct Shared {
    config: Config,
    cluster_id: String,
    /// How topics are created that a client asks for.
    topic_config: ringlog::TopicConfig,
    topics: Topics,
    groups: Groups,
    producer_ids: ProducerIds,
    /// What outlives the process, if the broker is durable.
    store: Option<Arc<Store>>,
    phase: watch::Sender<Phase>,
    metrics: Arc<Metrics>,
    users: Users,
    /// Admits one check of a password (PLAIN) at a time.
    password_checks: Arc<Semaphore>,
    /// A permit for each connection of a listener that may be served.
    slots: Arc<Semaphore>,
}

impl Shared {
    /// Waits until what was changed so far survives a crash of the process.
    async fn written(&self) -> Result<(), StoreError> {
        match &self.store {
            Some(store) => store.written().await,
            None => Ok(()),
        }
    }

    /// Waits until what was changed so far survives a power cut.
    async fn durable(&self) -> Result<(), StoreError> {
        match &self.store {
            Some(store) => store.durable().await,
            None => Ok(()),
        }
    }
}
