//! ConsumerGroupHeartbeat and ConsumerGroupDescribe.

use super::group_admin::GROUP_OPERATIONS;
use super::groups::{milliseconds, owned};
use super::{once, text, topic_name};
use crate::server::connection::Client;
use crate::server::group::{
    ConsumerGroup, ConsumerHeartbeat, ConsumerMember, HeartbeatAnswer, Members, Partitions,
};
use crate::server::protocol::frame::RequestHead;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response as described;
use kafka_protocol::messages::consumer_group_describe_response::{DescribedGroup, Member};
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, GroupId,
};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The types of members, by the protocol that they use.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

pub(super) fn heartbeat(
    client: &Client,
    head: &RequestHead,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let names = request.subscribed_topic_names.as_ref();
    let partitions = request.topic_partitions.as_ref();
    let beat = ConsumerHeartbeat {
        member_id: request.member_id.as_str().to_owned(),
        epoch: request.member_epoch,
        instance_id: owned(&request.instance_id),
        rack_id: owned(&request.rack_id),
        client_id: head.client_id.clone(),
        client_host: format!("/{}", client.host),
        rebalance_timeout: match request.rebalance_timeout_ms {
            -1 => None,
            stated => Some(milliseconds(stated)),
        },
        names: names.map(|names| names.iter().map(|name| name.as_str().to_owned()).collect()),
        pattern: owned(&request.subscribed_topic_regex),
        assignor: owned(&request.server_assignor),
        owned: partitions.map(|topics| {
            let topics = topics.iter();
            let partitions = topics.flat_map(|topic| {
                let numbers = topic.partitions.iter();
                numbers.map(|number| (topic.topic_id, *number))
            });
            partitions.collect()
        }),
        may_lack_id: head.version == 0,
    };
    let shared = &client.shared;
    let answer = shared
        .groups
        .consumer_heartbeat(&shared.topics, &request.group_id, beat);
    match answer {
        Ok(answer) => answered(answer),
        Err(refusal) => ConsumerGroupHeartbeatResponse::default()
            .with_error_code(refusal.error.code())
            .with_error_message(Some(text(refusal.reason))),
    }
}

fn answered(answer: HeartbeatAnswer) -> ConsumerGroupHeartbeatResponse {
    let assignment = answer.assignment.map(|partitions| {
        let topics = by_topic(&partitions).into_iter().map(|(id, numbers)| {
            TopicPartitions::default()
                .with_topic_id(id)
                .with_partitions(numbers)
        });
        Assignment::default().with_topic_partitions(topics.collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(answer.member_id)))
        .with_member_epoch(answer.epoch)
        .with_heartbeat_interval_ms(answer.interval.as_millis().try_into().unwrap_or(i32::MAX))
        .with_assignment(assignment)
}

fn by_topic(partitions: &Partitions) -> BTreeMap<Uuid, Vec<i32>> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, number) in partitions {
        topics.entry(*topic).or_default().push(*number);
    }
    topics
}

pub(super) fn describe(
    client: &Client,
    version: i16,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let groups = once(request.group_ids, GroupId::clone);
    let groups = groups.into_iter().map(|id| {
        let described = DescribedGroup::default().with_group_id(id.clone());
        let refused = |described: DescribedGroup, error: ResponseError, reason: String| {
            described
                .with_error_code(error.code())
                .with_error_message(Some(text(reason)))
        };
        if id.is_empty() {
            let reason = "GroupId can't be empty.".to_owned();
            return refused(described, ResponseError::InvalidGroupId, reason);
        }
        let Some(group) = client.shared.groups.find(&id) else {
            let reason = format!("Group {} not found.", id.as_str());
            return refused(described, ResponseError::GroupIdNotFound, reason);
        };
        let group = group.lock();
        let Members::Consumer(consumer) = &group.members else {
            let reason = format!("Group {} is not a consumer group.", id.as_str());
            return refused(described, ResponseError::GroupIdNotFound, reason);
        };
        let members = consumer.members.iter();
        let names = consumer.topic_names();
        let members =
            members.map(|(id, member)| described_member(version, consumer, &names, id, member));
        let mut described = described
            .with_group_state(text(consumer.state_name()))
            .with_group_epoch(consumer.epoch)
            .with_assignment_epoch(consumer.target_epoch)
            .with_assignor_name(text(consumer.assignor().name()))
            .with_members(members.collect());
        if request.include_authorized_operations {
            described.authorized_operations = GROUP_OPERATIONS;
        }
        described
    });
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn described_member(
    version: i16,
    group: &ConsumerGroup,
    topic_names: &HashMap<Uuid, &str>,
    id: &str,
    member: &ConsumerMember,
) -> Member {
    let names = member.subscription.names.iter();
    let nothing = Partitions::new();
    let target = group.target_of(id).unwrap_or(&nothing);
    let response = Member::default()
        .with_member_id(text(id))
        .with_instance_id(member.instance_id.clone().map(text))
        .with_rack_id(member.rack_id.clone().map(text))
        .with_member_epoch(member.epoch)
        .with_client_id(text(member.client_id.as_str()))
        .with_client_host(text(member.client_host.as_str()))
        .with_subscribed_topic_names(names.map(|name| topic_name(name)).collect())
        .with_subscribed_topic_regex(Some(text(member.subscription.pattern.as_str())))
        .with_assignment(described_assignment(topic_names, &member.assigned))
        .with_target_assignment(described_assignment(topic_names, target));
    match version {
        1.. => response.with_member_type(match member.classic {
            Some(_) => CLASSIC_MEMBER,
            None => CONSUMER_MEMBER,
        }),
        _ => response,
    }
}

/// The partitions of topics that still exist, as in Kafka: others have no name.
fn described_assignment(
    names: &HashMap<Uuid, &str>,
    partitions: &Partitions,
) -> described::Assignment {
    let topics = by_topic(partitions).into_iter();
    let topics = topics.filter_map(|(id, numbers)| {
        let name = names.get(&id)?;
        let topic = described::TopicPartitions::default()
            .with_topic_id(id)
            .with_topic_name(topic_name(name))
            .with_partitions(numbers);
        Some(topic)
    });
    described::Assignment::default().with_topic_partitions(topics.collect())
}
