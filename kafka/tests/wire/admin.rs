//! What administrators may ask for, and what they are refused.

use crate::client::{Client, Served};
use crate::requests::{batch, batches, fetch, name, only};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ringlog_kafka::batch::{BatchHeader, Codec, RecordFields, TimestampType, encode};

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic(topic: &str) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(1)
        .with_replication_factor(1)
}

fn configured(topic: CreatableTopic, name: &str, value: &str) -> CreatableTopic {
    let config = CreatableTopicConfig::default()
        .with_name(text(name))
        .with_value(Some(text(value)));
    topic.with_configs(vec![config])
}

async fn create(client: &mut Client, topics: Vec<CreatableTopic>) -> Vec<CreatableTopicResult> {
    let request = CreateTopicsRequest::default().with_topics(topics);
    client.ask(7, &request).await.topics
}

#[tokio::test]
async fn a_topic_is_usable_when_it_is_created() {
    let served = Served::new().await;
    let mut client = served.client();
    let created = create(&mut client, vec![topic("orders")]).await;
    assert_eq!(created[0].topic_id, client.topic_id("orders").await);
    assert_eq!(
        client.produce("orders", 0, batch(&["a"])).await.error_code,
        0
    );
}

#[tokio::test]
async fn topics_that_cannot_be_are_refused_one_by_one() {
    let served = Served::new().await;
    let mut client = served.client();
    let assigned = |brokers: &[i32]| {
        let replicas = CreatableReplicaAssignment::default()
            .with_broker_ids(brokers.iter().map(|id| BrokerId(*id)).collect());
        CreatableTopic::default()
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments(vec![replicas])
    };
    let cases = [
        (topic("a"), 0),
        (topic("not a name"), 17),
        (topic("b").with_num_partitions(0), 37),
        (topic("c").with_num_partitions(-2), 37),
        (topic("d").with_num_partitions(1_000_000), 37),
        (topic("e").with_replication_factor(3), 38),
        (topic("f").with_replication_factor(0), 38),
        (
            topic("g")
                .with_num_partitions(-1)
                .with_replication_factor(-1),
            0,
        ),
        (configured(topic("h"), "retention.ms", "soon"), 40),
        (configured(topic("i"), "no.such.thing", "1"), 40),
        (configured(topic("j"), "cleanup.policy", "compact"), 0),
        (assigned(&[0]).with_name(name("k")), 0),
        (assigned(&[1]).with_name(name("l")), 39),
        (assigned(&[0, 1]).with_name(name("m")), 39),
        (
            assigned(&[0]).with_name(name("n")).with_num_partitions(1),
            42,
        ),
    ];
    let errors: Vec<i16> = cases.iter().map(|(_, error)| *error).collect();
    let topics = cases.into_iter().map(|(topic, _)| topic).collect();
    let results = create(&mut client, topics).await;
    let found: Vec<i16> = results.iter().map(|result| result.error_code).collect();
    assert_eq!(found, errors);
    assert_eq!(served.broker.topic_names(), ["a", "g", "j", "k"]);
}

#[tokio::test]
async fn a_topic_that_is_named_twice_is_answered_once() {
    let served = Served::new().await;
    let topics = vec![topic("a"), topic("b"), topic("a")];
    let results = create(&mut served.client(), topics).await;
    let results = results.iter().map(|r| (r.name.as_str(), r.error_code));
    assert_eq!(results.collect::<Vec<_>>(), [("a", 42), ("b", 0)]);
}

#[tokio::test]
async fn nothing_is_created_when_only_a_check_is_asked_for() {
    let served = Served::new().await;
    let mut client = served.client();
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic("a")])
        .with_validate_only(true);
    assert_eq!(client.ask(7, &request).await.topics[0].error_code, 0);
    assert!(served.broker.topic_names().is_empty());

    create(&mut client, vec![topic("a")]).await;
    let more = CreatePartitionsTopic::default()
        .with_name(name("a"))
        .with_count(3)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![more])
        .with_validate_only(true);
    assert_eq!(client.ask(3, &request).await.results[0].error_code, 0);
    assert_eq!(served.broker.topic("a").unwrap().partitions(), 1);
}

