//! When batches are acknowledged.

use super::*;
use crate::requests::{batch, idempotent, produce};
use kafka_protocol::messages::MetadataRequest;
use ringlog::{Flush, Topic};
use ringlog_kafka::AckLevel;

/// A storage that syncs only when it is asked to.
fn unsynced(dir: &Path) -> StorageConfig {
    storage(dir).flush(Flush::Manual)
}

async fn sent(client: &mut Client, acks: i16, records: bytes::Bytes) -> i16 {
    let request = produce("orders", 0, records).with_acks(acks);
    let response = client.ask(9, &request).await;
    response.responses[0].partition_responses[0].error_code
}

fn ends(topic: &Topic) -> (u64, u64) {
    (topic.written_end(0).unwrap(), topic.durable_end(0).unwrap())
}

#[tokio::test]
async fn all_is_acknowledged_when_it_is_synced_and_one_without_waiting_for_that() {
    let dir = dir();
    let served = serve_with(unsynced(dir.path()), Server::builder()).await;
    let mut client = served.client();
    client.metadata("orders").await;
    let topic = served.broker.topic("orders").unwrap();
    assert_eq!(sent(&mut client, 1, batch(&["a"])).await, 0);
    assert_eq!(ends(&topic).1, 0);
    assert_eq!(sent(&mut client, -1, batch(&["b"])).await, 0);
    assert_eq!(ends(&topic), (2, 2));
    stop(served).await;
}

#[tokio::test]
async fn the_levels_can_be_configured() {
    for (one, all) in [
        (AckLevel::Durable, AckLevel::Memory),
        (AckLevel::Written, AckLevel::Durable),
        (AckLevel::Memory, AckLevel::Written),
    ] {
        let dir = dir();
        let builder = Server::builder().acks_one(one).acks_all(all);
        let served = serve_with(unsynced(dir.path()), builder).await;
        let mut client = served.client();
        client.metadata("orders").await;
        let topic = served.broker.topic("orders").unwrap();
        let mut durable = 0;
        for (number, (acks, level)) in [(1, one), (-1, all), (1, one), (-1, all)]
            .into_iter()
            .enumerate()
        {
            let end = number as u64 + 1;
            assert_eq!(sent(&mut client, acks, batch(&["a"])).await, 0);
            let (written_end, durable_end) = ends(&topic);
            match level {
                AckLevel::Durable => durable = end,
                AckLevel::Written => assert_eq!(written_end, end),
                _ => {}
            }
            assert_eq!(durable_end, durable, "{level:?}");
        }
        stop(served).await;
    }
}

#[tokio::test]
async fn a_batch_that_is_sent_again_is_acknowledged_when_the_first_one_is_stored() {
    let dir = dir();
    let builder = Server::builder().acks_one(AckLevel::Memory);
    let served = serve_with(unsynced(dir.path()), builder).await;
    let mut client = served.client();
    client.metadata("orders").await;
    let topic = served.broker.topic("orders").unwrap();
    let once = idempotent(7, 0, 0, &["a", "b"]);
    assert_eq!(sent(&mut client, 1, once.clone()).await, 0);
    assert_eq!(ends(&topic).1, 0);
    assert_eq!(sent(&mut client, -1, once).await, 0);
    assert_eq!((ends(&topic), topic.log_end_offset(0)), ((2, 2), Ok(2)));
    stop(served).await;
}

#[tokio::test]
async fn answers_that_wait_for_the_disk_come_in_the_order_of_their_requests() {
    use bytes::Buf;
    let dir = dir();
    let served = serve_with(unsynced(dir.path()), Server::builder()).await;
    let mut client = served.client();
    client.metadata("orders").await;
    let topic = served.broker.topic("orders").unwrap();
    let mut sent = 1;
    let mut answered = 1;
    for round in 0..20u64 {
        // More than may wait, of all kinds, with other requests among them.
        for number in 0..40 {
            let once = idempotent(7 + round as i64, 0, number, &["a"]);
            let request = match number % 7 {
                // Refused at once.
                3 => produce("orders", 5, batch(&["b"])),
                5 => produce("orders", 0, once).with_acks(1),
                _ => produce("orders", 0, once),
            };
            client.send(9, &request).await;
            sent += 1;
            if number == 20 || number == 33 {
                client
                    .send(12, &MetadataRequest::default().with_topics(None))
                    .await;
                sent += 1;
            }
            // What is not read yet must fit the stream.
            while sent - answered >= 35 {
                let mut frame = client.receive_frame("an answer").await.unwrap();
                answered += 1;
                assert_eq!(frame.get_i32(), answered);
            }
        }
    }
    while answered < sent {
        let mut frame = client.receive_frame("an answer").await.unwrap();
        answered += 1;
        assert_eq!(frame.get_i32(), answered);
    }
    // The requests that were refused have broken their producers' sequences.
    assert_eq!(topic.log_end_offset(0), Ok(20 * 3));
    stop(served).await;
}

#[tokio::test]
async fn answers_that_wait_for_the_disk_do_not_wait_for_the_next_request() {
    let dir = dir();
    // However long that is looked for.
    let builder = Server::builder().busy_poll(std::time::Duration::MAX);
    let served = serve_with(unsynced(dir.path()), builder).await;
    let mut client = served.client();
    client.metadata("orders").await;
    for _ in 0..3 {
        assert_eq!(sent(&mut client, -1, batch(&["a"])).await, 0);
    }
    stop(served).await;
}

#[tokio::test]
async fn a_batch_that_cannot_be_stored_is_a_storage_error() {
    let dir = dir();
    let served = serve(dir.path()).await;
    let mut client = served.client();
    client.metadata("orders").await;
    assert_eq!(sent(&mut client, -1, batch(&["a"])).await, 0);
    // As after a fault: nothing more is stored.
    served.broker.storage().unwrap().close().unwrap();
    assert_eq!(sent(&mut client, -1, batch(&["b"])).await, 56);
    let builder = Server::builder()
        .state_dir("second")
        .acks_all(AckLevel::Written);
    let second = builder.bind(&served.broker).await.unwrap();
    let (stream, end) = tokio::io::duplex(1 << 16);
    tokio::spawn(second.serve(end));
    let mut client = Client::over(stream);
    assert_eq!(sent(&mut client, -1, batch(&["c"])).await, 56);
}

#[tokio::test]
async fn a_batch_that_is_not_stored_in_time_is_answered_so() {
    let dir = dir();
    let served = serve(dir.path()).await;
    let mut client = served.client();
    client.metadata("orders").await;
    let topic = served.broker.topic("orders").unwrap();
    // The disk may be faster than no time at all, but not always.
    for end in 1.. {
        let request = produce("orders", 0, batch(&["a"])).with_timeout_ms(0);
        let response = client.ask(9, &request).await;
        let answer = &response.responses[0].partition_responses[0];
        // It is there all the same.
        assert_eq!(topic.log_end_offset(0), Ok(end));
        if answer.error_code == 7 {
            break;
        }
        assert_eq!(answer.error_code, 0);
    }
    stop(served).await;
}

#[tokio::test]
async fn topics_in_memory_are_acknowledged_as_before() {
    let dir = dir();
    let served = serve(dir.path()).await;
    let config = TopicConfig::new().in_memory();
    served.broker.create_topic("orders", config).unwrap();
    served.broker.storage().unwrap().close().unwrap();
    let mut client = served.client();
    for acks in [1, -1] {
        assert_eq!(sent(&mut client, acks, batch(&["a"])).await, 0);
        assert_eq!(
            sent(&mut client, acks, idempotent(7, 0, 0, &["a"])).await,
            0
        );
    }
}
