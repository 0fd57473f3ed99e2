//! [`Server`]: binding, addresses, shutdown.

use super::Shared;
use super::accept::{accept, client, serve_stream};
use super::acknowledge::AckLevel;
use super::bind_error::BindError;
use super::config::{AdvertisedAddress, Config, GroupTimes, Listener, ServerLimits};
use super::connection::Phase;
use super::group::Groups;
use super::metrics::{MetricsReader, ServerMetrics};
use super::new_topic::NewTopic;
use super::security::users::Users;
use super::security::{Security, UserError};
use super::store::ids::{ProducerIds, cluster_id};
use super::topics::Topics;
use super::upkeep::{self, begin_epoch, open_store};
use core::fmt;
use ringlog::{Broker, ReadUpTo, TopicConfig};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

/// Serves a broker to Kafka clients, until it is shut down or dropped.
///
/// Programs in this process use the same topics at the same time.
///
/// ```
/// use ringlog::{Broker, ConsumerConfig, TopicConfig};
/// use ringlog_kafka::Server;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let broker = Broker::new();
/// broker.create_topic("orders", TopicConfig::new().partitions(3))?;
/// let server = Server::bind(&broker, "127.0.0.1:0").await?;
/// println!("bootstrap.servers={}", server.bootstrap());
/// server.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Many servers may serve one broker, or several; each has groups of its own.
///
/// Dropping a server closes its connections at once. [`shutdown`](Self::shutdown) first answers what
/// it has received.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    advertised: Vec<AdvertisedAddress>,
    listeners: JoinSet<()>,
}

/// Configures a [`Server`].
///
/// ```
/// use ringlog::Broker;
/// use ringlog_kafka::Server;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let server = Server::builder()
///     .listen("127.0.0.1:0")
///     .listen_advertised("127.0.0.1:0", "broker.test", 9092)
///     .auto_create_topics(false)
///     .bind(&Broker::new())
///     .await?;
/// assert_eq!(server.addresses().len(), 2);
/// # Ok::<(), ringlog_kafka::BindError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ServerBuilder {
    config: Config,
    listeners: Vec<Listener>,
    topics: Vec<NewTopic>,
    /// Why the first user that could not be added was not.
    refused_user: Option<UserError>,
}

impl ServerBuilder {
    /// Listens on this address. Clients are answered the address that they have connected to.
    ///
    /// Without any listener, the server serves [streams](Server::serve) alone.
    pub fn listen(self, address: impl Into<String>) -> Self {
        self.listener(Listener::new(address))
    }

    /// Listens on `address`, and answers its clients that this server is at `host` and `port`
    /// (Kafka's `advertised.listeners`).
    pub fn listen_advertised(
        self,
        address: impl Into<String>,
        host: impl Into<String>,
        port: u16,
    ) -> Self {
        self.listener(Listener::new(address).advertised(host, port))
    }

    /// Listens as this listener says.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// What clients of [streams](Server::serve) are asked for. Default: nothing.
    pub fn stream_security(mut self, security: Security) -> Self {
        self.config.stream_security = security;
        self
    }

    /// How long a connection may be silent (Kafka's `connections.max.idle.ms`) before it is closed; so
    /// may one that does not read its answers. A client whose request waits is not silent. `None`: for
    /// ever. Default ten minutes, as in Kafka.
    pub fn max_idle(mut self, limit: Option<Duration>) -> Self {
        self.config.connections.max_idle = limit;
        self
    }

    /// How long a TCP connection is silent before the system begins to ask whether the client is still
    /// there. It finds out about machines that are gone while a request of theirs waits. `None`: not at
    /// all. Default one minute.
    pub fn tcp_keepalive(mut self, silence: Option<Duration>) -> Self {
        self.config.connections.keepalive = silence;
        self
    }

    /// How many connections the listeners serve at a time (Kafka's `max.connections`). More wait until
    /// one of them is closed. Default: no limit.
    pub fn max_connections(mut self, connections: Option<usize>) -> Self {
        self.config.connections.max = connections;
        self
    }

