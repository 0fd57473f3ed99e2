//! Committed offsets.

use super::consumer::ConsumerGroup;
use super::state::{ClassicGroup, State};
use kafka_protocol::error::ResponseError;
use std::collections::BTreeMap;
use uuid::Uuid;

/// An offset that a group has committed in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommittedOffset {
    pub(crate) offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
    /// The topic's incarnation: with another one, the offset is forgotten.
    pub(crate) topic_id: Uuid,
}

/// A group's offsets by topic and partition.
pub(crate) type Offsets = BTreeMap<(String, i32), CommittedOffset>;

/// The member that commits, as it says.
#[derive(Debug)]
pub(crate) struct CommitMember<'a> {
    /// The generation, or the member's epoch. Negative for a client that is no member.
    pub(crate) generation: i32,
    pub(crate) member_id: &'a str,
    pub(crate) instance_id: Option<&'a str>,
    /// Whether the version of its request has the errors of the consumer protocol.
    pub(crate) knows_epochs: bool,
}

impl CommitMember<'_> {
    /// A client that commits without being a member: it assigns its partitions to itself, or it is
    /// an administrator's.
    pub(crate) fn is_of_no_member(&self) -> bool {
        self.generation < 0
    }

    /// Whether it names a member, of whatever generation.
    fn names_member(&self) -> bool {
        !self.member_id.is_empty() || self.instance_id.is_some()
    }
}

impl ClassicGroup {
    pub(super) fn check_commit(&mut self, member: &CommitMember<'_>) -> Result<(), ResponseError> {
        if member.is_of_no_member() && self.state == State::Empty {
            return Ok(());
        }
        if member.is_of_no_member() && !member.names_member() {
            // It would move the positions of members under their feet.
            return Err(ResponseError::UnknownMemberId);
        }
        self.check_generation(member.generation, member.member_id, member.instance_id)?;
        if self.state == State::Completing {
            return Err(ResponseError::RebalanceInProgress);
        }
        if let Some(member) = self.members.get_mut(member.member_id) {
            member.touch(tokio::time::Instant::now());
        }
        Ok(())
    }
}

impl ConsumerGroup {
    pub(super) fn check_commit(&mut self, member: &CommitMember<'_>) -> Result<(), ResponseError> {
        if member.is_of_no_member() && self.members.is_empty() {
            return Ok(());
        }
        let found = self.members.get(member.member_id);
        let found = found.ok_or(ResponseError::UnknownMemberId)?;
        if !member.knows_epochs && found.classic.is_none() {
            return Err(ResponseError::UnsupportedVersion);
        }
        self.check_epoch(member.member_id, member.generation)
    }
}
