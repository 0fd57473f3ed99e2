//! Produce: what is appended, and what is refused.

use crate::client::{Served, within};
use crate::requests::{batch, batches, compressed, fetch, idempotent, only, produce, records};
use bytes::Bytes;
use kafka_protocol::messages::{ApiVersionsRequest, InitProducerIdRequest, ProduceRequest};
use ringlog::{ConsumerConfig, Overflow, Record, TopicConfig};
use ringlog_kafka::batch::{Codec, RecordFields, encode};
use ringlog_kafka::{Server, ServerLimits};
use std::time::Duration;

/// The batch with another byte, and its checksum as it was.
fn flipped(batch: &Bytes) -> Bytes {
    let mut bytes = batch.to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    bytes.into()
}

#[tokio::test]
async fn every_codec_is_read() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    for codec in Codec::ALL {
        let sent = compressed(&["login", "order"], codec);
        let answer = client.produce("orders", 0, sent).await;
        assert_eq!(answer.error_code, 0, "{codec}");
    }
    let data = only(client.ask(12, &fetch("orders", 0, 0)).await);
    let expected = (0..10).map(|i| (i, ["login", "order"][i as usize % 2].to_owned()));
    assert_eq!(records(&data), expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn batches_that_are_not_well_formed_are_refused_by_name() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let good = batch(&["login", "order"]);
    let with_magic = |magic| {
        let mut bytes = good.to_vec();
        bytes[16] = magic;
        Bytes::from(bytes)
    };
    for (what, bytes, error) in [
        ("empty", Bytes::new(), 87),
        ("two batches", [&good[..], &good[..]].concat().into(), 87),
        ("a cut batch", good.slice(..good.len() - 1), 87),
        ("a bad checksum", flipped(&good), 2),
        ("an old format", with_magic(1), 87),
        ("no format", with_magic(3), 2),
    ] {
        let answer = client.produce("orders", 0, bytes).await;
        assert_eq!(answer.error_code, error, "{what}");
        assert_eq!(answer.base_offset, -1);
        assert!(answer.error_message.is_some());
    }
    assert_eq!(
        served.broker.topic("orders").unwrap().log_end_offset(0),
        Ok(0)
    );
}

#[tokio::test]
async fn one_bad_partition_does_not_hold_up_the_others() {
    let served = Served::new().await;
    let config = TopicConfig::new().partitions(3);
    served.broker.create_topic("orders", config).unwrap();
    let mut request = produce("orders", 0, batch(&["login"]));
    let good = request.topic_data[0].partition_data[0].clone();
    let partitions = &mut request.topic_data[0].partition_data;
    partitions.push(good.clone().with_index(1).with_records(Some(Bytes::new())));
    partitions.push(good.clone().with_index(2));
    partitions.push(good.with_index(3));
    let response = served.client().ask(9, &request).await;
    let answers = response.responses[0].partition_responses.iter();
    let answers: Vec<_> = answers.map(|a| (a.index, a.error_code)).collect();
    assert_eq!(answers, [(0, 0), (1, 87), (2, 0), (3, 3)]);
}

#[tokio::test]
async fn acks_of_another_number_are_refused() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let request = produce("orders", 0, batch(&["login"])).with_acks(2);
    let response = client.ask(9, &request).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 21);
    assert_eq!(
        served.broker.topic("orders").unwrap().log_end_offset(0),
        Ok(0)
    );
}

