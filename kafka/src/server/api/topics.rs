//! CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords.

use super::{code, text};
use crate::server::broker_settings::first_value;
use crate::server::connection::Client;
use crate::server::store::StoreError;
use crate::server::topic_settings::{SETTINGS, TopicSettings};
use crate::server::topics::{CreateError, ServedTopic, is_valid_name};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse,
};
use ringlog::TopicError;
use std::collections::HashSet;

/// Why an administrator's request is refused.
pub(super) struct Refused {
    pub(super) error: ResponseError,
    pub(super) reason: String,
}

pub(super) fn refused<T>(error: ResponseError, reason: impl ToString) -> Result<T, Refused> {
    let reason = reason.to_string();
    Err(Refused { error, reason })
}

impl From<ResponseError> for Refused {
    fn from(error: ResponseError) -> Refused {
        let reason = error.to_string();
        Refused { error, reason }
    }
}

impl From<TopicError> for Refused {
    fn from(cause: TopicError) -> Refused {
        let error = match &cause {
            TopicError::UnknownTopic { .. } | TopicError::Closed { .. } => {
                ResponseError::UnknownTopicOrPartition
            }
            TopicError::TopicExists { .. } => ResponseError::TopicAlreadyExists,
            TopicError::InvalidName { .. } => ResponseError::InvalidTopicException,
            TopicError::InvalidConfig { setting, .. } if *setting == "partitions" => {
                ResponseError::InvalidPartitions
            }
            TopicError::InvalidConfig { .. } => ResponseError::InvalidConfig,
            TopicError::NoMorePartitions { .. } | TopicError::TooManySegments { .. } => {
                ResponseError::InvalidPartitions
            }
            TopicError::PartitionOutOfRange { .. } => ResponseError::UnknownTopicOrPartition,
            TopicError::OffsetOutOfRange { .. } => ResponseError::OffsetOutOfRange,
            TopicError::Storage(_) => ResponseError::KafkaStorageError,
            _ => ResponseError::UnknownServerError,
        };
        let reason = cause.to_string();
        Refused { error, reason }
    }
}

impl From<StoreError> for Refused {
    fn from(cause: StoreError) -> Refused {
        Refused {
            error: ResponseError::KafkaStorageError,
            reason: cause.to_string(),
        }
    }
}

impl From<CreateError> for Refused {
    fn from(error: CreateError) -> Refused {
        match error {
            CreateError::Topic(error) => error.into(),
            CreateError::Store(error) => error.into(),
            CreateError::InvalidName => Refused {
                error: ResponseError::InvalidTopicException,
                reason: INVALID_NAME.to_owned(),
            },
        }
    }
}

pub(super) const INVALID_NAME: &str =
    "a topic's name has 1 to 249 letters, digits, dots, underscores and hyphens";

/// The names that occur more than once.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> HashSet<String> {
    let mut seen = HashSet::new();
    let again = names.filter(|name| !seen.insert(*name));
    again.map(str::to_owned).collect()
}

// ---- CreateTopics -------------------------------------------------------------------------

pub(super) fn create(
    client: &Client,
    version: i16,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let repeated = repeated(request.topics.iter().map(|topic| topic.name.as_str()));
    let mut answered = HashSet::new();
    let mut results = Vec::new();
    for topic in &request.topics {
        if repeated.contains(topic.name.as_str()) && !answered.insert(topic.name.clone()) {
            continue;
        }
        let created = match repeated.contains(topic.name.as_str()) {
            true => refused(ResponseError::InvalidRequest, "the topic is named twice"),
            false => create_one(client, topic, request.validate_only),
        };
        let result = CreatableTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_message(None);
        results.push(match created {
            Ok(created) => created_result(client, version, result, created),
            Err(Refused { error, reason }) => {
                let result = result
                    .with_error_code(error.code())
                    .with_error_message(Some(text(reason)));
                match version {
                    5.. => result.with_configs(Some(Vec::new())),
                    _ => result,
                }
            }
        });
    }
    CreateTopicsResponse::default().with_topics(results)
}

struct Created {
    id: uuid::Uuid,
    partitions: u32,
    settings: TopicSettings,
}

