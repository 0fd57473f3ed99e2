//! Consumer groups: members that share the partitions of their topics (Kafka's group coordinator).
//!
//! This folder is the coordinator's side, all of it under one lock per group. The member's side is
//! part of the consumer: `consumer/membership.rs`, `rebalance.rs`, `commit.rs`,
//! `rebalance_listener.rs` and `owned_partition.rs`.
//!
//! | file | its one job |
//! |---|---|
//! | `registry.rs` | groups by name; a group and its lock |
//! | `coordinator/mod.rs` | generation and assignment; a member's next step (G1 to G3) |
//! | `coordinator/members.rs` | members join, subscribe, leave and are fenced off |
//! | `coordinator/following.rs` | topics that are created and that members follow |
//! | `coordinator/partitions.rs` | added partitions, ownership, commits |
//! | `coordinator/offsets.rs` | offsets set from outside; the end of a closed topic |
//! | `member.rs` | data: a member, and a request to join |
//! | `partition_state.rs` | data: a partition's owner, committed offset and resting gate |
//! | `ownership.rs` | one member's ownership of one partition; a member's signal (P14) |
//! | `gate.rs` | the group's hold on a partition's log |
//! | `assignor/` | the `Assignor` trait and the four that are built in |
//! | `description.rs` | what `Broker::describe_group` returns |
//!
//! # The protocol
//!
//! A poll that finds nothing changed loads one word of its member, the **signal**, and nothing else
//! of the group. If the signal is set, the poll takes the group's lock and asks for its next step
//! ([`Coordinator::next_step`]) until there is none. The lock is never held while the user's code
//! runs (listener, assignor).
//!
//! 1. *Change.* A member joins, leaves or changes its topics; a topic is deleted; a poll
//!    finds that partitions were added, or that a topic was created which members follow. This makes a new assignment due, and signals all members.
//! 2. *Assign.* The first member whose poll finds an assignment due runs its assignor on a view of
//!    the group, without the lock. It installs the result unless the group has changed meanwhile.
//!    That is a new **generation**: each partition has a **target**, the member that is to own it.
//!    All members are signalled. If several run their assignors at once, the first one to install
//!    its result wins.
//! 3. *Release.* A member that owns a partition of which it is not the target releases it at its
//!    next poll. It commits (under `auto_commit`), calls its listener with `revoked`, and then ends
//!    its ownership under the lock. The target is signalled.
//! 4. *Take.* A member becomes the owner of the partitions of which it is the target and that have
//!    no owner. Its listener is called with `assigned`.
//!
//! So a partition has at most one owner at any time, in whatever generation (G1). It is granted
//! only after its old owner has released it, at its own poll, or has been fenced off. Under an
//! *eager* assignor every member releases everything before the assignor runs. Under a
//! *cooperative* one the members keep reading the partitions that do not move. With every member
//! polling, three rounds of polls suffice for either: assign, release, take; or release, assign,
//! take.
//!
//! A member that stops between two polls holds up the partitions that are to move away from it, and
//! under an eager assignor all partitions. Once it has not polled for its `max_poll_interval`, a
//! poll of another member fences it off ([`Coordinator::expire_members`]). A member that waits in a
//! poll is alive (`ownership.rs`).
//!
//! # The end of a closed topic
//!
//! A member that owns partitions of a closed topic gets `Closed` when it has read them to their
//! ends. A member without a partition of the topic gets it when the group has *committed* all of
//! the topic ([`Coordinator::has_read`]). Before that, an owner may die and leave records to it.
//! An owner does not wait for the others: if each of two owners committed only after `Closed`, both
//! would wait forever.

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

pub(crate) use coordinator::{Coordinator, OffsetChange, RebalanceStep};
pub(crate) use gate::GroupGate;
pub(crate) use member::JoinRequest;
pub(crate) use ownership::{MemberSignals, Ownership};
pub(crate) use partition_state::{Grant, PartitionKey, ReleasedPartition, Revocation};
pub(crate) use registry::{Group, Groups};
