//! Consumer groups: the coordinator's side of both protocols.
//!
//! | file | contents |
//! |---|---|
//! | `cell.rs` | a group: its members by one protocol, and its offsets |
//! | `state.rs` | the classic protocol: a group's state, its members, and its steps from one to the next |
//! | `join.rs`, `sync.rs` | the two phases of a classic rebalance; heartbeats and leaving |
//! | `consumer/`, `assignor/` | the consumer protocol (KIP-848): the server assigns |
//! | `offsets.rs`, `subscriptions.rs` | committed offsets, and the clients that may commit; what classic members are subscribed to |
//! | `stored/` | what of a group outlives the process |
//! | `timer.rs` | the task that removes members whose time is up |
//!
//! A group has members of one protocol, except that a consumer group may have classic members beside
//! those by the consumer protocol. Its offsets stay when it changes from one to the other.
//!
//! The classic protocol:
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

mod assignor;
mod cell;
mod consumer;
mod join;
mod offsets;
mod state;
mod stored;
mod subscriptions;
mod sync;
mod timer;

pub(crate) use assignor::Partitions;
pub(crate) use cell::{Group, GroupCell, Members};
pub(crate) use consumer::{
    ConsumerGroup, ConsumerHeartbeat, HeartbeatAnswer, Member as ConsumerMember, Refusal,
};
pub(crate) use join::{Join, JoinRequest, Joined, JoinedMember};
pub(crate) use offsets::{CommitMember, CommittedOffset, Offsets};
pub(crate) use state::{ClassicGroup, State};
pub(crate) use sync::{LeavingMember, Sync, SyncRequest, Synced};

use super::config::GroupTimes;
use super::connection::Phase;
use super::store::Store;
use super::topics::Topics;
use consumer::refuse;
use kafka_protocol::error::ResponseError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stored::StoredGroup;
use tokio::sync::watch;

/// A member's answer, now or later.
pub(crate) type Later<T> = tokio::sync::oneshot::Receiver<Result<T, ResponseError>>;
/// The end of a [`Later`] that the group keeps.
pub(super) type Waiting<T> = tokio::sync::oneshot::Sender<Result<T, ResponseError>>;

/// From this number of groups on, groups without members and offsets are looked for.
const SWEEP_FROM: usize = 1024;

#[derive(Debug)]
struct ByName {
    groups: HashMap<String, Arc<GroupCell>>,
    /// When there are this many groups, the ones that hold nothing are removed.
    sweep_at: usize,
}

/// The most assignors that a member may support. Clients have five at most; each is compared with those
/// of all members.
const MAX_PROTOCOLS: usize = 100;

/// The groups of a server, by name.
///
/// A group that holds nothing, neither members nor offsets, stays for a while: administrators see that
/// it is empty, and may delete it. Clients may use any number of names, so these groups are removed when
/// the number of groups has doubled.
#[derive(Debug)]
pub(crate) struct Groups {
    by_name: Mutex<ByName>,
    times: GroupTimes,
    max_members: usize,
    /// For the timers, which end with the server.
    phase: watch::Receiver<Phase>,
    /// Where groups are stored, if they outlive the process.
    store: Option<Arc<Store>>,
}

impl Groups {
    pub(crate) fn new(
        times: GroupTimes,
        max_members: usize,
        phase: watch::Receiver<Phase>,
        store: Option<Arc<Store>>,
    ) -> Groups {
        let by_name = ByName {
            groups: HashMap::new(),
            sweep_at: SWEEP_FROM,
        };
        Groups {
            by_name: Mutex::new(by_name),
            times,
            max_members,
            phase,
            store,
        }
    }

