//! Requests that many tests send.

use crate::client::Client;
use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    BrokerId, FetchRequest, FetchResponse, MetadataRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use ringlog_kafka::batch::{
    BatchHeader, BatchWriter, Codec, Limits, Producer, RecordFields, TimestampType, decode, encode,
};
use uuid::Uuid;

pub(crate) fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// A batch with these values, with times from 1,000 on.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    compressed(values, Codec::None)
}

pub(crate) fn compressed(values: &[&str], codec: Codec) -> Bytes {
    let records = values.iter().enumerate().map(|(i, value)| RecordFields {
        timestamp: 1_000 + i as i64,
        value: Some(value.as_bytes()),
        ..RecordFields::default()
    });
    let records: Vec<_> = records.collect();
    encode(&records, codec).unwrap().into()
}

/// A batch of an idempotent producer.
pub(crate) fn idempotent(id: i64, epoch: i16, base_sequence: i32, values: &[&str]) -> Bytes {
    let mut writer = BatchWriter::new(TimestampType::CreateTime);
    for (offset, value) in values.iter().enumerate() {
        let record = RecordFields {
            value: Some(value.as_bytes()),
            ..RecordFields::default()
        };
        writer.append(offset as u64, &record, [].into_iter());
    }
    let producer = Producer {
        id,
        epoch,
        base_sequence,
    };
    let bytes = writer.finish(Codec::None, Some(producer)).unwrap();
    bytes.into()
}

pub(crate) fn produce(topic: &str, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(name(topic))
        .with_partition_data(vec![data]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic])
}

/// Fetches one partition, without waiting.
pub(crate) fn fetch(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(name(topic))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_bytes(50 << 20)
        .with_topics(vec![topic])
}

/// A fetch that waits up to a minute for a record.
pub(crate) fn waiting(request: FetchRequest) -> FetchRequest {
    request.with_max_wait_ms(60_000).with_min_bytes(1)
}

/// The response for the only partition of a fetch.
pub(crate) fn only(response: FetchResponse) -> PartitionData {
    assert_eq!(response.error_code, 0);
    let mut topics = response.responses;
    assert_eq!(topics.len(), 1);
    let mut partitions = topics.remove(0).partitions;
    assert_eq!(partitions.len(), 1);
    partitions.remove(0)
}

/// The records of a fetched partition: their offsets and values.
pub(crate) fn records(data: &PartitionData) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for batch in batches(data) {
        let (header, _) = BatchHeader::read(&batch).unwrap();
        let decoded = decode(&batch, Limits::new(64 << 20)).unwrap();
        let mut headers = Vec::new();
        for (i, record) in decoded.records(&mut headers).unwrap().iter().enumerate() {
            let value = record.value.unwrap_or(b"null");
            let value = String::from_utf8(value.to_vec()).unwrap();
            found.push((header.base_offset + i as i64, value));
        }
    }
    found
}

/// The batches of a fetched partition.
pub(crate) fn batches(data: &PartitionData) -> Vec<Bytes> {
    let mut rest = data.records.clone().expect("records are never null");
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let length = i32::from_be_bytes(rest[8..12].try_into().unwrap());
        batches.push(rest.split_to(12 + length as usize));
    }
    batches
}

impl Client {
    /// Sends a batch, and returns the answer.
    pub(crate) async fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> PartitionProduceResponse {
        let response = self.ask(9, &produce(topic, partition, batch)).await;
        response.responses[0].partition_responses[0].clone()
    }

    /// What Metadata says of a topic, which may be created.
    pub(crate) async fn metadata(&mut self, topic: &str) -> MetadataResponseTopic {
        let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        self.ask(12, &request).await.topics.remove(0)
    }

    pub(crate) async fn topic_id(&mut self, topic: &str) -> Uuid {
        self.metadata(topic).await.topic_id
    }
}