    /// How long a connection's task looks for the next request after an answer, before it sleeps. A
    /// client that sends one request at a time is answered sooner then, as no thread has to be woken.
    ///
    /// Meanwhile a thread of the runtime does not sleep. Other tasks have their turns on it. A task
    /// looks for a request only if the last one came within twice this time of the answer before it.
    /// After a look in vain it does not look again for some tens of answers. So a client that sends
    /// nothing costs nothing, and a slow one little. Answers that wait for the disk, a shutdown and
    /// [`max_idle`](Self::max_idle) are not held up.
    ///
    /// Zero: not at all. Default 100 microseconds, and zero for the streams of [`Server::serve`].
    pub fn busy_poll(mut self, time: Duration) -> Self {
        self.config.connections.busy_poll = Some(time);
        self
    }

    /// Adds a user, or gives it another password. The password is salted and hashed at once, and not
    /// kept; that takes some milliseconds.
    ///
    /// Users authenticate themselves on listeners with [SASL](Security::sasl), by any of its
    /// mechanisms. There are no access rights: a user can do everything. `bind` reports what is wrong
    /// with a user.
    pub fn user(mut self, name: impl Into<String>, password: &str) -> Self {
        if let Err(error) = self.config.users.add(name.into(), password) {
            self.refused_user.get_or_insert(error);
        }
        self
    }

    /// How long an authenticated client may go on before it must authenticate itself again (Kafka's
    /// `connections.max.reauth.ms`). The next request after that closes its connection. Default: no
    /// limit.
    pub fn max_session(mut self, lifetime: Option<Duration>) -> Self {
        self.config.sasl.max_session = lifetime.filter(|lifetime| !lifetime.is_zero());
        self
    }

    /// How long a client waits for the answer that refuses it (Kafka's
    /// `connection.failed.authentication.delay.ms`). Default 100 milliseconds.
    pub fn failed_authentication_delay(mut self, delay: Duration) -> Self {
        self.config.sasl.failure_delay = delay;
        self
    }

    /// The address that clients of [streams](Server::serve) are answered. Default `localhost:9092`.
    pub fn advertise(mut self, host: impl Into<String>, port: u16) -> Self {
        self.config.advertised = AdvertisedAddress::new(host, port);
        self
    }

    /// Whether a topic is created when a client asks for it (Kafka's `auto.create.topics.enable`).
    /// Default `true`.
    pub fn auto_create_topics(mut self, auto_create: bool) -> Self {
        self.config.auto_create_topics = auto_create;
        self
    }

    /// The partitions of a topic that a client creates without their number (Kafka's
    /// `num.partitions`). Default 1.
    pub fn default_partitions(mut self, partitions: u32) -> Self {
        self.config.default_partitions = partitions;
        self
    }

    /// How topics that clients create are configured; their number of partitions is set apart.
    ///
    /// Default: four segments of 16 MiB or 131,072 records, under
    /// [`DropOldest`](ringlog::Overflow::DropOldest): a full partition loses its oldest segment, as
    /// with Kafka's retention by size. Under [`Backpressure`](ringlog::Overflow::Backpressure) a
    /// batch waits for the readers of this process instead. Kafka's clients hold nothing back.
    ///
    /// In a durable broker the default is `Backpressure`, under which a batch waits for its
    /// predecessors to be in the files. Under `DropOldest` records that come faster than they can be
    /// written are lost, also such as were acknowledged.
    pub fn topic_config(mut self, config: TopicConfig) -> Self {
        self.config.topic_config = Some(config);
        self
    }

    /// Creates a topic before clients are served. It must not be there yet, unless the broker is
    /// durable: then a topic that is there is left as it is.
    pub fn topic(mut self, topic: NewTopic) -> Self {
        self.topics.push(topic);
        self
    }

    /// The number of this server among its cluster's, which is it alone. Default 0.
    pub fn node_id(mut self, id: i32) -> Self {
        self.config.node_id = id;
        self
    }

    /// The name of the cluster. Default `ringlog-kafka`; in a durable broker a random one, which stays.
    pub fn cluster_id(mut self, id: impl Into<String>) -> Self {
        self.config.cluster_id = Some(id.into());
        self
    }

    /// In a durable broker: the directory, in the broker's, in which the server keeps groups, offsets,
    /// users, settings of topics and all else that outlives the process. Each server of a broker has
    /// one of its own. Default `kafka`.
    pub fn state_dir(mut self, name: impl Into<String>) -> Self {
        self.config.state_dir = name.into();
        self
    }

