//! Idempotent producers over restarts: what was acknowledged is recognised when it is sent again.

use super::*;
use crate::requests::{fetch, idempotent, name, only, records};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DescribeProducersRequest};
use std::time::Duration;

async fn sent(client: &mut Client, batch: bytes::Bytes) -> (i16, i64) {
    let answer = client.produce("orders", 0, batch).await;
    (answer.error_code, answer.base_offset)
}

/// The batch number `number` of producer 7, of two records.
fn numbered(number: i32) -> bytes::Bytes {
    idempotent(7, 0, 2 * number, &["a", "b"])
}

#[tokio::test]
async fn a_batch_that_is_sent_again_after_a_restart_gets_its_old_offset() {
    for crash in [false, true] {
        let mut dir = dir();
        let mut served = serve(dir.path()).await;
        let mut next = 0;
        for round in 0..4 {
            let mut client = served.client();
            client.metadata("orders").await;
            // Between them are batches of others, and the last five are remembered.
            for number in next..next + 7 {
                let offset = i64::from(3 * number);
                assert_eq!(sent(&mut client, numbered(number)).await, (0, offset));
                let other = idempotent(1000 + i64::from(number), 3, 9, &["c"]);
                assert_eq!(sent(&mut client, other).await, (0, offset + 2));
            }
            next += 7;
            if round == 2 {
                // Time for the producers to be stored, so that not all are read from the log.
                tokio::time::sleep(Duration::from_millis(1500)).await;
            }
            let before = served;
            if crash {
                dir = crashed(dir.path());
            }
            stop(before).await;
            served = serve(dir.path()).await;
            let mut client = served.client();
            for number in next - 5..next {
                let again = sent(&mut client, numbered(number)).await;
                assert_eq!(
                    again,
                    (0, i64::from(3 * number)),
                    "{number} in round {round}"
                );
            }
            let older = sent(&mut client, numbered(next - 6)).await;
            assert_eq!(older.0, 45);
            // A gap, and an epoch that has passed.
            assert_eq!(sent(&mut client, numbered(next + 1)).await.0, 45);
            let old = idempotent(1000, 2, 0, &["c"]);
            assert_eq!(sent(&mut client, old).await.0, 47);
            let topic = served.broker.topic("orders").unwrap();
            assert_eq!(topic.log_end_offset(0), Ok(3 * next as u64));
        }
        stop(served).await;
    }
}

#[tokio::test]
async fn producers_are_known_again_although_their_records_were_deleted() {
    let mut dir = dir();
    let served = serve(dir.path()).await;
    let mut client = served.client();
    client.metadata("orders").await;
    for number in 0..3 {
        assert_eq!(sent(&mut client, numbered(number)).await.0, 0);
    }
    let partition = DeleteRecordsPartition::default().with_offset(-1);
    let topic = DeleteRecordsTopic::default()
        .with_name(name("orders"))
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(1000);
    let response = client.ask(2, &request).await;
    assert_eq!(response.topics[0].partitions[0].low_watermark, 6);
    dir = crashed(dir.path());
    stop(served).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    assert_eq!(
        served.broker.topic("orders").unwrap().log_start_offset(0),
        Ok(6)
    );
    assert_eq!(sent(&mut client, numbered(2)).await, (0, 4));
    assert_eq!(sent(&mut client, numbered(4)).await.0, 45);
    assert_eq!(sent(&mut client, numbered(3)).await, (0, 6));
    stop(served).await;
}

#[tokio::test]
async fn a_producer_whose_last_batches_a_program_has_deleted_goes_on() {
    let mut dir = dir();
    let served = serve(dir.path()).await;
    let mut client = served.client();
    client.metadata("orders").await;
    assert_eq!(sent(&mut client, numbered(0)).await.0, 0);
    stop(served).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    for number in 1..3 {
        assert_eq!(sent(&mut client, numbered(number)).await.0, 0);
    }
    // The server does not know of this, and has not stored the batches yet.
    let topic = served.broker.topic("orders").unwrap();
    topic.delete_records(0, 6).unwrap();
    dir = crashed(dir.path());
    stop(served).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    assert_eq!(sent(&mut client, numbered(3)).await, (0, 6));
    assert_eq!(sent(&mut client, numbered(3)).await, (0, 6));
    assert_eq!(sent(&mut client, numbered(5)).await.0, 45);
    stop(served).await;
}

#[tokio::test]
async fn batches_that_were_lost_with_the_machine_are_not_taken_for_appended() {
    let dir = dir();
    let served = serve(dir.path()).await;
    let mut client = served.client();
    client.metadata("orders").await;
    for number in 0..3 {
        assert_eq!(sent(&mut client, numbered(number)).await.0, 0);
    }
    stop(served).await;
    // The log is as it was after the first batch; what is beside it is as it is now.
    let copied = crashed(dir.path());
    let topics = copied.path().join("topics");
    let topic = std::fs::read_dir(topics).unwrap().next().unwrap().unwrap();
    let partition = topic.path().join("p00000");
    for file in std::fs::read_dir(&partition).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    for round in 0..2 {
        let served = serve(copied.path()).await;
        let mut client = served.client();
        let topic = served.broker.topic("orders").unwrap();
        if round == 0 {
            assert_eq!(topic.log_end_offset(0), Ok(0));
            // In the other order than before, so that offsets have other batches.
            assert_eq!(sent(&mut client, numbered(1)).await, (0, 0));
            assert_eq!(sent(&mut client, numbered(2)).await, (0, 2));
        }
        assert_eq!(sent(&mut client, numbered(1)).await, (0, 0));
        assert_eq!(sent(&mut client, numbered(2)).await, (0, 2));
        assert_eq!(topic.log_end_offset(0), Ok(4));
        stop(served).await;
    }
}

#[tokio::test]
async fn producers_are_described_as_they_were() {
    let dir = dir();
    let request = || {
        use kafka_protocol::messages::describe_producers_request::TopicRequest;
        let topic = TopicRequest::default()
            .with_name(name("orders"))
            .with_partition_indexes(vec![0]);
        DescribeProducersRequest::default().with_topics(vec![topic])
    };
    let served = serve(dir.path()).await;
    let mut client = served.client();
    client.metadata("orders").await;
    assert_eq!(sent(&mut client, numbered(0)).await.0, 0);
    assert_eq!(sent(&mut client, idempotent(8, 2, 5, &["c"])).await.0, 0);
    let before = client.ask(0, &request()).await;
    assert_eq!(before.topics[0].partitions[0].active_producers.len(), 2);
    stop(served).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    assert_eq!(client.ask(0, &request()).await, before);
    let data = only(client.ask(12, &fetch("orders", 0, 0)).await);
    let values = records(&data).into_iter().map(|(_, value)| value);
    assert_eq!(values.collect::<Vec<_>>(), ["a", "b", "c"]);
    stop(served).await;
}

#[tokio::test]
async fn what_a_batch_says_of_its_producer_is_not_shown_to_readers() {
    let dir = dir();
    let served = serve(dir.path()).await;
    let mut client = served.client();
    client.metadata("orders").await;
    assert_eq!(sent(&mut client, numbered(0)).await.0, 0);
    let mut consumer = served
        .broker
        .consumer(ringlog::ConsumerConfig::new())
        .unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let batch = consumer.poll(Duration::from_secs(60)).unwrap();
    for record in &batch {
        assert_eq!(record.headers().count(), 0);
        assert_eq!((record.key(), record.value().unwrap().len()), (None, 1));
    }
    drop(consumer);
    stop(served).await;
}
