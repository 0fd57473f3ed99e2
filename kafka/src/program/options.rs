//! The command line.

use clap::Parser;
use std::path::PathBuf;
use std::str::FromStr;
use tracing::Level;

/// Serves topics to Kafka clients: in memory, or kept in a directory (--data).
#[derive(Debug, Parser)]
#[command(name = "ringlog-kafka", version, allow_negative_numbers = true)]
pub(crate) struct Options {
    /// A configuration file (TOML). What is given here as well counts more than what is in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// An address to listen on. May be given several times. Default: 127.0.0.1:9092.
    ///
    /// The protocol is PLAINTEXT (the default), SASL_PLAINTEXT, SSL or SASL_SSL. Clients are answered
    /// the address that they have connected to, or the one after `=`:
    /// `SASL_SSL://0.0.0.0:9092=broker.test:9092`.
    #[arg(long, value_name = "[PROTOCOL://]ADDRESS[=HOST:PORT]")]
    pub(crate) listen: Vec<Listen>,
    /// A file with a user in each line, as `NAME:PASSWORD`.
    #[arg(long, value_name = "FILE")]
    pub(crate) users: Option<PathBuf>,
    /// A SASL mechanism of the listeners that are given here. May be given several times. Default:
    /// PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
    #[arg(long, value_name = "NAME")]
    pub(crate) sasl_mechanism: Vec<String>,
    /// The certificate chain for TLS (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The private key for TLS (PEM). Default: in the file of the chain.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Clients need a certificate that one of these has signed (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_roots: Option<PathBuf>,
    /// A topic to create, with this number of partitions. May be given several times.
    #[arg(long, value_name = "NAME[:PARTITIONS]")]
    pub(crate) topic: Vec<Topic>,
    /// Keeps topics, offsets, groups and users in this directory. Default: in memory, and gone when
    /// the program ends.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data: Option<PathBuf>,
    /// The longest time until what is written is synced. Default: 5.
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) flush_ms: Option<u64>,
    /// The most bytes that are written until they are synced. Default: 4194304.
    #[arg(long, value_name = "BYTES")]
    pub(crate) flush_bytes: Option<u64>,
    /// What happens when the disk is full: block, or forget-oldest. Default: block.
    #[arg(long, value_name = "POLICY")]
    pub(crate) disk_full: Option<String>,
    /// When a batch that is sent with acks=1 is acknowledged: memory, written or durable. Default:
    /// memory.
    #[arg(long = "acks-1", value_name = "LEVEL")]
    pub(crate) acks_one: Option<String>,
    /// The same for acks=all. Default: durable.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) acks_all: Option<String>,
    /// How far clients read: sent, written or durable. Default: written.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) read_up_to: Option<String>,
    /// The number of partitions of topics that clients create without one. Default: 1.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) default_partitions: Option<u32>,
    /// Refuse topics that do not exist, instead of creating them on first use.
    #[arg(long)]
    pub(crate) no_auto_create: bool,
    /// The node's number. Default: 0.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) node_id: Option<i32>,
    /// The cluster's name. Default: ringlog-kafka; with --data a random one, which stays.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster_id: Option<String>,
    /// Serves the metrics of the broker and of the server on this address, as `/metrics`.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<String>,
    /// What is logged: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log: Level,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) protocol: Option<String>,
    pub(crate) address: String,
    pub(crate) advertised: Option<Advertised>,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(given: &str) -> Result<Listen, String> {
        let (protocol, rest) = match given.split_once("://") {
            None => (None, given),
            Some((protocol, rest)) => (Some(protocol.to_owned()), rest),
        };
        let (address, advertised) = match rest.split_once('=') {
            None => (rest, None),
            Some((address, advertised)) => (address, Some(advertised.parse()?)),
        };
        Ok(Listen {
            protocol,
            address: address.to_owned(),
            advertised,
        })
    }
}

/// The address that clients are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advertised {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for Advertised {
    type Err = String;

    fn from_str(given: &str) -> Result<Advertised, String> {
        let parts = given.rsplit_once(':');
        let parts = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = parts.ok_or_else(|| format!("{given:?} is not HOST:PORT"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Advertised { host, port })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) partitions: Option<u32>,
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(given: &str) -> Result<Topic, String> {
        let (name, partitions) = match given.split_once(':') {
            None => (given, None),
            Some((name, partitions)) => match partitions.parse() {
                Ok(partitions) => (name, Some(partitions)),
                Err(_) => return Err(format!("{partitions:?} is not a number of partitions")),
            },
        };
        Ok(Topic {
            name: name.to_owned(),
            partitions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_a_protocol_an_address_and_an_advertised_address() {
        let listen: Listen = "SASL_SSL://[::]:9092=[::1]:19092".parse().unwrap();
        let host = "::1".to_owned();
        let expected = Listen {
            protocol: Some("SASL_SSL".to_owned()),
            address: "[::]:9092".to_owned(),
            advertised: Some(Advertised { host, port: 19092 }),
        };
        assert_eq!(listen, expected);
        let listen: Listen = "127.0.0.1:0".parse().unwrap();
        assert_eq!((listen.protocol, listen.advertised), (None, None));
        for wrong in ["a:1=b", "a:1=b:c", "a:1=b:70000"] {
            let error = wrong.parse::<Listen>().unwrap_err();
            assert!(error.ends_with("is not HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_topic_is_a_name_and_a_number_of_partitions() {
        let topic: Topic = "orders:8".parse().unwrap();
        assert_eq!((topic.name.as_str(), topic.partitions), ("orders", Some(8)));
        assert_eq!("orders".parse::<Topic>().unwrap().partitions, None);
        assert!("orders:many".parse::<Topic>().is_err());
    }
}
