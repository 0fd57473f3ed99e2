//! The server's configuration.

use super::acknowledge::AckLevel;
use super::security::Security;
use super::security::users::UserList;
use ringlog::{Overflow, ReadUpTo, TopicConfig};
use std::time::Duration;

/// Where clients are to connect: what Metadata and FindCoordinator return.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AdvertisedAddress {
    /// A name or an address that the clients can resolve.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl AdvertisedAddress {
    /// An address of a host and a port.
    pub fn new(host: impl Into<String>, port: u16) -> AdvertisedAddress {
        AdvertisedAddress {
            host: host.into(),
            port,
        }
    }
}

/// An address to listen on, with what its clients are answered and asked for.
///
/// ```
/// use ringlog_kafka::{Listener, SaslMechanism, Security};
///
/// let outside = Listener::new("0.0.0.0:9093")
///     .advertised("broker.test", 9093)
///     .security(Security::plaintext().sasl([SaslMechanism::ScramSha256]));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Listener {
    pub(super) address: String,
    /// `None`: the address that the client has connected to.
    pub(super) advertised: Option<AdvertisedAddress>,
    pub(super) security: Security,
}

impl Listener {
    /// Listens on this address. With port 0 the system chooses one.
    ///
    /// Clients are answered the address that they have connected to, and asked for nothing.
    pub fn new(address: impl Into<String>) -> Listener {
        Listener {
            address: address.into(),
            advertised: None,
            security: Security::plaintext(),
        }
    }

    /// Answers clients that this server is at `host` and `port` (Kafka's `advertised.listeners`).
    pub fn advertised(mut self, host: impl Into<String>, port: u16) -> Listener {
        self.advertised = Some(AdvertisedAddress::new(host, port));
        self
    }

    /// What clients are asked for (Kafka's `security.protocol`).
    pub fn security(mut self, security: Security) -> Listener {
        self.security = security;
        self
    }
}

/// How long connections are kept, and how many.
#[derive(Debug, Clone)]
pub(super) struct ConnectionConfig {
    /// How long a connection may be silent while no request of its waits.
    pub(super) max_idle: Option<Duration>,
    /// How long a connection is silent before the system asks the other side whether it is there.
    pub(super) keepalive: Option<Duration>,
    /// How many connections the listeners serve at a time.
    pub(super) max: Option<usize>,
    /// How long a connection's task stays awake after an answer. `None`: the default, which is not
    /// the same for all.
    pub(super) busy_poll: Option<Duration>,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        ConnectionConfig {
            max_idle: Some(Duration::from_secs(600)),
            keepalive: Some(Duration::from_secs(60)),
            max: None,
            busy_poll: None,
        }
    }
}

/// Authentication.
#[derive(Debug, Clone)]
pub(super) struct SaslConfig {
    /// How long a client may go on before it authenticates itself again.
    pub(super) max_session: Option<Duration>,
    /// How long a client waits for the answer that refuses it.
    pub(super) failure_delay: Duration,
}

impl Default for SaslConfig {
    fn default() -> Self {
        SaslConfig {
            max_session: None,
            failure_delay: Duration::from_millis(100),
        }
    }
}

/// How many bytes a request, a batch and a client's waiting answers may take, and how many members a
/// group may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLimits {
    /// The bytes of a request (Kafka's `socket.request.max.bytes`). Default 100 MiB.
    pub request_bytes: usize,
    /// The bytes of a batch as it is sent (Kafka's `message.max.bytes`). Default 1,048,588.
    pub batch_bytes: usize,
    /// The bytes of a batch's records when decompressed. Default 64 MiB. A batch must also fit into
    /// one of the topic's segments.
    pub decompressed_bytes: usize,
    /// The bytes of records in one Fetch response (Kafka's `fetch.max.bytes` of the broker).
    /// Default 55 MiB.
    pub fetch_bytes: usize,
    /// The bytes of the metadata of a committed offset (Kafka's `offset.metadata.max.bytes`).
    /// Default 4,096.
    pub offset_metadata_bytes: usize,
    /// The members of a group (Kafka's `group.max.size` and `group.consumer.max.size`). Default
    /// 10,000; Kafka has no limit by default.
    pub group_members: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            request_bytes: 100 << 20,
            batch_bytes: 1_048_588,
            decompressed_bytes: 64 << 20,
            fetch_bytes: 55 << 20,
            offset_metadata_bytes: 4096,
            group_members: 10_000,
        }
    }
}

