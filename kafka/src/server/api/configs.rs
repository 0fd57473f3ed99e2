//! DescribeConfigs and DescribeCluster: what clients ask of a cluster's state.

use super::metadata::CLUSTER_OPERATIONS;
use super::topics::Refused;
use super::{broker_configs, code, once, text};
use crate::server::broker_settings::{SourcedValue, ValueSource, first_value};
use crate::server::connection::Client;
use crate::server::topic_settings::{SETTINGS, ValueKind};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest,
    DescribeConfigsResponse,
};

pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

pub(super) fn describe(
    client: &Client,
    version: i16,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let key = |asked: &DescribeConfigsResource| (asked.resource_type, asked.resource_name.clone());
    let resources = once(request.resources, key);
    let results = resources.into_iter().map(|resource| {
        let configs = match resource.resource_type {
            TOPIC => topic_configs(client, &resource, request.include_synonyms),
            BROKER => broker_configs(client, &resource, request.include_synonyms),
            _ => Err(ResponseError::InvalidRequest.into()),
        };
        let error = configs.as_ref().err().map(|refused| refused.error);
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_error_code(code(error));
        let asked = resource.configuration_keys;
        let is_asked = |config: &DescribeConfigsResourceResult| {
            let mut keys = asked.iter().flatten();
            asked.is_none() || keys.any(|key| *key == config.name)
        };
        let result = match configs {
            Ok(configs) => {
                let configs = configs.into_iter().filter(is_asked);
                let configs = configs.map(|config| for_version(version, config));
                result.with_configs(configs.collect())
            }
            Err(Refused { reason, .. }) => result.with_error_message(Some(text(reason))),
        };
        result.with_resource_name(resource.resource_name)
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// Leaves out what the version lacks.
fn for_version(
    version: i16,
    config: DescribeConfigsResourceResult,
) -> DescribeConfigsResourceResult {
    match version {
        3.. => config,
        _ => config.with_config_type(0).with_documentation(None),
    }
}

/// A configuration with its value.
pub(super) fn entry(
    name: &str,
    value: &str,
    kind: ValueKind,
    source: ValueSource,
) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_config_source(source as i8)
        .with_config_type(kind as i8)
        .with_documentation(None)
}

/// One of the values that a configuration has.
pub(super) fn synonym(value: &SourcedValue) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(text(value.name))
        .with_value(Some(text(value.value.as_str())))
        .with_source(value.source as i8)
}

fn topic_configs(
    client: &Client,
    resource: &DescribeConfigsResource,
    include_synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
    let topic = client.shared.topics.find(&resource.resource_name);
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let (own, broker) = (topic.configured(), client.shared.topics.broker_settings());
    let configs = SETTINGS.iter().map(|setting| {
        let values = broker.topic_values(&own, setting);
        let (value, source) = first_value(&values, setting);
        let synonyms = values.iter().filter(|_| include_synonyms).map(synonym);
        entry(setting.name, value, setting.kind, source).with_synonyms(synonyms.collect())
    });
    Ok(configs.collect())
}

fn broker_configs(
    client: &Client,
    resource: &DescribeConfigsResource,
    include_synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
    let level = broker_configs::level(client, &resource.resource_name, " or empty string")?;
    Ok(broker_configs::describe(client, level, include_synonyms))
}

/// The only kind of endpoint that is served.
const BROKERS: i8 = 1;

pub(super) fn describe_cluster(
    client: &Client,
    version: i16,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    if version >= 1 && request.endpoint_type != BROKERS {
        let error = ResponseError::MismatchedEndpointType;
        return DescribeClusterResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(text(error.to_string())));
    }
    let config = &client.shared.config;
    let broker = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(config.node_id))
        .with_host(text(client.advertised.host.as_str()))
        .with_port(client.advertised.port.into());
    let response = DescribeClusterResponse::default()
        .with_cluster_id(text(client.shared.cluster_id.as_str()))
        .with_controller_id(BrokerId(config.node_id))
        .with_brokers(vec![broker]);
    match request.include_cluster_authorized_operations {
        true => response.with_cluster_authorized_operations(CLUSTER_OPERATIONS),
        false => response,
    }
}
