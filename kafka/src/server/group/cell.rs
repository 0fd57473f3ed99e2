//! A group: its members, by one of the two protocols, and its offsets.

use super::consumer::{ConsumerGroup, ConsumerHeartbeat, Refusal};
use super::offsets::{CommitMember, Offsets};
use super::state::ClassicGroup;
use super::stored::StoredGroup;
use super::{Join, JoinRequest, LeavingMember, Sync, SyncRequest};
use crate::server::topics::Topics;
use kafka_protocol::error::ResponseError;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What a group shares with its timer.
#[derive(Debug)]
pub(crate) struct GroupCell {
    state: Mutex<Group>,
    /// Tells the timer that a time may have come closer.
    pub(super) changed: tokio::sync::Notify,
}

impl GroupCell {
    pub(super) fn new(stored: Option<StoredGroup>) -> GroupCell {
        GroupCell {
            state: Mutex::new(Group::new(stored)),
            changed: tokio::sync::Notify::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Group> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A group's members, by the protocol that they use.
#[derive(Debug)]
pub(crate) enum Members {
    /// The clients assign the partitions: JoinGroup and SyncGroup.
    Classic(ClassicGroup),
    /// The server assigns them: ConsumerGroupHeartbeat.
    Consumer(ConsumerGroup),
}

/// A group. Its protocol may change, its offsets stay.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) members: Members,
    pub(crate) offsets: Offsets,
    /// A timer task runs.
    pub(super) has_timer: bool,
    /// The group was deleted after a request had found it.
    pub(super) is_deleted: bool,
    /// Where it is stored, if it outlives the process.
    pub(super) stored: Option<StoredGroup>,
}

impl Group {
    fn new(stored: Option<StoredGroup>) -> Group {
        Group {
            stored,
            members: Members::Classic(ClassicGroup::new()),
            offsets: Offsets::new(),
            has_timer: false,
            is_deleted: false,
        }
    }

    /// Whether it has no members, and none are expected.
    pub(super) fn is_unused(&self) -> bool {
        match &self.members {
            Members::Classic(classic) => classic.is_unused(),
            Members::Consumer(consumer) => consumer.members.is_empty(),
        }
    }

    /// Whether nothing would be lost with it.
    pub(super) fn holds_nothing(&self) -> bool {
        self.is_unused() && self.offsets.is_empty()
    }

    /// Checks what would refuse a heartbeat that changes the protocol: a rebalance that is going on
    /// ends with the change, so that must not be for nothing.
    pub(super) fn check_conversion(
        &self,
        beat: &ConsumerHeartbeat,
        max_members: usize,
    ) -> Result<(), Refusal> {
        match &self.members {
            Members::Classic(classic) if !classic.members.is_empty() => {
                beat.check_join_to_classic(&classic.members, &classic.instances, max_members)
            }
            _ => Ok(()),
        }
    }

    /// Changes to the consumer protocol, if it uses the classic one.
    pub(super) fn become_consumer(
        &mut self,
        name: &str,
        topics: &Topics,
        max_members: usize,
    ) -> Result<(), Refusal> {
        if let Members::Classic(classic) = &mut self.members {
            let consumer = match classic.members.is_empty() {
                true => ConsumerGroup::default(),
                false => ConsumerGroup::from_classic(name, classic, topics, max_members)?,
            };
            self.members = Members::Consumer(consumer);
        }
        Ok(())
    }

    /// Its members by the consumer protocol, if it uses that.
    pub(super) fn consumer(&mut self) -> Option<&mut ConsumerGroup> {
        match &mut self.members {
            Members::Consumer(consumer) => Some(consumer),
            Members::Classic(_) => None,
        }
    }

    pub(super) fn join(
        &mut self,
        request: JoinRequest,
        topics: &Topics,
        initial_delay: Duration,
        max_members: usize,
    ) -> Join {
        if self.is_deleted {
            // The client tries again, and finds another group.
            return Join::Refused(ResponseError::CoordinatorNotAvailable);
        }
        let joined = match &mut self.members {
            Members::Consumer(consumer) if !consumer.members.is_empty() => {
                consumer.join_classic(request, topics, max_members)
            }
            Members::Consumer(_) => {
                let mut classic = ClassicGroup::new();
                let joined = classic.join(request, initial_delay, max_members);
                self.members = Members::Classic(classic);
                joined
            }
            Members::Classic(classic) => classic.join(request, initial_delay, max_members),
        };
        self.settle();
        joined
    }

    /// A consumer group that has classic members alone becomes a classic group.
    pub(super) fn settle(&mut self) {
        match &mut self.members {
            Members::Consumer(consumer) if consumer.is_all_classic() => {
                let consumer = std::mem::take(consumer);
                self.members = Members::Classic(consumer.into_classic());
            }
            _ => {}
        }
    }

    pub(super) fn sync(&mut self, request: SyncRequest) -> Sync {
        match &mut self.members {
            Members::Classic(classic) => classic.sync(request),
            Members::Consumer(consumer) => consumer.sync_classic(&request).into(),
        }
    }

    /// A heartbeat by the classic protocol.
    pub(super) fn heartbeat(
        &mut self,
        generation: i32,
        member: &str,
        instance: Option<&str>,
    ) -> Result<(), ResponseError> {
        match &mut self.members {
            Members::Classic(classic) => classic.heartbeat(generation, member, instance),
            Members::Consumer(consumer) => consumer.heartbeat_classic(generation, member, instance),
        }
    }

    pub(super) fn leave(&mut self, leaving: &LeavingMember<'_>) -> Result<(), ResponseError> {
        let left = match &mut self.members {
            Members::Classic(classic) => classic.leave(leaving),
            Members::Consumer(consumer) => consumer.leave(leaving.member_id, leaving.instance_id),
        };
        self.settle();
        left
    }

    /// Checks that this client may commit now. Its session goes on.
    pub(crate) fn check_commit(&mut self, member: &CommitMember<'_>) -> Result<(), ResponseError> {
        if self.is_deleted {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        match &mut self.members {
            Members::Classic(classic) => classic.check_commit(member),
            Members::Consumer(consumer) => consumer.check_commit(member),
        }
    }

    /// Checks that this client may read the group's offsets.
    pub(crate) fn check_offset_fetch(
        &self,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ResponseError> {
        match (&self.members, member_id) {
            // Members by the classic protocol do not say which they are.
            (Members::Classic(_), _) => Ok(()),
            // An administrator, or a client that assigns its partitions to itself.
            (Members::Consumer(_), None) if epoch < 0 => Ok(()),
            (Members::Consumer(consumer), id) => {
                consumer.check_epoch(id.unwrap_or_default(), epoch)
            }
        }
    }

    /// The next time at which something is to be done.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match &self.members {
            Members::Classic(classic) => classic.next_deadline(),
            Members::Consumer(consumer) => consumer.next_deadline(),
        }
    }

    /// Removes what has run out of time by `now`.
    pub(super) fn expire(&mut self, now: Instant) {
        match &mut self.members {
            Members::Classic(classic) => classic.expire(now),
            Members::Consumer(consumer) => consumer.expire(now),
        }
        self.settle();
    }
}