#[tokio::test]
async fn a_client_that_wants_no_answer_gets_none_and_is_closed_for_an_error() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let request = produce("orders", 0, batch(&["login"])).with_acks(0);
    client.send(9, &request).await;
    client.send(9, &request).await;
    // The next answer is Metadata's.
    client.metadata("orders").await;
    assert_eq!(
        served.broker.topic("orders").unwrap().log_end_offset(0),
        Ok(2)
    );

    let bad = produce("orders", 0, Bytes::new()).with_acks(0);
    client.send(9, &bad).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn what_a_client_sends_before_it_closes_is_appended() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let request = produce("orders", 0, batch(&["login"])).with_acks(0);
    for _ in 0..100 {
        client.send(9, &request).await;
    }
    drop(client);
    let topic = served.broker.topic("orders").unwrap();
    within("the appends", async {
        while topic.log_end_offset(0) != Ok(100) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_batch_above_the_limit_is_refused() {
    let mut limits = ServerLimits::default();
    limits.batch_bytes = 1_000;
    limits.decompressed_bytes = 10_000;
    let served = Served::with(Server::builder().limits(limits)).await;
    let mut client = served.client();
    client.metadata("orders").await;
    let long = "x".repeat(2_000);
    let bomb = "x".repeat(20_000);
    for (records, codec, error) in [
        (&[&long[..]][..], Codec::None, 10),
        (&[&long[..]], Codec::Zstd, 0),
        (&[&bomb[..]], Codec::Zstd, 10),
    ] {
        let answer = client
            .produce("orders", 0, compressed(records, codec))
            .await;
        assert_eq!(
            answer.error_code, error,
            "{codec} {:?}",
            answer.error_message
        );
    }
}

#[tokio::test]
async fn a_batch_that_no_segment_holds_is_refused() {
    let served = Served::new().await;
    let config = TopicConfig::new().segment_records(2);
    served.broker.create_topic("orders", config).unwrap();
    let answer = served
        .client()
        .produce("orders", 0, batch(&["a", "b", "c"]))
        .await;
    assert_eq!(answer.error_code, 10);
    // Refused before the core has seen it.
    let reason = "the batch has 3 records, but a segment holds 2";
    assert_eq!(answer.error_message.as_deref(), Some(reason));
    assert_eq!(
        served.broker.topic("orders").unwrap().log_end_offset(0),
        Ok(0)
    );
}

#[tokio::test]
async fn zstd_is_refused_in_versions_that_have_no_name_for_it() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let request = produce("orders", 0, compressed(&["login"], Codec::Zstd));
    for (version, error) in [(6, 76), (7, 0)] {
        let response = client.ask(version, &request).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, error, "v{version}");
    }
}

#[tokio::test]
async fn transactions_are_refused_at_once() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let id = kafka_protocol::protocol::StrBytes::from_static_str("t").into();
    let request = produce("orders", 0, batch(&["login"])).with_transactional_id(Some(id));
    let response = client.ask(9, &request).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 53);

    let mut transactional = batch(&["login"]).to_vec();
    transactional[22] |= 1 << 4;
    let checksum = crc32c::crc32c(&transactional[21..]);
    transactional[17..21].copy_from_slice(&checksum.to_be_bytes());
    let answer = client.produce("orders", 0, transactional.into()).await;
    assert_eq!(answer.error_code, 53);
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_appended_once() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    let id = client.ask(4, &request).await.producer_id.0;

    let first = idempotent(id, 0, 0, &["a", "b"]);
    let second = idempotent(id, 0, 2, &["c"]);
    for (batch, error, offset) in [
        (first.clone(), 0, 0),
        (second.clone(), 0, 2),
        (first, 0, 0),
        (second, 0, 2),
        (idempotent(id, 0, 4, &["gap"]), 45, -1),
        (idempotent(id, 1, 0, &["d"]), 0, 3),
        (idempotent(id, 0, 3, &["old"]), 47, -1),
    ] {
        let answer = client.produce("orders", 0, batch).await;
        assert_eq!((answer.error_code, answer.base_offset), (error, offset));
    }
    assert_eq!(
        served.broker.topic("orders").unwrap().log_end_offset(0),
        Ok(4)
    );
}

#[tokio::test]
async fn two_servers_begin_with_different_producer_ids() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        let answer = Served::new().await.client().ask(4, &request).await;
        ids.push(answer.producer_id.0);
    }
    assert!(ids[0] != ids[1] && ids.iter().all(|id| *id >= 0), "{ids:?}");
}

/// A topic of one partition without room, and the consumer that it waits for.
fn full_topic(served: &Served) -> (ringlog::Topic, ringlog::Consumer) {
    let config = TopicConfig::new()
        .segments(2)
        .segment_records(1)
        .overflow(Overflow::Backpressure);
    let topic = served.broker.create_topic("orders", config).unwrap();
    let mut consumer = served.broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let mut producer = topic.producer();
    while producer.try_send(Record::new("full")).is_ok() {}
    (topic, consumer)
}

