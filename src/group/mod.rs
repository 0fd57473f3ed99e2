//! Groups: consumers that share the partitions of their topics.
//!
//! | file | its one job |
//! |---|---|
//! | `tenure.rs` | one member's time with one partition: commits, and what they hold back |
//! | `coordinator.rs` | a group's generation, and what is due, under one lock |
//! | `members.rs` | its members: who comes, goes and dies |
//! | `place.rs` | what it knows of a partition: owner, commits, the gate at rest |
//! | `member.rs` | the consumer's side: what a poll does when something has changed |
//! | `owned.rs` | what a member has of the partitions that it owns |
//! | `commits.rs` | committing, and asking what was committed |
//! | `listener.rs` | telling the user |
//! | `assignor/` | who gets what |
//! | `describe.rs` | what can be told of a group |
//!
//! # The protocol
//!
//! Nothing of it is on the way of a poll that finds nothing changed: such a poll loads its
//! member's **signal**. When that is set, the poll takes the group's lock and does, step by step,
//! what there is to do for it, until there is nothing more (`Coordinator::step`). The lock is never
//! held while the user's code runs (listener, assignor).
//!
//! 1. *A change* (a member comes, goes or subscribes anew, a topic is deleted) makes a new
//!    assignment due and signals all members.
//! 2. *Assign.* The first member whose poll finds one due runs its assignor on a picture of the
//!    group, without the lock, and installs the answer if nothing has changed meanwhile; that is a
//!    new **generation**: each partition has a **target**. All are signalled. If several run theirs
//!    at once, the first counts.
//! 3. *Release.* A member that owns what is no longer meant for it gives it back at its next poll:
//!    it commits (if it does so by itself), its listener is told `revoked`, and then it ends its
//!    tenure, under the lock. The target is signalled.
//! 4. *Take.* A member takes what is meant for it and has no owner. Its listener is told
//!    `assigned`.
//!
//! So a partition has one owner at most at any time, whatever the generation: it is given out
//! only after its old owner has let go of it, at a poll of its own, or was fenced. Under an *eager*
//! assignor every member releases everything before the assignor runs; under a *cooperative* one
//! the rest goes on being read. With every member polling, three rounds of polls are enough for
//! either (assign, release, take; or release, assign, take).
//!
//! Who stops between two polls holds up the partitions that are to move from it, and under an
//! eager assignor all, until it has not polled for its `max_poll_interval`; then another member's
//! poll fences it (`Coordinator::watch`).

mod assignor;
mod commits;
mod coordinator;
mod describe;
mod listener;
mod member;
mod members;
mod owned;
mod place;
mod tenure;

pub use assignor::{
    Assignment, Assignor, CooperativeStickyAssignor, GroupMember, GroupView, MemberId,
    RangeAssignor, RebalanceProtocol, RoundRobinAssignor, StickyAssignor, TopicView,
};
pub use describe::{GroupDescription, MemberDescription, PartitionDescription};
pub use listener::{Rebalance, RebalanceListener};

pub(crate) use coordinator::Coordinator;
pub(crate) use member::Membership;
pub(crate) use owned::OwnedPartition;
pub(crate) use tenure::Ownership;

use crate::error::{ConsumeError, GroupError};
use crate::sleepers::{Later, later};
use crate::sync::{Mutex, MutexGuard, lock};
use crate::topic_inner::TopicShared;
use core::ops::{Deref, DerefMut};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One group. It lives in its broker until it is deleted.
pub(crate) struct Group {
    name: Arc<str>,
    coordinator: Mutex<Coordinator>,
}

impl Group {
    fn new(name: Arc<str>) -> Group {
        Group {
            coordinator: Mutex::new(Coordinator::new(name.clone())),
            name,
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// A panic under the lock is a bug of ours alone: no user's code runs there.
    pub(crate) fn lock(&self) -> LockedGroup<'_> {
        let later = later();
        LockedGroup {
            coordinator: lock(&self.coordinator),
            _later: later,
        }
    }
}

/// The coordinator, locked. Who was to be woken is woken after it is let go of.
pub(crate) struct LockedGroup<'g> {
    coordinator: MutexGuard<'g, Coordinator>,
    _later: Later,
}

impl Deref for LockedGroup<'_> {
    type Target = Coordinator;

    fn deref(&self) -> &Coordinator {
        &self.coordinator
    }
}

impl DerefMut for LockedGroup<'_> {
    fn deref_mut(&mut self) -> &mut Coordinator {
        &mut self.coordinator
    }
}

/// The groups of a broker, by name.
///
/// Its lock is taken before a group's, and held while a group is joined or deleted, so that
/// nobody joins what is just being deleted.
pub(crate) struct Groups(Mutex<BTreeMap<Arc<str>, Arc<Group>>>);

impl Groups {
    pub(crate) fn new() -> Groups {
        Groups(Mutex::new(BTreeMap::new()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Group>>> {
        lock(&self.0)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Group>> {
        self.lock().get(name).cloned()
    }

    /// Works on the group of this name, which is made if there is none; also if the work fails.
    pub(crate) fn with<R>(
        &self,
        name: &Arc<str>,
        work: impl FnOnce(&mut Coordinator) -> Result<R, ConsumeError>,
    ) -> Result<(Arc<Group>, R), ConsumeError> {
        let _later = later(); // until this lock is let go of as well
        let mut groups = self.lock();
        let group = groups
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Group::new(name.clone())));
        let result = work(&mut group.lock())?;
        Ok((group.clone(), result))
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().keys().map(|name| name.to_string()).collect()
    }

    pub(crate) fn delete(&self, name: &str) -> Result<(), GroupError> {
        let mut groups = self.lock();
        let Some(group) = groups.get(name) else {
            return Err(unknown(name));
        };
        let members = group.lock().live_members();
        if members > 0 {
            return Err(GroupError::NotEmpty {
                name: name.to_owned(),
                members,
            });
        }
        let gone = groups.remove(name);
        drop(groups);
        drop(gone);
        Ok(())
    }

    /// No group remembers this topic any more.
    pub(crate) fn forget_topic(&self, topic: &Arc<TopicShared>) {
        for group in self.all() {
            group.lock().forget_topic(topic);
        }
    }
}

pub(crate) fn unknown(name: &str) -> GroupError {
    GroupError::UnknownGroup {
        name: name.to_owned(),
    }
}
