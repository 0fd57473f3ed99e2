//! Classic members of a consumer group: JoinGroup, SyncGroup and Heartbeat.
//!
//! To such a member the group looks like a classic one whose leader is another member. Its generation
//! is its epoch. A join takes it one step towards its target, and the sync after that returns what it is
//! assigned. Its heartbeats tell it to join again while there is a step to take.

use super::super::assignor::Partitions;
use super::super::{Join, JoinRequest, Joined, Sync, SyncRequest, Synced};
use super::ConsumerGroup;
use super::embedded::{read_subscription, write_assignment};
use super::member::{ClassicPart, Member, Progress};
use crate::server::topics::{Topics, random_uuid};
use kafka_protocol::error::ResponseError;
use tokio::time::Instant;

/// The protocol type of consumers, by contrast to Kafka Connect's workers.
pub(super) const CONSUMER: &str = "consumer";

impl ConsumerGroup {
    pub(crate) fn join_classic(
        &mut self,
        request: JoinRequest,
        topics: &Topics,
        max_members: usize,
    ) -> Join {
        let has_id = !request.member_id.is_empty();
        let id = match has_id {
            true => request.member_id.clone(),
            false => format!("{}-{}", request.client_id, random_uuid()),
        };
        if self.members.len() >= max_members && !self.members.contains_key(&id) {
            return Join::Refused(ResponseError::GroupMaxSizeReached);
        }
        if !self.supports(&id, &request) {
            return Join::Refused(ResponseError::InconsistentGroupProtocol);
        }
        if request.needs_member_id && !has_id && request.instance_id.is_none() {
            return Join::MemberId(id);
        }
        let metadata = request.protocols.first().map(|(_, metadata)| metadata);
        let Some(subscription) = metadata.and_then(read_subscription) else {
            return Join::Refused(ResponseError::InconsistentGroupProtocol);
        };
        let instance = request.instance_id.as_deref();
        if let Some(instance) = instance.filter(|_| has_id)
            && let Err(refusal) = self.check_instance(&id, instance, false)
        {
            return Join::Refused(refusal.error);
        }
        let now = Instant::now();
        let session_ends = now + request.session_timeout;
        if !has_id || !self.members.contains_key(&id) {
            let (client, host) = (&request.client_id, &request.client_host);
            self.admit(&id, instance, || {
                Member::new(client.clone(), host.clone(), session_ends)
            });
        }
        let Some(member) = self.members.get_mut(&id) else {
            return Join::Refused(ResponseError::UnknownMemberId);
        };
        let before = std::mem::take(&mut member.subscription);
        member.subscription.names = subscription.names;
        let subscribes_otherwise = member.subscription != before;
        member.client_id = request.client_id;
        member.client_host = request.client_host;
        member.instance_id = request.instance_id.or(member.instance_id.take());
        member.rack_id = subscription.rack_id.or(member.rack_id.take());
        member.rebalance_timeout = request.rebalance_timeout;
        member.assignor = None;
        member.session_ends = session_ends;
        member.revocation_ends = None;
        let protocol = request.protocols.first().map(|(name, _)| name.clone());
        member.classic = Some(ClassicPart {
            session_timeout: request.session_timeout,
            protocols: request.protocols,
            join_ends: None,
            sync_ends: Some(now + request.rebalance_timeout),
        });
        self.wakes_timer = true;
        self.advance(subscribes_otherwise, topics);
        let owned = self.topics.with_ids(&subscription.owned);
        self.reconcile(&id, Some(&owned), now);
        self.touched = Some(id.clone());
        Join::Answered(Joined {
            generation: self.members.get(&id).map_or(0, |member| member.epoch),
            member_id: id,
            protocol_type: Some(CONSUMER.to_owned()),
            protocol: protocol.unwrap_or_default(),
            leader: String::new(),
            members: Vec::new(),
            skip_assignment: false,
        })
    }

