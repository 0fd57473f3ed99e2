//! Every version of every API that is advertised can be sent and answered.

use crate::client::{Client, Served};
use crate::requests::{batch, fetch, name, produce};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use ringlog::TopicConfig;

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn group() -> GroupId {
    GroupId(text("billing"))
}

/// Sends a request in each advertised version, and returns the responses by version.
pub(crate) async fn in_all_versions<R: Request>(
    client: &mut Client,
    request: impl Fn(i16) -> R,
) -> Vec<(i16, R::Response)> {
    let advertised = client.ask(0, &ApiVersionsRequest::default()).await;
    let of_api = advertised.api_keys.iter().find(|api| api.api_key == R::KEY);
    let of_api = of_api.expect("the API is advertised");
    // Produce is advertised from version 0 on, and answered from 3 on, as in Kafka.
    let min = of_api.min_version.max(R::VERSIONS.min);
    let mut responses = Vec::new();
    for version in min..=of_api.max_version {
        responses.push((version, client.ask(version, &request(version)).await));
    }
    assert!(!responses.is_empty());
    responses
}

/// A server with the topic `orders`.
pub(crate) async fn served() -> (Served, Client) {
    let served = Served::new().await;
    let config = TopicConfig::new();
    served.broker.create_topic("orders", config).unwrap();
    let client = served.client();
    (served, client)
}

#[tokio::test]
async fn api_versions() {
    let (_served, mut client) = served().await;
    let request = |version| match version {
        3.. => ApiVersionsRequest::default()
            .with_client_software_name(text("ringlog-test"))
            .with_client_software_version(text("1.0.0")),
        _ => ApiVersionsRequest::default(),
    };
    for (_, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.error_code, 0);
    }
}

#[tokio::test]
async fn metadata_by_name() {
    let (_served, mut client) = served().await;
    let request = |_| {
        let topic = metadata_request::MetadataRequestTopic::default();
        let topics = vec![topic.with_name(Some(name("orders")))];
        MetadataRequest::default().with_topics(Some(topics))
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.topics.len(), 1);
        assert_eq!(response.topics[0].error_code, 0);
        assert_eq!(response.topics[0].topic_id.is_nil(), version < 10);
        assert_eq!(response.brokers[0].port, 9092);
    }
}

#[tokio::test]
async fn metadata_by_id() {
    let (_served, mut client) = served().await;
    let id = client.topic_id("orders").await;
    // Java's consumer sends an empty name beside the id.
    for empty in [None, Some(name(""))] {
        let topic = metadata_request::MetadataRequestTopic::default()
            .with_name(empty)
            .with_topic_id(id);
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        for version in 12..=13 {
            let response = client.ask(version, &request).await;
            let topic = &response.topics[0];
            assert_eq!((topic.error_code, &topic.name), (0, &Some(name("orders"))));
        }
    }
}

#[tokio::test]
async fn metadata_of_all_topics() {
    let (_served, mut client) = served().await;
    let request = |version| match version {
        0 => MetadataRequest::default().with_topics(Some(Vec::new())),
        _ => MetadataRequest::default().with_topics(None),
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.topics.len(), 1, "v{version}");
    }
}

#[tokio::test]
async fn metadata_of_unknown_topics() {
    let served = Served::with(ringlog_kafka::Server::builder().auto_create_topics(false)).await;
    let request = |_| {
        let topic = metadata_request::MetadataRequestTopic::default();
        let topics = vec![topic.with_name(Some(name("orders")))];
        MetadataRequest::default().with_topics(Some(topics))
    };
    for (_, response) in in_all_versions(&mut served.client(), request).await {
        assert_eq!(response.topics[0].error_code, 3);
    }
}

#[tokio::test]
async fn produce_requests() {
    let (_served, mut client) = served().await;
    let id = client.topic_id("orders").await;
    let request = |version| {
        let mut request = produce("orders", 0, batch(&["login", "order"]));
        if version >= 13 {
            request.topic_data[0].name = TopicName::default();
            request.topic_data[0].topic_id = id;
        }
        request
    };
    let responses = in_all_versions(&mut client, request).await;
    for (i, (_, response)) in responses.iter().enumerate() {
        let partition = &response.responses[0].partition_responses[0];
        let expected = (0, 2 * i as i64);
        assert_eq!((partition.error_code, partition.base_offset), expected);
    }
}

#[tokio::test]
async fn refused_produce_requests() {
    let (_served, mut client) = served().await;
    let request = |_| produce("orders", 7, batch(&["login"]));
    for (version, response) in in_all_versions(&mut client, request).await {
        let partition = &response.responses[0].partition_responses[0];
        let expected = if version >= 13 { 100 } else { 3 };
        assert_eq!(partition.error_code, expected, "v{version}");
        assert_eq!(partition.error_message.is_some(), version >= 8);
    }
}

