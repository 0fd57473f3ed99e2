//! JoinGroup: the first phase of a rebalance.

use super::state::{ClassicGroup, Member, State};
use super::stored::next_revision;
use super::{Later, Waiting};
use crate::server::topics::random_uuid;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A member that joins.
#[derive(Debug)]
pub(crate) struct JoinRequest {
    /// Empty for a member that has none yet.
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<(String, Bytes)>,
    /// Whether a new member is given an id first, and has to join again with it.
    pub(crate) needs_member_id: bool,
    /// Whether the answer can say that the leader need not assign.
    pub(crate) can_skip_assignment: bool,
}

/// What a join is answered.
#[derive(Debug)]
pub(crate) enum Join {
    Refused(ResponseError),
    /// The member is to join again with this id.
    MemberId(String),
    Answered(Joined),
    Waits(Later<Joined>),
}

/// A generation, as a member gets it in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) member_id: String,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    /// All members, for the leader; none for others.
    pub(crate) members: Vec<JoinedMember>,
    pub(crate) skip_assignment: bool,
}

/// A member, as the leader gets it in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) metadata: Bytes,
}

impl ClassicGroup {
    pub(super) fn join(
        &mut self,
        request: JoinRequest,
        initial_delay: Duration,
        max_members: usize,
    ) -> Join {
        if let Err(error) = self.check_protocols(&request) {
            return Join::Refused(error);
        }
        let is_new = match &request.instance_id {
            Some(instance) => !self.instances.contains_key(instance),
            None => true,
        };
        if request.member_id.is_empty() {
            let members = self.members.len() + self.expected.len();
            if is_new && members >= max_members {
                return Join::Refused(ResponseError::GroupMaxSizeReached);
            }
            return match request.instance_id.clone() {
                Some(instance) => self.join_static(request, &instance, initial_delay),
                None => self.join_new(request, initial_delay),
            };
        }
        if self.expected.remove(&request.member_id).is_some() {
            let id = request.member_id.clone();
            return self.add(id, request, initial_delay);
        }
        let instance = request.instance_id.as_deref();
        match self.check_member(&request.member_id, instance) {
            Ok(()) => self.rejoin(request, initial_delay),
            Err(error) => Join::Refused(error),
        }
    }

    fn check_protocols(&self, request: &JoinRequest) -> Result<(), ResponseError> {
        let inconsistent = Err(ResponseError::InconsistentGroupProtocol);
        if request.protocols.is_empty() || request.protocol_type.is_empty() {
            return inconsistent;
        }
        if self.members.is_empty() {
            return Ok(());
        }
        let same_type = self.protocol_type.as_ref() == Some(&request.protocol_type);
        match same_type && self.has_common_protocol(&request.protocols) {
            true => Ok(()),
            false => inconsistent,
        }
    }

    /// Checks that a member exists, and has the instance id that it states.
    pub(super) fn check_member(
        &self,
        id: &str,
        instance: Option<&str>,
    ) -> Result<(), ResponseError> {
        if let Some(instance) = instance {
            return match self.instances.get(instance) {
                None => Err(ResponseError::UnknownMemberId),
                Some(held) if held == id => Ok(()),
                Some(_) => Err(ResponseError::FencedInstanceId),
            };
        }
        match self.members.contains_key(id) {
            true => Ok(()),
            false => Err(ResponseError::UnknownMemberId),
        }
    }

    fn join_new(&mut self, request: JoinRequest, initial_delay: Duration) -> Join {
        let id = format!("{}-{}", request.client_id, random_uuid());
        if request.needs_member_id {
            let until = Instant::now() + request.session_timeout;
            self.expected.insert(id.clone(), until);
            return Join::MemberId(id);
        }
        self.add(id, request, initial_delay)
    }

    /// A static member without a member id: new, or after a restart. Then it takes the place of the
    /// one that it was, with another member id.
    fn join_static(
        &mut self,
        request: JoinRequest,
        instance: &str,
        initial_delay: Duration,
    ) -> Join {
        let id = format!("{instance}-{}", random_uuid());
        let old = self.instances.get(instance).cloned();
        let Some((old, mut member)) = old.and_then(|old| self.members.remove_entry(&old)) else {
            return self.add(id, request, initial_delay);
        };
        if let Some(joining) = member.joining.take() {
            let _ = joining.send(Err(ResponseError::FencedInstanceId));
        }
        if let Some(syncing) = member.syncing.take() {
            let _ = syncing.send(Err(ResponseError::FencedInstanceId));
        }
        let was_leader = self.leader.as_ref() == Some(&old);
        if was_leader {
            self.leader = Some(id.clone());
        }
        self.instances.insert(instance.to_owned(), id.clone());
        self.members.insert(id.clone(), member);
        let can_skip = request.can_skip_assignment;
        let request = JoinRequest {
            member_id: id.clone(),
            ..request
        };
        self.update(&request);
        // As in Kafka, it goes on with its old assignment also if its subscription is another, as
        // long as the group's assignor stays.
        if self.state == State::Stable && self.choose_protocol() == self.protocol {
            self.revision = next_revision();
            let mut joined = self.joined(&id);
            if can_skip {
                joined.skip_assignment = was_leader;
            } else if was_leader {
                // As in Kafka: an older client that reads its own id there would assign again. It
                // is answered the id that it had, and takes itself for a follower.
                joined.leader = old;
                joined.members.clear();
            }
            return Join::Answered(joined);
        }
        self.wait_for_join(&id, initial_delay)
    }

    fn add(&mut self, id: String, request: JoinRequest, initial_delay: Duration) -> Join {
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        if let Some(instance) = &request.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        let member = Member {
            session_ends: Instant::now() + request.session_timeout,
            instance_id: request.instance_id,
            client_id: request.client_id,
            client_host: request.client_host,
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols,
            assignment: Bytes::new(),
            joining: None,
            syncing: None,
            has_synced: false,
        };
        self.members.insert(id.clone(), member);
        self.wait_for_join(&id, initial_delay)
    }

    /// Takes over what a member that joins again says of itself. Returns whether its assignors or
    /// their metadata are others.
    fn update(&mut self, request: &JoinRequest) -> bool {
        let Some(member) = self.members.get_mut(&request.member_id) else {
            return false;
        };
        member.touch(Instant::now());
        member.session_timeout = request.session_timeout;
        member.rebalance_timeout = request.rebalance_timeout;
        member.client_id.clone_from(&request.client_id);
        member.client_host.clone_from(&request.client_host);
        let changed = member.protocols != request.protocols;
        member.protocols.clone_from(&request.protocols);
        member.touch(Instant::now());
        changed
    }

    fn rejoin(&mut self, request: JoinRequest, initial_delay: Duration) -> Join {
        let changed = self.update(&request);
        let id = &request.member_id;
        let is_leader = self.leader.as_deref() == Some(id);
        match self.state {
            // An answer that was lost: the generation is the same.
            State::Completing if !changed => Join::Answered(self.joined(id)),
            State::Stable if !changed && !is_leader => Join::Answered(self.joined(id)),
            _ => self.wait_for_join(id, initial_delay),
        }
    }

    fn wait_for_join(&mut self, id: &str, initial_delay: Duration) -> Join {
        self.prepare(initial_delay);
        let (answer, later): (Waiting<_>, Later<_>) = oneshot::channel();
        if let Some(member) = self.members.get_mut(id) {
            // A join of the same member that is not answered is one whose client tries again.
            if let Some(before) = member.joining.replace(answer) {
                let _ = before.send(Err(ResponseError::UnknownMemberId));
            }
        }
        self.complete_join_if_all_have_joined();
        Join::Waits(later)
    }
}
