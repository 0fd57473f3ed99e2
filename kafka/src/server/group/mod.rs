//! Classic consumer groups: the coordinator's side of JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
//!
//! | file | contents |
//! |---|---|
//! | `state.rs` | a group's state, its members, and its steps from one to the next |
//! | `join.rs`, `sync.rs` | the two phases of a rebalance; heartbeats and leaving |
//! | `offsets.rs`, `subscriptions.rs` | committed offsets; what the members are subscribed to |
//! | `timer.rs` | the task that removes members whose time is up |
//!
//! ```text
//!             the first member joins                 all have joined, or the time is up
//!   Empty ───────────────────────────► Preparing ──────────────────────────────► Completing
//!     ▲                                 ▲   ▲  │                                      │
//!     │   the last member has left      │   │  │ no member is left                    │ the leader
//!     └─────────────────────────────────┼───┼──┘                                      │ has synced
//!                                       │   └── a member joins, leaves or dies ───────┤
//!                                       │                                             ▼
//!                                       └────── a member joins, leaves or dies ──── Stable
//! ```
//!
//! The members' metadata and assignments are bytes that only the clients read: the leader among them
//! assigns the partitions. These groups are the server's own, apart from ringlog's groups of
//! consumers in this process.
//!
//! Each group is behind a lock that is held for one step. A member that must wait for others gets the
//! end of a channel; the group keeps the other end, and answers when the step comes. A member whose
//! client has gone is found by its session timeout, as in Kafka.

mod join;
mod offsets;
mod state;
mod subscriptions;
mod sync;
mod timer;

pub(crate) use join::{Join, JoinRequest, Joined, JoinedMember};
pub(crate) use offsets::{CommitMember, CommittedOffset, Offsets};
pub(crate) use state::{Group, State};
pub(crate) use sync::{LeavingMember, Sync, SyncRequest, Synced};

use super::config::GroupTimes;
use super::connection::Phase;
use kafka_protocol::error::ResponseError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A member's answer, now or later.
pub(crate) type Later<T> = tokio::sync::oneshot::Receiver<Result<T, ResponseError>>;
/// The end of a [`Later`] that the group keeps.
pub(super) type Waiting<T> = tokio::sync::oneshot::Sender<Result<T, ResponseError>>;

/// What a group shares with its timer.
#[derive(Debug)]
pub(crate) struct GroupCell {
    state: Mutex<Group>,
    /// Tells the timer that a time may have come closer.
    changed: tokio::sync::Notify,
}

impl GroupCell {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Group> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The groups of a server, by name.
#[derive(Debug)]
pub(crate) struct Groups {
    by_name: Mutex<HashMap<String, Arc<GroupCell>>>,
    times: GroupTimes,
    /// For the timers, which end with the server.
    phase: watch::Receiver<Phase>,
}

impl Groups {
    pub(crate) fn new(times: GroupTimes, phase: watch::Receiver<Phase>) -> Groups {
        Groups {
            by_name: Mutex::default(),
            times,
            phase,
        }
    }

    fn by_name(&self) -> MutexGuard<'_, HashMap<String, Arc<GroupCell>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<GroupCell>> {
        self.by_name().get(name).cloned()
    }

    /// The group of a member.
    fn find_named(&self, name: &str) -> Result<Arc<GroupCell>, ResponseError> {
        if name.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        self.find(name).ok_or(ResponseError::UnknownMemberId)
    }

    fn find_or_create(&self, name: &str) -> Arc<GroupCell> {
        let mut by_name = self.by_name();
        if let Some(found) = by_name.get(name) {
            return found.clone();
        }
        let group = Arc::new(GroupCell {
            state: Mutex::new(Group::new()),
            changed: tokio::sync::Notify::new(),
        });
        by_name.insert(name.to_owned(), group.clone());
        group
    }

    /// All groups, by name.
    pub(crate) fn all(&self) -> Vec<(String, Arc<GroupCell>)> {
        let by_name = self.by_name();
        let mut all: Vec<_> = by_name
            .iter()
            .map(|(n, g)| (n.clone(), g.clone()))
            .collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Deletes a group that has no members.
    pub(crate) fn delete(&self, name: &str) -> Result<(), ResponseError> {
        let mut by_name = self.by_name();
        let group = by_name.get(name).ok_or(ResponseError::GroupIdNotFound)?;
        {
            let mut state = group.lock();
            if !state.is_unused() {
                return Err(ResponseError::NonEmptyGroup);
            }
            // A request that has found the group already finds it so.
            state.is_deleted = true;
        }
        by_name.remove(name);
        Ok(())
    }

    /// Takes a step of a group, and lets its timer see what that has changed.
    fn step<T>(&self, group: &Arc<GroupCell>, step: impl FnOnce(&mut Group) -> T) -> T {
        let mut state = group.lock();
        let result = step(&mut state);
        if timer::is_needed(&mut state) {
            tokio::spawn(timer::run(group.clone(), self.phase.clone()));
        } else {
            group.changed.notify_one();
        }
        result
    }

    /// A member joins, or joins again.
    pub(crate) fn join(&self, name: &str, request: JoinRequest) -> Join {
        if name.is_empty() {
            return Join::Refused(ResponseError::InvalidGroupId);
        }
        let session = request.session_timeout;
        if !(self.times.min_session_timeout..=self.times.max_session_timeout).contains(&session) {
            return Join::Refused(ResponseError::InvalidSessionTimeout);
        }
        let group = match (self.find(name), request.member_id.is_empty()) {
            (Some(group), _) => group,
            (None, true) => self.find_or_create(name),
            (None, false) => return Join::Refused(ResponseError::UnknownMemberId),
        };
        let delay = self.times.initial_rebalance_delay;
        self.step(&group, |state| state.join(request, delay))
    }

    pub(crate) fn sync(&self, name: &str, request: SyncRequest) -> Sync {
        match self.find_named(name) {
            Ok(group) => self.step(&group, |state| state.sync(request)),
            Err(error) => Sync::Refused(error),
        }
    }

    pub(crate) fn heartbeat(
        &self,
        name: &str,
        generation: i32,
        member: &str,
        instance: Option<&str>,
    ) -> Result<(), ResponseError> {
        let group = self.find_named(name)?;
        // It only moves a time away, so the timer need not know.
        group.lock().heartbeat(generation, member, instance)
    }

    /// Removes a member. Returns the outcome.
    pub(crate) fn leave(
        &self,
        name: &str,
        member: &LeavingMember<'_>,
    ) -> Result<(), ResponseError> {
        let group = self.find_named(name)?;
        self.step(&group, |state| state.leave(member))
    }

    /// The group for a commit. `None` stands for one that does not exist, and is not to be created.
    pub(crate) fn for_commit(
        &self,
        name: &str,
        member: &CommitMember<'_>,
    ) -> Option<Arc<GroupCell>> {
        match member.is_of_no_member() {
            true => Some(self.find_or_create(name)),
            false => self.find(name),
        }
    }
}
