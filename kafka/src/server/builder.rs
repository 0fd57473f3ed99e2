//! [`Server`]: binding, addresses, shutdown.

use super::Shared;
use super::config::{AdvertisedAddress, Config, GroupTimes, ListenerConfig, ServerLimits};
use super::connection::{self, Client, Phase, reached};
use super::group::Groups;
use super::reader::Readers;
use super::topics::{Topics, random_uuid};
use core::fmt;
use ringlog::{Broker, TopicConfig};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

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

/// Why a server could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// The number of partitions of topics that clients create is not valid.
    #[error("topics with {partitions} partitions cannot be created")]
    DefaultPartitions {
        /// The configured number.
        partitions: u32,
    },
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
    listeners: Vec<ListenerConfig>,
}

impl ServerBuilder {
    /// Listens on this address. Clients are answered the address that they have connected to.
    ///
    /// Without any listener, the server serves [streams](Server::serve) alone.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listeners.push(ListenerConfig {
            address: address.into(),
            advertised: None,
        });
        self
    }

    /// Listens on `address`, and answers its clients that this server is at `host` and `port`
    /// (Kafka's `advertised.listeners`).
    pub fn listen_advertised(
        mut self,
        address: impl Into<String>,
        host: impl Into<String>,
        port: u16,
    ) -> Self {
        self.listeners.push(ListenerConfig {
            address: address.into(),
            advertised: Some(AdvertisedAddress::new(host, port)),
        });
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
    pub fn topic_config(mut self, config: TopicConfig) -> Self {
        self.config.topic_config = config;
        self
    }

    /// The number of this server among its cluster's, which is it alone. Default 0.
    pub fn node_id(mut self, id: i32) -> Self {
        self.config.node_id = id;
        self
    }

    /// The name of the cluster. Default `ringlog-kafka`.
    pub fn cluster_id(mut self, id: impl Into<String>) -> Self {
        self.config.cluster_id = id.into();
        self
    }

    /// How many bytes requests and batches may take.
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.config.limits = limits;
        self
    }

    /// The times of consumer groups.
    pub fn group_times(mut self, times: GroupTimes) -> Self {
        self.config.group_times = times;
        self
    }

    /// Binds the listeners, and serves this broker. Clients can connect when it returns.
    ///
    /// It runs on the tokio runtime that it is called on, which needs its time and its I/O enabled.
    ///
    /// # Errors
    /// [`BindError`]. Nothing is listened on then.
    pub async fn bind(self, broker: &Broker) -> Result<Server, BindError> {
        let partitions = self.config.default_partitions;
        if !(1..=16_384).contains(&partitions) {
            return Err(BindError::DefaultPartitions { partitions });
        }
        let mut bound = Vec::new();
        for listener in self.listeners {
            let listen = async {
                let socket = TcpListener::bind(&listener.address).await?;
                let address = socket.local_addr()?;
                Ok((socket, address))
            };
            match listen.await {
                Ok((socket, address)) => bound.push((socket, address, listener.advertised)),
                Err(source) => {
                    let address = listener.address;
                    return Err(BindError::Listen { address, source });
                }
            }
        }
        let (phase, _) = watch::channel(Phase::Running);
        // A client may outlive a server, and go on with its id at the next one: a new producer that
        // had the same id would have its batches taken for ones sent again. A quarter of the numbers
        // of 64 bits leaves room to count.
        let first_producer_id = (random_uuid().as_u64_pair().0 >> 2) as i64;
        let shared = Arc::new(Shared {
            topics: Topics::new(broker.clone()),
            groups: Groups::new(
                self.config.group_times,
                self.config.limits.group_members,
                phase.subscribe(),
            ),
            next_producer_id: AtomicI64::new(first_producer_id),
            phase,
            config: self.config,
        });
        let mut server = Server {
            shared: shared.clone(),
            addresses: Vec::new(),
            advertised: Vec::new(),
            listeners: JoinSet::new(),
        };
        for (socket, address, advertised) in bound {
            info!(%address, "listening");
            let own = || AdvertisedAddress::new(address.ip().to_string(), address.port());
            server.addresses.push(address);
            server
                .advertised
                .push(advertised.clone().unwrap_or_else(own));
            let accepting = accept(socket, advertised, shared.clone());
            server.listeners.spawn(accepting);
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

    /// What clients take as `bootstrap.servers`: the addresses of the listeners, as they are
    /// advertised, with commas between them.
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
        let client = client(&self.shared, None, "stream".to_owned());
        async move {
            connection::run(stream, client).await;
        }
    }

    /// Stops in order: no new connection is accepted, requests that were received are answered
    /// unless they wait for something, and connections are closed.
    ///
    /// Returns when the connections of the listeners are closed. A client that does not read its
    /// answers delays that; to stop at once, drop the server, or this future.
    pub async fn shutdown(mut self) {
        self.shared.phase.send_replace(Phase::Stopping);
        while self.listeners.join_next().await.is_some() {}
        info!("shut down");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.phase.send_replace(Phase::Stopped);
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

fn client(shared: &Arc<Shared>, advertised: Option<AdvertisedAddress>, host: String) -> Client {
    Client {
        shared: shared.clone(),
        advertised: advertised.unwrap_or_else(|| shared.config.advertised.clone()),
        host,
        readers: Readers::default(),
    }
}

/// Accepts connections until the server stops. Then waits for them to end.
async fn accept(socket: TcpListener, advertised: Option<AdvertisedAddress>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    let mut phase = shared.phase.subscribe();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(serve_tcp(stream, peer, advertised.clone(), shared.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, as a rule: others may be closed soon.
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = reached(&mut phase, |phase| *phase != Phase::Running) => break,
        }
    }
    drop(socket);
    while connections.join_next().await.is_some() {}
}

async fn serve_tcp(
    stream: TcpStream,
    peer: SocketAddr,
    advertised: Option<AdvertisedAddress>,
    shared: Arc<Shared>,
) {
    debug!(%peer, "connection accepted");
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "the socket refused TCP_NODELAY");
    }
    let local = stream.local_addr().ok();
    let local = local.map(|local| AdvertisedAddress::new(local.ip().to_string(), local.port()));
    let client = client(&shared, advertised.or(local), peer.ip().to_string());
    connection::run(stream, client).await;
}