    /// How many bytes requests and batches may take.
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.config.limits = limits;
        self
    }

    /// The times of consumer groups. Each is cut to a year.
    pub fn group_times(mut self, times: GroupTimes) -> Self {
        self.config.group_times = times.clamped();
        self
    }

    /// When a batch in a durable topic is acknowledged that is sent with `acks=1`. Default
    /// [`AckLevel::Memory`]: a crash of the process loses what was acknowledged within about a
    /// millisecond before it.
    pub fn acks_one(mut self, level: AckLevel) -> Self {
        self.config.acks.one = level;
        self
    }

    /// When a batch in a durable topic is acknowledged that is sent with `acks=all`, as producers do
    /// by default. Default [`AckLevel::Durable`].
    ///
    /// A batch that cannot be stored is answered KAFKA_STORAGE_ERROR (56); one that is not stored
    /// within the request's timeout, by REQUEST_TIMED_OUT (7).
    pub fn acks_all(mut self, level: AckLevel) -> Self {
        self.config.acks.all = level;
        self
    }

    /// How far clients read in durable topics: their high watermark. Default [`ReadUpTo::Written`], as
    /// with Kafka: a client has read no record that is not there after a crash of the process. That
    /// is about a millisecond after the record was sent.
    pub fn read_up_to(mut self, read_up_to: ReadUpTo) -> Self {
        self.config.read_up_to = read_up_to;
        self
    }

    /// Binds the listeners, and serves this broker. Clients can connect when it returns.
    ///
    /// It runs on the tokio runtime that it is called on, which needs its time and its I/O enabled.
    ///
    /// # Errors
    /// [`BindError`]. Nothing is listened on then. Topics that were created before it are there.
    pub async fn bind(self, broker: &Broker) -> Result<Server, BindError> {
        let partitions = self.config.default_partitions;
        if !(1..=16_384).contains(&partitions) {
            return Err(BindError::DefaultPartitions { partitions });
        }
        if let Some(error) = self.refused_user {
            return Err(error.into());
        }
        let listeners = self.listeners.iter();
        let mut securities: Vec<_> = listeners
            .map(|one| (&*one.address, &one.security))
            .collect();
        securities.push(("streams", &self.config.stream_security));
        for (address, security) in &securities {
            if security.sasl.as_ref().is_some_and(Vec::is_empty) {
                let address = (*address).to_owned();
                return Err(BindError::NoMechanism { address });
            }
        }
        let needs_users = securities
            .iter()
            .any(|(_, security)| security.sasl.is_some());
        if needs_users && self.config.users.is_empty() {
            warn!("clients are to authenticate themselves, and there are no users");
        }
        let mut bound = Vec::new();
        for listener in self.listeners {
            let listen = async || -> std::io::Result<(TcpListener, SocketAddr)> {
                let socket = TcpListener::bind(&listener.address).await?;
                let address = socket.local_addr()?;
                Ok((socket, address))
            };
            match listen().await {
                Ok((socket, address)) => bound.push((socket, address, listener)),
                Err(mut source) => {
                    let address = listener.address;
                    if source.kind() == ErrorKind::InvalidInput {
                        let form = "HOST:PORT is expected, such as 127.0.0.1:9092";
                        source = std::io::Error::new(ErrorKind::InvalidInput, form);
                    }
                    return Err(BindError::Listen { address, source });
                }
            }
        }
        let slots = self.config.connections.max.unwrap_or(usize::MAX);
        let slots = slots.min(Semaphore::MAX_PERMITS);
        let (phase, _) = watch::channel(Phase::Running);
        let store = open_store(broker, &self.config.state_dir).await?;
        let epoch = begin_epoch(broker, store.as_deref()).await;
        let cluster_id = cluster_id(store.as_deref(), self.config.cluster_id.as_deref())?;
        let users = Users::new(self.config.users.clone(), store.clone())?;
        let shared = Arc::new(Shared {
            cluster_id,
            topic_config: self.config.topic_config(store.is_some()),
            topics: Topics::new(broker.clone(), store.clone(), &self.config, epoch)?,
            groups: Groups::new(
                self.config.group_times,
                self.config.limits.group_members,
                phase.subscribe(),
                store.clone(),
            ),
            producer_ids: ProducerIds::new(store.clone()),
            store: store.clone(),
            phase,
            metrics: Arc::default(),
            users,
            password_checks: Arc::new(Semaphore::new(1)),
            slots: Arc::new(Semaphore::new(slots)),
            config: self.config,
        });
        for topic in &self.topics {
            topic.create(&shared)?;
        }
        // Clients may ask for a topic by its id first, and limits that they had set count at once.
        for name in shared.topics.names() {
            shared.topics.find(&name);
        }
        if let Some(store) = &store {
            shared.groups.load(store, &shared.topics);
        }
        let mut server = Server {
            shared: shared.clone(),
            addresses: Vec::new(),
            advertised: Vec::new(),
            listeners: JoinSet::new(),
        };
        let mut first_protocol = None;
        for (socket, address, listener) in bound {
            let protocol = listener.security.protocol();
            info!(%address, protocol, "listening");
            let own = || AdvertisedAddress::new(address.ip().to_string(), address.port());
            server.addresses.push(address);
            if *first_protocol.get_or_insert(protocol) == protocol {
                let advertised = listener.advertised.clone().unwrap_or_else(own);
                server.advertised.push(advertised);
            }
            let accepting = accept(socket, Arc::new(listener), shared.clone());
            server.listeners.spawn(accepting);
        }
        if let Some(store) = store {
            server.listeners.spawn(upkeep::run(shared, store));
        }
        Ok(server)
    }
}

