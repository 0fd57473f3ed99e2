//! DescribeConfigs and DescribeCluster: what clients ask of a cluster's state.

use super::metadata::CLUSTER_OPERATIONS;
use super::{code, once, text};
use crate::server::connection::Client;
use crate::server::topic_settings::{
    MAX_MESSAGE_BYTES, SETTINGS, Setting, TopicSettings, ValueKind,
};
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

/// Where a value is from.
const OF_TOPIC: i8 = 1;
const OF_BROKER: i8 = 4;
const DEFAULT: i8 = 5;

/// The value of a topic's configuration.
pub(super) fn described(client: &Client, settings: &TopicSettings, setting: &Setting) -> String {
    match settings.given(setting.name) {
        Some(given) => given.to_owned(),
        None if setting.name == MAX_MESSAGE_BYTES => {
            client.shared.config.limits.batch_bytes.to_string()
        }
        None => setting.default.to_owned(),
    }
}

/// Where the value of a topic's configuration is from.
pub(super) fn source(settings: &TopicSettings, setting: &Setting) -> i8 {
    match settings.given(setting.name) {
        Some(_) => OF_TOPIC,
        None => DEFAULT,
    }
}

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
            BROKER => broker_configs(client, &resource),
            _ => Err(ResponseError::InvalidRequest),
        };
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_error_code(code(configs.as_ref().err().copied()));
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
            Err(error) => result.with_error_message(Some(text(error.to_string()))),
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

fn config(name: &str, value: String, kind: ValueKind, source: i8) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(text(name))
        .with_value(Some(text(value)))
        .with_config_source(source)
        .with_config_type(kind as i8)
        .with_documentation(None)
}

fn topic_configs(
    client: &Client,
    resource: &DescribeConfigsResource,
    include_synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, ResponseError> {
    let topic = client.shared.topics.find(&resource.resource_name);
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let settings = topic.settings();
    let configs = SETTINGS.iter().map(|setting| {
        let source = source(&settings, setting);
        let value = described(client, &settings, setting);
        let synonym = |name: &str, value: String, source| {
            DescribeConfigsSynonym::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
                .with_source(source)
        };
        let mut synonyms = Vec::new();
        if source == OF_TOPIC {
            synonyms.push(synonym(setting.name, value.clone(), OF_TOPIC));
        }
        if let Some(of_broker) = setting.synonym {
            let default = described(client, &TopicSettings::default(), setting);
            synonyms.push(synonym(of_broker, default, DEFAULT));
        }
        let config = config(setting.name, value, setting.kind, source);
        match include_synonyms {
            true => config.with_synonyms(synonyms),
            false => config,
        }
    });
    Ok(configs.collect())
}

/// What of this server's settings has a name in Kafka.
fn broker_configs(
    client: &Client,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, ResponseError> {
    use ValueKind::{Boolean, Int, Text};
    let config = &client.shared.config;
    if resource.resource_name.is_empty() {
        // The dynamic defaults of all brokers: there are none.
        return Ok(Vec::new());
    }
    if *resource.resource_name != *config.node_id.to_string() {
        return Err(ResponseError::InvalidRequest);
    }
    let (limits, times) = (config.limits, config.group_times);
    let milliseconds = |time: std::time::Duration| time.as_millis().to_string();
    let address = &client.advertised;
    let listener = format!("PLAINTEXT://{}:{}", address.host, address.port);
    let values = [
        ("advertised.listeners", Text, listener),
        (
            "auto.create.topics.enable",
            Boolean,
            config.auto_create_topics.to_string(),
        ),
        (
            "group.initial.rebalance.delay.ms",
            Int,
            milliseconds(times.initial_rebalance_delay),
        ),
        (
            "group.max.session.timeout.ms",
            Int,
            milliseconds(times.max_session_timeout),
        ),
        (
            "group.min.session.timeout.ms",
            Int,
            milliseconds(times.min_session_timeout),
        ),
        ("message.max.bytes", Int, limits.batch_bytes.to_string()),
        ("node.id", Int, config.node_id.to_string()),
        ("num.partitions", Int, config.default_partitions.to_string()),
        (
            "offset.metadata.max.bytes",
            Int,
            limits.offset_metadata_bytes.to_string(),
        ),
        (
            "socket.request.max.bytes",
            Int,
            limits.request_bytes.to_string(),
        ),
    ];
    let configs = values
        .into_iter()
        .map(|(name, kind, value)| self::config(name, value, kind, OF_BROKER).with_read_only(true));
    Ok(configs.collect())
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
