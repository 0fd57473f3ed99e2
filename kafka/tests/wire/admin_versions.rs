//! Every advertised version of the administrators' APIs can be sent and answered.

use crate::requests::{batch, name};
use crate::versions::{in_all_versions, served};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

#[tokio::test]
async fn create_and_delete_topics() {
    use create_topics_request::{CreatableTopic, CreatableTopicConfig};
    let (served, mut client) = served().await;
    let config = CreatableTopicConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("1000")));
    let request = |version| {
        let topic = CreatableTopic::default()
            .with_name(name(&format!("topic-{version}")))
            .with_num_partitions(3)
            .with_replication_factor(1)
            .with_configs(vec![config.clone()]);
        CreateTopicsRequest::default().with_topics(vec![topic])
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        let topic = &response.topics[0];
        assert_eq!(topic.error_code, 0, "v{version} {:?}", topic.error_message);
        assert_eq!(topic.topic_id.is_nil(), version < 7);
        let described = topic.configs.as_ref().map_or(0, Vec::len);
        assert_eq!(described > 30, version >= 5, "v{version}");
    }
    for (version, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.topics[0].error_code, 36, "v{version}");
    }
    let request = |version| match version {
        6.. => {
            let topic = delete_topics_request::DeleteTopicState::default();
            let topic = topic.with_name(Some(name("topic-6")));
            DeleteTopicsRequest::default().with_topics(vec![topic])
        }
        _ => {
            let names = vec![name(&format!("topic-{version}"))];
            DeleteTopicsRequest::default().with_topic_names(names)
        }
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        let expected = if version < 2 { 3 } else { 0 };
        assert_eq!(response.responses[0].error_code, expected, "v{version}");
    }
    assert_eq!(served.broker.topic_names(), ["orders", "topic-7"]);
}

#[tokio::test]
async fn create_partitions() {
    use create_partitions_request::CreatePartitionsTopic;
    let (served, mut client) = served().await;
    let request = |version: i16| {
        let topic = CreatePartitionsTopic::default()
            .with_name(name("orders"))
            .with_count(i32::from(version) + 2)
            .with_assignments(None);
        CreatePartitionsRequest::default().with_topics(vec![topic])
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.results[0].error_code, 0, "v{version}");
    }
    assert_eq!(served.broker.topic("orders").unwrap().partitions(), 5);
    for (version, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.results[0].error_code, 37, "v{version}");
    }
}

#[tokio::test]
async fn delete_records() {
    use delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let (served, mut client) = served().await;
    client
        .produce("orders", 0, batch(&["a", "b", "c", "d"]))
        .await;
    let request = |version: i16| {
        let partition = DeleteRecordsPartition::default().with_offset(i64::from(version) + 1);
        let topic = DeleteRecordsTopic::default()
            .with_name(name("orders"))
            .with_partitions(vec![partition]);
        DeleteRecordsRequest::default().with_topics(vec![topic])
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        let partition = &response.topics[0].partitions[0];
        let expected = (0, i64::from(version) + 1);
        assert_eq!((partition.error_code, partition.low_watermark), expected);
    }
    let topic = served.broker.topic("orders").unwrap();
    assert_eq!(topic.log_start_offset(0), Ok(3));
}

#[tokio::test]
async fn describe_configs() {
    use describe_configs_request::DescribeConfigsResource;
    let (_served, mut client) = served().await;
    let request = |_| {
        let resource = |kind, name| {
            DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
                .with_configuration_keys(None)
        };
        let resources = vec![resource(2, "orders"), resource(4, "0"), resource(2, "x")];
        DescribeConfigsRequest::default()
            .with_resources(resources)
            .with_include_synonyms(true)
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        let errors = response.results.iter().map(|result| result.error_code);
        assert_eq!(errors.collect::<Vec<_>>(), [0, 0, 3], "v{version}");
        assert_eq!(response.results[0].configs.len(), 33);
    }
}

#[tokio::test]
async fn change_configs() {
    use alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let (_served, mut client) = served().await;
    let request = |_| {
        let config = AlterableConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("1000")));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("orders"))
            .with_configs(vec![config]);
        AlterConfigsRequest::default().with_resources(vec![resource])
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.responses[0].error_code, 0, "v{version}");
    }
}

#[tokio::test]
async fn change_single_configs() {
    use incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let (_served, mut client) = served().await;
    let request = |_| {
        let config = AlterableConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("1000")));
        let resource = |kind| {
            AlterConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text("orders"))
                .with_configs(vec![config.clone()])
        };
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource(2), resource(4)])
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        let errors = response.responses.iter().map(|r| r.error_code);
        assert_eq!(errors.collect::<Vec<_>>(), [0, 42], "v{version}");
    }
}

