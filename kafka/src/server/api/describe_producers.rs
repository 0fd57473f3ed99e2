//! DescribeProducers: the idempotent producers of partitions.

use super::{code, once, text};
use crate::server::connection::Client;
use crate::server::sequences::ActiveProducer;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};
use tracing::warn;

pub(super) async fn handle(
    client: &Client,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let mut topics = Vec::new();
    // Once each: an answer is far longer than the number that asks for it.
    for topic in once(request.topics, |topic| topic.name.clone()) {
        let found = client.shared.topics.find(&topic.name);
        let mut partitions = Vec::new();
        for index in once(topic.partition_indexes, |index| *index) {
            let response = PartitionResponse::default().with_partition_index(index);
            let sequences = found.as_ref().and_then(|topic| {
                let partition = topic.partition(index)?;
                Some(topic.sequences(partition))
            });
            let active = match sequences {
                Some(sequences) => match sequences.active().await {
                    Ok(active) => active.ok_or(ResponseError::RequestTimedOut),
                    Err(reason) => {
                        warn!(%reason, "producers cannot be described");
                        Err(ResponseError::KafkaStorageError)
                    }
                },
                None => Err(ResponseError::UnknownTopicOrPartition),
            };
            partitions.push(match active {
                Ok(active) => {
                    let active = active.into_iter().map(described);
                    response.with_active_producers(active.collect())
                }
                Err(error) => response
                    .with_error_code(code(Some(error)))
                    .with_error_message(Some(text(error.to_string()))),
            });
        }
        let response = TopicResponse::default().with_name(topic.name);
        topics.push(response.with_partitions(partitions));
    }
    DescribeProducersResponse::default().with_topics(topics)
}

/// Kafka's -1 for what no transaction has.
const NONE: i32 = -1;

fn described(producer: ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch.into())
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp)
        .with_coordinator_epoch(NONE)
        .with_current_txn_start_offset(NONE.into())
}
