//! Fetch: what is read, from where, how much, and when.

use crate::client::{Client, Served, within};
use crate::requests::{batch, batches, fetch, name, only, records, waiting};
use kafka_protocol::messages::{ApiVersionsRequest, FetchRequest};
use ringlog::{Overflow, Record, TopicConfig};
use std::time::Duration;

/// A server with a topic of two partitions.
async fn served() -> (Served, Client) {
    let served = Served::new().await;
    let config = TopicConfig::new().partitions(2).segment_bytes(4 << 20);
    served.broker.create_topic("orders", config).unwrap();
    let client = served.client();
    (served, client)
}

/// The fetch, of partition 1 as well.
fn of_both(mut request: FetchRequest, offset: i64) -> FetchRequest {
    let partitions = &mut request.topics[0].partitions;
    let second = partitions[0]
        .clone()
        .with_partition(1)
        .with_fetch_offset(offset);
    partitions.push(second);
    request
}

#[tokio::test]
async fn records_are_read_from_the_offset_on() {
    let (_served, mut client) = served().await;
    client.produce("orders", 0, batch(&["a", "b"])).await;
    client.produce("orders", 0, batch(&["c", "d"])).await;
    for (offset, expected) in [(0, "abcd"), (1, "bcd"), (2, "cd"), (3, "d"), (4, "")] {
        let data = only(client.ask(12, &fetch("orders", 0, offset)).await);
        assert_eq!((data.error_code, data.high_watermark), (0, 4));
        let values: String = records(&data).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, expected, "{offset}");
        assert!(data.records.is_some());
    }
}

#[tokio::test]
async fn an_offset_outside_the_log_is_refused_at_once() {
    let (served, mut client) = served().await;
    client.produce("orders", 0, batch(&["a", "b", "c"])).await;
    let topic = served.broker.topic("orders").unwrap();
    topic.delete_records(0, 1).unwrap();
    for offset in [-5, -1, 0, 4, i64::MAX] {
        let data = only(client.ask(12, &waiting(fetch("orders", 0, offset))).await);
        let bounds = (
            data.high_watermark,
            data.last_stable_offset,
            data.log_start_offset,
        );
        assert_eq!((data.error_code, bounds), (1, (-1, -1, -1)), "{offset}");
        assert_eq!(data.records.as_deref(), Some(&[][..]));
    }
}

#[tokio::test]
async fn a_fetch_at_the_end_waits_for_a_record() {
    let (_served, mut client) = served().await;
    let mut producer = _served.client();
    for i in 0..3 {
        client.send(12, &waiting(fetch("orders", 0, i))).await;
        producer.produce("orders", 0, batch(&["login"])).await;
        let data = only(client.receive::<FetchRequest>(12).await);
        assert_eq!(records(&data), [(i, "login".to_owned())]);
    }
}

#[tokio::test]
async fn a_fetch_of_many_partitions_is_woken_by_any() {
    let (_served, mut client) = served().await;
    let mut producer = _served.client();
    client
        .send(12, &waiting(of_both(fetch("orders", 0, 0), 0)))
        .await;
    producer.produce("orders", 1, batch(&["login"])).await;
    let response = client.receive::<FetchRequest>(12).await;
    let partitions = &response.responses[0].partitions;
    assert_eq!(records(&partitions[0]), []);
    assert_eq!(records(&partitions[1]), [(0, "login".to_owned())]);
}

