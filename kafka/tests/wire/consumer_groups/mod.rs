//! Consumer groups by the consumer protocol (KIP-848): requests by hand, and what many tests send.
//!
//! The codes and epochs are those of Kafka 4.1.0, which was sent the same requests, unless a test says
//! otherwise.

mod both_protocols;
mod mixed;
mod offsets;
mod static_members;
mod topics;

use crate::client::{Client, Served};
use crate::requests::name;
use kafka_protocol::messages::consumer_group_describe_response::{
    DescribedGroup, Member as Described,
};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use ringlog::TopicConfig;
use ringlog_kafka::{GroupTimes, Server, ServerLimits};
use std::time::Duration;
use tokio::time::sleep;
use uuid::Uuid;

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) fn group() -> GroupId {
    GroupId(text("billing"))
}

/// A server with the topic `orders` of four partitions.
pub(crate) async fn served() -> Served {
    let served = Served::new().await;
    create(&served, "orders", 4);
    served
}

pub(crate) fn create(served: &Served, topic: &str, partitions: u32) {
    let config = TopicConfig::new().partitions(partitions);
    served.broker.create_topic(topic, config).unwrap();
}

/// A heartbeat of a member that says nothing new.
pub(crate) fn beat(member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
}

/// The heartbeat of a member that joins, and subscribes to `orders`.
pub(crate) fn join(member: &str) -> ConsumerGroupHeartbeatRequest {
    subscribed(beat(member, 0), &["orders"])
        .with_rebalance_timeout_ms(20_000)
        .with_topic_partitions(Some(Vec::new()))
}

pub(crate) fn subscribed(
    request: ConsumerGroupHeartbeatRequest,
    topics: &[&str],
) -> ConsumerGroupHeartbeatRequest {
    let topics = topics.iter().map(|topic| name(topic));
    request.with_subscribed_topic_names(Some(topics.collect()))
}

/// The same, of a member that has these partitions of one topic.
pub(crate) fn owning(
    request: ConsumerGroupHeartbeatRequest,
    topic: Uuid,
    partitions: &[i32],
) -> ConsumerGroupHeartbeatRequest {
    let owned = TopicPartitions::default()
        .with_topic_id(topic)
        .with_partitions(partitions.to_vec());
    request.with_topic_partitions(Some(vec![owned]))
}

pub(crate) fn is_static(
    request: ConsumerGroupHeartbeatRequest,
    instance: &str,
) -> ConsumerGroupHeartbeatRequest {
    request.with_instance_id(Some(text(instance)))
}

/// An answer: the member's epoch, and the partitions that it is assigned, if any are stated.
pub(crate) type Answer = (i32, Option<Vec<i32>>);

impl Client {
    pub(crate) async fn beat(&mut self, request: ConsumerGroupHeartbeatRequest) -> Answer {
        let response = self.ask(1, &request).await;
        let message = response.error_message.as_deref().unwrap_or_default();
        assert_eq!(response.error_code, 0, "{message}");
        let assigned = response.assignment.map(|assignment| {
            let topics = assignment.topic_partitions.into_iter();
            topics.flat_map(|topic| topic.partitions).collect()
        });
        (response.member_epoch, assigned)
    }

    pub(crate) async fn refused_beat(&mut self, request: ConsumerGroupHeartbeatRequest) -> i16 {
        let response = self.ask(1, &request).await;
        assert_eq!(response.error_message.is_some(), response.error_code != 0);
        response.error_code
    }

    pub(crate) async fn describe(&mut self) -> DescribedGroup {
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
        self.ask(1, &request).await.groups.remove(0)
    }

    pub(crate) async fn state(&mut self) -> String {
        self.describe().await.group_state.to_string()
    }