#[tokio::test]
async fn partitions_are_only_added() {
    let served = Served::new().await;
    let mut client = served.client();
    create(&mut client, vec![topic("a").with_num_partitions(3)]).await;
    let more = |topic: &str, count| {
        CreatePartitionsTopic::default()
            .with_name(name(topic))
            .with_count(count)
            .with_assignments(None)
    };
    let own = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(0)]);
    for (wanted, error) in [
        (more("a", 3), 37),
        (more("a", 2), 37),
        (more("a", -1), 37),
        (more("a", 16_385), 37),
        (more("b", 3), 3),
        (more("a", 5).with_assignments(Some(vec![own.clone()])), 39),
        (more("a", 4).with_assignments(Some(vec![own])), 0),
    ] {
        let request = CreatePartitionsRequest::default().with_topics(vec![wanted]);
        assert_eq!(client.ask(3, &request).await.results[0].error_code, error);
    }
    assert_eq!(served.broker.topic("a").unwrap().partitions(), 4);
}

#[tokio::test]
async fn topics_are_deleted_by_name_and_by_id() {
    let served = Served::new().await;
    let mut client = served.client();
    create(&mut client, vec![topic("a"), topic("b")]).await;
    let by_id = DeleteTopicState::default().with_topic_id(client.topic_id("b").await);
    let by_name = DeleteTopicState::default().with_name(Some(name("a")));
    let request = DeleteTopicsRequest::default().with_topics(vec![by_name, by_id]);
    for errors in [[0, 0], [3, 100]] {
        let response = client.ask(6, &request).await;
        let found = response.responses.iter().map(|r| r.error_code);
        assert_eq!(found.collect::<Vec<_>>(), errors);
    }
    assert!(served.broker.topic_names().is_empty());
}

#[tokio::test]
async fn the_times_of_a_topic_may_be_those_of_the_append() {
    let served = Served::new().await;
    let mut client = served.client();
    let orders = configured(topic("orders"), "message.timestamp.type", "LogAppendTime");
    create(&mut client, vec![orders]).await;
    let answer = client.produce("orders", 0, batch(&["a", "b"])).await;
    let time = answer.log_append_time_ms;
    assert!(time > 1_600_000_000_000, "{time}");
    let data = only(client.ask(12, &fetch("orders", 0, 0)).await);
    let (header, _) = BatchHeader::read(&batches(&data)[0]).unwrap();
    assert_eq!(header.timestamp_type, TimestampType::LogAppendTime);
    assert_eq!((header.max_timestamp, header.records), (time, 2));
}

#[tokio::test]
async fn a_topic_may_have_a_limit_of_its_own() {
    let served = Served::new().await;
    let mut client = served.client();
    let orders = configured(topic("orders"), "max.message.bytes", "100");
    create(&mut client, vec![orders]).await;
    let long = "x".repeat(100);
    for (value, error) in [("short", 0), (&*long, 10)] {
        let answer = client.produce("orders", 0, batch(&[value])).await;
        assert_eq!(answer.error_code, error);
    }
}

#[tokio::test]
async fn configurations_are_described_with_their_sources() {
    let served = Served::new().await;
    let mut client = served.client();
    let orders = configured(topic("orders"), "retention.ms", "1000");
    create(&mut client, vec![orders]).await;
    let keys = ["retention.ms", "cleanup.policy", "max.message.bytes"];
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("orders"))
        .with_configuration_keys(Some(keys.iter().map(|key| text(key)).collect()));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let response = client.ask(4, &request).await;
    let configs = response.results[0].configs.iter();
    let configs: Vec<_> = configs
        .map(|c| (&*c.name, c.value.as_deref(), c.config_source))
        .collect();
    let expected = [
        ("cleanup.policy", Some("delete"), 5),
        ("max.message.bytes", Some("1048588"), 5),
        ("retention.ms", Some("1000"), 1),
    ];
    assert_eq!(configs, expected);
}

#[tokio::test]
async fn records_are_deleted_up_to_an_offset_or_all() {
    use kafka_protocol::messages::delete_records_request::{
        DeleteRecordsPartition, DeleteRecordsTopic,
    };
    let served = Served::new().await;
    let mut client = served.client();
    create(&mut client, vec![topic("orders")]).await;
    client.produce("orders", 0, batch(&["a", "b", "c"])).await;
    for (topic, partition, offset, expected) in [
        ("orders", 0, 1, (0, 1)),
        ("orders", 0, 0, (0, 1)),
        ("orders", 0, 4, (1, -1)),
        ("orders", 0, -2, (1, -1)),
        ("orders", 0, -1, (0, 3)),
        ("orders", 1, 0, (3, -1)),
        ("orders", -1, 0, (3, -1)),
        ("unknown", 0, 0, (3, -1)),
    ] {
        let partition = DeleteRecordsPartition::default()
            .with_partition_index(partition)
            .with_offset(offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]);
        let response = client.ask(2, &request).await;
        let found = &response.topics[0].partitions[0];
        assert_eq!(
            (found.error_code, found.low_watermark),
            expected,
            "{offset}"
        );
    }
}