#[tokio::test]
async fn fetch_requests() {
    let (_served, mut client) = served().await;
    let id = client.topic_id("orders").await;
    client.produce("orders", 0, batch(&["login"])).await;
    let request = |version| {
        let mut request = fetch("orders", 0, 0);
        if version >= 13 {
            request.topics[0].topic = TopicName::default();
            request.topics[0].topic_id = id;
        }
        request
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        let data = crate::requests::only(response);
        assert_eq!((data.error_code, data.high_watermark), (0, 1));
        assert_eq!(data.log_start_offset, if version >= 5 { 0 } else { -1 });
        assert_eq!(crate::requests::records(&data), [(0, "login".to_owned())]);
    }
}

#[tokio::test]
async fn refused_fetch_requests() {
    let (_served, mut client) = served().await;
    let request = |_| fetch("orders", 0, 5);
    for (version, response) in in_all_versions(&mut client, request).await {
        let data = crate::requests::only(response);
        let expected = if version >= 13 { 100 } else { 1 };
        assert_eq!(data.error_code, expected, "v{version}");
    }
}

#[tokio::test]
async fn list_offsets_requests() {
    let (_served, mut client) = served().await;
    client.produce("orders", 0, batch(&["login"])).await;
    for (time, since, expected) in [
        (-1, 1, (-1, 1)),
        (-2, 1, (-1, 0)),
        (-3, 7, (1_000, 0)),
        (-4, 8, (-1, 0)),
        (-5, 9, (-1, -1)),
        (-6, 99, (-1, -1)),
        (5, 1, (1_000, 0)),
    ] {
        let request = |_| {
            let partition = list_offsets_request::ListOffsetsPartition::default();
            let topic = list_offsets_request::ListOffsetsTopic::default()
                .with_name(name("orders"))
                .with_partitions(vec![partition.with_timestamp(time)]);
            ListOffsetsRequest::default().with_topics(vec![topic])
        };
        for (version, response) in in_all_versions(&mut client, request).await {
            let found = &response.topics[0].partitions[0];
            // Each kind of question has come with a version.
            let (error, expected) = match version >= since {
                true => (0, expected),
                false => (35, (-1, -1)),
            };
            assert_eq!(found.error_code, error, "{time} v{version}");
            assert_eq!(
                (found.timestamp, found.offset),
                expected,
                "{time} v{version}"
            );
        }
    }
}

#[tokio::test]
async fn find_coordinator_requests() {
    let (_served, mut client) = served().await;
    let request = |version| match version {
        4.. => FindCoordinatorRequest::default().with_coordinator_keys(vec![text("billing")]),
        _ => FindCoordinatorRequest::default().with_key(text("billing")),
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        let (error, port) = match version {
            4.. => {
                let coordinator = &response.coordinators[0];
                (coordinator.error_code, coordinator.port)
            }
            _ => (response.error_code, response.port),
        };
        assert_eq!((error, port), (0, 9092), "v{version}");
    }
}

#[tokio::test]
async fn init_producer_id_requests() {
    let (_served, mut client) = served().await;
    let request = |_| InitProducerIdRequest::default().with_transactional_id(None);
    let responses = in_all_versions(&mut client, request).await;
    let ids: Vec<_> = responses.iter().map(|(_, r)| r.producer_id.0).collect();
    assert!(ids.windows(2).all(|two| two[0] < two[1]), "{ids:?}");
    let request = |_| {
        let id = TransactionalId(text("t"));
        InitProducerIdRequest::default().with_transactional_id(Some(id))
    };
    for (_, response) in in_all_versions(&mut client, request).await {
        assert_eq!(response.error_code, 53);
    }
}

#[tokio::test]
async fn group_requests() {
    let (_served, mut client) = served().await;
    let protocol = join_group_request::JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(vec![1, 2, 3].into());
    let join = |version: i16, group: GroupId, member: StrBytes| {
        let mut request = JoinGroupRequest::default()
            .with_group_id(group)
            .with_session_timeout_ms(30_000)
            .with_member_id(member)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol.clone()]);
        if version >= 1 {
            request.rebalance_timeout_ms = 30_000;
        }
        request
    };
    for version in 0..=9i16 {
        let group = GroupId(StrBytes::from_string(format!("group-{version}")));
        let mut joined = client
            .ask(version, &join(version, group.clone(), StrBytes::new()))
            .await;
        assert_eq!(joined.error_code == 79, version >= 4, "v{version}");
        if version >= 4 {
            let request = join(version, group.clone(), joined.member_id);
            joined = client.ask(version, &request).await;
        }
        assert_eq!((joined.error_code, joined.generation_id), (0, 1));
        assert_eq!(joined.leader, joined.member_id);
        assert_eq!(&joined.members[0].metadata[..], [1, 2, 3]);

        let member = joined.member_id.clone();
        let sync = |version: i16| {
            let assignment = sync_group_request::SyncGroupRequestAssignment::default()
                .with_member_id(member.clone())
                .with_assignment(vec![7].into());
            let mut request = SyncGroupRequest::default()
                .with_group_id(group.clone())
                .with_generation_id(1)
                .with_member_id(member.clone())
                .with_assignments(vec![assignment]);
            if version >= 5 {
                request.protocol_type = Some(text("consumer"));
                request.protocol_name = Some(text("range"));
            }
            request
        };
        for (version, response) in in_all_versions(&mut client, sync).await {
            assert_eq!(response.error_code, 0, "v{version}");
            assert_eq!(&response.assignment[..], [7]);
        }
        let heartbeat = |_| {
            HeartbeatRequest::default()
                .with_group_id(group.clone())
                .with_generation_id(1)
                .with_member_id(member.clone())
        };
        for (version, response) in in_all_versions(&mut client, heartbeat).await {
            assert_eq!(response.error_code, 0, "v{version}");
        }
        commit_in_all_versions(&mut client, &group, &member).await;
    }
}