    pub(crate) async fn commit_as(
        &mut self,
        version: i16,
        member: &str,
        epoch: i32,
        offset: i64,
    ) -> i16 {
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(name("orders"))
            .with_partitions(vec![partition.with_committed_metadata(Some(text("")))]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_generation_id_or_member_epoch(epoch)
            .with_member_id(text(member))
            .with_topics(vec![topic]);
        let response = self.ask(version, &request).await;
        response.topics[0].partitions[0].error_code
    }

    /// The group's offset in partition 0 of `orders`, or the error.
    pub(crate) async fn offset_for(
        &mut self,
        member: Option<&str>,
        epoch: i32,
    ) -> Result<i64, i16> {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(name("orders"))
            .with_partition_indexes(vec![0]);
        let of_group = OffsetFetchRequestGroup::default()
            .with_group_id(group())
            .with_member_id(member.map(text))
            .with_member_epoch(epoch)
            .with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default().with_groups(vec![of_group]);
        let fetched = self.ask(9, &request).await.groups.remove(0);
        match fetched.error_code {
            0 => Ok(fetched.topics[0].partitions[0].committed_offset),
            error => Err(error),
        }
    }
}

/// A group of `first` and `second` in epoch 2: each has two partitions.
pub(crate) async fn group_of_two(served: &Served) -> (Client, Uuid) {
    let mut client = served.client();
    let orders = client.topic_id("orders").await;
    assert_eq!(
        client.beat(join("first")).await,
        (1, Some(vec![0, 1, 2, 3]))
    );
    assert_eq!(client.beat(join("second")).await, (2, Some(vec![])));
    assert_eq!(client.beat(beat("first", 1)).await, (1, Some(vec![0, 1])));
    assert_eq!(
        client.beat(owning(beat("first", 1), orders, &[0, 1])).await,
        (2, None)
    );
    assert_eq!(client.beat(beat("second", 2)).await, (2, Some(vec![2, 3])));
    assert_eq!(client.state().await, "Stable");
    (client, orders)
}

// ---- requests -----------------------------------------------------------------------------

#[tokio::test]
async fn requests_that_contradict_themselves_are_refused_and_leave_no_group() {
    let served = served().await;
    let mut client = served.client();
    let orders = client.topic_id("orders").await;
    let nameless = join("first").with_group_id(GroupId::default());
    let unsubscribed = join("first").with_subscribed_topic_names(None);
    for (request, error) in [
        (nameless, 42),
        (is_static(join("first"), ""), 42),
        (join("first").with_rack_id(Some(text(""))), 42),
        (join(""), 42),
        (join("first").with_rebalance_timeout_ms(-1), 42),
        (join("first").with_topic_partitions(None), 42),
        (owning(join("first"), orders, &[0]), 42),
        (unsubscribed, 42),
        (beat("first", -3), 42),
        (beat("", 1), 42),
        (beat("", -1), 42),
        (beat("first", -2), 42),
        (
            join("first").with_server_assignor(Some(text("sticky"))),
            112,
        ),
        (
            join("first").with_subscribed_topic_regex(Some(text("("))),
            128,
        ),
        (beat("first", 1), 69),
        (beat("first", -1), 69),
    ] {
        assert_eq!(
            client.refused_beat(request.clone()).await,
            error,
            "{request:?}"
        );
    }
    assert_eq!(client.describe().await.error_code, 69);
    let listed = client.ask(5, &ListGroupsRequest::default()).await;
    assert_eq!(listed.groups.len(), 0);
}

#[tokio::test]
async fn a_member_of_version_0_may_have_its_id_chosen() {
    let served = served().await;
    let response = served.client().ask(0, &join("")).await;
    assert_eq!((response.error_code, response.member_epoch), (0, 1));
    assert!(response.member_id.is_some_and(|id| !id.is_empty()));
}

/// When the member is to send its next heartbeat, in milliseconds.
async fn interval(client: &mut Client, request: ConsumerGroupHeartbeatRequest) -> i32 {
    let response = client.ask(1, &request).await;
    assert_eq!(response.error_code, 0);
    response.heartbeat_interval_ms
}

#[tokio::test(start_paused = true)]
async fn a_member_sends_heartbeats_often_until_it_has_what_it_is_to_have() {
    let served = served().await;
    let mut client = served.client();
    let orders = client.topic_id("orders").await;
    let owning = |member, epoch, partitions| owning(beat(member, epoch), orders, partitions);
    let all = &[0, 1, 2, 3][..];
    // It has been assigned all, and does not own them yet.
    assert_eq!(interval(&mut client, join("first")).await, 5);
    assert_eq!(interval(&mut client, owning("first", 1, all)).await, 5_000);
    // The second one waits for two of them, which the first one learns at its next heartbeat.
    assert_eq!(interval(&mut client, join("second")).await, 50);
    assert_eq!(interval(&mut client, owning("second", 2, &[])).await, 50);
    assert_eq!(interval(&mut client, beat("first", 1)).await, 5);
    assert_eq!(interval(&mut client, owning("second", 2, &[])).await, 50);
    assert_eq!(
        interval(&mut client, owning("first", 1, &[0, 1])).await,
        5_000
    );
    assert_eq!(interval(&mut client, beat("second", 2)).await, 5);
    assert_eq!(
        interval(&mut client, owning("second", 2, &[2, 3])).await,
        5_000
    );
}

/// Java's consumer acknowledges the part of an assignment that it knows the topics of, again and again,
/// and then sends nothing before the interval that it was answered last has passed.
#[tokio::test(start_paused = true)]
async fn a_member_that_takes_long_to_take_its_assignment_over_waits_a_quarter_as_long_again() {
    let served = served().await;
    let mut client = served.client();
    let orders = client.topic_id("orders").await;
    let owns_nothing = beat("first", 1).with_topic_partitions(Some(Vec::new()));
    assert_eq!(interval(&mut client, join("first")).await, 5);
    for request in [beat("first", 1), owns_nothing.clone(), beat("first", 1)] {
        assert_eq!(interval(&mut client, request).await, 5);
    }
    sleep(Duration::from_millis(80)).await;
    assert_eq!(interval(&mut client, owns_nothing).await, 20);
    assert_eq!(
        interval(&mut client, owning(beat("first", 1), orders, &[0])).await,
        20
    );
    sleep(Duration::from_secs(10)).await;
    assert_eq!(interval(&mut client, beat("first", 1)).await, 2_520);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(interval(&mut client, beat("first", 1)).await, 5_000);
    // It learns another assignment.
    assert_eq!(interval(&mut client, join("second")).await, 50);
    assert_eq!(interval(&mut client, beat("first", 1)).await, 5);
    let report = owning(beat("first", 1), orders, &[0, 1]);
    assert_eq!(interval(&mut client, report).await, 5_000);
    assert_eq!(interval(&mut client, beat("first", 2)).await, 5_000);
}

#[tokio::test]
async fn a_member_without_topics_joins() {
    let served = served().await;
    let mut client = served.client();
    let request = subscribed(join("first"), &[]);
    assert_eq!(client.beat(request).await, (1, Some(vec![])));
    assert_eq!(client.state().await, "Stable");
}

#[tokio::test]
async fn an_assignment_is_stated_when_it_changes_and_when_all_is_asked_for() {
    let served = served().await;
    let mut client = served.client();
    let orders = client.topic_id("orders").await;
    let all = Some(vec![0, 1, 2, 3]);
    assert_eq!(client.beat(join("first")).await, (1, all.clone()));
    assert_eq!(client.beat(beat("first", 1)).await, (1, None));
    let full = join("first").with_member_epoch(1);
    assert_eq!(
        client.beat(owning(full.clone(), orders, &[0])).await,
        (1, all.clone())
    );
    assert_eq!(
        client.beat(full.with_topic_partitions(None)).await,
        (1, None)
    );
    // An answer that was lost: it joins again.
    assert_eq!(client.beat(join("first")).await, (1, all));
}

// ---- epochs and reconciliation ------------------------------------------------------------

#[tokio::test]
async fn a_partition_is_handed_over_when_its_owner_has_given_it_up() {
    let served = served().await;
    let mut client = served.client();
    let orders = client.topic_id("orders").await;
    client.beat(join("first")).await;
    assert_eq!(client.beat(join("second")).await, (2, Some(vec![])));
    assert_eq!(client.beat(beat("first", 1)).await, (1, Some(vec![0, 1])));
    assert_eq!(client.state().await, "Reconciling");
    // It does not say what it has, or still has one of them.
    assert_eq!(client.beat(beat("first", 1)).await, (1, None));
    let still = owning(beat("first", 1), orders, &[0, 1, 2]);
    assert_eq!(client.beat(still).await, (1, None));
    assert_eq!(client.beat(beat("second", 2)).await, (2, None));
    let given_up = owning(beat("first", 1), orders, &[0, 1]);
    assert_eq!(client.beat(given_up).await, (2, None));
    assert_eq!(client.beat(beat("second", 2)).await, (2, Some(vec![2, 3])));
    assert_eq!(client.state().await, "Stable");
}

#[tokio::test]
async fn other_epochs_and_members_are_fenced_off() {
    let served = served().await;
    let (mut client, orders) = group_of_two(&served).await;
    assert_eq!(client.refused_beat(beat("third", 2)).await, 25);
    assert_eq!(client.refused_beat(beat("first", 3)).await, 110);
    assert_eq!(client.refused_beat(beat("first", 1)).await, 110);
    assert_eq!(client.refused_beat(join("first")).await, 110);
    // The epoch before, with nothing that is not its own: the last answer was lost.
    assert_eq!(
        client.beat(owning(beat("first", 1), orders, &[0])).await,
        (2, None)
    );
    let foreign = owning(beat("first", 1), orders, &[0, 2]);
    assert_eq!(client.refused_beat(foreign).await, 110);
}

#[tokio::test]
async fn what_a_member_had_is_assigned_when_it_leaves() {
    let served = served().await;
    let (mut client, _) = group_of_two(&served).await;
    assert_eq!(client.beat(beat("second", -1)).await, (-1, None));
    assert_eq!(client.refused_beat(beat("second", 2)).await, 25);
    assert_eq!(client.refused_beat(beat("second", -1)).await, 25);
    assert_eq!(client.state().await, "Assigning");
    assert_eq!(
        client.beat(beat("first", 2)).await,
        (3, Some(vec![0, 1, 2, 3]))
    );
    assert_eq!(client.beat(beat("first", -1)).await, (-1, None));
    let empty = client.describe().await;
    assert_eq!((&*empty.group_state, empty.group_epoch), ("Empty", 4));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_silent_is_removed_after_its_session() {
    let served = served().await;
    let (mut client, _) = group_of_two(&served).await;
    for second in 0..44 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.beat(beat("first", 2)).await, (2, None), "{second}");
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(
        client.beat(beat("first", 2)).await,
        (3, Some(vec![0, 1, 2, 3]))
    );
    assert_eq!(client.refused_beat(beat("second", 2)).await, 25);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_give_up_a_partition_is_removed_after_its_rebalance_timeout() {
    let served = served().await;
    let mut client = served.client();
    client.beat(join("first")).await;
    client.beat(join("second")).await;
    assert_eq!(client.beat(beat("first", 1)).await, (1, Some(vec![0, 1])));
    for _ in 0..19 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.beat(beat("first", 1)).await, (1, None));
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(client.refused_beat(beat("first", 1)).await, 25);
    assert_eq!(
        client.beat(beat("second", 2)).await,
        (3, Some(vec![0, 1, 2, 3]))
    );
}

#[tokio::test(start_paused = true)]
async fn the_times_of_the_protocol_are_settings() {
    let mut times = GroupTimes::default();
    times.consumer_session_timeout = Duration::from_secs(10);
    times.consumer_heartbeat_interval = Duration::from_secs(3);
    let served = Served::with(Server::builder().group_times(times)).await;
    let mut client = served.client();
    client.ask(1, &join("first")).await;
    let response = client.ask(1, &beat("first", 1)).await;
    assert_eq!(response.heartbeat_interval_ms, 3_000);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(client.state().await, "Stable");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(client.state().await, "Empty");
}

#[tokio::test]
async fn a_full_group_admits_no_other_member() {
    let mut limits = ServerLimits::default();
    limits.group_members = 1;
    let served = Served::with(Server::builder().limits(limits)).await;
    let mut client = served.client();
    client.beat(join("first")).await;
    assert_eq!(client.refused_beat(join("second")).await, 81);
    assert_eq!(client.beat(beat("first", 1)).await, (1, None));
}

#[tokio::test]
async fn the_assignor_that_most_members_ask_for_is_used() {
    let served = served().await;
    create(&served, "bills", 2);
    let mut client = served.client();
    let request = |member| {
        subscribed(join(member), &["bills", "orders"]).with_server_assignor(Some(text("range")))
    };
    client.beat(request("first")).await;
    client.beat(request("second")).await;
    let described = client.describe().await;
    assert_eq!(&*described.assignor_name, "range");
    assert_eq!(
        target(&described.members[0]),
        [("bills", vec![0]), ("orders", vec![0, 1])]
    );
    assert_eq!(
        target(&described.members[1]),
        [("bills", vec![1]), ("orders", vec![2, 3])]
    );
}

fn target(member: &Described) -> Vec<(&str, Vec<i32>)> {
    let topics = member.target_assignment.topic_partitions.iter();
    let topics = topics.map(|topic| (topic.topic_name.as_str(), topic.partitions.clone()));
    let mut topics: Vec<_> = topics.collect();
    topics.sort();
    topics
}
