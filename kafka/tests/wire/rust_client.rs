//! rskafka, a client that others have written in Rust, over TCP: what `.ci/clients` does with those of
//! other languages, as far as it goes, with nothing to install. It has no groups.

use crate::client::within;
use ringlog::{Broker, ConsumerConfig, TopicConfig};
use ringlog_kafka::Server;
use rskafka::chrono::{DateTime, TimeDelta, Utc};
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use std::collections::BTreeMap;

const COUNT: usize = 20;

struct Served {
    broker: Broker,
    client: Client,
    _server: Server,
}

async fn served() -> Served {
    let broker = Broker::new();
    let server = Server::bind(&broker, "127.0.0.1:0").await.unwrap();
    let client = ClientBuilder::new(vec![server.bootstrap().to_owned()]).build();
    let client = within("connecting", client).await.unwrap();
    Served {
        broker,
        client,
        _server: server,
    }
}

impl Served {
    async fn create(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        let controller = self.client.controller_client().unwrap();
        within(
            "creating a topic",
            controller.create_topic(topic, partitions, 1, 10_000),
        )
        .await
    }

    async fn partition(&self, topic: &str) -> PartitionClient {
        let client = self
            .client
            .partition_client(topic, 0, UnknownTopicHandling::Error);
        within("finding a partition", client).await.unwrap()
    }
}

fn time(i: usize) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_700_000_000_000).unwrap()
        + TimeDelta::milliseconds(10 * i as i64)
}

/// Nulls, empty and long ones, and headers.
fn records() -> Vec<Record> {
    let record = |i: usize| Record {
        key: (!i.is_multiple_of(3)).then(|| format!("k{i}").into_bytes()),
        value: (!i.is_multiple_of(7)).then(|| vec![b'v'; i % 5 * 100]),
        headers: match i % 2 {
            0 => BTreeMap::new(),
            _ => BTreeMap::from([("empty".into(), vec![]), ("trace".into(), b"\0\xff".into())]),
        },
        timestamp: time(i),
    };
    (0..COUNT).map(record).collect()
}

async fn read(partition: &PartitionClient, offset: i64) -> Vec<Record> {
    let fetched = partition.fetch_records(offset, 1..1_000_000, 1_000);
    let (fetched, high_watermark) = within("a fetch", fetched).await.unwrap();
    assert_eq!(high_watermark, COUNT as i64);
    fetched.into_iter().map(|fetched| fetched.record).collect()
}

#[tokio::test]
async fn rskafka_reads_what_it_sends_by_its_codecs() {
    let served = served().await;
    for compression in [
        Compression::NoCompression,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let topic = format!("{compression:?}");
        served.create(&topic, 1).await.unwrap();
        let partition = served.partition(&topic).await;
        let produced = partition.produce(records(), compression);
        let offsets = within("a produce", produced).await.unwrap();
        assert_eq!(offsets, (0..COUNT as i64).collect::<Vec<_>>(), "{topic}");
        assert_eq!(read(&partition, 0).await, records(), "{topic}");
    }
}

#[tokio::test]
async fn rskafka_and_this_process_share_a_topic() {
    let served = served().await;
    served
        .broker
        .create_topic("orders", TopicConfig::new())
        .unwrap();
    let partition = served.partition("orders").await;
    let produced = partition.produce(records(), Compression::Zstd);
    within("a produce", produced).await.unwrap();

    let mut consumer = served.broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let batch = consumer.try_poll().unwrap();
    let found = batch
        .iter()
        .map(|record| record.value().map(<[u8]>::to_vec));
    let found: Vec<_> = found.collect();
    let sent: Vec<_> = records().into_iter().map(|record| record.value).collect();
    assert_eq!(found, sent);
}

#[tokio::test]
async fn rskafka_seeks_by_offset_and_time_and_deletes_records() {
    let served = served().await;
    served.create("orders", 1).await.unwrap();
    let partition = served.partition("orders").await;
    let produced = partition.produce(records(), Compression::Lz4);
    within("a produce", produced).await.unwrap();
    let offset_at = async |at| within("an offset", partition.get_offset(at)).await.unwrap();

    let at_15 = read(&partition, 15).await;
    assert_eq!(at_15.last(), records().last());
    assert_eq!(offset_at(OffsetAt::Timestamp(time(7))).await, 7);
    let between = time(7) - TimeDelta::milliseconds(3);
    assert_eq!(offset_at(OffsetAt::Timestamp(between)).await, 7);

    within("a delete", partition.delete_records(5, 10_000))
        .await
        .unwrap();
    assert_eq!(offset_at(OffsetAt::Earliest).await, 5);
    assert_eq!(offset_at(OffsetAt::Latest).await, COUNT as i64);
    let fetched = within("a fetch", partition.fetch_records(0, 1..1_000, 1_000)).await;
    assert!(matches!(
        fetched,
        Err(Error::ServerError {
            protocol_error: ProtocolError::OffsetOutOfRange,
            ..
        })
    ));
}

#[tokio::test]
async fn rskafka_creates_lists_and_deletes_topics() {
    let served = served().await;
    served.create("orders", 3).await.unwrap();
    let again = served.create("orders", 3).await;
    assert!(matches!(
        again,
        Err(Error::ServerError {
            protocol_error: ProtocolError::TopicAlreadyExists,
            ..
        })
    ));
    let topics = within("listing", served.client.list_topics())
        .await
        .unwrap();
    assert_eq!(topics.len(), 1);
    assert_eq!(
        (topics[0].name.as_str(), topics[0].partitions.len()),
        ("orders", 3)
    );
    let controller = served.client.controller_client().unwrap();
    let deleted = controller.delete_topic("orders", 10_000);
    within("deleting", deleted).await.unwrap();
    let topics = within("listing", served.client.list_topics())
        .await
        .unwrap();
    assert!(topics.is_empty());
}