#[tokio::test]
async fn a_fetch_waits_until_there_are_enough_bytes() {
    let (_served, mut client) = served().await;
    let mut producer = _served.client();
    let long = "x".repeat(400);
    let request = waiting(fetch("orders", 0, 0)).with_min_bytes(1_000);
    client.send(12, &request).await;
    for _ in 0..3 {
        producer.produce("orders", 0, batch(&[&long])).await;
    }
    let data = only(client.receive::<FetchRequest>(12).await);
    assert_eq!(records(&data).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_is_answered_when_its_time_is_up() {
    let (_served, mut client) = served().await;
    client.produce("orders", 0, batch(&["login"])).await;
    let before = tokio::time::Instant::now();
    let request = fetch("orders", 0, 0)
        .with_max_wait_ms(700)
        .with_min_bytes(10_000);
    let data = only(client.ask(12, &request).await);
    assert_eq!(records(&data).len(), 1);
    let waited = before.elapsed();
    assert!((700..1_000).contains(&waited.as_millis()), "{waited:?}");
}

#[tokio::test]
async fn an_error_in_one_partition_ends_the_wait() {
    let (_served, mut client) = served().await;
    let request = of_both(waiting(fetch("orders", 0, 0)), 99);
    let response = client.ask(12, &request).await;
    let errors = response.responses[0].partitions.iter();
    assert_eq!(
        errors.map(|data| data.error_code).collect::<Vec<_>>(),
        [0, 1]
    );
}

#[tokio::test]
async fn a_fetch_of_nothing_is_answered_at_once() {
    let (_served, mut client) = served().await;
    let mut request = waiting(fetch("orders", 0, 0));
    request.topics.clear();
    assert!(client.ask(12, &request).await.responses.is_empty());
}

#[tokio::test]
async fn the_first_record_is_returned_whole_and_the_next_within_the_limit() {
    let (served, mut client) = served().await;
    let topic = served.broker.topic("orders").unwrap();
    let mut producer = topic.producer();
    let large = vec![b'x'; 2 << 20];
    for partition in [0, 1] {
        for _ in 0..2 {
            producer
                .send(Record::new(&large).partition(partition))
                .unwrap();
        }
        producer
            .send(Record::new("small").partition(partition))
            .unwrap();
    }
    let request = of_both(fetch("orders", 0, 0), 0).with_max_bytes(1_000);
    let response = client.ask(12, &request).await;
    let partitions = &response.responses[0].partitions;
    assert_eq!(records(&partitions[0]).len(), 1);
    assert_eq!(records(&partitions[1]).len(), 0);

    // Partition 0 is at its end, so partition 1's first record is the response's.
    let mut request = of_both(fetch("orders", 0, 3), 1).with_max_bytes(1_000);
    request.topics[0].partitions[1].partition_max_bytes = 10;
    let response = client.ask(12, &request).await;
    assert_eq!(records(&response.responses[0].partitions[1]).len(), 1);

    // Both have small ones.
    let request = of_both(fetch("orders", 0, 2), 2).with_max_bytes(1_000);
    let response = client.ask(12, &request).await;
    for data in &response.responses[0].partitions {
        assert_eq!(records(data), [(2, "small".to_owned())]);
    }
}

#[tokio::test]
async fn a_client_reads_on_where_a_limit_has_ended_a_fetch() {
    let (_served, mut client) = served().await;
    let values: Vec<String> = (0..5_000).map(|i| format!("value-{i}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    for chunk in values.chunks(700) {
        client.produce("orders", 0, batch(chunk)).await;
    }
    let mut next = 0;
    while next < 5_000 {
        let mut request = fetch("orders", 0, next);
        request.topics[0].partitions[0].partition_max_bytes = 3_000;
        let data = only(client.ask(12, &request).await);
        assert!(data.records.as_ref().unwrap().len() <= 3_000);
        for (offset, value) in records(&data) {
            assert_eq!((offset, value), (next, format!("value-{next}")));
            next += 1;
        }
    }
}

#[tokio::test]
async fn a_claim_that_was_given_up_leaves_a_gap() {
    let (served, mut client) = served().await;
    let topic = served.broker.topic("orders").unwrap();
    let mut producer = topic.producer();
    let to = |value| Record::new(value).partition(0);
    producer.send(to("a")).unwrap();
    drop(
        producer
            .claim(ringlog::Destination::Partition(0), None, 8)
            .unwrap(),
    );
    producer.send(to("b")).unwrap();
    for offset in [0, 1, 2] {
        let data = only(client.ask(12, &fetch("orders", 0, offset)).await);
        let batch = batches(&data).pop().unwrap();
        let header = ringlog_kafka::batch::BatchHeader::read(&batch).unwrap().0;
        let last = header.base_offset + i64::from(header.last_offset_delta);
        assert_eq!(last, 2, "{offset}");
    }
}

#[tokio::test]
async fn a_deleted_topic_ends_the_wait() {
    let (served, mut client) = served().await;
    client.send(12, &waiting(fetch("orders", 0, 0))).await;
    // The fetch waits when the next request of another client was answered twice.
    for _ in 0..2 {
        served.client().ask(0, &ApiVersionsRequest::default()).await;
    }
    served.broker.delete_topic("orders").unwrap();
    let data = only(client.receive::<FetchRequest>(12).await);
    assert_eq!(data.error_code, 3);
}

#[tokio::test]
async fn a_topic_that_was_made_again_has_another_id() {
    let (served, mut client) = served().await;
    let id = client.topic_id("orders").await;
    served.broker.delete_topic("orders").unwrap();
    let config = TopicConfig::new();
    served.broker.create_topic("orders", config).unwrap();
    assert_ne!(client.topic_id("orders").await, id);
    let mut request = fetch("orders", 0, 0);
    request.topics[0].topic = name("");
    request.topics[0].topic_id = id;
    let data = only(client.ask(13, &request).await);
    assert_eq!(data.error_code, 100);
}

#[tokio::test]
async fn a_leader_epoch_that_never_was_is_refused() {
    let (_served, mut client) = served().await;
    for (epoch, error) in [(-1, 0), (0, 0), (1, 75)] {
        let mut request = fetch("orders", 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        let data = only(client.ask(12, &request).await);
        assert_eq!(data.error_code, error, "{epoch}");
    }
}

#[tokio::test]
async fn a_session_that_is_not_there_is_refused() {
    let (_served, mut client) = served().await;
    // With these epochs a fetch is full, whatever session it names.
    let full = [(0, -1, 0), (0, 0, 0), (7, -1, 0), (7, 0, 0)];
    for (id, epoch, error) in full.into_iter().chain([(7, 1, 70), (0, 3, 70)]) {
        let request = fetch("orders", 0, 0)
            .with_session_id(id)
            .with_session_epoch(epoch);
        let response = client.ask(12, &request).await;
        assert_eq!(response.error_code, error, "{id} {epoch}");
        assert_eq!(response.session_id, 0);
    }
}

#[tokio::test]
async fn a_reader_that_is_lapped_is_out_of_range() {
    let served = Served::new().await;
    let config = TopicConfig::new()
        .segments(2)
        .segment_records(4)
        .overflow(Overflow::DropOldest);
    let topic = served.broker.create_topic("orders", config).unwrap();
    let mut producer = topic.producer();
    let mut client = served.client();
    producer.send(Record::new("login")).unwrap();
    let data = only(client.ask(12, &fetch("orders", 0, 0)).await);
    assert_eq!(records(&data).len(), 1);
    for _ in 0..100 {
        producer.send(Record::new("login")).unwrap();
    }
    let data = only(client.ask(12, &fetch("orders", 0, 1)).await);
    assert_eq!(data.error_code, 1);
    let start = topic.log_start_offset(0).unwrap() as i64;
    let data = only(client.ask(12, &fetch("orders", 0, start)).await);
    assert_eq!(records(&data).len() as i64, 101 - start);
}

#[tokio::test]
async fn a_client_that_waits_holds_nothing_back() {
    let served = Served::new().await;
    let config = TopicConfig::new()
        .segments(2)
        .segment_records(1)
        .overflow(Overflow::Backpressure);
    let topic = served.broker.create_topic("orders", config).unwrap();
    let mut client = served.client();
    client.ask(12, &fetch("orders", 0, 0)).await;
    let mut producer = topic.producer();
    for _ in 0..100 {
        producer.try_send(Record::new("login")).unwrap();
    }
}

#[tokio::test]
async fn a_client_that_goes_while_it_waits_ends_its_connection() {
    let (served, _) = served().await;
    let (stream, served_end) = tokio::io::duplex(1024);
    let serving = tokio::spawn(served.server.serve(served_end));
    let mut client = served.client();
    client.stream = stream;
    client.send(12, &waiting(fetch("orders", 0, 0))).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    drop(client);
    within("the end of the connection", serving).await.unwrap();
}

#[tokio::test]
async fn a_partition_that_a_fetch_names_twice_is_read_once() {
    let (_served, mut client) = served().await;
    client.produce("orders", 0, batch(&["a"])).await;
    let mut request = fetch("orders", 0, 0);
    let topic = request.topics[0].clone();
    request.topics.push(topic);
    let response = client.ask(12, &request).await;
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    let found = partitions.map(|p| (p.error_code, records(p).len()));
    assert_eq!(found.collect::<Vec<_>>(), [(0, 1), (42, 0)]);
}
