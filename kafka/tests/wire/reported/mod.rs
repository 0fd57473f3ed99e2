//! Cases in which a broker was reported to be wrong, in public threads about several brokers.
//!
//! They run against this server, or against another broker, to see what the right answer is:
//!
//! ```text
//! KAFKA_BOOTSTRAP=127.0.0.1:9092 cargo test -p ringlog-kafka --test wire reported
//! ```
//!
//! Each was seen to pass so against Kafka 4.1.0.

mod groups;

use crate::client::{Client, Served};
use crate::requests::{batch, batches, fetch, idempotent, name, only, produce, records, waiting};
use bytes::{BufMut, Bytes};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ringlog_kafka::Server;
use ringlog_kafka::batch::{Codec, RecordFields, encode};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The broker that is tested.
enum Tested {
    This(Box<Served>),
    At(String),
}

impl Tested {
    async fn new() -> Tested {
        match std::env::var("KAFKA_BOOTSTRAP") {
            Ok(address) => Tested::At(address),
            Err(_) => Tested::This(Box::new(Served::with(Server::builder()).await)),
        }
    }

    async fn client(&self) -> Client {
        match self {
            Tested::This(served) => served.client(),
            Tested::At(address) => {
                let mut socket = TcpStream::connect(address).await.unwrap();
                let (stream, mut end) = tokio::io::duplex(64 * 1024);
                tokio::spawn(async move {
                    let _ = tokio::io::copy_bidirectional(&mut end, &mut socket).await;
                });
                Client::over(stream)
            }
        }
    }
}

/// A name that no other test, and no other run, has.
fn new_name() -> String {
    let number: [u8; 16] = std::array::from_fn(|_| {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(Instant::now()) as u8
    });
    format!("reported-{}", Uuid::from_bytes(number))
}

fn creatable(topic: &str, partitions: i32) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
}

