//! What one side writes, the other reads: programs in this process, and clients.

use crate::client::Served;
use crate::requests::{batches, fetch, only};
use ringlog::{ConsumerConfig, Header, Record, TopicConfig};
use ringlog_kafka::batch::{Codec, Limits, RecordFields, decode, encode};

/// A header, which may have no value.
fn header(name: &'static str, value: Option<&'static [u8]>) -> Header<'static> {
    let mut header = Header::new(name, b"");
    header.value = value;
    header
}

#[derive(Clone)]
struct Sample {
    key: Option<&'static [u8]>,
    value: Option<&'static [u8]>,
    headers: Vec<Header<'static>>,
}

/// What may be null or empty, in all combinations.
fn samples() -> Vec<Sample> {
    let parts = [None, Some(&b""[..]), Some(&b"\0bytes\xff"[..])];
    let headers = [
        Vec::new(),
        vec![
            header("", Some(b"")),
            header("trace", None),
            header("trace", Some(b"7f")),
        ],
    ];
    let mut samples = Vec::new();
    for key in parts {
        for value in parts {
            for headers in &headers {
                let headers = headers.clone();
                samples.push(Sample {
                    key,
                    value,
                    headers,
                });
            }
        }
    }
    samples
}

#[tokio::test]
async fn what_clients_send_is_read_in_this_process() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let samples = samples();
    let records = samples.iter().enumerate().map(|(i, sample)| RecordFields {
        timestamp: 1_700_000_000_000 - i as i64,
        key: sample.key,
        value: sample.value,
        headers: &sample.headers,
    });
    let records: Vec<_> = records.collect();
    let bytes = encode(&records, Codec::Lz4).unwrap().into();
    assert_eq!(client.produce("orders", 0, bytes).await.error_code, 0);

    let mut consumer = served.broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let batch = consumer.try_poll().unwrap();
    assert_eq!(batch.len(), samples.len());
    for (i, record) in batch.iter().enumerate() {
        let Sample {
            key,
            value,
            headers,
        } = &samples[i];
        assert_eq!((record.key(), record.value()), (*key, *value), "{i}");
        assert!(record.headers().eq(headers.iter().copied()), "{i}");
        assert_eq!(record.timestamp(), Some(1_700_000_000_000 - i as i64));
    }
}

#[tokio::test]
async fn what_this_process_sends_is_read_by_clients() {
    let served = Served::new().await;
    let topic = served
        .broker
        .create_topic("orders", TopicConfig::new())
        .unwrap();
    let mut producer = topic.producer();
    let samples = samples();
    for (
        i,
        Sample {
            key,
            value,
            headers,
        },
    ) in samples.iter().enumerate()
    {
        let mut record = Record::default()
            .headers(headers)
            .timestamp(1_000 * i as i64);
        (record.key, record.value) = (*key, *value);
        producer.send(record).unwrap();
    }
    let data = only(served.client().ask(12, &fetch("orders", 0, 0)).await);
    let bytes = batches(&data).pop().unwrap();
    let batch = decode(&bytes, Limits::new(0)).unwrap();
    let mut pool = Vec::new();
    let records = batch.records(&mut pool).unwrap();
    assert_eq!(records.len(), samples.len());
    for (i, record) in records.iter().enumerate() {
        let Sample {
            key,
            value,
            headers,
        } = &samples[i];
        assert_eq!((record.key, record.value), (*key, *value), "{i}");
        assert_eq!(pool[record.headers.clone()], headers[..], "{i}");
        assert_eq!(record.timestamp, 1_000 * i as i64);
    }
}

#[tokio::test]
async fn a_record_without_a_time_has_none_where_the_topic_gives_none() {
    let served = Served::new().await;
    let config = TopicConfig::new().timestamps(ringlog::Timestamps::Given);
    let topic = served.broker.create_topic("orders", config).unwrap();
    topic.producer().send(Record::new("login")).unwrap();
    let record = RecordFields {
        timestamp: -1,
        ..RecordFields::default()
    };
    let mut client = served.client();
    let bytes = encode(&[record], Codec::None).unwrap().into();
    assert_eq!(client.produce("orders", 0, bytes).await.error_code, 0);
    let data = only(client.ask(12, &fetch("orders", 0, 0)).await);
    let bytes = batches(&data).pop().unwrap();
    let batch = decode(&bytes, Limits::new(0)).unwrap();
    let records = batch.records(&mut Vec::new()).unwrap();
    let times: Vec<_> = records.iter().map(|record| record.timestamp).collect();
    assert_eq!(times, [-1, -1]);
}

#[tokio::test]
async fn a_batch_is_seen_whole_or_not_at_all() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let mut consumer = served.broker.consumer(ConsumerConfig::new()).unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let reader = std::thread::spawn(move || {
        let mut read = 0;
        while read < 2_000 {
            let batch = consumer.try_poll().unwrap();
            // At the end of what is published, whole batches of ten have been read.
            assert!(!batch.is_empty() || read % 10 == 0, "{read}");
            read += batch.len();
        }
    });
    let values = ["v"; 10];
    for _ in 0..200 {
        let sent = client.produce("orders", 0, crate::requests::batch(&values));
        assert_eq!(sent.await.error_code, 0);
    }
    reader.join().unwrap();
}

#[tokio::test]
async fn topics_of_this_process_are_topics_of_the_clients() {
    let served = Served::new().await;
    let mut client = served.client();
    let topic = served
        .broker
        .create_topic("orders", TopicConfig::new())
        .unwrap();
    assert_eq!(client.metadata("orders").await.partitions.len(), 1);
    topic.add_partitions(5).unwrap();
    assert_eq!(client.metadata("orders").await.partitions.len(), 5);

    client.metadata("created-by-a-client").await;
    assert!(served.broker.topic("created-by-a-client").is_ok());
    for (name, error) in [("a/b", 17), ("", 17), ("..", 17)] {
        assert_eq!(client.metadata(name).await.error_code, error, "{name:?}");
    }
}
