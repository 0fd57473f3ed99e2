//! AlterConfigs and IncrementalAlterConfigs: the settings of topics and of the broker are changed while
//! they are in use.

use super::broker_configs;
use super::configs::{BROKER, TOPIC};
use super::topics::{INVALID_NAME, Refused, refused};
use super::{once, text};
use crate::server::broker_settings::{AlteredSettings, Level};
use crate::server::connection::Client;
use crate::server::topic_settings::{Operation, SettingError, TopicSettings};
use crate::server::topics::{ServedTopic, is_valid_name};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, alter_configs_response, incremental_alter_configs_request,
    incremental_alter_configs_response,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

/// Replaces all that is configured for a resource.
pub(super) fn replace(client: &Client, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let key = |r: &kafka_protocol::messages::alter_configs_request::AlterConfigsResource| {
        (r.resource_type, r.resource_name.clone())
    };
    let repeated = repeated(request.resources.iter().map(key));
    let responses = once(request.resources, key).into_iter().map(|resource| {
        let (kind, name) = key(&resource);
        let found = find(client, &repeated, kind, &name);
        let changed = found.and_then(|found| {
            let names = resource.configs.iter().map(|config| &config.name);
            refuse_repeated(names.map(|name| &**name))?;
            let mut given = Vec::new();
            for config in &resource.configs {
                let value = config.value.as_deref();
                let value = value.ok_or_else(|| without_value(&config.name))?;
                given.push((&*config.name, value));
            }
            let given = given.into_iter();
            match found {
                Resource::Topic(topic) => {
                    let given = given.map(|(name, value)| (name, Some(value)));
                    let changed = |_: &TopicSettings| TopicSettings::new(given);
                    change(&topic, request.validate_only, changed)
                }
                Resource::Broker(level) => {
                    let changed = |_: &AlteredSettings| AlteredSettings::new(given);
                    change_broker(client, level, request.validate_only, changed)
                }
            }
        });
        let (error, message) = outcome(changed);
        alter_configs_response::AlterConfigsResourceResponse::default()
            .with_error_code(error)
            .with_error_message(message)
            .with_resource_type(kind)
            .with_resource_name(name)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

/// Changes the settings that are named, and leaves the others.
pub(super) fn alter(
    client: &Client,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let key = |r: &incremental_alter_configs_request::AlterConfigsResource| {
        (r.resource_type, r.resource_name.clone())
    };
    let repeated = repeated(request.resources.iter().map(key));
    let responses = once(request.resources, key).into_iter().map(|resource| {
        let (kind, name) = key(&resource);
        let found = find(client, &repeated, kind, &name);
        let changed = found.and_then(|found| {
            let names = resource.configs.iter().map(|config| &config.name);
            refuse_repeated(names.map(|name| &**name))?;
            let mut changes = Vec::new();
            for config in &resource.configs {
                changes.push((&*config.name, operation(config)?));
            }
            let changes = changes.into_iter();
            match found {
                Resource::Topic(topic) => {
                    let changed = |settings: &TopicSettings| settings.with(changes);
                    change(&topic, request.validate_only, changed)
                }
                Resource::Broker(level) => {
                    let changed = |settings: &AlteredSettings| settings.with(changes);
                    change_broker(client, level, request.validate_only, changed)
                }
            }
        });
        let (error, message) = outcome(changed);
        incremental_alter_configs_response::AlterConfigsResourceResponse::default()
            .with_error_code(error)
            .with_error_message(message)
            .with_resource_type(kind)
            .with_resource_name(name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

/// An answer's error code and message.
fn outcome(changed: Result<(), Refused>) -> (i16, Option<StrBytes>) {
    match changed {
        Ok(()) => (0, None),
        Err(Refused { error, reason }) => (error.code(), Some(text(reason))),
    }
}

fn operation(
    config: &incremental_alter_configs_request::AlterableConfig,
) -> Result<Operation<'_>, Refused> {
    let value = || {
        let value = config.value.as_deref();
        value.ok_or_else(|| without_value(&config.name))
    };
    match config.config_operation {
        0 => Ok(Operation::Set(value()?)),
        1 => Ok(Operation::Reset),
        2 => Ok(Operation::Append(value()?)),
        3 => Ok(Operation::Subtract(value()?)),
        other => {
            let reason = format!("{other} is no operation on a configuration");
            refused(ResponseError::InvalidRequest, reason)
        }
    }
}

fn without_value(name: &str) -> Refused {
    Refused {
        error: ResponseError::InvalidRequest,
        reason: format!("Null value not supported for : {name}"),
    }
}

fn repeated<T: Eq + Hash>(all: impl Iterator<Item = T>) -> HashSet<T> {
    let mut counts = HashMap::new();
    for key in all {
        *counts.entry(key).or_insert(0) += 1;
    }
    let repeated = counts.into_iter().filter(|(_, count)| *count > 1);
    repeated.map(|(key, _)| key).collect()
}

fn refuse_repeated<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Refused> {
    match repeated(names).into_iter().next() {
        None => Ok(()),
        Some(name) => {
            let reason = format!("the configuration {name} is named twice");
            refused(ResponseError::InvalidRequest, reason)
        }
    }
}

/// What has settings.
enum Resource {
    Topic(Arc<ServedTopic>),
    Broker(Level),
}

/// What is to be changed.
fn find(
    client: &Client,
    repeated: &HashSet<(i8, StrBytes)>,
    kind: i8,
    name: &StrBytes,
) -> Result<Resource, Refused> {
    if repeated.contains(&(kind, name.clone())) {
        let reason = "Each resource must appear at most once.";
        return refused(ResponseError::InvalidRequest, reason);
    }
    match kind {
        TOPIC if name.is_empty() => {
            let reason = "Default topic resources are not allowed.";
            refused(ResponseError::InvalidRequest, reason)
        }
        TOPIC if !is_valid_name(name) => {
            refused(ResponseError::InvalidTopicException, INVALID_NAME)
        }
        TOPIC => match client.shared.topics.find(name) {
            Some(topic) => Ok(Resource::Topic(topic)),
            None => {
                let reason = format!("The topic '{}' does not exist.", name.as_str());
                refused(ResponseError::UnknownTopicOrPartition, reason)
            }
        },
        BROKER => broker_configs::level(client, name, "").map(Resource::Broker),
        other => {
            let reason = format!("resources of type {other} have no configurations here");
            refused(ResponseError::InvalidRequest, reason)
        }
    }
}

fn change(
    topic: &ServedTopic,
    validate_only: bool,
    changed: impl FnOnce(&TopicSettings) -> Result<TopicSettings, SettingError>,
) -> Result<(), Refused> {
    let changed = |settings: &TopicSettings| {
        let changed = changed(settings);
        changed.or_else(|error| refused(ResponseError::InvalidConfig, error))
    };
    match validate_only {
        true => changed(&topic.configured()).map(|_| ()),
        false => topic.change_settings(changed),
    }
}

fn change_broker(
    client: &Client,
    level: Level,
    validate_only: bool,
    changed: impl FnOnce(&AlteredSettings) -> Result<AlteredSettings, SettingError>,
) -> Result<(), Refused> {
    let changed = |settings: &AlteredSettings| {
        changed(settings).or_else(|error| {
            // As in Kafka: whatever is wrong with a value is the request's fault.
            let code = match error {
                SettingError::NoList { .. } => ResponseError::InvalidConfig,
                _ => ResponseError::InvalidRequest,
            };
            refused(code, error)
        })
    };
    let topics = &client.shared.topics;
    match validate_only {
        true => changed(topics.broker_settings().level(level)).map(|_| ()),
        false => topics.change_broker_settings(level, changed),
    }
}
