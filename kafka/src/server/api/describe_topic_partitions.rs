//! DescribeTopicPartitions: topics in the order of their names, some partitions an answer. The cursor
//! says where the next answer begins.

use super::metadata::TOPIC_OPERATIONS;
use super::topic_name;
use crate::server::connection::Client;
use crate::server::topics::{ServedTopic, is_valid_name};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_request::Cursor as Start;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use std::collections::BTreeSet;

/// The most partitions of an answer: the default of Kafka's `max.request.partition.size.limit`.
const MOST_PARTITIONS: i32 = 2000;

pub(super) fn handle(
    client: &Client,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let all = request.topics.is_empty();
    let names: BTreeSet<String> = match all {
        true => client.shared.topics.names().into_iter().collect(),
        false => {
            let names = request.topics.iter();
            names.map(|topic| topic.name.as_str().to_owned()).collect()
        }
    };
    let cursor_fits = |cursor| is_valid(cursor, all, &names);
    if !request.cursor.as_ref().is_none_or(cursor_fits) {
        // As in Kafka, each topic that was asked for has the error.
        let names = names.iter().filter(|_| !all);
        let refused = names.map(|name| error(name, ResponseError::InvalidRequest));
        return DescribeTopicPartitionsResponse::default().with_topics(refused.collect());
    }
    let start = request.cursor.unwrap_or_default();
    let most = request.response_partition_limit.clamp(1, MOST_PARTITIONS);
    let mut left = most as u32;
    let mut topics = Vec::new();
    let mut next = None;
    for name in names.range(start.topic_name.as_str().to_owned()..) {
        if left == 0 {
            next = Some(cursor(name, 0));
            break;
        }
        let Some(topic) = client.shared.topics.find(name) else {
            // One of all topics was deleted meanwhile.
            if !all {
                topics.push(error(
                    name,
                    match is_valid_name(name) {
                        true => ResponseError::UnknownTopicOrPartition,
                        false => ResponseError::InvalidTopicException,
                    },
                ));
            }
            continue;
        };
        let first = match name == start.topic_name.as_str() {
            true => start.partition_index as u32,
            false => 0,
        };
        let partitions = topic.topic.partitions();
        let end = first.saturating_add(left).min(partitions);
        topics.push(described(client, &topic, first, end));
        if end < partitions {
            next = Some(cursor(name, end));
            break;
        }
        left -= end.saturating_sub(first);
    }
    DescribeTopicPartitionsResponse::default()
        .with_topics(topics)
        .with_next_cursor(next)
}

/// Whether an answer can begin there: at a topic that is asked for, at some partition.
fn is_valid(cursor: &Start, all: bool, names: &BTreeSet<String>) -> bool {
    cursor.partition_index >= 0 && (all || names.contains(cursor.topic_name.as_str()))
}

fn cursor(name: &str, partition: u32) -> Cursor {
    Cursor::default()
        .with_topic_name(topic_name(name))
        .with_partition_index(partition as i32)
}

fn error(name: &str, error: ResponseError) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(topic_name(name)))
}

/// The partitions from `first` up to, and without, `end`.
fn described(
    client: &Client,
    topic: &ServedTopic,
    first: u32,
    end: u32,
) -> DescribeTopicPartitionsResponseTopic {
    let node = BrokerId(client.shared.config.node_id);
    let partitions = (first..end).map(|number| {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(number as i32)
            .with_leader_id(node)
            .with_leader_epoch(topic.leader_epochs(number).current())
            .with_replica_nodes(vec![node])
            .with_isr_nodes(vec![node])
            // Java's clients cannot do without these lists.
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    });
    let name: TopicName = topic_name(topic.name());
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(name))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}
