//! `ringlog-kafka`: a broker in memory that Kafka clients connect to.

use clap::Parser;
use ringlog::{Broker, TopicConfig};
use ringlog_kafka::Server;
use std::error::Error;
use std::process::ExitCode;
use std::str::FromStr;
use tracing::{Level, error, info};

/// Serves topics in memory to Kafka clients. What is sent is gone when it ends.
#[derive(Debug, Parser)]
#[command(name = "ringlog-kafka", version)]
struct Options {
    /// An address to listen on. May be given several times.
    ///
    /// Clients are answered the address that they have connected to, or the one after `=`:
    /// `0.0.0.0:9092=broker.test:9092`.
    #[arg(
        long,
        value_name = "ADDRESS[=HOST:PORT]",
        default_value = "127.0.0.1:9092"
    )]
    listen: Vec<Listen>,
    /// A topic to create, with this number of partitions. May be given several times.
    #[arg(long, value_name = "NAME[:PARTITIONS]")]
    topic: Vec<NewTopic>,
    /// The number of partitions of topics that clients create without one.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    default_partitions: u32,
    /// Refuse topics that do not exist, instead of creating them on first use.
    #[arg(long)]
    no_auto_create: bool,
    /// The node's number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    node_id: i32,
    /// The cluster's name.
    #[arg(long, value_name = "NAME", default_value = "ringlog-kafka")]
    cluster_id: String,
    /// What is logged: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: Level,
}

#[derive(Debug, Clone)]
struct Listen {
    address: String,
    advertised: Option<(String, u16)>,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(given: &str) -> Result<Listen, String> {
        let Some((address, advertised)) = given.split_once('=') else {
            return Ok(Listen {
                address: given.to_owned(),
                advertised: None,
            });
        };
        let host_and_port = advertised.rsplit_once(':');
        let parsed = host_and_port.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = parsed.ok_or_else(|| format!("{advertised:?} is not HOST:PORT"))?;
        Ok(Listen {
            address: address.to_owned(),
            advertised: Some((host.trim_matches(['[', ']']).to_owned(), port)),
        })
    }
}

#[derive(Debug, Clone)]
struct NewTopic {
    name: String,
    partitions: Option<u32>,
}

impl FromStr for NewTopic {
    type Err = String;

    fn from_str(given: &str) -> Result<NewTopic, String> {
        let (name, partitions) = match given.split_once(':') {
            None => (given, None),
            Some((name, partitions)) => match partitions.parse() {
                Ok(partitions) => (name, Some(partitions)),
                Err(_) => return Err(format!("{partitions:?} is not a number of partitions")),
            },
        };
        Ok(NewTopic {
            name: name.to_owned(),
            partitions,
        })
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_max_level(options.log)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let broker = Broker::new();
    let topic_config = ringlog_kafka::default_topic_config();
    for NewTopic { name, partitions } in options.topic {
        let partitions = partitions.unwrap_or(options.default_partitions);
        create(&broker, &name, topic_config.clone().partitions(partitions))?;
    }
    let mut builder = Server::builder()
        .auto_create_topics(!options.no_auto_create)
        .default_partitions(options.default_partitions)
        .node_id(options.node_id)
        .cluster_id(options.cluster_id);
    for listen in options.listen {
        builder = match listen.advertised {
            None => builder.listen(listen.address),
            Some((host, port)) => builder.listen_advertised(listen.address, host, port),
        };
    }
    let server = builder.bind(&broker).await?;
    info!(bootstrap = server.bootstrap(), "ready");
    stop_signal().await?;
    server.shutdown().await;
    Ok(())
}

fn create(broker: &Broker, name: &str, config: TopicConfig) -> Result<(), Box<dyn Error>> {
    if !ringlog_kafka::is_valid_topic_name(name) {
        return Err(format!("{name:?} is not a valid topic name").into());
    }
    broker.create_topic(name, config)?;
    Ok(())
}

/// Waits for Ctrl-C, or for SIGTERM where there is one.
async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}
