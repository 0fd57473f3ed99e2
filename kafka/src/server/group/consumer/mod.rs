//! Consumer groups by the consumer protocol (KIP-848): the server assigns the partitions.
//!
//! | file | contents |
//! |---|---|
//! | `member.rs` | a member, and the next step of its reconciliation |
//! | `heartbeat.rs` | ConsumerGroupHeartbeat: joining, leaving, and all between |
//! | `classic.rs`, `embedded.rs` | classic members of such a group, and the bytes that they send |
//! | `migrate.rs` | a group with members changes its protocol |
//! | `stored.rs` | what of a group outlives the process |
//! | `subscription.rs` | subscribed topics, by name and by pattern, as the group last saw them |
//! | `../assignor/` | which member is to have which partitions |
//!
//! # Epochs
//!
//! ```text
//!   group epoch   ≥   target epoch   ≥   epoch of each member
//!       │                  │                     │ the member has what the target of this epoch
//!       │                  │                     │ gives it, or waits for others to give it up
//!       │                  │ of the last assignment of all partitions to members: the target
//!       │ grows when a member joins, leaves or dies, subscribes otherwise, and when a topic that is
//!       │ subscribed to is created or deleted, or gets more partitions
//! ```
//!
//! All of that happens at heartbeats. A heartbeat that finds the group's epoch ahead of the target's
//! computes the next target, and then takes its own member one step towards it.
//!
//! # A member's reconciliation
//!
//! ```text
//!                 it has partitions to give up                   it has given them up
//!   Stable ─────────────────────────────────────► Unrevoked ──────────────────────────┐
//!     ▲ │                                             │  not within its rebalance      │
//!     │ │ some of its target is another's             ▼  timeout: removed              │
//!     │ └───────────────────────► Unreleased ◄─────────────────────────────────────────┤
//!     │        all is released        │                                                │
//!     └───────────────────────────────┴────────────────────────────────────────────────┘
//! ```
//!
//! Rules:
//!
//! 1. A partition is in `owned` from when it is assigned until its owner has confirmed that it gave it
//!    up, has left, or was removed. Only a partition without an owner is assigned.
//! 2. A member's epoch becomes the target's when it has nothing left to give up. Until then it keeps its
//!    epoch, and may commit with it.
//! 3. A heartbeat states the member's epoch; another one is fenced off. The epoch before is accepted if
//!    the member owns nothing that it was not assigned: then the last answer was lost.
//!
//! The group's state is derived: *Empty* without members, *Assigning* while the target's epoch is behind,
//! *Reconciling* while a member's is, *Stable* otherwise.

mod classic;
mod embedded;
mod heartbeat;
mod member;
mod migrate;
mod stored;
mod subscription;

pub(super) use embedded::read_subscription;
pub(crate) use heartbeat::{ConsumerHeartbeat, HeartbeatAnswer};
pub(crate) use member::Member;

use super::assignor::{Assignor, Candidate, Demand, Partition, Partitions};
use super::stored::next_revision;
use crate::server::topics::Topics;
use kafka_protocol::error::ResponseError;
use member::Subscription;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use subscription::SubscribedTopics;
use tokio::time::Instant;
use uuid::Uuid;

/// Why a request of a group is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: ResponseError,
    pub(crate) reason: String,
}

pub(super) fn refuse<T>(error: ResponseError, reason: impl Into<String>) -> Result<T, Refusal> {
    let reason = reason.into();
    Err(Refusal { error, reason })
}

/// The members of a group by the consumer protocol.
#[derive(Debug, Default)]
pub(crate) struct ConsumerGroup {
    pub(crate) epoch: i32,
    pub(crate) target_epoch: i32,
    pub(crate) members: BTreeMap<String, Member>,
    /// The members with an instance id, by that.
    instances: HashMap<String, String>,
    /// What each member is to have.
    target: HashMap<String, Partitions>,
    /// The partitions that a member has, or has not confirmed yet that it gave up.
    owned: HashSet<Partition>,
    topics: SubscribedTopics,
    /// A deadline may have come closer since the timer looked.
    pub(super) wakes_timer: bool,
    /// Another one for each change that is of more than one member ([`next_revision`]).
    pub(super) revision: u64,
    /// The member that the last step was of: it is to be stored, if it has changed.
    pub(super) touched: Option<String>,
}

