//! Leader epochs: each start begins one, and by them a client finds out that records which it has
//! read are not there any more (KIP-320).

mod damaged;
mod power_cut;

use super::*;
use crate::requests::{batch, batches, fetch, name, only, records};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    CreatePartitionsRequest, DeleteTopicsRequest, DescribeTopicPartitionsRequest,
    ListOffsetsRequest, OffsetForLeaderEpochRequest,
};
use ringlog::Record;
use ringlog_kafka::batch::{BatchHeader, Codec, RecordFields, encode};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

const FENCED: i16 = 74;
const UNKNOWN: i16 = 75;

/// The epoch that Metadata has.
async fn current(client: &mut Client, topic: &str, partition: usize) -> i32 {
    client.metadata(topic).await.partitions[partition].leader_epoch
}

/// The same, of DescribeTopicPartitions.
async fn described(client: &mut Client, topic: &str) -> i32 {
    let topic = TopicRequest::default().with_name(name(topic));
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(vec![topic])
        .with_response_partition_limit(10);
    let response = client.ask(0, &request).await;
    response.topics[0].partitions[0].leader_epoch
}

/// Where an epoch of `orders` ended: the error, the epoch found and its end.
async fn end_of(client: &mut Client, known: i32, epoch: i32) -> (i16, i32, i64) {
    let partition = OffsetForLeaderPartition::default()
        .with_current_leader_epoch(known)
        .with_leader_epoch(epoch);
    let topic = OffsetForLeaderTopic::default()
        .with_topic(name("orders"))
        .with_partitions(vec![partition]);
    let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
    let response = client.ask(4, &request).await;
    let found = &response.topics[0].partitions[0];
    (found.error_code, found.leader_epoch, found.end_offset)
}

/// An offset by its time: the error, the epoch and the offset.
async fn list(client: &mut Client, known: i32, time: i64) -> (i16, i32, i64) {
    let partition = ListOffsetsPartition::default()
        .with_timestamp(time)
        .with_current_leader_epoch(known);
    let topic = ListOffsetsTopic::default()
        .with_name(name("orders"))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    let response = client.ask(7, &request).await;
    let found = &response.topics[0].partitions[0];
    (found.error_code, found.leader_epoch, found.offset)
}

async fn fetched(client: &mut Client, known: i32, offset: i64) -> PartitionData {
    let mut request = fetch("orders", 0, offset);
    request.topics[0].partitions[0].current_leader_epoch = known;
    only(client.ask(12, &request).await)
}

/// What was fetched, as the epoch, the first and the last offset of each batch.
fn spans(data: &PartitionData) -> Vec<(i32, i64, i64)> {
    let spans = batches(data).into_iter().map(|batch| {
        let (header, _) = BatchHeader::read(&batch).unwrap();
        let last = header.base_offset + i64::from(header.last_offset_delta);
        (header.partition_leader_epoch, header.base_offset, last)
    });
    spans.collect()
}

/// Appends records `from..to`: each value is its offset, and its time ten times that.
async fn append(client: &mut Client, from: i64, to: i64) {
    for offset in from..to {
        let value = offset.to_string();
        let record = RecordFields {
            timestamp: 10 * offset,
            value: Some(value.as_bytes()),
            ..RecordFields::default()
        };
        let batch = encode(&[record], Codec::None).unwrap();
        let answer = client.produce("orders", 0, batch.into()).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, offset));
    }
}

#[tokio::test]
async fn each_start_begins_an_epoch_that_all_answers_have() {
    let dir = dir();
    for epoch in 0..5 {
        // Most of the records are behind the ring.
        let builder = Server::builder().topic_config(small_ring());
        let served = serve_with(storage(dir.path()), builder).await;
        let mut client = served.client();
        assert_eq!(current(&mut client, "orders", 0).await, epoch);
        assert_eq!(described(&mut client, "orders").await, epoch);
        let (begin, end) = (100 * i64::from(epoch), 100 * i64::from(epoch) + 100);
        // None of its records is there yet.
        assert_eq!(end_of(&mut client, epoch, epoch).await, (0, epoch, begin));
        assert_eq!(list(&mut client, epoch, LATEST).await, (0, epoch, begin));
        append(&mut client, begin, end).await;

        for one in 0..=epoch {
            let first = 100 * i64::from(one);
            let last = first + 99;
            let found = end_of(&mut client, epoch, one).await;
            assert_eq!(found, (0, one, last + 1));
            for offset in [first, last] {
                let found = list(&mut client, -1, 10 * offset).await;
                assert_eq!(found, (0, one, offset));
            }
        }
        assert_eq!(list(&mut client, epoch, EARLIEST).await, (0, 0, 0));
        assert_eq!(list(&mut client, epoch, LATEST).await, (0, epoch, end));
        let latest = list(&mut client, epoch, MAX_TIMESTAMP).await;
        assert_eq!(latest, (0, epoch, end - 1));
        let none = list(&mut client, epoch, 10 * end).await;
        assert_eq!(none, (0, -1, -1));

        // All batches, from each of some offsets on.
        for from in [0, 50, 99, 100, end - 1] {
            let mut next = from;
            while next < end {
                let data = fetched(&mut client, epoch, next).await;
                let found = spans(&data);
                assert!(!found.is_empty(), "nothing at {next}");
                for (epoch, first, last) in found {
                    assert_eq!(first, next);
                    assert_eq!(i64::from(epoch), first / 100, "at {first}");
                    assert_eq!(i64::from(epoch), last / 100, "up to {last}");
                    next = last + 1;
                }
            }
        }
        stop(served).await;
    }
}