/// The times of consumer groups. Members by the classic protocol choose their session timeout; members
/// by the consumer protocol (KIP-848) are given theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupTimes {
    /// How long the first member of an empty group waits for others (Kafka's
    /// `group.initial.rebalance.delay.ms`). Default 0; Kafka's is three seconds.
    pub initial_rebalance_delay: Duration,
    /// The shortest session timeout that a member may have (Kafka's `group.min.session.timeout.ms`).
    /// Default six seconds, as in Kafka.
    pub min_session_timeout: Duration,
    /// The longest session timeout (Kafka's `group.max.session.timeout.ms`). Default 30 minutes, as
    /// in Kafka.
    pub max_session_timeout: Duration,
    /// The session timeout of members by the consumer protocol (Kafka's
    /// `group.consumer.session.timeout.ms`). Default 45 seconds, as in Kafka.
    pub consumer_session_timeout: Duration,
    /// How often these members are to send heartbeats (Kafka's
    /// `group.consumer.heartbeat.interval.ms`). Default five seconds, as in Kafka.
    pub consumer_heartbeat_interval: Duration,
}

/// The longest time of a group: a time that is added to it must not overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl GroupTimes {
    pub(super) fn clamped(self) -> GroupTimes {
        GroupTimes {
            initial_rebalance_delay: self.initial_rebalance_delay.min(LONGEST),
            min_session_timeout: self.min_session_timeout.min(LONGEST),
            max_session_timeout: self.max_session_timeout.min(LONGEST),
            consumer_session_timeout: self.consumer_session_timeout.min(LONGEST),
            consumer_heartbeat_interval: self.consumer_heartbeat_interval.min(LONGEST),
        }
    }
}

impl Default for GroupTimes {
    fn default() -> Self {
        GroupTimes {
            initial_rebalance_delay: Duration::ZERO,
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(1800),
            consumer_session_timeout: Duration::from_secs(45),
            consumer_heartbeat_interval: Duration::from_secs(5),
        }
    }
}

/// When batches in durable topics are acknowledged, by what the producer asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct AckLevels {
    /// `acks=1`.
    pub(super) one: AckLevel,
    /// `acks=all`.
    pub(super) all: AckLevel,
}

impl Default for AckLevels {
    fn default() -> Self {
        AckLevels {
            one: AckLevel::Memory,
            all: AckLevel::Durable,
        }
    }
}

/// All settings of a server.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) node_id: i32,
    /// `None`: what was stored, or another one.
    pub(super) cluster_id: Option<String>,
    /// The directory of what outlives the process, in the broker's.
    pub(super) state_dir: String,
    pub(super) auto_create_topics: bool,
    /// How topics are created that a client asks for.
    pub(super) topic_config: Option<TopicConfig>,
    /// The number of their partitions, if the client leaves it to the server.
    pub(super) default_partitions: u32,
    /// What clients of streams without a listener are answered.
    pub(super) advertised: AdvertisedAddress,
    pub(super) limits: ServerLimits,
    pub(super) group_times: GroupTimes,
    pub(super) connections: ConnectionConfig,
    pub(super) sasl: SaslConfig,
    pub(super) acks: AckLevels,
    /// How far clients read in durable topics.
    pub(super) read_up_to: ReadUpTo,
    pub(super) users: UserList,
    /// What is asked of the clients of streams without a listener.
    pub(super) stream_security: Security,
}

/// How topics that clients create are configured by default: four segments of 16 MiB or 131,072
/// records for each partition, under [`Overflow::DropOldest`].
///
/// A segment must hold a whole batch, decompressed. Pages that are never used take address space but
/// no memory.
///
/// In a durable broker they are under [`Overflow::Backpressure`]: then a batch waits until there is
/// room in memory, which is when earlier ones are in the files. Readers hold nothing back there.
pub fn default_topic_config() -> TopicConfig {
    TopicConfig::new()
        .overflow(Overflow::DropOldest)
        .segment_bytes(16 << 20)
        .segment_records(128 * 1024)
}

impl Config {
    /// How topics are created that a client asks for, in a durable broker or another.
    pub(super) fn topic_config(&self, is_durable: bool) -> TopicConfig {
        match (&self.topic_config, is_durable) {
            (Some(given), _) => given.clone(),
            (None, true) => default_topic_config().overflow(Overflow::Backpressure),
            (None, false) => default_topic_config(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            node_id: 0,
            cluster_id: None,
            state_dir: "kafka".to_owned(),
            auto_create_topics: true,
            topic_config: None,
            default_partitions: 1,
            advertised: AdvertisedAddress::new("localhost", 9092),
            limits: ServerLimits::default(),
            group_times: GroupTimes::default(),
            connections: ConnectionConfig::default(),
            sasl: SaslConfig::default(),
            acks: AckLevels::default(),
            read_up_to: ReadUpTo::Written,
            users: UserList::default(),
            stream_security: Security::plaintext(),
        }
    }
}
