//! Metadata: the one broker, and the topics, which are created here on first use.

use super::{code, once, text, topic_name};
use crate::server::connection::Client;
use crate::server::topic_settings::TopicSettings;
use crate::server::topics::{CreateError, ServedTopic, is_valid_name};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse};
use ringlog::TopicError;
use std::sync::Arc;
use tracing::warn;

/// Every operation that Kafka has on a topic, as a bit set: there are no access rules.
pub(super) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// Every operation on a cluster.
pub(super) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
/// The operations were not asked for.
const NOT_ASKED: i32 = i32::MIN;

/// Whether the request may create a topic.
pub(super) fn may_create(client: &Client, request: &MetadataRequest) -> bool {
    let shared = &client.shared;
    let mut names = request
        .topics
        .iter()
        .flatten()
        .filter_map(|topic| topic.name.as_ref());
    shared.config.auto_create_topics
        && request.allow_auto_topic_creation
        && names.any(|name| shared.topics.find(name).is_none())
}

pub(super) fn handle(client: &Client, version: i16, request: MetadataRequest) -> MetadataResponse {
    let operations = version >= 8 && request.include_topic_authorized_operations;
    let may_create = client.shared.config.auto_create_topics && request.allow_auto_topic_creation;
    let topics = match request.topics {
        // In version 0 an empty list stands for all topics; later, null does.
        None => all_topics(client),
        Some(topics) if topics.is_empty() && version == 0 => all_topics(client),
        Some(topics) => once(topics, |topic| (topic.name.clone(), topic.topic_id))
            .into_iter()
            .map(|topic| requested_topic(client, version, topic, may_create))
            .collect(),
    };
    let topics = topics
        .into_iter()
        .map(|topic| {
            let all = operations && topic.error_code == 0;
            topic.with_topic_authorized_operations(if all { TOPIC_OPERATIONS } else { NOT_ASKED })
        })
        .collect();
    let config = &client.shared.config;
    let cluster_id = client.shared.cluster_id.as_str();
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(config.node_id))
        .with_host(text(client.advertised.host.as_str()))
        .with_port(client.advertised.port.into());
    let asks_cluster = (8..=10).contains(&version) && request.include_cluster_authorized_operations;
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(text(cluster_id)))
        .with_controller_id(BrokerId(config.node_id))
        .with_cluster_authorized_operations(match asks_cluster {
            true => CLUSTER_OPERATIONS,
            false => NOT_ASKED,
        })
        .with_topics(topics)
}

fn all_topics(client: &Client) -> Vec<MetadataResponseTopic> {
    let topics = &client.shared.topics;
    let found = topics.names().into_iter();
    let found = found.filter_map(|name| topics.find(&name));
    found.map(|topic| described(client, &topic)).collect()
}

fn requested_topic(
    client: &Client,
    version: i16,
    requested: MetadataRequestTopic,
    may_create: bool,
) -> MetadataResponseTopic {
    let error = |error: ResponseError| {
        MetadataResponseTopic::default()
            .with_error_code(code(Some(error)))
            .with_name(requested.name.clone())
            .with_topic_id(requested.topic_id)
    };
    let topics = &client.shared.topics;
    // Beside an id, Java's consumer sends an empty name.
    let name = requested.name.as_ref();
    let Some(name) = name.filter(|_| requested.topic_id.is_nil()) else {
        // The version without a name in the answer came after that without one in the request.
        let nameless = |answer: MetadataResponseTopic| match version {
            12.. => answer,
            _ => answer.with_name(Some(topic_name(""))),
        };
        return match topics.find_id(requested.topic_id) {
            Some(topic) => described(client, &topic),
            None => nameless(error(ResponseError::UnknownTopicId)),
        };
    };
    if let Some(topic) = topics.find(name) {
        return described(client, &topic);
    }
    if !is_valid_name(name) {
        return error(ResponseError::InvalidTopicException);
    }
    if !may_create {
        return error(ResponseError::UnknownTopicOrPartition);
    }
    let new_topic = client.shared.topic_config.clone();
    let new_topic = new_topic.partitions(client.shared.config.default_partitions);
    let created = topics.create(name, new_topic, TopicSettings::default());
    match created {
        Ok(topic) => described(client, &topic),
        Err(CreateError::InvalidName) => error(ResponseError::InvalidTopicException),
        Err(CreateError::Topic(TopicError::TopicExists { .. })) => match topics.find(name) {
            Some(topic) => described(client, &topic),
            None => error(ResponseError::LeaderNotAvailable),
        },
        Err(reason) => {
            warn!(topic = name.as_str(), %reason, "a topic could not be created");
            error(match reason {
                CreateError::Store(_) | CreateError::Topic(TopicError::Storage(_)) => {
                    ResponseError::KafkaStorageError
                }
                _ => ResponseError::UnknownServerError,
            })
        }
    }
}

fn described(client: &Client, topic: &Arc<ServedTopic>) -> MetadataResponseTopic {
    let node = BrokerId(client.shared.config.node_id);
    let partitions = (0..topic.topic.partitions()).map(|number| {
        MetadataResponsePartition::default()
            .with_partition_index(number as i32)
            .with_leader_id(node)
            .with_leader_epoch(topic.leader_epochs(number).current())
            .with_replica_nodes(vec![node])
            .with_isr_nodes(vec![node])
    });
    MetadataResponseTopic::default()
        .with_name(Some(topic_name(topic.name())))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
}