fn create_one(
    client: &Client,
    wanted: &CreatableTopic,
    validate_only: bool,
) -> Result<Created, Refused> {
    let topics = &client.shared.topics;
    if !is_valid_name(&wanted.name) {
        return refused(ResponseError::InvalidTopicException, INVALID_NAME);
    }
    if topics.find(&wanted.name).is_some() {
        let reason = format!("Topic '{}' already exists.", wanted.name.as_str());
        return refused(ResponseError::TopicAlreadyExists, reason);
    }
    let partitions = wanted_partitions(client, wanted)?;
    let given = wanted.configs.iter();
    let given = given.map(|given| (given.name.as_str(), given.value.as_deref()));
    let settings = match TopicSettings::new(given) {
        Ok(settings) => settings,
        Err(error) => return refused(ResponseError::InvalidConfig, error),
    };
    let id = match validate_only {
        true => uuid::Uuid::nil(),
        false => {
            let new_topic = client.shared.topic_config.clone().partitions(partitions);
            topics.create(&wanted.name, new_topic, settings.clone())?.id
        }
    };
    Ok(Created {
        id,
        partitions,
        settings,
    })
}

/// The number of partitions that is asked for, by itself or by an assignment of replicas.
fn wanted_partitions(client: &Client, wanted: &CreatableTopic) -> Result<u32, Refused> {
    let config = &client.shared.config;
    let number = match wanted.assignments.len() {
        0 => wanted.num_partitions,
        _ if wanted.num_partitions != -1 || wanted.replication_factor != -1 => {
            let reason = "an assignment of replicas excludes numbers of partitions and replicas";
            return refused(ResponseError::InvalidRequest, reason);
        }
        assigned => {
            let mut numbers: Vec<i32> = wanted
                .assignments
                .iter()
                .map(|a| a.partition_index)
                .collect();
            numbers.sort_unstable();
            let is_dense = numbers.iter().zip(0..).all(|(number, i)| *number == i);
            let mut assignments = wanted.assignments.iter();
            let own = [BrokerId(config.node_id)];
            if !is_dense || !assignments.all(|assigned| assigned.broker_ids == own) {
                let reason = "each partition has one replica, on the only broker";
                return refused(ResponseError::InvalidReplicaAssignment, reason);
            }
            assigned as i32
        }
    };
    if !matches!(wanted.replication_factor, -1 | 1) {
        let reason = format!(
            "the replication factor is {}, but there is one broker",
            wanted.replication_factor
        );
        return refused(ResponseError::InvalidReplicationFactor, reason);
    }
    match number {
        -1 => Ok(config.default_partitions),
        1..=16_384 => Ok(number as u32),
        _ => {
            let reason = format!("a topic has 1 to 16384 partitions, not {number}");
            refused(ResponseError::InvalidPartitions, reason)
        }
    }
}

fn created_result(
    client: &Client,
    version: i16,
    result: CreatableTopicResult,
    created: Created,
) -> CreatableTopicResult {
    let result = match version {
        7.. => result.with_topic_id(created.id),
        _ => result,
    };
    if version < 5 {
        return result;
    }
    let broker = client.shared.topics.broker_settings();
    let configs = SETTINGS.iter().map(|setting| {
        let values = broker.topic_values(&created.settings, setting);
        let (value, source) = first_value(&values, setting);
        CreatableTopicConfigs::default()
            .with_name(text(setting.name))
            .with_value(Some(text(value)))
            .with_config_source(source as i8)
    });
    result
        .with_num_partitions(created.partitions as i32)
        .with_replication_factor(1)
        .with_configs(Some(configs.collect()))
}

// ---- DeleteTopics -------------------------------------------------------------------------

pub(super) fn delete(
    client: &Client,
    version: i16,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let topics = match version {
        6.. => request.topics,
        _ => request
            .topic_names
            .into_iter()
            .map(|name| DeleteTopicState::default().with_name(Some(name)))
            .collect(),
    };
    let results = topics.into_iter().map(|topic| {
        let deleted = delete_one(client, &topic);
        let mut result = DeletableTopicResult::default().with_name(topic.name);
        if version >= 6 {
            result.topic_id = topic.topic_id;
        }
        match deleted {
            Ok(deleted) => {
                result.name = Some(super::topic_name(deleted.name()));
                if version >= 6 {
                    result.topic_id = deleted.id;
                }
                result
            }
            Err(Refused { error, reason }) => {
                result.error_code = error.code();
                if version >= 5 {
                    result.error_message = Some(text(reason));
                }
                result
            }
        }
    });
    DeleteTopicsResponse::default().with_responses(results.collect())
}

