//! What DescribeConfigs answers of the broker: the default of all brokers, and this one.

use super::configs::{entry, synonym};
use super::topics::{Refused, refused};
use crate::server::broker_settings::{Level, SourcedValue, ValueSource, first_value};
use crate::server::config::Config;
use crate::server::connection::Client;
use crate::server::topic_settings::{SETTINGS, ValueKind};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;

/// The level of the broker's configuration that a resource of this name has, if `or_empty` says what
/// else the name may be.
pub(super) fn level(client: &Client, name: &str, or_empty: &str) -> Result<Level, Refused> {
    if name.is_empty() {
        return Ok(Level::AllBrokers);
    }
    let node_id = client.shared.config.node_id;
    match name.parse::<i32>() {
        Ok(id) if id == node_id => Ok(Level::Broker),
        Ok(_) => {
            let reason =
                format!("Unexpected broker id, expected {node_id}{or_empty}, but received {name}");
            refused(ResponseError::InvalidRequest, reason)
        }
        Err(_) => {
            let reason = format!("Broker id must be an integer, but it is: {name}");
            refused(ResponseError::InvalidRequest, reason)
        }
    }
}

/// The configurations of this broker, or what is altered for all brokers.
pub(super) fn describe(
    client: &Client,
    level: Level,
    include_synonyms: bool,
) -> Vec<DescribeConfigsResourceResult> {
    let settings = client.shared.topics.broker_settings();
    let alterable = SETTINGS.iter().filter_map(|setting| {
        let name = setting.synonym?;
        let mut values = settings.values(setting);
        if level == Level::AllBrokers {
            values.retain(|value| value.source == ValueSource::AllBrokers);
            values.first()?;
        }
        let synonyms = values.iter().filter(|_| include_synonyms).map(synonym);
        let (value, source) = first_value(&values, setting);
        let entry = entry(name, value, setting.kind, source);
        Some(entry.with_synonyms(synonyms.collect()))
    });
    let mut described: Vec<_> = alterable.collect();
    if level == Level::Broker {
        described.extend(read_only(client, include_synonyms));
    }
    described.sort_by(|one, other| one.name.cmp(&other.name));
    described
}

/// What of the server's settings has a name in Kafka and is given at the start.
fn read_only(
    client: &Client,
    include_synonyms: bool,
) -> impl Iterator<Item = DescribeConfigsResourceResult> {
    let address = &client.advertised;
    let own = [
        (
            "advertised.listeners",
            ValueKind::Text,
            format!("PLAINTEXT://{}:{}", address.host, address.port),
        ),
        (
            "node.id",
            ValueKind::Int,
            client.shared.config.node_id.to_string(),
        ),
    ];
    let own = own.map(|(name, kind, value)| (name, kind, value, None));
    let values = configured(&client.shared.config).into_iter();
    let defaults = configured(&Config::default()).into_iter();
    let others = values
        .zip(defaults)
        .map(|((name, kind, value), (_, _, default))| (name, kind, value, Some(default)));
    own.into_iter()
        .chain(others)
        .map(move |(name, kind, value, default)| {
            let sourced = |source| {
                move |value| SourcedValue {
                    name,
                    value,
                    source,
                }
            };
            let given = Some(value.clone()).filter(|_| default.as_ref() != Some(&value));
            let given = given.map(sourced(ValueSource::Static));
            let values = given.into_iter();
            let values: Vec<_> = values
                .chain(default.map(sourced(ValueSource::Default)))
                .collect();
            let source = values.first().map_or(ValueSource::Default, |v| v.source);
            let synonyms = values.iter().filter(|_| include_synonyms).map(synonym);
            entry(name, &value, kind, source)
                .with_read_only(true)
                .with_synonyms(synonyms.collect())
        })
}

/// The settings of a server that have a default.
fn configured(config: &Config) -> [(&'static str, ValueKind, String); 7] {
    use ValueKind::{Boolean, Int};
    let (limits, times) = (config.limits, config.group_times);
    let milliseconds = |time: std::time::Duration| time.as_millis().to_string();
    [
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
    ]
}