#[tokio::test]
async fn a_topic_that_is_to_be_compacted_takes_no_record_without_a_key() {
    let served = Served::new().await;
    let mut client = served.client();
    let orders = configured(topic("orders"), "cleanup.policy", "compact,delete");
    create(&mut client, vec![orders]).await;
    let record = RecordFields {
        key: Some(b""),
        ..RecordFields::default()
    };
    let some = [record, RecordFields::default(), record];
    let some = encode(&some, Codec::None).unwrap().into();
    let answer = client.produce("orders", 0, some).await;
    assert_eq!(answer.error_code, 87);
    // It names the record.
    let named: Vec<_> = answer.record_errors.iter().map(|e| e.batch_index).collect();
    assert_eq!(named, [1]);
    let keyed = encode(&[record], Codec::None).unwrap().into();
    assert_eq!(client.produce("orders", 0, keyed).await.error_code, 0);
}

#[tokio::test]
async fn a_name_that_is_repeated_is_answered_once() {
    let served = Served::new().await;
    let mut client = served.client();
    client.metadata("orders").await;
    let names = ["orders", "missing", "orders", "orders"];

    let topics = names.map(|topic| MetadataRequestTopic::default().with_name(Some(name(topic))));
    let request = MetadataRequest::default()
        .with_allow_auto_topic_creation(false)
        .with_topics(Some(topics.to_vec()));
    let answered = client.ask(12, &request).await.topics;
    let answered = answered.iter().map(|topic| topic.name.as_ref().unwrap());
    let answered = answered.map(|name| name.as_str());
    assert_eq!(answered.collect::<Vec<_>>(), names[..2]);

    let topics = names.map(|topic| {
        describe_producers_request::TopicRequest::default()
            .with_name(name(topic))
            .with_partition_indexes(vec![0, 0])
    });
    let request = DescribeProducersRequest::default().with_topics(topics.to_vec());
    let answered = client.ask(0, &request).await.topics;
    let answered = answered
        .iter()
        .map(|t| (t.name.as_str(), t.partitions.len()));
    assert_eq!(
        answered.collect::<Vec<_>>(),
        [("orders", 1), ("missing", 1)]
    );

    let resources = names.map(|name| {
        DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text(name))
            .with_configuration_keys(None)
    });
    let request = DescribeConfigsRequest::default().with_resources(resources.to_vec());
    let answered = client.ask(4, &request).await.results;
    let answered = answered.iter().map(|result| result.resource_name.as_str());
    assert_eq!(answered.collect::<Vec<_>>(), names[..2]);

    let groups = names.map(|name| GroupId(text(name))).to_vec();
    let request = DescribeGroupsRequest::default().with_groups(groups.clone());
    let answered = client.ask(5, &request).await.groups;
    let answered = answered.iter().map(|group| group.group_id.as_str());
    assert_eq!(answered.collect::<Vec<_>>(), names[..2]);
    let request = DeleteGroupsRequest::default().with_groups_names(groups);
    let answered = client.ask(2, &request).await.results;
    let answered = answered.iter().map(|result| result.group_id.as_str());
    assert_eq!(answered.collect::<Vec<_>>(), names[..2]);

    let offsets = names.map(|name| {
        let topic = offset_fetch_request::OffsetFetchRequestTopics::default()
            .with_name(self::name("orders"))
            .with_partition_indexes(vec![0, 1, 0]);
        offset_fetch_request::OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(name)))
            .with_topics(Some(vec![topic.clone(), topic]))
    });
    let request = OffsetFetchRequest::default().with_groups(offsets.to_vec());
    let answered = client.ask(8, &request).await.groups;
    let groups = answered.iter().map(|group| group.group_id.as_str());
    assert_eq!(groups.collect::<Vec<_>>(), names[..2]);
    let partitions = answered[0]
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions);
    let partitions = partitions.map(|partition| partition.partition_index);
    assert_eq!(partitions.collect::<Vec<_>>(), [0, 1]);

    let request = FindCoordinatorRequest::default().with_coordinator_keys(names.map(text).to_vec());
    let answered = client.ask(4, &request).await.coordinators;
    let answered = answered.iter().map(|coordinator| coordinator.key.as_str());
    assert_eq!(answered.collect::<Vec<_>>(), names[..2]);
}
