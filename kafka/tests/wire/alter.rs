//! Administrators' changes of what exists: a topic's settings, a group's offsets; and what they are
//! shown of producers and of bytes.

use crate::client::{Client, Served};
use crate::requests::{batch, idempotent, name};
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as Replaced, AlterableConfig as Replacement,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ringlog::TopicConfig;
use std::time::Duration;

pub(crate) const SET: i8 = 0;
pub(crate) const DELETE: i8 = 1;
pub(crate) const APPEND: i8 = 2;
pub(crate) const SUBTRACT: i8 = 3;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn change(name: &str, operation: i8, value: Option<&str>) -> AlterableConfig {
    AlterableConfig::default()
        .with_name(text(name))
        .with_config_operation(operation)
        .with_value(value.map(text))
}

pub(crate) fn changes(topic: &str, changes: Vec<AlterableConfig>) -> AlterConfigsResource {
    AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configs(changes)
}

pub(crate) async fn alter(client: &mut Client, resources: Vec<AlterConfigsResource>) -> Vec<i16> {
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
    let response = client.ask(1, &request).await;
    response.responses.iter().map(|r| r.error_code).collect()
}

/// The value and the source of a topic's configuration.
pub(crate) async fn described(client: &mut Client, topic: &str, config: &str) -> (String, i8) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(topic))
        .with_configuration_keys(Some(vec![text(config)]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let result = client.ask(4, &request).await.results.remove(0);
    let found = &result.configs[0];
    (
        found.value.as_ref().unwrap().to_string(),
        found.config_source,
    )
}

#[tokio::test]
async fn a_setting_is_changed_and_taken_back() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let list = "cleanup.policy";
    for (config, operation, value, expected) in [
        ("max.message.bytes", SET, Some("100"), ("100", 1)),
        ("max.message.bytes", DELETE, None, ("1048588", 5)),
        (list, APPEND, Some("compact"), ("delete,compact", 1)),
        (list, APPEND, Some("compact"), ("delete,compact", 1)),
        (list, SUBTRACT, Some("delete"), ("compact", 1)),
        (list, SUBTRACT, Some("compact"), ("", 1)),
        (list, DELETE, Some("ignored"), ("delete", 5)),
        ("segment.ms", DELETE, None, ("604800000", 5)),
    ] {
        let changed = vec![changes("orders", vec![change(config, operation, value)])];
        assert_eq!(alter(&mut client, changed).await, [0], "{config} {value:?}");
        let found = described(&mut client, "orders", config).await;
        assert_eq!((found.0.as_str(), found.1), expected);
    }
}

#[tokio::test]
async fn changes_are_refused_resource_by_resource_and_then_nothing_has_changed() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let mut broker = changes("0", vec![change("num.partitions", SET, Some("3"))]);
    broker.resource_type = 4;
    let mut unknown_kind = changes("x", Vec::new());
    unknown_kind.resource_type = 99;
    let good = || change("retention.ms", SET, Some("1000"));
    for (resource, error) in [
        (changes("missing", vec![good()]), 3),
        (changes("", vec![good()]), 42),
        (changes("no name", vec![good()]), 17),
        (broker, 42),
        (unknown_kind, 42),
        (
            changes("orders", vec![good(), change("no.such", SET, Some("1"))]),
            40,
        ),
        (
            changes("orders", vec![good(), change("segment.ms", SET, Some("x"))]),
            40,
        ),
        (
            changes("orders", vec![good(), change("segment.ms", SET, None)]),
            42,
        ),
        (
            changes(
                "orders",
                vec![good(), change("segment.ms", APPEND, Some("1"))],
            ),
            40,
        ),
        (
            changes("orders", vec![good(), change("segment.ms", 9, Some("1"))]),
            42,
        ),
        (changes("orders", vec![good(), good()]), 42),
    ] {
        let what = format!("{resource:?}");
        assert_eq!(alter(&mut client, vec![resource]).await, [error], "{what}");
    }
    let twice = vec![
        changes("orders", vec![good()]),
        changes("orders", vec![good()]),
    ];
    assert_eq!(alter(&mut client, twice).await, [42]);
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![changes("orders", vec![good()])])
        .with_validate_only(true);
    assert_eq!(client.ask(1, &request).await.responses[0].error_code, 0);
    let unknown = vec![change("no.such", DELETE, None)];
    let unknown = vec![changes("orders", unknown)];
    assert_eq!(alter(&mut client, unknown).await, [0]);
    let found = described(&mut client, "orders", "retention.ms").await;
    assert_eq!(found, ("-1".to_owned(), 5));
}

#[tokio::test]
async fn a_changed_setting_has_its_meaning_at_once() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let limit = change("max.message.bytes", SET, Some("70"));
    alter(&mut client, vec![changes("orders", vec![limit])]).await;
    let answer = client.produce("orders", 0, batch(&["longer"])).await;
    assert_eq!(answer.error_code, 10);
}