#[tokio::test]
async fn a_client_that_reads_no_answers_holds_up_no_other_producer() {
    let served = Served::new().await;
    let (_topic, mut consumer) = full_topic(&served);

    // The answers to these take more than the stream holds. All requests arrive in one piece.
    let (stream, served_end) = tokio::io::duplex(512);
    tokio::spawn(served.server.serve(served_end));
    let mut silent = served.client();
    silent.stream = stream;
    for _ in 0..10 {
        silent.send(0, &ApiVersionsRequest::default()).await;
    }
    let hurried = produce("orders", 0, idempotent(1, 0, 0, &["a"])).with_timeout_ms(100);
    silent.send(9, &hurried).await;
    // Until it waits for room, with the partition's sequences locked.
    tokio::time::sleep(Duration::from_millis(20)).await;

    let mut client = served.client();
    let request = produce("orders", 0, idempotent(2, 0, 0, &["b"]));
    client.send(9, &request).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    while !consumer.poll(Duration::from_millis(10)).unwrap().is_empty() {}
    let response = client.receive::<ProduceRequest>(9).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}

#[tokio::test]
async fn a_batch_waits_for_the_one_before_it_no_longer_than_its_time() {
    let served = Served::new().await;
    let (_topic, mut consumer) = full_topic(&served);
    let mut patient = served.client();
    let request = produce("orders", 0, idempotent(1, 0, 0, &["a"])).with_timeout_ms(600_000);
    patient.send(9, &request).await;
    // Until it waits for room, with the partition's sequences locked.
    tokio::time::sleep(Duration::from_millis(20)).await;

    let mut client = served.client();
    for sequence in [0, 1] {
        let batch = idempotent(2, 0, sequence, &["b"]);
        let request = produce("orders", 0, batch).with_timeout_ms(1);
        let response = client.ask(9, &request).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 7, "{sequence}");
    }
    while !consumer.poll(Duration::from_millis(10)).unwrap().is_empty() {}
    patient.receive::<ProduceRequest>(9).await;
    while !consumer.poll(Duration::from_millis(10)).unwrap().is_empty() {}
    for (sequence, error) in [(1, 45), (0, 0), (1, 0)] {
        let batch = idempotent(2, 0, sequence, &["b"]);
        let answer = client.produce("orders", 0, batch).await;
        assert_eq!(answer.error_code, error, "{sequence}");
        while !consumer.poll(Duration::from_millis(10)).unwrap().is_empty() {}
    }
}

#[tokio::test]
async fn a_first_batch_without_room_is_not_overtaken_by_the_second() {
    let served = Served::new().await;
    let (topic, mut consumer) = full_topic(&served);
    let end = topic.log_end_offset(0).unwrap();
    let mut client = served.client();
    let hurried = produce("orders", 0, idempotent(1, 0, 0, &["a"])).with_timeout_ms(1);
    let response = client.ask(9, &hurried).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 7);
    for (sequence, error, offset) in [(1, 45, -1), (0, 0, end as i64), (1, 0, end as i64 + 1)] {
        while !consumer.poll(Duration::from_millis(10)).unwrap().is_empty() {}
        let batch = idempotent(1, 0, sequence, &["a"]);
        let answer = client.produce("orders", 0, batch).await;
        assert_eq!((answer.error_code, answer.base_offset), (error, offset));
    }
}

#[tokio::test]
async fn a_producer_goes_on_in_a_topic_that_was_made_again() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    client
        .produce("orders", 0, idempotent(1, 0, 0, &["a", "b"]))
        .await;
    served.broker.delete_topic("orders").unwrap();
    client.metadata("orders").await;
    let answer = client
        .produce("orders", 0, idempotent(1, 0, 2, &["c"]))
        .await;
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
}

