//! The broker's own configuration: what clients alter of it, and how it is described.

use crate::alter::{APPEND, DELETE, SET, SUBTRACT, alter, change, changes};
use crate::client::{Client, Served};
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as Replaced, AlterableConfig as Replacement,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ringlog_kafka::{Server, ServerLimits};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// The resource of the default of all brokers, and that of the broker under test.
pub(crate) const ALL: &str = "";
pub(crate) const ONE: &str = "0";

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn of_broker(name: &str, configs: Vec<AlterableConfig>) -> AlterConfigsResource {
    changes(name, configs).with_resource_type(BROKER)
}

/// Alters the configuration of a broker, or of all. Returns the error.
async fn alter_broker(client: &mut Client, name: &str, configs: Vec<AlterableConfig>) -> i16 {
    alter(client, vec![of_broker(name, configs)]).await[0]
}

pub(crate) async fn set(client: &mut Client, name: &str, config: &str, value: &str) {
    let set = vec![change(config, SET, Some(value))];
    assert_eq!(alter_broker(client, name, set).await, 0, "{config}={value}");
}

pub(crate) async fn delete(client: &mut Client, name: &str, config: &str) {
    let delete = vec![change(config, DELETE, None)];
    assert_eq!(alter_broker(client, name, delete).await, 0, "{config}");
}

/// All configurations of a resource, with their synonyms; or the error.
async fn describe(
    client: &mut Client,
    kind: i8,
    name: &str,
) -> Result<Vec<DescribeConfigsResourceResult>, i16> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true);
    let result = client.ask(4, &request).await.results.remove(0);
    match result.error_code {
        0 => Ok(result.configs),
        error => Err(error),
    }
}

type Values = Vec<(String, String, i8)>;

/// The values of a configuration of a resource, with their names and sources: the one that counts
/// first. It is in the list of synonyms, too, unless that is empty.
async fn values(client: &mut Client, kind: i8, name: &str, config: &str) -> Values {
    let all = describe(client, kind, name).await.unwrap();
    let found = all.iter().find(|found| *found.name == *config);
    let Some(found) = found else {
        return Vec::new();
    };
    let value = |value: &Option<StrBytes>| value.as_ref().unwrap().to_string();
    let synonyms = found.synonyms.iter();
    let synonyms = synonyms.map(|s| (s.name.to_string(), value(&s.value), s.source));
    let synonyms: Values = synonyms.collect();
    let counts = (value(&found.value), found.config_source);
    match synonyms.first() {
        Some((_, value, source)) => assert_eq!(counts, (value.clone(), *source), "{config}"),
        None => return vec![(config.to_owned(), counts.0, counts.1)],
    }
    synonyms
}

fn expected(values: &[(&str, &str, i8)]) -> Values {
    let values = values.iter();
    let values = values.map(|(name, value, source)| ((*name).into(), (*value).into(), *source));
    values.collect()
}

#[tokio::test]
async fn the_broker_is_described_with_sources_and_synonyms() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let (flush, topics) = ("log.flush.interval.messages", "flush.messages");
    let forever = "9223372036854775807";
    set(&mut client, ALL, flush, "99").await;
    set(&mut client, ONE, flush, "1234").await;
    let all = [(flush, "1234", 2), (flush, "99", 3), (flush, forever, 5)];
    let found = values(&mut client, BROKER, ONE, flush).await;
    assert_eq!(found, expected(&all));
    let found = values(&mut client, BROKER, ALL, flush).await;
    assert_eq!(found, expected(&all[1..2]));
    let found = values(&mut client, TOPIC, "orders", topics).await;
    assert_eq!(found, expected(&all));
    let own = change(topics, SET, Some("5"));
    assert_eq!(
        alter(&mut client, vec![changes("orders", vec![own])]).await,
        [0]
    );
    let found = values(&mut client, TOPIC, "orders", topics).await;
    assert_eq!(found[0], (topics.to_owned(), "5".to_owned(), 1));
    assert_eq!(found[1..], expected(&all));
    // Each is taken back by itself.
    delete(&mut client, ONE, flush).await;
    let found = values(&mut client, BROKER, ONE, flush).await;
    assert_eq!(found, expected(&all[1..]));
    delete(&mut client, ALL, flush).await;
    let found = values(&mut client, BROKER, ONE, flush).await;
    assert_eq!(found, expected(&all[2..]));
    assert_eq!(describe(&mut client, BROKER, ALL).await, Ok(Vec::new()));
    for other in ["7", "x"] {
        assert_eq!(describe(&mut client, BROKER, other).await, Err(42));
    }
}