    /// Whether a consumer joins that has an assignor in common with the other classic members.
    fn supports(&self, id: &str, request: &JoinRequest) -> bool {
        let others = self.members.iter().filter(|(other, _)| *other != id);
        let others = others.filter_map(|(_, member)| member.classic.as_ref());
        let others: Vec<&ClassicPart> = others.collect();
        let mut names = request.protocols.iter().map(|(name, _)| name);
        request.protocol_type == CONSUMER
            && names.any(|name| others.iter().all(|other| other.supports(name)))
    }

    /// A classic member, which must be of this generation.
    fn classic_member(
        &mut self,
        generation: i32,
        id: &str,
        instance: Option<&str>,
    ) -> Result<&mut Member, ResponseError> {
        if let Some(instance) = instance {
            let checked = self.check_instance(id, instance, false);
            checked.map_err(|refusal| refusal.error)?;
        }
        let member = self.members.get_mut(id);
        let member = member.filter(|member| member.classic.is_some());
        let member = member.ok_or(ResponseError::UnknownMemberId)?;
        match member.epoch == generation {
            true => Ok(member),
            false => Err(ResponseError::IllegalGeneration),
        }
    }

    pub(crate) fn sync_classic(&mut self, request: &SyncRequest) -> Result<Synced, ResponseError> {
        let epoch = self.epoch;
        let instance = request.instance_id.as_deref();
        let member = self.classic_member(request.generation, &request.member_id, instance)?;
        let is_behind = epoch > member.epoch && member.progress != Progress::Unrevoked;
        let classic = member.classic.as_mut();
        let classic = classic.ok_or(ResponseError::UnknownMemberId)?;
        let (name, subscription) = classic.protocols.first().cloned().unwrap_or_default();
        let differs = |stated: &Option<String>, own: &str| {
            stated.as_ref().is_some_and(|stated| stated != own)
        };
        if differs(&request.protocol_type, CONSUMER) || differs(&request.protocol, &name) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let now = Instant::now();
        if is_behind {
            classic
                .join_ends
                .get_or_insert(now + member.rebalance_timeout);
            self.wakes_timer = true;
            return Err(ResponseError::RebalanceInProgress);
        }
        classic.sync_ends = None;
        member.session_ends = now + classic.session_timeout;
        let assigned: Partitions = member.assigned.clone();
        let names = self.topics.names_by_id();
        let assignment = write_assignment(&subscription, &assigned, |id| names.get(&id).copied());
        Ok(Synced {
            protocol_type: request.protocol_type.clone(),
            protocol: request.protocol.clone(),
            assignment,
        })
    }

    pub(crate) fn heartbeat_classic(
        &mut self,
        generation: i32,
        id: &str,
        instance: Option<&str>,
    ) -> Result<(), ResponseError> {
        let epoch = self.epoch;
        let member = self.classic_member(generation, id, instance)?;
        let may_step = match member.progress {
            _ if member.epoch < epoch => true,
            Progress::Unrevoked => true,
            Progress::Stable => false,
            Progress::Unreleased => {
                let (assigned, id) = (member.assigned.clone(), id.to_owned());
                let target = self.target.get(&id);
                let mut lacking = target
                    .into_iter()
                    .flat_map(|target| target.difference(&assigned));
                // Nothing of what it lacks is another's any more.
                lacking.all(|partition| !self.owned.contains(partition))
            }
        };
        let now = Instant::now();
        let member = self.members.get_mut(id);
        let member = member.ok_or(ResponseError::UnknownMemberId)?;
        let timeout = member.rebalance_timeout;
        if let Some(classic) = &mut member.classic {
            member.session_ends = now + classic.session_timeout;
            if may_step {
                classic.join_ends.get_or_insert(now + timeout);
            }
        }
        self.wakes_timer |= may_step;
        match may_step {
            true => Err(ResponseError::RebalanceInProgress),
            false => Ok(()),
        }
    }
}

impl From<Result<Synced, ResponseError>> for Sync {
    fn from(synced: Result<Synced, ResponseError>) -> Sync {
        match synced {
            Ok(synced) => Sync::Answered(synced),
            Err(error) => Sync::Refused(error),
        }
    }
}