#[tokio::test]
async fn shorter_retention_applies_to_the_records_that_are_there() {
    let served = Served::new().await;
    let config = TopicConfig::new().segment_records(1);
    let topic = served.broker.create_topic("orders", config).unwrap();
    let mut client = served.client();
    for value in ["a", "b", "c"] {
        client.produce("orders", 0, batch(&[value])).await;
    }
    let bytes = topic.stats().partitions[0].retained_bytes;
    for (config, value, start) in [
        ("segment.ms", 1, 0),
        ("retention.bytes", bytes / 3 * 2 + 1, 0),
        ("retention.bytes", bytes / 3 + 1, 1),
        ("retention.ms", 0, 2),
    ] {
        let limit = change(config, SET, Some(&value.to_string()));
        let changed = vec![changes("orders", vec![limit])];
        assert_eq!(alter(&mut client, changed).await, [0]);
        assert_eq!(topic.log_start_offset(0), Ok(start), "{config}={value}");
    }
}

#[tokio::test]
async fn the_limits_of_a_program_stay_when_a_client_changes_something_else() {
    let served = Served::new().await;
    let config = TopicConfig::new()
        .segment_records(1)
        .retention(Duration::ZERO);
    let topic = served.broker.create_topic("orders", config).unwrap();
    let mut client = served.client();
    let limit = change("max.message.bytes", SET, Some("1000"));
    alter(&mut client, vec![changes("orders", vec![limit])]).await;
    for value in ["a", "b"] {
        client.produce("orders", 0, batch(&[value])).await;
    }
    topic.apply_retention();
    assert_eq!(topic.log_start_offset(0), Ok(1));
}

#[tokio::test]
async fn settings_are_replaced_as_a_whole() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let first = change("segment.ms", SET, Some("5"));
    alter(&mut client, vec![changes("orders", vec![first])]).await;
    let replace = |name, value: Option<&str>| {
        let config = Replacement::default()
            .with_name(text(name))
            .with_value(value.map(text));
        let resource = Replaced::default()
            .with_resource_type(2)
            .with_resource_name(text("orders"))
            .with_configs(vec![config]);
        AlterConfigsRequest::default().with_resources(vec![resource])
    };
    for (name, value, error) in [
        ("no.such", Some("1"), 40),
        ("retention.ms", Some("soon"), 40),
        ("retention.ms", None, 42),
    ] {
        let response = client.ask(2, &replace(name, value)).await;
        assert_eq!(response.responses[0].error_code, error, "{name} {value:?}");
    }
    assert_eq!(described(&mut client, "orders", "segment.ms").await.0, "5");
    let response = client.ask(2, &replace("retention.ms", Some("7"))).await;
    assert_eq!(response.responses[0].error_code, 0);
    let segment = described(&mut client, "orders", "segment.ms").await;
    assert_eq!(segment, ("604800000".to_owned(), 5));
    assert_eq!(
        described(&mut client, "orders", "retention.ms").await.0,
        "7"
    );
}

#[tokio::test]
async fn the_producers_of_a_partition_are_described() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    client
        .produce("orders", 0, idempotent(9, 0, 0, &["a"]))
        .await;
    client
        .produce("orders", 0, idempotent(7, 2, 0, &["a", "b"]))
        .await;
    client
        .produce("orders", 0, batch(&["of no producer id"]))
        .await;
    let topic = |topic, partitions: &[i32]| {
        describe_producers_request::TopicRequest::default()
            .with_name(name(topic))
            .with_partition_indexes(partitions.to_vec())
    };
    let request = DescribeProducersRequest::default()
        .with_topics(vec![topic("orders", &[0, 1]), topic("missing", &[0])]);
    let response = client.ask(0, &request).await;
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let errors: Vec<i16> = partitions.map(|partition| partition.error_code).collect();
    assert_eq!(errors, [0, 3, 3]);
    let producers = response.topics[0].partitions[0].active_producers.iter();
    let producers = producers.map(|p| (p.producer_id.0, p.producer_epoch, p.last_sequence));
    assert_eq!(producers.collect::<Vec<_>>(), [(7, 2, 1), (9, 0, 0)]);
}