#[tokio::test]
async fn describe_producers_and_log_dirs() {
    let (_served, mut client) = served().await;
    let request = |_| {
        let topic = describe_producers_request::TopicRequest::default()
            .with_name(name("orders"))
            .with_partition_indexes(vec![0]);
        DescribeProducersRequest::default().with_topics(vec![topic])
    };
    for (_, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.topics[0].partitions[0].error_code, 0);
    }
    let request = |_| DescribeLogDirsRequest::default().with_topics(None);
    for (version, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.results[0].topics.len(), 1, "v{version}");
    }
}

#[tokio::test]
async fn delete_offsets() {
    let (_served, mut client) = served().await;
    let request = |_| OffsetDeleteRequest::default().with_group_id(GroupId(text("unknown")));
    for (_, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.error_code, 69);
    }
}

#[tokio::test]
async fn describe_cluster() {
    let (_served, mut client) = served().await;
    let request = |_| DescribeClusterRequest::default();
    for (version, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.error_code, 0, "v{version}");
        assert_eq!(response.brokers[0].port, 9092);
    }
}

#[tokio::test]
async fn offset_for_leader_epoch() {
    use offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
    let (_served, mut client) = served().await;
    client.produce("orders", 0, batch(&["a", "b"])).await;
    for (epoch, expected) in [(0, (0, 2)), (1, (-1, -1))] {
        let request = |_| {
            let partition = OffsetForLeaderPartition::default()
                .with_current_leader_epoch(-1)
                .with_leader_epoch(epoch);
            let topic = OffsetForLeaderTopic::default()
                .with_topic(name("orders"))
                .with_partitions(vec![partition]);
            OffsetForLeaderEpochRequest::default().with_topics(vec![topic])
        };
        for (version, response) in in_all_versions(&mut client, request).await {
            let found = &response.topics[0].partitions[0];
            assert_eq!(found.error_code, 0, "v{version}");
            assert_eq!((found.leader_epoch, found.end_offset), expected);
        }
    }
}

#[tokio::test]
async fn groups() {
    let (_served, mut client) = served().await;
    let commit = offset_commit_request::OffsetCommitRequestPartition::default();
    let topic = offset_commit_request::OffsetCommitRequestTopic::default()
        .with_name(name("orders"))
        .with_partitions(vec![commit]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("billing")))
        .with_topics(vec![topic]);
    client.ask(8, &commit).await;

    let list = |_| ListGroupsRequest::default();
    for (version, response) in in_all_versions(&mut client, list).await {
        let listed = &response.groups[0];
        assert_eq!(response.groups.len(), 1);
        let expected = if version >= 4 { "Empty" } else { "" };
        assert_eq!(
            (&*listed.group_id.0, &*listed.group_state),
            ("billing", expected)
        );
    }
    let describe = |_| {
        let groups = vec![GroupId(text("billing")), GroupId(text("unknown"))];
        DescribeGroupsRequest::default().with_groups(groups)
    };
    for (version, response) in in_all_versions(&mut client, describe).await {
        let states = response.groups.iter().map(|group| &*group.group_state);
        assert_eq!(states.collect::<Vec<_>>(), ["Empty", "Dead"]);
        let expected = if version >= 6 { 69 } else { 0 };
        assert_eq!(response.groups[1].error_code, expected, "v{version}");
    }
    let delete =
        |_| DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text("billing"))]);
    for (version, response) in in_all_versions(&mut client, delete).await {
        let expected = if version == 0 { 0 } else { 69 };
        assert_eq!(response.results[0].error_code, expected, "v{version}");
    }
}

#[tokio::test]
async fn list_config_resources() {
    let (_served, mut client) = served().await;
    let request = |_| ListConfigResourcesRequest::default();
    let listed = |response: ListConfigResourcesResponse| {
        assert_eq!(response.error_code, 0);
        let resources = response.config_resources.into_iter();
        let listed = resources.map(|r| (r.resource_type, r.resource_name.to_string()));
        listed.collect::<Vec<_>>()
    };
    let expected = |kinds: &[i8]| {
        let names = |kind: &i8| (*kind, if *kind == 2 { "orders" } else { "0" }.to_owned());
        kinds.iter().map(names).collect::<Vec<_>>()
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        // Version 0 lists what is configured of client metrics: nothing.
        let kinds: &[i8] = if version == 0 { &[] } else { &[8, 4, 2] };
        assert_eq!(listed(response), expected(kinds), "v{version}");
    }
    for (asked, kinds) in [(&[2][..], &[2][..]), (&[16, 4], &[4]), (&[32], &[])] {
        let request = ListConfigResourcesRequest::default().with_resource_types(asked.to_vec());
        assert_eq!(
            listed(client.ask(1, &request).await),
            expected(kinds),
            "{asked:?}"
        );
    }
    let request = ListConfigResourcesRequest::default().with_resource_types(vec![2, 1]);
    let response = client.ask(1, &request).await;
    assert_eq!(
        (response.error_code, response.config_resources.len()),
        (35, 0)
    );
}