#[tokio::test]
async fn what_the_server_was_started_with_is_static_and_most_of_it_read_only() {
    let mut limits = ServerLimits::default();
    limits.batch_bytes = 5000;
    let builder = Server::builder()
        .node_id(3)
        .limits(limits)
        .default_partitions(2);
    let served = Served::with(builder).await;
    let mut client = served.client();
    client.metadata("orders").await;
    let found = describe(&mut client, BROKER, "3").await.unwrap();
    let read_only = found.iter().filter(|config| config.read_only);
    let read_only = read_only.map(|config| (&*config.name, config.config_source));
    let expected_read_only = [
        ("advertised.listeners", 4),
        ("auto.create.topics.enable", 5),
        ("group.initial.rebalance.delay.ms", 5),
        ("group.max.session.timeout.ms", 5),
        ("group.min.session.timeout.ms", 5),
        ("node.id", 4),
        ("num.partitions", 4),
        ("offset.metadata.max.bytes", 5),
        ("socket.request.max.bytes", 5),
    ];
    assert_eq!(read_only.collect::<Vec<_>>(), expected_read_only);
    assert!(found.is_sorted_by(|one, other| one.name < other.name));
    let partitions = values(&mut client, BROKER, "3", "num.partitions").await;
    let both = [("num.partitions", "2", 4), ("num.partitions", "1", 5)];
    assert_eq!(partitions, expected(&both));
    // What is not read-only has the defaults of topics.
    let max = "message.max.bytes";
    let both = [(max, "5000", 4), (max, "1048588", 5)];
    let found = values(&mut client, BROKER, "3", max).await;
    assert_eq!(found, expected(&both));
    let found = values(&mut client, TOPIC, "orders", "max.message.bytes").await;
    assert_eq!(found, expected(&both));
    set(&mut client, "3", max, "6000").await;
    let found = values(&mut client, TOPIC, "orders", "max.message.bytes").await;
    assert_eq!(found[0], (max.to_owned(), "6000".to_owned(), 2));
    let of_another = vec![change(max, SET, Some("6000"))];
    assert_eq!(alter_broker(&mut client, ONE, of_another).await, 42);
}

#[tokio::test]
async fn what_a_broker_does_not_take_is_refused_and_then_nothing_has_changed() {
    let served = Served::new().await;
    let mut client = served.client();
    let good = || change("log.retention.ms", SET, Some("1000"));
    for (name, bad, error, reason) in [
        (
            ONE,
            change("num.partitions", SET, Some("3")),
            42,
            "Cannot update these configs dynamically: num.partitions",
        ),
        (
            ALL,
            change("log.retention.hours", SET, Some("3")),
            42,
            "Cannot update these configs dynamically: log.retention.hours",
        ),
        (
            ONE,
            change("retention.bytes", SET, Some("3")),
            42,
            "retention.bytes is no configuration of brokers that can be altered here",
        ),
        (
            ONE,
            change("no.such", APPEND, Some("3")),
            42,
            "no.such is no configuration of brokers that can be altered here",
        ),
        (
            ONE,
            change("log.roll.ms", SET, Some("soon")),
            42,
            "Invalid value \"soon\" for configuration log.roll.ms",
        ),
        (
            ALL,
            change("log.cleanup.policy", APPEND, Some("squash")),
            42,
            "Invalid value \"delete,squash\" for configuration log.cleanup.policy",
        ),
        (
            ONE,
            change("message.max.bytes", SET, Some("-1")),
            42,
            "Invalid value \"-1\" for configuration message.max.bytes",
        ),
        (
            ONE,
            change("log.roll.ms", SUBTRACT, Some("1")),
            40,
            "Can't append to or subtract from log.roll.ms, which is no list",
        ),
        (
            ONE,
            change("log.roll.ms", SET, None),
            42,
            "Null value not supported for : log.roll.ms",
        ),
        (
            ONE,
            good(),
            42,
            "the configuration log.retention.ms is named twice",
        ),
        (
            "7",
            change("log.roll.ms", SET, Some("1")),
            42,
            "Unexpected broker id, expected 0, but received 7",
        ),
        (
            "x",
            change("log.roll.ms", SET, Some("1")),
            42,
            "Broker id must be an integer, but it is: x",
        ),
    ] {
        let resource = of_broker(name, vec![good(), bad]);
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let response = client.ask(1, &request).await.responses.remove(0);
        assert_eq!(response.error_code, error, "{reason}");
        assert_eq!(response.error_message.as_deref(), Some(reason));
        assert_eq!(
            (response.resource_type, &*response.resource_name),
            (BROKER, name)
        );
    }
    // Zero is a limit of topics alone.
    let zero = vec![change("log.retention.ms", SET, Some("0"))];
    assert_eq!(alter_broker(&mut client, ONE, zero).await, 42);
    // As with topics, what is taken back need not be known.
    for unset in ["no.such", "num.partitions"] {
        delete(&mut client, ONE, unset).await;
    }
    let check = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![of_broker(ONE, vec![good()])])
        .with_validate_only(true);
    assert_eq!(client.ask(1, &check).await.responses[0].error_code, 0);
    for name in [ALL, ONE] {
        let all = describe(&mut client, BROKER, name).await.unwrap();
        assert!(all.iter().all(|config| config.config_source >= 4));
    }
}