#[tokio::test]
async fn the_bytes_of_partitions_are_described() {
    let served = Served::new().await;
    let config = TopicConfig::new().partitions(2);
    served.broker.create_topic("orders", config).unwrap();
    served
        .broker
        .create_topic("other", TopicConfig::new())
        .unwrap();
    let mut client = served.client();
    client.produce("orders", 1, batch(&["12345678"])).await;
    let sizes = async |client: &mut Client, topics| {
        let request = DescribeLogDirsRequest::default().with_topics(topics);
        let mut response = client.ask(4, &request).await;
        assert_eq!((response.error_code, response.results.len()), (0, 1));
        let topics = response.results.remove(0).topics.into_iter();
        let sizes = topics.flat_map(|topic| {
            let name = topic.name.to_string();
            let partitions = topic.partitions.into_iter();
            partitions.map(move |p| (name.clone(), p.partition_index, p.partition_size > 0))
        });
        sizes.collect::<Vec<_>>()
    };
    let (orders, other) = ("orders".to_owned(), "other".to_owned());
    let all = [
        (orders.clone(), 0, false),
        (orders.clone(), 1, true),
        (other, 0, false),
    ];
    assert_eq!(sizes(&mut client, None).await, all);
    let topic = |topic, partitions: &[i32]| {
        describe_log_dirs_request::DescribableLogDirTopic::default()
            .with_topic(name(topic))
            .with_partitions(partitions.to_vec())
    };
    let wanted = vec![topic("orders", &[1, 1, 7]), topic("missing", &[0])];
    assert_eq!(sizes(&mut client, Some(wanted)).await, [(orders, 1, true)]);
}

/// Deletes the offsets of partitions 0 and 1 of a topic. Returns the errors: of the group, and of
/// the partitions.
async fn delete_offsets(client: &mut Client, group: &str, topic: &str) -> (i16, Vec<i16>) {
    let partitions =
        [0, 1].map(|index| OffsetDeleteRequestPartition::default().with_partition_index(index));
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(name(topic))
        .with_partitions(partitions.to_vec());
    let request = OffsetDeleteRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_topics(vec![topic]);
    let response = client.ask(0, &request).await;
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    (
        response.error_code,
        partitions.map(|p| p.error_code).collect(),
    )
}

async fn commit(client: &mut Client, topic: &str) {
    let partition =
        offset_commit_request::OffsetCommitRequestPartition::default().with_committed_offset(5);
    let topic = offset_commit_request::OffsetCommitRequestTopic::default()
        .with_name(name(topic))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("billing")))
        .with_topics(vec![topic]);
    client.ask(8, &request).await;
}

async fn committed(client: &mut Client, topic: &str) -> i64 {
    let topic = offset_fetch_request::OffsetFetchRequestTopic::default()
        .with_name(name(topic))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(GroupId(text("billing")))
        .with_topics(Some(vec![topic]));
    client.ask(5, &request).await.topics[0].partitions[0].committed_offset
}

#[tokio::test]
async fn offsets_are_deleted_one_by_one() {
    let served = Served::new().await;
    let mut client = served.client();
    for topic in ["orders", "kept"] {
        client.metadata(topic).await;
        commit(&mut client, topic).await;
    }
    assert_eq!(
        delete_offsets(&mut client, "unknown", "orders").await,
        (69, vec![])
    );
    assert_eq!(
        delete_offsets(&mut client, "billing", "orders").await,
        (0, vec![0, 3])
    );
    assert_eq!(
        delete_offsets(&mut client, "billing", "missing").await,
        (0, vec![3, 3])
    );
    assert_eq!(committed(&mut client, "orders").await, -1);
    assert_eq!(delete_offsets(&mut client, "", "kept").await, (24, vec![]));
    assert_eq!(committed(&mut client, "kept").await, 5);
}

#[tokio::test]
async fn offsets_that_members_may_use_are_not_deleted() {
    use join_group_request::JoinGroupRequestProtocol;
    let served = Served::new().await;
    for (kind, metadata, expected) in [
        // Subscribed to `orders`.
        (
            "consumer",
            &b"\0\0\0\0\0\x01\0\x06orders\xff\xff\xff\xff"[..],
            (0, vec![86, 3]),
        ),
        // Subscribed to `others`.
        (
            "consumer",
            &b"\0\0\0\0\0\x01\0\x06others\xff\xff\xff\xff"[..],
            (0, vec![0, 3]),
        ),
        // In no layout that is known.
        ("consumer", &b"\0"[..], (0, vec![86, 3])),
        ("connect", &b"\0\0\0\0\0\x01\0\x06others"[..], (68, vec![])),
    ] {
        let mut client = served.client();
        client.metadata("orders").await;
        commit(&mut client, "orders").await;
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(metadata.into());
        let join = JoinGroupRequest::default()
            .with_group_id(GroupId(text("billing")))
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(10_000)
            .with_protocol_type(text(kind))
            .with_protocols(vec![protocol]);
        let joined = client.ask(3, &join).await;
        assert_eq!(joined.error_code, 0);
        let deleted = delete_offsets(&mut client, "billing", "orders").await;
        assert_eq!(deleted, expected, "{metadata:?}");
        let leave = LeaveGroupRequest::default()
            .with_group_id(GroupId(text("billing")))
            .with_member_id(joined.member_id);
        assert_eq!(client.ask(2, &leave).await.error_code, 0);
    }
}