fn delete_one(
    client: &Client,
    wanted: &DeleteTopicState,
) -> Result<std::sync::Arc<ServedTopic>, Refused> {
    let topics = &client.shared.topics;
    let (found, unknown) = match &wanted.name {
        Some(name) => (topics.find(name), ResponseError::UnknownTopicOrPartition),
        None => (
            topics.find_id(wanted.topic_id),
            ResponseError::UnknownTopicId,
        ),
    };
    let Some(found) = found else {
        return refused(unknown, "there is no such topic");
    };
    match topics.delete(&found) {
        // Another client was faster.
        Err(TopicError::UnknownTopic { .. }) => refused(unknown, "there is no such topic"),
        deleted => Ok(deleted.map(|()| found)?),
    }
}

// ---- CreatePartitions ---------------------------------------------------------------------

pub(super) fn create_partitions(
    client: &Client,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let repeated = repeated(request.topics.iter().map(|topic| topic.name.as_str()));
    let mut answered = HashSet::new();
    let mut results = Vec::new();
    for topic in &request.topics {
        let is_repeated = repeated.contains(topic.name.as_str());
        if is_repeated && !answered.insert(topic.name.clone()) {
            continue;
        }
        let added = match is_repeated {
            true => refused(ResponseError::InvalidRequest, "the topic is named twice"),
            false => add_partitions(client, topic, request.validate_only),
        };
        let result = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
        results.push(match added {
            Ok(()) => result,
            Err(Refused { error, reason }) => result
                .with_error_code(error.code())
                .with_error_message(Some(text(reason))),
        });
    }
    CreatePartitionsResponse::default().with_results(results)
}

fn add_partitions(
    client: &Client,
    wanted: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refused> {
    let Some(topic) = client.shared.topics.find(&wanted.name) else {
        let reason = "there is no such topic";
        return refused(ResponseError::UnknownTopicOrPartition, reason);
    };
    let before = topic.topic.partitions();
    let Some(total) = u32::try_from(wanted.count)
        .ok()
        .filter(|total| *total > before)
    else {
        let reason = format!(
            "the topic has {before} partitions, which cannot become {}",
            wanted.count
        );
        return refused(ResponseError::InvalidPartitions, reason);
    };
    if let Some(assignments) = &wanted.assignments {
        let own = [BrokerId(client.shared.config.node_id)];
        let all_own = assignments
            .iter()
            .all(|assigned| assigned.broker_ids == own);
        if assignments.len() != (total - before) as usize || !all_own {
            let reason = "each new partition has one replica, on the only broker";
            return refused(ResponseError::InvalidReplicaAssignment, reason);
        }
    }
    if !validate_only {
        topic.topic.add_partitions(total)?;
    }
    Ok(())
}

// ---- DeleteRecords ------------------------------------------------------------------------

/// Stands for the end of a partition.
const HIGH_WATERMARK: i64 = -1;

pub(super) async fn delete_records(
    client: &Client,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut topics = Vec::new();
    for topic in request.topics {
        let found = client.shared.topics.find(&topic.name);
        let mut partitions = Vec::new();
        for partition in topic.partitions {
            let deleted = match &found {
                Some(found) => {
                    delete_before(client, found, partition.partition_index, partition.offset).await
                }
                None => refused(ResponseError::UnknownTopicOrPartition, ""),
            };
            let result = DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index);
            partitions.push(match deleted {
                Ok(log_start) => result.with_low_watermark(log_start as i64),
                Err(Refused { error, .. }) => result
                    .with_low_watermark(-1)
                    .with_error_code(code(Some(error))),
            });
        }
        let result = DeleteRecordsTopicResult::default()
            .with_partitions(partitions)
            .with_name(topic.name);
        topics.push(result);
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

async fn delete_before(
    client: &Client,
    served: &ServedTopic,
    partition: i32,
    offset: i64,
) -> Result<u64, Refused> {
    let topic = &served.topic;
    let Some(partition) = served.partition(partition) else {
        return refused(ResponseError::UnknownTopicOrPartition, "");
    };
    let before = match offset {
        HIGH_WATERMARK => topic.log_end_offset(partition)?,
        offset => match u64::try_from(offset) {
            Ok(offset) => offset,
            Err(_) => return refused(ResponseError::OffsetOutOfRange, ""),
        },
    };
    // What is deleted cannot be read at the next start.
    if let Err(error) = served.sequences(partition).save().await {
        return refused(ResponseError::KafkaStorageError, error);
    }
    let topic = topic.clone();
    let deleted = move |_: &Client| topic.delete_records(partition, before);
    match client.on_disk(deleted).await {
        Some(deleted) => Ok(deleted?),
        None => refused(ResponseError::UnknownServerError, "the server is shut down"),
    }
}
