//! Reading files over the wire: fetches behind the ring, offsets, deleted records, sizes.

use super::*;
use crate::requests::{fetch, name, only, records};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{DeleteRecordsRequest, DescribeLogDirsRequest, ListOffsetsRequest};
use ringlog_kafka::batch::{Codec, RecordFields, encode};

const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
const MAX_TIMESTAMP: i64 = -3;

/// A batch of ten records from `first` on: each value is its offset, and its time ten times that.
fn ten(first: i64) -> bytes::Bytes {
    let values: Vec<String> = (first..first + 10)
        .map(|offset| offset.to_string())
        .collect();
    let records = values
        .iter()
        .zip(first..)
        .map(|(value, offset)| RecordFields {
            timestamp: 10 * offset,
            value: Some(value.as_bytes()),
            ..RecordFields::default()
        });
    let records: Vec<_> = records.collect();
    encode(&records, Codec::None).unwrap().into()
}

/// A server with records `0..count`, of which the ring has the last ones.
async fn filled(dir: &Path, count: i64) -> Served {
    let builder = Server::builder().topic_config(small_ring());
    let served = serve_with(storage(dir), builder).await;
    let mut client = served.client();
    client.metadata("orders").await;
    for first in (0..count).step_by(10) {
        let answer = client.produce("orders", 0, ten(first)).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, first));
    }
    served
}

/// The latest offset, as ListOffsets has it.
async fn latest(client: &mut Client) -> i64 {
    let partition = ListOffsetsPartition::default().with_timestamp(LATEST);
    let topic = ListOffsetsTopic::default()
        .with_name(name("orders"))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    let response = client.ask(7, &request).await;
    response.topics[0].partitions[0].offset
}

#[tokio::test]
async fn clients_read_what_is_written_or_durable_as_configured() {
    use ringlog::{Flush, ReadUpTo, Record};
    for level in [ReadUpTo::Sent, ReadUpTo::Written, ReadUpTo::Durable] {
        let dir = dir();
        let storage = storage(dir.path()).flush(Flush::Manual);
        let served = serve_with(storage, Server::builder().read_up_to(level)).await;
        let mut client = served.client();
        client.metadata("orders").await;
        let topic = served.broker.topic("orders").unwrap();
        for offset in 0..20u64 {
            topic.producer().send(Record::new("a")).unwrap();
            let request = fetch("orders", 0, offset as i64).with_min_bytes(1);
            if level == ReadUpTo::Durable {
                // Not even if it waits.
                let data = only(client.ask(12, &request.clone().with_max_wait_ms(5)).await);
                assert_eq!((records(&data).len(), data.error_code), (0, 0));
                assert_eq!(data.high_watermark, offset as i64);
                assert_eq!(latest(&mut client).await, offset as i64);
                topic.flush_async().await.unwrap();
            }
            let data = only(client.ask(12, &request.with_max_wait_ms(60_000)).await);
            assert_eq!((records(&data).len(), data.error_code), (1, 0));
            assert_eq!(data.high_watermark, offset as i64 + 1);
            match level {
                ReadUpTo::Written => assert_eq!(topic.written_end(0), Ok(offset + 1)),
                ReadUpTo::Durable => assert_eq!(topic.durable_end(0), Ok(offset + 1)),
                _ => {}
            }
            assert_eq!(latest(&mut client).await, offset as i64 + 1);
        }
        stop(served).await;
    }
}

#[tokio::test]
async fn a_fetch_of_durable_records_sleeps_until_there_are_some() {
    use crate::client::within;
    use crate::counted::counted;
    use kafka_protocol::messages::FetchRequest;
    use ringlog::{Flush, ReadUpTo, Record};
    let dir = dir();
    let storage = storage(dir.path()).flush(Flush::Manual);
    let builder = Server::builder().read_up_to(ReadUpTo::Durable);
    let served = serve_with(storage, builder).await;
    let (mut client, reads) = counted(&served);
    client.metadata("orders").await;
    let topic = served.broker.topic("orders").unwrap();
    topic.producer().send(Record::new("a")).unwrap();
    let request = fetch("orders", 0, 0).with_min_bytes(1);
    client.send(12, &request.with_max_wait_ms(600_000)).await;
    within("sleeping", async { while reads.in_a_while().await > 0 {} }).await;
    topic.flush_async().await.unwrap();
    let data = only(client.receive::<FetchRequest>(12).await);
    assert_eq!((records(&data).len(), data.error_code), (1, 0));
    stop(served).await;
}

/// All records from `from` on, which must be without a gap.
async fn read(client: &mut Client, from: i64, to: i64) {
    let mut next = from;
    while next < to {
        let request = fetch("orders", 0, next);
        let data = only(client.ask(12, &request).await);
        assert_eq!((data.error_code, data.high_watermark), (0, to));
        let records = records(&data);
        assert!(!records.is_empty(), "nothing at {next}");
        for (offset, value) in records {
            // A batch is fetched from the record that is asked for.
            assert_eq!((offset, value), (next, next.to_string()));
            next += 1;
        }
    }
    assert_eq!(next, to);
}