/// The topics, partitions and error codes of an answer, and where the next one begins.
type Described = (Vec<(String, Vec<i32>, i16)>, Option<(String, i32)>);

#[tokio::test]
async fn describe_topic_partitions() {
    use describe_topic_partitions_request::{Cursor, TopicRequest};
    let (served, mut client) = served().await;
    for (topic, partitions) in [("a", 3), ("b", 1)] {
        let config = ringlog::TopicConfig::new().partitions(partitions);
        served.broker.create_topic(topic, config).unwrap();
    }
    let request = |names: &[&str], limit: i32, cursor: Option<(&str, i32)>| {
        let topics = names
            .iter()
            .map(|n| TopicRequest::default().with_name(name(n)));
        let cursor = cursor.map(|(topic, partition)| {
            let cursor = Cursor::default().with_topic_name(name(topic));
            cursor.with_partition_index(partition)
        });
        DescribeTopicPartitionsRequest::default()
            .with_topics(topics.collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor)
    };
    let described = |response: DescribeTopicPartitionsResponse| -> Described {
        let topics = response.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|p| p.partition_index);
            let name = topic.name.unwrap().to_string();
            assert_eq!(topic.topic_id.is_nil(), topic.error_code != 0);
            let none = Some(Vec::new());
            let are_lists = |p: &describe_topic_partitions_response::DescribeTopicPartitionsResponsePartition| {
                p.eligible_leader_replicas == none && p.last_known_elr == none
            };
            assert!(topic.partitions.iter().all(are_lists));
            (name, partitions.collect(), topic.error_code)
        });
        let next = response.next_cursor;
        let next = next.map(|next| (next.topic_name.to_string(), next.partition_index));
        (topics.collect(), next)
    };
    let topic = |name: &str, partitions: &[i32]| (name.to_owned(), partitions.to_vec(), 0);
    let failed = |name: &str, error| (name.to_owned(), Vec::new(), error);
    let at = |name: &str, partition| Some((name.to_owned(), partition));
    let all = vec![
        topic("a", &[0, 1, 2]),
        topic("b", &[0]),
        topic("orders", &[0]),
    ];
    for (names, limit, cursor, expected) in [
        (&[][..], 2000, None, (all.clone(), None)),
        (&[], 5, None, (all.clone(), None)),
        (&[], 2, None, (vec![topic("a", &[0, 1])], at("a", 2))),
        (&[], 3, None, (vec![topic("a", &[0, 1, 2])], at("b", 0))),
        (&[], 0, None, (vec![topic("a", &[0])], at("a", 1))),
        (
            &[],
            2,
            Some(("a", 2)),
            (vec![topic("a", &[2]), topic("b", &[0])], at("orders", 0)),
        ),
        (&[], 9, Some(("aa", 7)), (all[1..].to_vec(), None)),
        (
            &[],
            9,
            Some(("b", 4)),
            (vec![topic("b", &[]), topic("orders", &[0])], None),
        ),
        (&["b", "a", "b"], 9, None, (all[..2].to_vec(), None)),
        (&["b", "a"], 9, Some(("b", 0)), (all[1..2].to_vec(), None)),
        (
            &["x", "?", "a"],
            9,
            None,
            (
                vec![failed("?", 17), topic("a", &[0, 1, 2]), failed("x", 3)],
                None,
            ),
        ),
        (&["a"], 9, Some(("b", 0)), (vec![failed("a", 42)], None)),
        (&["a"], 9, Some(("a", -1)), (vec![failed("a", 42)], None)),
        (&[], 9, Some(("a", -1)), (Vec::new(), None)),
    ] {
        let response = client.ask(0, &request(names, limit, cursor)).await;
        assert_eq!(
            described(response),
            expected,
            "{names:?} {limit} {cursor:?}"
        );
    }
}
