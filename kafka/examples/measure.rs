//! Measures a Kafka broker over the wire: this one, or another, to compare.
//!
//! ```text
//! cargo run --release -p ringlog-kafka --example measure -- produce 127.0.0.1:9092
//! cargo run --release -p ringlog-kafka --example measure -- latency 127.0.0.1:9092
//! cargo run --release -p ringlog-kafka --example measure -- start target/release/ringlog-kafka
//! cargo run --release -p ringlog-kafka --example measure -- bind
//! ```
//!
//! A time means little alone: run the brokers that are compared one after the other, several times.

use bytes::{BufMut, Bytes, BytesMut};
use clap::{Parser, Subcommand};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, CreateTopicsRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
    RequestHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};
use ringlog::Broker;
use ringlog_kafka::Server;
use ringlog_kafka::batch::{Codec, RecordFields, encode};
use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Acknowledged records a second, by several connections.
    Produce {
        bootstrap: String,
        #[arg(long, default_value_t = 10)]
        connections: u32,
        /// Records of all connections.
        #[arg(long, default_value_t = 5_000_000)]
        records: u64,
        /// Bytes of a record's value.
        #[arg(long, default_value_t = 100)]
        bytes: usize,
        /// Records of a batch.
        #[arg(long, default_value_t = 1_000)]
        batch: u32,
        /// Requests of a connection that are not answered yet.
        #[arg(long, default_value_t = 5)]
        in_flight: u64,
    },
    /// The time of a batch of one record, sent alone.
    Latency {
        bootstrap: String,
        #[arg(long, default_value_t = 20_000)]
        count: usize,
    },
    /// The time from a process's start to its first acknowledged record.
    Start {
        program: PathBuf,
        #[arg(long, default_value_t = 20)]
        count: usize,
        #[arg(long, default_value_t = 19_092)]
        port: u16,
    },
    /// The time that binding a server in this process takes.
    Bind {
        #[arg(long, default_value_t = 100)]
        count: usize,
    },
}

struct Connection {
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    async fn to(address: &str) -> Fallible<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            correlation_id: 0,
        })
    }

    async fn send<R: Request>(&mut self, version: i16, request: &R) -> Fallible<()> {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("measure")));
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        let api = ApiKey::try_from(R::KEY).map_err(|()| "an unknown API")?;
        header.encode(&mut frame, api.request_header_version(version))?;
        request.encode(&mut frame, version)?;
        let length = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame).await?;
        Ok(())
    }

    /// The next answer, without its header, which these versions keep short.
    async fn receive<R: Request>(&mut self, version: i16) -> Fallible<R::Response> {
        let length = self.stream.read_i32().await?;
        let mut frame = vec![0; usize::try_from(length)?];
        self.stream.read_exact(&mut frame).await?;
        let mut body = Bytes::from(frame).slice(4..);
        Ok(R::Response::decode(&mut body, version)?)
    }

    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> Fallible<R::Response> {
        self.send(version, request).await?;
        self.receive::<R>(version).await
    }

    /// Whether the broker leads all partitions of a topic: a little after its metadata says so.
    async fn is_led(&mut self, topic: &TopicName, partitions: i32) -> Fallible<bool> {
        let partition = |index| {
            ListOffsetsPartition::default()
                .with_partition_index(index)
                .with_timestamp(-1)
        };
        let topic = ListOffsetsTopic::default()
            .with_name(topic.clone())
            .with_partitions((0..partitions).map(partition).collect());
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_topics(vec![topic]);
        let found = self.ask(2, &request).await?;
        let mut found = found.topics.iter().flat_map(|topic| &topic.partitions);
        Ok(found.all(|partition| partition.error_code == 0))
    }

    /// Creates a topic, and waits until it can be used.
    async fn create(&mut self, topic: &TopicName, partitions: i32) -> Fallible<()> {
        let new = CreatableTopic::default()
            .with_name(topic.clone())
            .with_num_partitions(partitions)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default()
            .with_topics(vec![new])
            .with_timeout_ms(30_000);
        self.ask(2, &request).await?;
        loop {
            let wanted =
                kafka_protocol::messages::metadata_request::MetadataRequestTopic::default()
                    .with_name(Some(topic.clone()));
            let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
            let found = self.ask(4, &request).await?;
            let mut of_partitions = found.topics.iter().flat_map(|topic| &topic.partitions);
            let is_there = found.topics.iter().all(|topic| topic.error_code == 0)
                && of_partitions.all(|partition| partition.error_code == 0);
            if is_there && self.is_led(topic, partitions).await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The answer to a batch, which must be appended.
    async fn acknowledged(&mut self) -> Fallible<()> {
        let answer = self.receive::<ProduceRequest>(PRODUCE).await?;
        let mut partitions = answer.responses.iter().flat_map(|t| &t.partition_responses);
        match partitions.find(|partition| partition.error_code != 0) {
            None => Ok(()),
            Some(refused) => Err(format!("a batch was refused: {}", refused.error_code).into()),
        }
    }
}

/// The version of Produce: the last one whose header has no tagged fields.
const PRODUCE: i16 = 8;

fn produce(
    topic: &TopicName,
    partition: i32,
    records: u32,
    bytes: usize,
) -> Fallible<ProduceRequest> {
    let value = vec![b'x'; bytes];
    let record = RecordFields {
        timestamp: 1_700_000_000_000,
        value: Some(&value),
        ..RecordFields::default()
    };
    let batch = encode(&vec![record; records as usize], Codec::None)?;
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(batch.into()));
    let topic = TopicProduceData::default()
        .with_name(topic.clone())
        .with_partition_data(vec![data]);
    Ok(ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic]))
}

