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
mod coordinator;
mod description;
mod gate;
mod member;
mod ownership;
mod partition_state;
mod registry;

pub use assignor::{
    Assignment, Assignor, CooperativeStickyAssignor, GroupMember, GroupView, MemberId,
    RangeAssignor, RebalanceProtocol, RoundRobinAssignor, StickyAssignor, TopicView,
};
pub use description::{GroupDescription, MemberDescription, PartitionDescription};

pub(crate) use coordinator::{Coordinator, Step};
pub(crate) use gate::GroupGate;
pub(crate) use member::JoinRequest;
pub(crate) use ownership::{MemberSignals, Ownership};
pub(crate) use partition_state::{Grant, Key, Returned};
pub(crate) use registry::{Group, Groups, unknown_group};