impl ConsumerGroup {
    /// The name of its state in the protocol.
    pub(crate) fn state_name(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.target_epoch {
            "Assigning"
        } else if self.is_stable() {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// Whether each member has what the group's epoch gives it.
    fn is_stable(&self) -> bool {
        let mut members = self.members.values();
        self.epoch == self.target_epoch
            && members.all(|member| member.is_reconciled_to(self.target_epoch))
    }

    /// The assignor of the next target.
    pub(crate) fn assignor(&self) -> Assignor {
        Assignor::preferred(self.members.values().filter_map(|member| member.assignor))
    }

    /// What a member is to have.
    pub(crate) fn target_of(&self, id: &str) -> Option<&Partitions> {
        self.target.get(id)
    }

    /// The topics that members subscribe to, by their names or by a pattern.
    pub(crate) fn subscribed_topics(&self) -> BTreeSet<String> {
        self.topics.subscribed()
    }

    /// The names of the subscribed topics that exist.
    pub(crate) fn topic_names(&self) -> HashMap<Uuid, &str> {
        self.topics.names_by_id()
    }

    fn unknown_member<T>(id: &str, group: &str) -> Result<T, Refusal> {
        let reason = format!("Member {id} is not a member of group {group}.");
        refuse(ResponseError::UnknownMemberId, reason)
    }

    fn start_epoch(&mut self) {
        self.revision = next_revision();
        self.epoch = self.epoch.saturating_add(1);
    }

    /// Looks at the topics, and assigns all partitions if there is a reason to.
    fn advance(&mut self, subscribes_otherwise: bool, topics: &Topics) {
        if subscribes_otherwise {
            self.topics.retain_subscribed(self.members.values());
        }
        // A member's epoch is not 0, so neither is a group's, even if nothing is subscribed to.
        if self.topics.refresh(topics) || subscribes_otherwise || self.epoch == 0 {
            self.start_epoch();
        }
        if self.epoch > self.target_epoch {
            self.assign();
        }
    }

    /// Computes the target of the group's epoch.
    fn assign(&mut self) {
        let mut indexes: HashMap<&Subscription, usize> = HashMap::new();
        let mut demand = Demand {
            topics: self.topics.partition_counts(),
            ..Demand::default()
        };
        for (id, member) in &self.members {
            let next = demand.subscriptions.len();
            let subscription = *indexes.entry(&member.subscription).or_insert(next);
            if subscription == next {
                demand
                    .subscriptions
                    .push(self.topics.matched_by(&member.subscription));
            }
            demand.members.push(Candidate {
                id,
                instance_id: member.instance_id.as_deref(),
                subscription,
                before: self.target.get(id),
            });
        }
        let assigned = self.assignor().assign(&demand);
        self.target = self.members.keys().cloned().zip(assigned).collect();
        self.revision = next_revision();
        self.target_epoch = self.epoch;
    }

    /// Takes a member a step towards its target, if it is not there. `owned` is what it says it has.
    fn reconcile(&mut self, id: &str, owned: Option<&Partitions>, now: Instant) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        if member.is_reconciled_to(self.target_epoch) {
            return;
        }
        let nothing = Partitions::new();
        let target = self.target.get(id).unwrap_or(&nothing);
        let all_owned = &self.owned;
        let is_free = |partition: &Partition| !all_owned.contains(partition);
        let Some(next) = member.next_step(self.target_epoch, target, is_free, owned) else {
            return;
        };
        for partition in member.assigned.iter().chain(&member.revoking) {
            self.owned.remove(partition);
        }
        self.owned
            .extend(next.assigned.iter().chain(&next.revoking));
        self.wakes_timer |= !next.revoking.is_empty();
        member.take_step(next, now);
    }

    /// Removes a member: what it had is free. The group has to be assigned again.
    fn remove(&mut self, id: &str) {
        if self.take_out(id) {
            self.has_lost_members();
        }
    }

    /// What follows when members were taken out.
    fn has_lost_members(&mut self) {
        self.topics.retain_subscribed(self.members.values());
        self.start_epoch();
    }

    /// Takes a member out. Returns whether there was one.
    fn take_out(&mut self, id: &str) -> bool {
        let Some(member) = self.members.remove(id) else {
            return false;
        };
        if let Some(instance) = &member.instance_id
            && self.instances.get(instance).is_some_and(|held| held == id)
        {
            self.instances.remove(instance);
        }
        self.target.remove(id);
        self.revision = next_revision();
        for partition in member.assigned.iter().chain(&member.revoking) {
            self.owned.remove(partition);
        }
        true
    }

    /// LeaveGroup: an administrator removes a member by its id, or by its instance id alone.
    pub(super) fn leave(&mut self, id: &str, instance: Option<&str>) -> Result<(), ResponseError> {
        let held = match instance {
            Some(instance) => self.instances.get(instance),
            None => self.members.get_key_value(id).map(|(id, _)| id),
        };
        let held = held.cloned().ok_or(ResponseError::UnknownMemberId)?;
        if !id.is_empty() && held != id {
            return Err(ResponseError::FencedInstanceId);
        }
        self.remove(&held);
        Ok(())
    }

    /// Checks that a member may read or write offsets: its epoch is the one that it states.
    pub(super) fn check_epoch(&self, id: &str, epoch: i32) -> Result<(), ResponseError> {
        let member = self.members.get(id).ok_or(ResponseError::UnknownMemberId)?;
        match &member.classic {
            _ if member.epoch == epoch => Ok(()),
            None => Err(ResponseError::StaleMemberEpoch),
            Some(_) => Err(ResponseError::IllegalGeneration),
        }
    }

    /// The next time at which a member is to be removed.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.members.values().map(Member::deadline);
        deadlines.min()
    }

    /// Removes the members whose time is up.
    pub(super) fn expire(&mut self, now: Instant) {
        let dead = self.members.iter();
        let dead = dead.filter(|(_, member)| member.deadline() <= now);
        let dead: BTreeSet<String> = dead.map(|(id, _)| id.clone()).collect();
        for id in &dead {
            self.take_out(id);
        }
        if !dead.is_empty() {
            self.has_lost_members();
        }
    }
}