async fn commit_in_all_versions(client: &mut Client, group: &GroupId, member: &StrBytes) {
    let commit = |version: i16| {
        let partition = offset_commit_request::OffsetCommitRequestPartition::default()
            .with_committed_offset(version.into())
            .with_committed_metadata(Some(text("here")));
        let topic = offset_commit_request::OffsetCommitRequestTopic::default()
            .with_name(name("orders"))
            .with_partitions(vec![partition]);
        OffsetCommitRequest::default()
            .with_group_id(group.clone())
            .with_generation_id_or_member_epoch(1)
            .with_member_id(member.clone())
            .with_topics(vec![topic])
    };
    for (version, response) in in_all_versions(client, commit).await {
        let partition = &response.topics[0].partitions[0];
        assert_eq!(partition.error_code, 0, "v{version}");
    }
    for all in [false, true] {
        let fetch = |version: i16| offset_fetch(version, group, all);
        for (version, response) in in_all_versions(client, fetch).await {
            let (error, offset, metadata) = match version {
                8.. => {
                    let partition = &response.groups[0].topics[0].partitions[0];
                    let metadata = partition.metadata.clone();
                    (partition.error_code, partition.committed_offset, metadata)
                }
                _ => {
                    let partition = &response.topics[0].partitions[0];
                    let metadata = partition.metadata.clone();
                    (partition.error_code, partition.committed_offset, metadata)
                }
            };
            let expected = (0, 9, Some(text("here")));
            assert_eq!((error, offset, metadata), expected, "v{version}");
        }
    }
}

/// The offsets of one partition, or of all; version 1 cannot ask for all.
fn offset_fetch(version: i16, group: &GroupId, all: bool) -> OffsetFetchRequest {
    if version >= 8 {
        let topic = offset_fetch_request::OffsetFetchRequestTopics::default()
            .with_name(name("orders"))
            .with_partition_indexes(vec![0]);
        let of_group = offset_fetch_request::OffsetFetchRequestGroup::default()
            .with_group_id(group.clone())
            .with_topics((!all).then(|| vec![topic]));
        return OffsetFetchRequest::default().with_groups(vec![of_group]);
    }
    let topic = offset_fetch_request::OffsetFetchRequestTopic::default()
        .with_name(name("orders"))
        .with_partition_indexes(vec![0]);
    OffsetFetchRequest::default()
        .with_group_id(group.clone())
        .with_topics((!all || version < 2).then(|| vec![topic]))
}

#[tokio::test]
async fn consumer_group_requests() {
    let (_served, mut client) = served().await;
    let request = |version: i16| {
        let member = StrBytes::from_string(format!("member-{version}"));
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(member)
            .with_rebalance_timeout_ms(30_000)
            .with_topic_partitions(Some(Vec::new()));
        match version {
            0 => request.with_subscribed_topic_names(Some(vec![name("orders")])),
            _ => request.with_subscribed_topic_regex(Some(text("order."))),
        }
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        let expected = (0, i32::from(version) + 1);
        assert_eq!((response.error_code, response.member_epoch), expected);
        assert_eq!(response.member_id.as_deref().map(str::len), Some(8));
        let topics = response.assignment.unwrap().topic_partitions;
        assert_eq!(topics.len(), usize::from(version == 0), "v{version}");
    }
    let request = |_| {
        ConsumerGroupDescribeRequest::default()
            .with_group_ids(vec![group(), GroupId(text("unknown"))])
            .with_include_authorized_operations(true)
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        let [described, unknown] = &response.groups[..] else {
            panic!("v{version}: {response:?}");
        };
        assert_eq!((described.error_code, described.group_epoch), (0, 2));
        assert_ne!(described.authorized_operations, i32::MIN);
        let types = described.members.iter().map(|member| member.member_type);
        let expected = if version >= 1 { 1 } else { -1 };
        assert_eq!(types.collect::<Vec<_>>(), [expected; 2], "v{version}");
        assert_eq!(unknown.error_code, 69);
        assert!(unknown.error_message.is_some());
    }
}

#[tokio::test]
async fn leave_group_requests() {
    let (_served, mut client) = served().await;
    let request = |version| {
        let request = LeaveGroupRequest::default().with_group_id(group());
        match version {
            3.. => {
                let member = leave_group_request::MemberIdentity::default();
                request.with_members(vec![member.with_member_id(text("unknown"))])
            }
            _ => request.with_member_id(text("unknown")),
        }
    };
    for (version, response) in in_all_versions(&mut client, request).await {
        let error = match version {
            3.. => response.members[0].error_code,
            _ => response.error_code,
        };
        assert_eq!(error, 25, "v{version}");
    }
}