#[tokio::test]
async fn a_list_of_the_broker_is_appended_to_and_subtracted_from() {
    let served = Served::new().await;
    let mut client = served.client();
    let policy = "log.cleanup.policy";
    for (operation, value, expected) in [
        (APPEND, "compact", ("delete,compact", 2)),
        (SUBTRACT, "delete", ("compact", 2)),
        (DELETE, "", ("delete", 5)),
    ] {
        let config = change(policy, operation, Some(value));
        assert_eq!(alter_broker(&mut client, ONE, vec![config]).await, 0);
        let found = values(&mut client, BROKER, ONE, policy).await.remove(0);
        assert_eq!((found.1.as_str(), found.2), expected);
    }
}

#[tokio::test]
async fn the_old_api_replaces_all_that_is_altered_at_its_level() {
    let served = Served::new().await;
    let mut client = served.client();
    set(&mut client, ALL, "log.roll.ms", "1").await;
    set(&mut client, ONE, "log.roll.ms", "2").await;
    set(&mut client, ONE, "log.segment.bytes", "3").await;
    let replace = |name: &str, value: Option<&str>, only_check| {
        let config = Replacement::default()
            .with_name(text(name))
            .with_value(value.map(text));
        let resource = Replaced::default()
            .with_resource_type(BROKER)
            .with_resource_name(text(ONE))
            .with_configs(vec![config]);
        AlterConfigsRequest::default()
            .with_resources(vec![resource])
            .with_validate_only(only_check)
    };
    for (request, error) in [
        (replace("node.id", Some("4"), false), 42),
        (replace("no.such", Some("4"), false), 42),
        (replace("log.segment.bytes", Some("x"), false), 42),
        (replace("log.segment.bytes", None, false), 42),
        (replace("log.segment.bytes", Some("4"), true), 0),
    ] {
        let response = client.ask(2, &request).await.responses.remove(0);
        assert_eq!(response.error_code, error, "{request:?}");
        assert_eq!(response.error_message.is_some(), error != 0);
        let roll = values(&mut client, BROKER, ONE, "log.roll.ms").await;
        assert_eq!(roll[0].1, "2", "{request:?}");
    }
    let request = replace("log.segment.bytes", Some("4"), false);
    let response = client.ask(2, &request).await;
    assert_eq!(response.responses[0].error_code, 0);
    let segment = values(&mut client, BROKER, ONE, "log.segment.bytes").await;
    assert_eq!((segment[0].1.as_str(), segment[0].2), ("4", 2));
    // The level below is as it was.
    let roll = values(&mut client, BROKER, ONE, "log.roll.ms").await;
    assert_eq!((roll[0].1.as_str(), roll[0].2), ("1", 3));
}

#[tokio::test]
async fn brokers_are_listed_by_their_ids_alone() {
    let served = Served::new().await;
    let mut client = served.client();
    set(&mut client, ALL, "log.roll.ms", "1").await;
    let request = ListConfigResourcesRequest::default().with_resource_types(vec![BROKER]);
    let response = client.ask(1, &request).await;
    let listed = response.config_resources.iter();
    let listed = listed.map(|r| (r.resource_type, &*r.resource_name));
    assert_eq!(listed.collect::<Vec<_>>(), [(BROKER, ONE)]);
}