#[tokio::test]
async fn a_client_that_knows_another_epoch_is_refused() {
    let dir = dir();
    let served = serve(dir.path()).await;
    append_and_stop(served, 0, 10).await;
    stop(serve(dir.path()).await).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    for (known, error) in [(-1, 0), (0, FENCED), (1, FENCED), (2, 0), (3, UNKNOWN)] {
        assert_eq!(end_of(&mut client, known, 0).await.0, error, "{known}");
        assert_eq!(list(&mut client, known, LATEST).await.0, error, "{known}");
        let data = fetched(&mut client, known, 0).await;
        assert_eq!(data.error_code, error, "{known}");
        assert_eq!(records(&data).len(), if error == 0 { 10 } else { 0 });
    }
    // Epochs that never were, and one of which there are no records.
    assert_eq!(end_of(&mut client, 2, 3).await, (0, -1, -1));
    assert_eq!(end_of(&mut client, 2, -1).await, (0, -1, -1));
    assert_eq!(end_of(&mut client, 2, 1).await, (0, 0, 10));

    // A fetch is answered the current epoch with the error, and the node.
    let mut request = fetch("", 0, 0);
    request.topics[0].topic_id = client.topic_id("orders").await;
    for (version, known, leader) in [(15, 1, (-1, -1)), (16, 1, (0, 2)), (16, 3, (-1, -1))] {
        request.topics[0].partitions[0].current_leader_epoch = known;
        let response = client.ask(version, &request).await;
        let nodes = response.node_endpoints.iter();
        let nodes: Vec<_> = nodes.map(|node| (node.node_id.0, node.port)).collect();
        let found = &response.responses[0].partitions[0].current_leader;
        assert_eq!((found.leader_id.0, found.leader_epoch), leader);
        let expected = match leader {
            (0, _) => vec![(0, 9092)],
            _ => vec![],
        };
        assert_eq!(nodes, expected);
    }
    stop(served).await;
}

async fn append_and_stop(served: Served, from: i64, to: i64) {
    let mut client = served.client();
    client.metadata("orders").await;
    append(&mut client, from, to).await;
    stop(served).await;
}

#[tokio::test]
async fn a_fetch_behind_records_that_are_gone_is_answered_where_their_epoch_ended() {
    let dir = dir();
    append_and_stop(serve(dir.path()).await, 0, 10).await;
    append_and_stop(serve(dir.path()).await, 10, 20).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    for (offset, last, expected) in [
        (5, 0, Ok((-1, -1))),
        (10, 0, Ok((-1, -1))),
        (11, 0, Ok((0, 10))),
        (20, 1, Ok((-1, -1))),
        (20, 2, Ok((-1, -1))),
        (21, 2, Ok((2, 20))),
        (20, 3, Err(1)),
    ] {
        let found = diverging(&mut client, offset, last).await;
        assert_eq!(found, expected, "{offset} of {last}");
    }
    stop(served).await;
    // Epoch 2 had no records, and some of epoch 1 are deleted.
    let served = serve(dir.path()).await;
    let mut client = served.client();
    let topic = served.broker.topic("orders").unwrap();
    topic.delete_records(0, 15).unwrap();
    for (offset, last, expected) in [
        (5, 0, Err(1)),
        (5, 2, Err(1)),
        (16, 1, Ok((-1, -1))),
        (16, 2, Ok((1, 20))),
    ] {
        let found = diverging(&mut client, offset, last).await;
        assert_eq!(found, expected, "{offset} of {last}");
    }
    stop(served).await;
}