impl Server {
    /// Serves this broker on an address, with the default settings.
    ///
    /// Clients can connect when it returns. With port 0 the system chooses one, which
    /// [`bootstrap`](Self::bootstrap) contains.
    ///
    /// # Errors
    /// [`BindError::Listen`].
    pub async fn bind(broker: &Broker, address: impl Into<String>) -> Result<Server, BindError> {
        Server::builder().listen(address).bind(broker).await
    }

    /// A server's settings, to be changed.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// What clients take as `bootstrap.servers`: the addresses of the listeners that have the protocol
    /// of the first one, as they are advertised, with commas between them.
    pub fn bootstrap(&self) -> String {
        let address = |advertised: &AdvertisedAddress| match advertised.host.contains(':') {
            true => format!("[{}]:{}", advertised.host, advertised.port),
            false => format!("{}:{}", advertised.host, advertised.port),
        };
        let addresses: Vec<String> = self.advertised.iter().map(address).collect();
        addresses.join(",")
    }

    /// The addresses that are listened on, in the order in which they were configured.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves one client on any stream, such as one end of `tokio::io::duplex`, until the client
    /// closes it or the server stops.
    ///
    /// The future does not borrow the server, so it can be spawned.
    pub fn serve<S>(&self, stream: S) -> impl Future<Output = ()> + Send + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let client = client(&self.shared, None, None);
        let security = self.shared.config.stream_security.clone();
        async move { serve_stream(stream, client, &security).await }
    }

    /// The server's own numbers, now.
    pub fn metrics(&self) -> ServerMetrics {
        self.shared.metrics.snapshot()
    }

    /// What reads the server's own numbers, to be given to other tasks.
    pub fn metrics_reader(&self) -> MetricsReader {
        MetricsReader(self.shared.metrics.clone())
    }

    /// Stops in order: no new connection is accepted, requests that were received are answered
    /// unless they wait for something, and connections are closed.
    ///
    /// Returns when the connections of the listeners are closed. A client that does not read its
    /// answers delays that; to stop at once, drop the server, or this future.
    ///
    /// What outlives the process is stored then. (The broker's records are, when its
    /// [storage](ringlog::Storage::close) is closed.)
    pub async fn shutdown(mut self) {
        self.shared.phase.send_replace(Phase::Stopping);
        while self.listeners.join_next().await.is_some() {}
        if let Err(reason) = upkeep::save_all(&self.shared) {
            warn!(%reason, "idempotent producers could not be stored: the log is read instead");
        }
        info!("no clients are served any more");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.phase.send_replace(Phase::Stopped);
        // Connections may go on for a moment, and another server may be bound at once.
        if let Some(store) = &self.shared.store
            && let Err(reason) = store.close()
        {
            warn!(%reason, "not all that outlives the process is stored");
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .field("advertised", &self.advertised)
            .finish_non_exhaustive()
    }
}
