//! A group changes its protocol while it has members (Kafka's migration policy `bidirectional`).
//!
//! A classic group of consumers becomes a consumer group when the first member joins by the consumer
//! protocol; its members stay, as classic members of that. A consumer group becomes a classic one when
//! its last member by the consumer protocol has gone, and only classic members are left.

use super::super::assignor::Partitions;
use super::super::state::{ClassicGroup, State};
use super::super::stored::next_revision;
use super::classic::CONSUMER;
use super::embedded::write_assignment;
use super::embedded::{ClassicSubscription, NamedPartitions, read_assignment, read_subscription};
use super::member::{ClassicPart, Member};
use super::{ConsumerGroup, Refusal, refuse};
use crate::server::topics::Topics;
use kafka_protocol::error::ResponseError;
use std::time::Duration;

/// A classic member, as its bytes describe it.
struct Embedded {
    subscription: ClassicSubscription,
    assigned: NamedPartitions,
}

impl ConsumerGroup {
    /// The consumer group of a classic group's members, which are to join again if they wait.
    pub(crate) fn from_classic(
        name: &str,
        classic: &mut ClassicGroup,
        topics: &Topics,
        max_members: usize,
    ) -> Result<ConsumerGroup, Refusal> {
        let is_of_consumers = classic.protocol_type.as_deref() == Some(CONSUMER);
        if !is_of_consumers || classic.members.len() > max_members {
            let reason = format!("Group {name} is not a consumer group.");
            return refuse(ResponseError::GroupIdNotFound, reason);
        }
        let mut embedded = Vec::new();
        for member in classic.members.values() {
            let subscription = member.protocols.first();
            let subscription = subscription.and_then(|(_, bytes)| read_subscription(bytes));
            let assignment = read_assignment(&member.assignment);
            let (Some(subscription), Some((assigned, has_data))) = (subscription, assignment)
            else {
                let reason = format!(
                    "Cannot upgrade classic group {name} to consumer group because the embedded consumer protocol is malformed."
                );
                return refuse(ResponseError::GroupIdNotFound, reason);
            };
            if has_data {
                let reason = format!(
                    "Cannot upgrade classic group {name} to consumer group because an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade."
                );
                return refuse(ResponseError::GroupIdNotFound, reason);
            }
            embedded.push(Embedded {
                subscription,
                assigned,
            });
        }
        let mut group = ConsumerGroup {
            epoch: classic.generation,
            target_epoch: classic.generation,
            instances: std::mem::take(&mut classic.instances),
            wakes_timer: true,
            revision: next_revision(),
            ..ConsumerGroup::default()
        };
        for ((id, member), embedded) in std::mem::take(&mut classic.members)
            .into_iter()
            .zip(embedded)
        {
            // Whatever it waits for, it is to join again.
            if let Some(joining) = member.joining {
                let _ = joining.send(Err(ResponseError::RebalanceInProgress));
            }
            if let Some(syncing) = member.syncing {
                let _ = syncing.send(Err(ResponseError::RebalanceInProgress));
            }
            let mut new = Member::new(member.client_id, member.client_host, member.session_ends);
            new.instance_id = member.instance_id;
            new.rack_id = embedded.subscription.rack_id;
            new.subscription.names = embedded.subscription.names;
            new.epoch = classic.generation;
            new.previous_epoch = classic.generation;
            new.rebalance_timeout = member.rebalance_timeout;
            new.session_ends = tokio::time::Instant::now() + member.session_timeout;
            new.classic = Some(ClassicPart {
                session_timeout: member.session_timeout,
                protocols: member.protocols,
                join_ends: None,
                sync_ends: None,
            });
            for (topic, numbers) in embedded.assigned {
                let Some(topic) = topics.find(&topic) else {
                    continue;
                };
                for number in numbers {
                    let partition = (topic.id, number);
                    // The bytes are the leader's: it may have given a partition twice.
                    let is_free = !group.owned.contains(&partition);
                    if is_free && topic.partition(number).is_some() {
                        group.owned.insert(partition);
                        new.assigned.insert(partition);
                    }
                }
            }
            group.target.insert(id.clone(), new.assigned.clone());
            group.members.insert(id, new);
        }
        group.topics.retain_subscribed(group.members.values());
        group.topics.refresh(topics);
        Ok(group)
    }

    /// Whether it has members, and all are classic.
    pub(crate) fn is_all_classic(&self) -> bool {
        !self.members.is_empty() && self.members.values().all(|member| member.classic.is_some())
    }

    /// The classic group of its members. There is a rebalance, unless each has what it is to have.
    pub(crate) fn into_classic(mut self) -> ClassicGroup {
        let is_stable = self.is_stable();
        let mut group = ClassicGroup::new();
        group.generation = self.epoch;
        group.protocol_type = Some(CONSUMER.to_owned());
        group.instances = std::mem::take(&mut self.instances);
        let names = self.topics.names_by_id();
        let nothing = Partitions::new();
        for (id, member) in std::mem::take(&mut self.members) {
            let Some(classic) = member.classic else {
                continue;
            };
            let target = self.target.get(&id).unwrap_or(&nothing);
            let subscription = classic.protocols.first().map(|(_, bytes)| bytes.clone());
            let subscription = subscription.unwrap_or_default();
            let assignment =
                write_assignment(&subscription, target, |topic| names.get(&topic).copied());
            group.leader.get_or_insert_with(|| id.clone());
            group.members.insert(
                id,
                super::super::state::Member {
                    instance_id: member.instance_id,
                    client_id: member.client_id,
                    client_host: member.client_host,
                    session_timeout: classic.session_timeout,
                    rebalance_timeout: member.rebalance_timeout,
                    protocols: classic.protocols,
                    assignment,
                    session_ends: member.session_ends,
                    joining: None,
                    syncing: None,
                    has_synced: true,
                },
            );
        }
        group.state = State::Stable;
        group.protocol = group.choose_protocol();
        group.revision = next_revision();
        if !is_stable {
            group.prepare(Duration::ZERO);
        }
        group
    }
}