/// What is answered to a fetch that says of which epoch its last record was: where that ended if it does
/// not go on there, or the error.
async fn diverging(client: &mut Client, offset: i64, last: i32) -> Result<(i32, i64), i16> {
    let mut request = fetch("orders", 0, offset);
    request.topics[0].partitions[0].last_fetched_epoch = last;
    let data = only(client.ask(12, &request).await);
    let end = &data.diverging_epoch;
    if end.epoch >= 0 {
        assert_eq!((records(&data).len(), data.high_watermark), (0, 20));
    }
    match data.error_code {
        0 => Ok((end.epoch, end.end_offset)),
        error => Err(error),
    }
}

#[tokio::test]
async fn a_topic_that_is_created_again_has_no_lower_epoch() {
    let dir = dir();
    append_and_stop(serve(dir.path()).await, 0, 10).await;
    stop(serve(dir.path()).await).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    let before = client.topic_id("orders").await;
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name("orders")]);
    client.ask(5, &request).await;
    assert_ne!(client.topic_id("orders").await, before);
    assert_eq!(current(&mut client, "orders", 0).await, 2);
    append(&mut client, 0, 3).await;
    assert_eq!(spans(&fetched(&mut client, 2, 0).await), [(2, 0, 2)]);
    // All that was read of the other one is gone.
    assert_eq!(end_of(&mut client, 2, 1).await, (0, 1, 0));
    stop(served).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    assert_eq!(spans(&fetched(&mut client, 3, 0).await), [(2, 0, 2)]);
    assert_eq!(end_of(&mut client, 3, 2).await, (0, 2, 3));
    stop(served).await;
}

#[tokio::test]
async fn partitions_that_are_added_begin_in_the_current_epoch() {
    let dir = dir();
    stop(serve(dir.path()).await).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    client.metadata("orders").await;
    let topic = CreatePartitionsTopic::default()
        .with_name(name("orders"))
        .with_count(2)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(1000);
    assert_eq!(client.ask(3, &request).await.results[0].error_code, 0);
    assert_eq!(current(&mut client, "orders", 1).await, 1);
    client.produce("orders", 1, batch(&["a"])).await;
    stop(served).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    assert_eq!(current(&mut client, "orders", 1).await, 2);
    client.produce("orders", 1, batch(&["b"])).await;
    let data = only(client.ask(12, &fetch("orders", 1, 0)).await);
    assert_eq!(spans(&data), [(1, 0, 0), (2, 1, 1)]);
    stop(served).await;
}

#[tokio::test]
async fn a_topic_in_memory_of_a_durable_broker_has_the_epoch_too() {
    let dir = dir();
    let mut read = None;
    for epoch in 0..3 {
        let served = serve(dir.path()).await;
        let config = TopicConfig::new().in_memory();
        served.broker.create_topic("orders", config).unwrap();
        let mut client = served.client();
        if let Some(epoch) = read {
            // All records of the last run are gone.
            assert_eq!(end_of(&mut client, -1, epoch).await, (0, epoch, 0));
        }
        append(&mut client, 0, 3).await;
        assert_eq!(
            spans(&fetched(&mut client, epoch, 0).await),
            [(epoch, 0, 2)]
        );
        read = Some(epoch);
        stop(served).await;
    }
}

#[tokio::test]
async fn a_topic_with_records_of_before_the_first_server_is_served() {
    let dir = dir();
    {
        let (broker, _) = Broker::open(storage(dir.path())).unwrap();
        let topic = broker.create_topic("orders", TopicConfig::new()).unwrap();
        topic.producer().send(Record::new("0")).unwrap();
        broker.storage().unwrap().close().unwrap();
    }
    // There may have been a server whose state is lost: no client may have seen a later epoch.
    let served = serve(dir.path()).await;
    let mut client = served.client();
    let epoch = current(&mut client, "orders", 0).await;
    assert!(epoch > 0);
    append(&mut client, 1, 2).await;
    let data = fetched(&mut client, epoch, 0).await;
    assert_eq!(spans(&data), [(0, 0, 0), (epoch, 1, 1)]);
    stop(served).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    assert_eq!(current(&mut client, "orders", 0).await, epoch + 1);
    assert_eq!(end_of(&mut client, -1, epoch).await, (0, epoch, 2));
    stop(served).await;
}

#[tokio::test]
async fn a_topic_begins_in_the_current_epoch_when_it_is_created() {
    let dir = dir();
    stop(serve(dir.path()).await).await;
    let served = serve(dir.path()).await;
    let mut client = served.client();
    restart::create(&mut client, "orders", &[]).await;
    append(&mut client, 0, 1).await;
    assert_eq!(spans(&fetched(&mut client, 1, 0).await), [(1, 0, 0)]);
    stop(served).await;
}
