//! SyncGroup, the second phase of a rebalance; heartbeats and leaving.

use super::Later;
use super::state::{ClassicGroup, State};
use super::stored::next_revision;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use std::collections::HashMap;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A member that asks for its assignment.
#[derive(Debug)]
pub(crate) struct SyncRequest {
    pub(crate) generation: i32,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    /// The leader's assignments, by member.
    pub(crate) assignments: HashMap<String, Bytes>,
}

/// What a sync is answered.
#[derive(Debug)]
pub(crate) enum Sync {
    Refused(ResponseError),
    Answered(Synced),
    Waits(Later<Synced>),
}

/// A member's assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) assignment: Bytes,
}

/// A member that leaves. An administrator may name it by its instance id alone.
#[derive(Debug)]
pub(crate) struct LeavingMember<'a> {
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
}

impl ClassicGroup {
    pub(super) fn sync(&mut self, request: SyncRequest) -> Sync {
        let instance = request.instance_id.as_deref();
        let checked = self.check_generation(request.generation, &request.member_id, instance);
        if let Err(error) = checked {
            return Sync::Refused(error);
        }
        let differs = |stated: &Option<String>, own: &Option<String>| {
            stated.is_some() && own.is_some() && stated != own
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol, &self.protocol)
        {
            return Sync::Refused(ResponseError::InconsistentGroupProtocol);
        }
        match self.state {
            State::Empty => Sync::Refused(ResponseError::UnknownMemberId),
            State::Preparing => Sync::Refused(ResponseError::RebalanceInProgress),
            State::Stable => {
                self.touch(&request.member_id);
                match self.synced(&request.member_id) {
                    Some(synced) => Sync::Answered(synced),
                    None => Sync::Refused(ResponseError::UnknownMemberId),
                }
            }
            State::Completing => {
                let (answer, later) = oneshot::channel();
                if let Some(member) = self.members.get_mut(&request.member_id) {
                    member.touch(Instant::now());
                    if let Some(before) = member.syncing.replace(answer) {
                        let _ = before.send(Err(ResponseError::UnknownMemberId));
                    }
                }
                if self.leader.as_ref() == Some(&request.member_id) {
                    self.complete_sync(request.assignments);
                }
                Sync::Waits(later)
            }
        }
    }

    /// The leader has assigned: members that it has left out get empty bytes.
    fn complete_sync(&mut self, mut assignments: HashMap<String, Bytes>) {
        self.state = State::Stable;
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignments.remove(&id).unwrap_or_default();
            }
            let synced = self.synced(&id);
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            if let (Some(syncing), Some(synced)) = (member.syncing.take(), synced) {
                member.has_synced = true;
                member.touch(Instant::now());
                let _ = syncing.send(Ok(synced));
            }
        }
        // Members that have not asked yet are found by their session.
        self.phase_ends = None;
        self.revision = next_revision();
    }

    fn synced(&mut self, id: &str) -> Option<Synced> {
        let member = self.members.get_mut(id)?;
        Some(Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: member.assignment.clone(),
        })
    }

    fn touch(&mut self, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.touch(Instant::now());
        }
    }

    /// Checks that a member exists, and that it is of the generation that it states.
    pub(super) fn check_generation(
        &self,
        generation: i32,
        id: &str,
        instance: Option<&str>,
    ) -> Result<(), ResponseError> {
        self.check_member(id, instance)?;
        match generation == self.generation {
            true => Ok(()),
            false => Err(ResponseError::IllegalGeneration),
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        generation: i32,
        id: &str,
        instance: Option<&str>,
    ) -> Result<(), ResponseError> {
        self.check_generation(generation, id, instance)?;
        self.touch(id);
        match self.state {
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::Preparing => Err(ResponseError::RebalanceInProgress),
            State::Completing | State::Stable => Ok(()),
        }
    }

    pub(super) fn leave(&mut self, leaving: &LeavingMember<'_>) -> Result<(), ResponseError> {
        let id = match leaving.instance_id {
            Some(instance) if leaving.member_id.is_empty() => {
                let held = self.instances.get(instance);
                held.cloned().ok_or(ResponseError::UnknownMemberId)?
            }
            _ => leaving.member_id.to_owned(),
        };
        if self.expected.remove(&id).is_some() {
            self.complete_join_if_all_have_joined();
            return Ok(());
        }
        self.check_member(&id, leaving.instance_id)?;
        self.remove(&id);
        self.has_lost_members();
        Ok(())
    }
}