#[tokio::test]
async fn a_batch_waits_for_room_and_is_not_appended_when_its_time_is_up() {
    let served = Served::new().await;
    let config = TopicConfig::new()
        .segments(2)
        .segment_records(1)
        .overflow(Overflow::Backpressure);
    let topic = served.broker.create_topic("orders", config).unwrap();
    let mut consumer = served.broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let mut producer = topic.producer();
    while producer.try_send(Record::new("full")).is_ok() {}
    let end = topic.log_end_offset(0).unwrap();

    let mut client = served.client();
    let hurried = produce("orders", 0, batch(&["login"])).with_timeout_ms(1);
    let response = client.ask(9, &hurried).await;
    assert_eq!(response.responses[0].partition_responses[0].error_code, 7);
    assert_eq!(topic.log_end_offset(0), Ok(end));

    client
        .send(9, &produce("orders", 0, batch(&["login"])))
        .await;
    while !consumer.poll(Duration::from_millis(10)).unwrap().is_empty() {}
    let response = client.receive::<ProduceRequest>(9).await;
    let answer = &response.responses[0].partition_responses[0];
    assert_eq!((answer.error_code, answer.base_offset), (0, end as i64));
}

#[tokio::test]
async fn a_client_that_goes_while_its_batch_waits_leaves_nothing() {
    let served = Served::new().await;
    let config = TopicConfig::new()
        .segments(2)
        .segment_records(1)
        .overflow(Overflow::Backpressure);
    let topic = served.broker.create_topic("orders", config).unwrap();
    let mut consumer = served.broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let mut producer = topic.producer();
    while producer.try_send(Record::new("full")).is_ok() {}
    let end = topic.log_end_offset(0).unwrap();

    let (stream, served_end) = tokio::io::duplex(1024);
    let serving = tokio::spawn(served.server.serve(served_end));
    let mut client = served.client();
    client.stream = stream;
    client
        .send(9, &produce("orders", 0, batch(&["login"])))
        .await;
    drop(client);
    within("the end of the connection", serving).await.unwrap();
    while !consumer.poll(Duration::from_millis(10)).unwrap().is_empty() {}
    assert_eq!(topic.log_end_offset(0), Ok(end));
}

#[tokio::test]
async fn times_that_are_more_than_an_hour_ahead_are_refused() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let now = std::time::SystemTime::now();
    let now = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    let minutes = 60_000;
    for (timestamp, error) in [(now, 0), (now + 50 * minutes, 0), (now + 70 * minutes, 32)] {
        let record = RecordFields {
            timestamp,
            ..RecordFields::default()
        };
        let bytes = encode(&[record], Codec::None).unwrap().into();
        assert_eq!(client.produce("orders", 0, bytes).await.error_code, error);
    }
}

#[tokio::test]
async fn times_before_1970_are_refused() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let record = RecordFields {
        timestamp: -2,
        ..RecordFields::default()
    };
    let bytes = encode(&[record], Codec::None).unwrap().into();
    assert_eq!(client.produce("orders", 0, bytes).await.error_code, 32);
}

#[tokio::test]
async fn a_batch_may_state_a_wrong_maximum_time() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let mut bytes = batch(&["a", "b"]).to_vec();
    bytes[35..43].copy_from_slice(&(-1i64).to_be_bytes());
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    assert_eq!(
        client.produce("orders", 0, bytes.into()).await.error_code,
        0
    );
    let data = only(client.ask(12, &fetch("orders", 0, 0)).await);
    let fetched = batches(&data);
    let max = i64::from_be_bytes(fetched[0][35..43].try_into().unwrap());
    assert_eq!(max, 1_001);
}

#[tokio::test]
async fn an_exclusive_producer_keeps_batches_out() {
    let served = Served::new().await;
    let topic = served
        .broker
        .create_topic("orders", TopicConfig::new())
        .unwrap();
    let mut client = served.client();
    client.metadata("orders").await;
    let exclusive = topic.exclusive_producer().unwrap();
    assert_eq!(
        client.produce("orders", 0, batch(&["a"])).await.error_code,
        44
    );
    drop(exclusive);
    assert_eq!(
        client.produce("orders", 0, batch(&["a"])).await.error_code,
        0
    );
}