    fn by_name(&self) -> MutexGuard<'_, ByName> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<GroupCell>> {
        self.by_name().groups.get(name).cloned()
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
        if let Some(found) = by_name.groups.get(name) {
            return found.clone();
        }
        if by_name.groups.len() >= by_name.sweep_at {
            by_name
                .groups
                .retain(|_, group| !delete_if(group, Group::holds_nothing));
            by_name.sweep_at = SWEEP_FROM.max(2 * by_name.groups.len());
        }
        let stored = self.store.clone();
        let stored = stored.map(|store| StoredGroup::new(name, store));
        let group = Arc::new(GroupCell::new(stored));
        by_name.groups.insert(name.to_owned(), group.clone());
        group
    }

    /// All groups, by name.
    pub(crate) fn all(&self) -> Vec<(String, Arc<GroupCell>)> {
        let by_name = self.by_name();
        let mut all: Vec<_> = by_name
            .groups
            .iter()
            .map(|(n, g)| (n.clone(), g.clone()))
            .collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Deletes a group that has no members.
    pub(crate) fn delete(&self, name: &str) -> Result<(), ResponseError> {
        let mut by_name = self.by_name();
        let found = by_name.groups.get(name);
        let group = found.ok_or(ResponseError::GroupIdNotFound)?;
        if !delete_if(group, Group::is_unused) {
            return Err(ResponseError::NonEmptyGroup);
        }
        by_name.groups.remove(name);
        Ok(())
    }

    /// Removes a group that a refused request has created, unless another request uses it.
    pub(crate) fn remove_if_it_holds_nothing(&self, name: &str) {
        let mut by_name = self.by_name();
        let found = by_name.groups.get(name);
        if found.is_some_and(|group| delete_if(group, Group::holds_nothing)) {
            by_name.groups.remove(name);
        }
    }

    /// Takes a step of a group, and lets its timer see what that has changed.
    fn step<T>(&self, group: &Arc<GroupCell>, step: impl FnOnce(&mut Group) -> T) -> T {
        let mut state = group.lock();
        let result = step(&mut state);
        state.keep();
        self.wake_timer(group, &mut state);
        result
    }

    fn wake_timer(&self, group: &Arc<GroupCell>, state: &mut Group) {
        if timer::is_needed(state) {
            tokio::spawn(timer::run(group.clone(), self.phase.clone()));
        } else {
            group.changed.notify_one();
        }
    }

    /// A member joins, or joins again.
    pub(crate) fn join(&self, topics: &Topics, name: &str, request: JoinRequest) -> Join {
        if name.is_empty() {
            return Join::Refused(ResponseError::InvalidGroupId);
        }
        if request.protocols.len() > MAX_PROTOCOLS {
            return Join::Refused(ResponseError::InconsistentGroupProtocol);
        }
        let session = request.session_timeout;
        if !(self.times.min_session_timeout..=self.times.max_session_timeout).contains(&session) {
            return Join::Refused(ResponseError::InvalidSessionTimeout);
        }
        let (group, is_new) = match (self.find(name), request.member_id.is_empty()) {
            (Some(group), _) => (group, false),
            (None, true) => (self.find_or_create(name), true),
            (None, false) => return Join::Refused(ResponseError::UnknownMemberId),
        };
        let delay = self.times.initial_rebalance_delay;
        let joined = self.step(&group, |state| {
            state.join(request, topics, delay, self.max_members)
        });
        if is_new && matches!(joined, Join::Refused(_)) {
            self.remove_if_it_holds_nothing(name);
        }
        joined
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
        let mut state = group.lock();
        let beat = state.heartbeat(generation, member, instance);
        // A heartbeat that is accepted only moves a time away, so the timer need not know.
        if beat.is_err() {
            self.wake_timer(&group, &mut state);
        }
        beat
    }

    /// A heartbeat by the consumer protocol.
    pub(crate) fn consumer_heartbeat(
        &self,
        topics: &Topics,
        name: &str,
        beat: ConsumerHeartbeat,
    ) -> Result<HeartbeatAnswer, Refusal> {
        beat.check(name)?;
        let (joins, leaves) = (beat.joins(), beat.leaves());
        let (group, is_new) = match (self.find(name), joins) {
            (Some(group), _) => (group, false),
            (None, true) => (self.find_or_create(name), true),
            (None, false) => {
                let kind = if leaves { "Group" } else { "Consumer group" };
                let reason = format!("{kind} {name} not found.");
                return refuse(ResponseError::GroupIdNotFound, reason);
            }
        };
        let mut state = group.lock();
        if state.is_deleted {
            let reason = "The group was deleted meanwhile.";
            return refuse(ResponseError::CoordinatorNotAvailable, reason);
        }
        if joins {
            state.check_conversion(&beat, self.max_members)?;
            state.become_consumer(name, topics, self.max_members)?;
        }
        let Some(consumer) = state.consumer() else {
            let reason = format!("Group {name} is not a consumer group.");
            return refuse(ResponseError::GroupIdNotFound, reason);
        };
        let answer = consumer.heartbeat(name, beat, topics, &self.times, self.max_members);
        // Most heartbeats only move a time away, so the timer need not know.
        let wakes_timer = std::mem::take(&mut consumer.wakes_timer);
        state.settle();
        state.keep();
        if wakes_timer || leaves {
            self.wake_timer(&group, &mut state);
        }
        drop(state);
        if is_new && answer.is_err() {
            self.remove_if_it_holds_nothing(name);
        }
        answer
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

/// Marks a group as deleted, if that is allowed: a request that has found it already finds it so.
/// Returns whether it is to be removed.
fn delete_if(group: &GroupCell, may_go: impl FnOnce(&Group) -> bool) -> bool {
    let mut state = group.lock();
    if !state.is_deleted && may_go(&state) {
        state.is_deleted = true;
        state.forget();
    }
    state.is_deleted
}