/// Creates a topic, which can be used when this returns.
async fn create(client: &mut Client, topic: CreatableTopic) {
    let name = topic.name.as_str().to_owned();
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(30_000);
    let created = client.ask(7, &request).await.topics.remove(0);
    assert_eq!(created.error_code, 0, "{:?}", created.error_message);
    loop {
        let topic = client.metadata(&name).await;
        let mut partitions = topic.partitions.iter();
        if topic.error_code == 0 && partitions.all(|p| p.error_code == 0 && p.leader_id.0 >= 0) {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A topic of a new name.
async fn topic(client: &mut Client, partitions: i32) -> String {
    let topic = new_name();
    create(client, creatable(&topic, partitions)).await;
    topic
}

/// Sends a batch, which is appended.
async fn append(client: &mut Client, topic: &str, batch: Bytes) -> i64 {
    let answer = client.produce(topic, 0, batch).await;
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    answer.base_offset
}

/// A batch of records with these times.
fn timed(times: &[i64]) -> Bytes {
    let records = times.iter().map(|time| RecordFields {
        timestamp: *time,
        value: Some(b"login"),
        ..RecordFields::default()
    });
    let records: Vec<_> = records.collect();
    encode(&records, Codec::None).unwrap().into()
}

/// The batch with other bytes at a place, and the checksum of that.
fn changed(batch: Bytes, at: usize, bytes: &[u8]) -> Bytes {
    let mut batch = batch.to_vec();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let checksum = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    batch.into()
}

/// What ListOffsets says of a time: the time and the offset that are found.
async fn at_time(client: &mut Client, topic: &str, time: i64) -> (i64, i64) {
    let partition = ListOffsetsPartition::default().with_timestamp(time);
    let topic = ListOffsetsTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(vec![topic]);
    let found = client.ask(7, &request).await.topics[0].partitions[0].clone();
    assert_eq!(found.error_code, 0);
    (found.timestamp, found.offset)
}

#[tokio::test]
async fn a_fetch_within_a_batch_returns_the_records_from_there_on() {
    let tested = Tested::new().await;
    let mut client = tested.client().await;
    let topic = topic(&mut client, 1).await;
    append(&mut client, &topic, batch(&["a", "b"])).await;
    append(&mut client, &topic, batch(&["c", "d"])).await;
    for (offset, expected) in [(1, vec![1, 2, 3]), (3, vec![3])] {
        let data = only(client.ask(12, &fetch(&topic, 0, offset)).await);
        // The first batch may begin before the offset: clients leave the records before it out.
        let found = records(&data).into_iter().map(|(offset, _)| offset);
        let found: Vec<_> = found.filter(|found| *found >= offset).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_time_finds_the_first_record_at_or_after_it() {
    let tested = Tested::new().await;
    let mut client = tested.client().await;
    let rising = [2, 4, 6, 8];
    // Of `backwards`, the first record in the order of the offsets counts.
    let backwards = [8, 2, 6, 4];
    for times in [rising, backwards] {
        for in_one_batch in [true, false] {
            let topic = topic(&mut client, 1).await;
            match in_one_batch {
                true => drop(append(&mut client, &topic, timed(&times)).await),
                false => {
                    for time in times {
                        append(&mut client, &topic, timed(&[time])).await;
                    }
                }
            }
            for asked in 2..=9 {
                let found = times.iter().position(|time| *time >= asked);
                let expected = found.map_or((-1, -1), |i| (times[i], i as i64));
                let found = at_time(&mut client, &topic, asked).await;
                assert_eq!(found, expected, "{times:?} {in_one_batch} {asked}");
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_partition_is_answered_at_once_beside_one_that_waits() {
    let tested = Tested::new().await;
    let mut client = tested.client().await;
    let topic = topic(&mut client, 1).await;
    let mut request = fetch(&topic, 0, 0)
        .with_max_wait_ms(2_000)
        .with_min_bytes(1);
    let partitions = &mut request.topics[0].partitions;
    partitions.push(partitions[0].clone().with_partition(7));
    let begun = Instant::now();
    let response = client.ask(12, &request).await;
    // Kafka 4.1 waits although there is an error, so its clients learn of it late.
    if let Tested::This(_) = tested {
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    let mut errors: Vec<_> = response.responses[0]
        .partitions
        .iter()
        .map(|p| (p.partition_index, p.error_code))
        .collect();
    errors.sort_unstable();
    assert_eq!(errors, [(0, 0), (7, 3)]);
}

#[tokio::test]
async fn the_leader_epoch_of_a_batch_is_the_brokers() {
    let tested = Tested::new().await;
    let mut client = tested.client().await;
    let topic = topic(&mut client, 1).await;
    for sent in [0i32, -1, 7] {
        // The epoch is before what the checksum is of.
        let sent = changed(batch(&["a"]), 12, &sent.to_be_bytes());
        append(&mut client, &topic, sent).await;
    }
    let data = only(client.ask(12, &fetch(&topic, 0, 0)).await);
    for batch in batches(&data) {
        assert_eq!(batch[12..16], [0; 4]);
    }
}

#[tokio::test]
async fn a_producer_and_a_topic_id_do_not_outlive_a_topic() {
    let tested = Tested::new().await;
    let mut client = tested.client().await;
    let topic = topic(&mut client, 1).await;
    let old_id = client.topic_id(&topic).await;
    let init = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000);
    let producer = client.ask(4, &init).await.producer_id.0;
    append(&mut client, &topic, idempotent(producer, 0, 0, &["a", "b"])).await;

    let state = DeleteTopicState::default().with_name(Some(name(&topic)));
    let delete = DeleteTopicsRequest::default()
        .with_topics(vec![state])
        .with_timeout_ms(30_000);
    assert_eq!(client.ask(6, &delete).await.responses[0].error_code, 0);
    create(&mut client, creatable(&topic, 1)).await;
    let goes_on = idempotent(producer, 0, 2, &["c"]);
    // Another broker may still delete the files of the old topic.
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = client.produce(&topic, 0, goes_on.clone()).await;
        if answer.error_code == 0 || Instant::now() > deadline {
            assert_eq!((answer.error_code, answer.base_offset), (0, 0));
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }

    let partition = FetchPartition::default().with_partition_max_bytes(1 << 20);
    let by_old_id = FetchTopic::default()
        .with_topic_id(old_id)
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_bytes(1 << 20)
        .with_topics(vec![by_old_id]);
    let data = only(client.ask(13, &request).await);
    assert_eq!(data.error_code, 100);
}

#[tokio::test]
async fn a_fetch_past_the_end_is_refused_and_one_at_the_end_waits() {
    let tested = Tested::new().await;
    let mut client = tested.client().await;
    let topic = topic(&mut client, 1).await;
    append(&mut client, &topic, batch(&["a"])).await;
    let data = only(client.ask(12, &waiting(fetch(&topic, 0, 2))).await);
    assert_eq!(data.error_code, 1);
    client.send(12, &waiting(fetch(&topic, 0, 1))).await;
    append(&mut tested.client().await, &topic, batch(&["b"])).await;
    let data = only(client.receive::<FetchRequest>(12).await);
    assert_eq!(records(&data), [(1, "b".to_owned())]);
}

#[tokio::test]
async fn a_batch_without_a_maximum_time_is_found_by_its_true_one() {
    let tested = Tested::new().await;
    let mut client = tested.client().await;
    let topic = topic(&mut client, 1).await;
    let sent = changed(timed(&[100, 300, 200]), 35, &(-1i64).to_be_bytes());
    append(&mut client, &topic, sent).await;
    append(&mut client, &topic, timed(&[50])).await;
    assert_eq!(at_time(&mut client, &topic, 250).await, (300, 1));
    assert_eq!(at_time(&mut client, &topic, 301).await, (-1, -1));
    let maximum = -3;
    assert_eq!(at_time(&mut client, &topic, maximum).await, (300, 1));
}

#[tokio::test]
async fn a_record_above_the_limit_of_a_fetch_is_returned_and_nothing_beside_it() {
    let tested = Tested::new().await;
    let mut client = tested.client().await;
    let topic = new_name();
    let limit = CreatableTopicConfig::default()
        .with_name(text("max.message.bytes"))
        .with_value(Some(text("3000000")));
    create(&mut client, creatable(&topic, 2).with_configs(vec![limit])).await;
    let long = "x".repeat(2 << 20);
    append(&mut client, &topic, batch(&[&long])).await;
    let second = client.ask(9, &produce(&topic, 1, batch(&["short"]))).await;
    assert_eq!(second.responses[0].partition_responses[0].error_code, 0);
    let mut request = fetch(&topic, 0, 0).with_max_bytes(1000);
    let partitions = &mut request.topics[0].partitions;
    partitions.push(partitions[0].clone().with_partition(1));
    let response = client.ask(12, &request).await;
    let partitions = &response.responses[0].partitions;
    let lengths = partitions.iter().map(|p| records(p).len());
    assert_eq!(lengths.collect::<Vec<_>>(), [1, 0]);
    assert_eq!(records(&partitions[0])[0].1.len(), long.len());
}

#[tokio::test]
async fn a_created_topic_is_described_in_the_answer_and_named_once() {
    let tested = Tested::new().await;
    let mut client = tested.client().await;
    let topic = new_name();
    let config = CreatableTopicConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("60000")));
    let request = CreateTopicsRequest::default()
        .with_topics(vec![creatable(&topic, 2).with_configs(vec![config])])
        .with_timeout_ms(30_000);
    let created = client.ask(5, &request).await.topics;
    assert_eq!((created.len(), created[0].error_code), (1, 0));
    assert_eq!(created[0].num_partitions, 2);
    let in_answer: Vec<_> = created[0].configs.iter().flatten().collect();
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(&topic))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let mut described = client.ask(4, &request).await.results;
    while described[0].error_code == 3 {
        // Another broker may not know of it yet.
        sleep(Duration::from_millis(50)).await;
        described = client.ask(4, &request).await.results;
    }
    assert_eq!(described.len(), 1);
    let described = &described[0].configs;
    assert_eq!(in_answer.len(), described.len());
    assert!(described.len() > 30);
    for config in described {
        let is_given = &*config.name == "retention.ms";
        assert_eq!(config.config_source == 1, is_given, "{config:?}");
        let same = in_answer.iter().find(|c| c.name == config.name).unwrap();
        assert_eq!(same.value, config.value);
        assert_eq!(same.config_source, config.config_source);
    }
    let more = create_partitions_request::CreatePartitionsTopic::default()
        .with_name(name(&topic))
        .with_count(3)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![more])
        .with_timeout_ms(30_000);
    let added = client.ask(3, &request).await.results;
    assert_eq!((added.len(), added[0].error_code), (1, 0));
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let tested = Tested::new().await;
    let mut client = tested.client().await;
    // Kafka 4.1 takes a header without tagged fields for malformed. Clients of old send one.
    let headers = match tested {
        Tested::This(_) => &[false, true][..],
        Tested::At(_) => &[true],
    };
    for has_tags in headers {
        let mut frame = Vec::new();
        frame.put_i16(18);
        frame.put_i16(99);
        frame.put_i32(5);
        frame.put_i16(-1); // no client id
        if *has_tags {
            frame.extend_from_slice(b"\0\x05name\x021\0");
        }
        client.send_frame(&frame).await;
        let answer = client.receive_frame("an answer").await.unwrap();
        // The correlation id, the error 35, and one entry: ApiVersions from 0 to 4.
        let expected = [0, 0, 0, 5, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
        assert_eq!(answer[..], expected, "{has_tags}");
    }
    client.ask(1, &MetadataRequest::default()).await;
}

#[tokio::test]
async fn a_client_that_takes_it_for_kafka_2_8_is_served() {
    let tested = Tested::new().await;
    let mut client = tested.client().await;
    let answer = client.ask(0, &ApiVersionsRequest::default()).await;
    // The highest versions of Kafka 2.8, which such a client sends without asking.
    for (key, version) in [
        (0, 9),
        (1, 12),
        (2, 6),
        (3, 11),
        (8, 8),
        (9, 7),
        (10, 3),
        (11, 7),
        (12, 4),
        (13, 4),
        (14, 5),
        (15, 5),
        (16, 4),
        (18, 3),
        (19, 7),
        (20, 6),
        (21, 2),
        (22, 4),
        (23, 4),
        (32, 4),
        (33, 2),
        (35, 2),
        (37, 3),
        (42, 2),
        (44, 1),
        (47, 0),
        (60, 0),
    ] {
        let mut served = answer.api_keys.iter();
        let served = served.find(|api| api.api_key == key).unwrap();
        let range = served.min_version..=served.max_version;
        assert!(range.contains(&version), "{key}: {range:?}");
    }
}