async fn offset(client: &mut Client, time: i64) -> (i64, i64) {
    let partition = ListOffsetsPartition::default().with_timestamp(time);
    let topic = ListOffsetsTopic::default()
        .with_name(name("orders"))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    let response = client.ask(7, &request).await;
    let found = &response.topics[0].partitions[0];
    assert_eq!(found.error_code, 0);
    (found.offset, found.timestamp)
}

#[tokio::test]
async fn fetches_and_lookups_go_behind_the_ring() {
    let dir = dir();
    let served = filled(dir.path(), 2000).await;
    let mut served = Some(served);
    for _ in 0..2 {
        let now = served.take().unwrap();
        let mut client = now.client();
        for from in [0, 5, 1234, 1990] {
            read(&mut client, from, 2000).await;
        }
        assert_eq!(offset(&mut client, EARLIEST).await, (0, -1));
        assert_eq!(offset(&mut client, LATEST).await, (2000, -1));
        assert_eq!(offset(&mut client, MAX_TIMESTAMP).await, (1999, 19_990));
        for time in [0, 1, 777, 12_345, 19_990] {
            let found = (time + 9) / 10;
            assert_eq!(offset(&mut client, time).await, (found, 10 * found));
        }
        assert_eq!(offset(&mut client, 19_991).await, (-1, -1));
        let beyond = only(client.ask(12, &fetch("orders", 0, 2001)).await);
        assert_eq!(beyond.error_code, 1);
        stop(now).await;
        served = Some(serve(dir.path()).await);
    }
    stop(served.unwrap()).await;
}

#[tokio::test]
async fn deleted_records_stay_deleted() {
    let mut dir = dir();
    let served = filled(dir.path(), 1000).await;
    let mut client = served.client();
    let delete = |before: i64| {
        let partition = DeleteRecordsPartition::default().with_offset(before);
        let topic = DeleteRecordsTopic::default()
            .with_name(name("orders"))
            .with_partitions(vec![partition]);
        DeleteRecordsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(1000)
    };
    let deleted = client.ask(2, &delete(333)).await;
    assert_eq!(deleted.topics[0].partitions[0].low_watermark, 333);
    for crash in [true, false] {
        let before = dir.path().to_owned();
        if crash {
            dir = crashed(&before);
        }
        let served = match crash {
            true => serve(dir.path()).await,
            false => continue,
        };
        let mut client = served.client();
        assert_eq!(offset(&mut client, EARLIEST).await.0, 333);
        assert_eq!(offset(&mut client, 0).await, (333, 3330));
        let gone = only(client.ask(12, &fetch("orders", 0, 332)).await);
        assert_eq!(gone.error_code, 1);
        read(&mut client, 333, 1000).await;
        // All of them: the next record has the next offset.
        let deleted = client.ask(2, &delete(-1)).await;
        assert_eq!(deleted.topics[0].partitions[0].low_watermark, 1000);
        stop(served).await;
        let served = serve(dir.path()).await;
        let mut client = served.client();
        assert_eq!(offset(&mut client, EARLIEST).await.0, 1000);
        assert_eq!(
            client.produce("orders", 0, ten(1000)).await.base_offset,
            1000
        );
        read(&mut client, 1000, 1010).await;
        stop(served).await;
    }
    stop(served).await;
}

#[tokio::test]
async fn directories_are_described_with_the_bytes_of_their_files() {
    let dir = dir();
    let served = filled(dir.path(), 100).await;
    let config = TopicConfig::new().in_memory();
    let memory = served.broker.create_topic("ticks", config).unwrap();
    memory
        .producer()
        .send(ringlog::Record::new(&[1; 64]))
        .unwrap();
    let request = DescribeLogDirsRequest::default().with_topics(None);
    let mut results = served.client().ask(4, &request).await.results;
    results.sort_by(|a, b| a.log_dir.cmp(&b.log_dir));
    let shown = results.iter().map(|result| {
        let topic = &result.topics[0];
        let name = topic.name.as_str().to_owned();
        (
            result.log_dir.to_string(),
            name,
            topic.partitions[0].partition_size,
        )
    });
    let shown: Vec<_> = shown.collect();
    let bytes = served
        .broker
        .topic("orders")
        .unwrap()
        .file_bytes(0)
        .unwrap() as i64;
    assert!(bytes > 100 * 8);
    let path = dir.path().display().to_string();
    let mut expected = [
        (path, "orders".to_owned(), bytes),
        ("memory".to_owned(), "ticks".to_owned(), 72),
    ];
    expected.sort();
    assert_eq!(shown, expected);
    stop(served).await;
}