fn new_topic() -> TopicName {
    TopicName(StrBytes::from_string(format!("measure-{}", uuid())))
}

fn uuid() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(Instant::now())
}

/// Sends batches, with up to `in_flight` that are not answered.
async fn send_all(
    mut connection: Connection,
    request: ProduceRequest,
    batches: u64,
    in_flight: u64,
) -> Fallible<()> {
    let (mut sent, mut answered) = (0, 0);
    while answered < batches {
        if sent < batches && sent - answered < in_flight {
            connection.send(PRODUCE, &request).await?;
            sent += 1;
        } else {
            connection.acknowledged().await?;
            answered += 1;
        }
    }
    Ok(())
}

/// Prints the spread of times in microseconds.
fn print_times(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() - 1) as f64 * share).round() as usize;
        times[index].as_nanos() as f64 / 1e3
    };
    println!(
        "{what}: min {:.1} us, p50 {:.1}, p99 {:.1}, max {:.1} ({} times)",
        at(0.0),
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
}

async fn first_acknowledged(address: &str) -> Fallible<()> {
    let mut connection = loop {
        match Connection::to(address).await {
            Ok(connection) => break connection,
            // It does not listen yet. The runtime's timers are too coarse for this wait.
            Err(_) => std::thread::sleep(Duration::from_micros(50)),
        }
    };
    let topic = new_topic();
    connection.create(&topic, 1).await?;
    connection
        .send(PRODUCE, &produce(&topic, 0, 1, 100)?)
        .await?;
    connection.acknowledged().await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Fallible<()> {
    match Options::parse().what {
        What::Produce {
            bootstrap,
            connections,
            records,
            bytes,
            batch,
            in_flight,
        } => {
            let topic = new_topic();
            let mut first = Connection::to(&bootstrap).await?;
            first.create(&topic, connections as i32).await?;
            let batches = records / u64::from(connections) / u64::from(batch);
            let mut tasks = Vec::new();
            let begun = Instant::now();
            for partition in 0..connections as i32 {
                let connection = Connection::to(&bootstrap).await?;
                let request = produce(&topic, partition, batch, bytes)?;
                tasks.push(tokio::spawn(send_all(
                    connection, request, batches, in_flight,
                )));
            }
            for task in tasks {
                task.await??;
            }
            let sent = batches * u64::from(batch) * u64::from(connections);
            let rate = sent as f64 / begun.elapsed().as_secs_f64();
            println!(
                "{rate:.0} records/s acknowledged: {sent} of {bytes} B, {connections} connections, {batch} a batch"
            );
        }
        What::Latency { bootstrap, count } => {
            let topic = new_topic();
            let mut connection = Connection::to(&bootstrap).await?;
            connection.create(&topic, 1).await?;
            let request = produce(&topic, 0, 1, 100)?;
            let mut times = Vec::with_capacity(count);
            for _ in 0..count {
                let begun = Instant::now();
                connection.send(PRODUCE, &request).await?;
                connection.acknowledged().await?;
                times.push(begun.elapsed());
            }
            print_times("a batch of one record", times);
        }
        What::Start {
            program,
            count,
            port,
        } => {
            let address = format!("127.0.0.1:{port}");
            let mut times = Vec::new();
            for _ in 0..count {
                let begun = Instant::now();
                let mut process = Command::new(&program)
                    .args(["--listen", &address])
                    .stderr(Stdio::null())
                    .spawn()?;
                let answered = first_acknowledged(&address).await;
                times.push(begun.elapsed());
                process.kill()?;
                process.wait()?;
                answered?;
            }
            print_times("from the start to the first acknowledged record", times);
        }
        What::Bind { count } => {
            let broker = Broker::new();
            let mut times = Vec::new();
            for _ in 0..count {
                let begun = Instant::now();
                let server = Server::bind(&broker, "127.0.0.1:0").await?;
                times.push(begun.elapsed());
                drop(server);
            }
            print_times("bind", times);
        }
    }
    Ok(())
}
