//! A group's members, partitions and generation. Everything here is done under the group's one
//! lock (`Group::lock`), and nothing here runs the user's code. `mod.rs` has the protocol.
//!
//! # Invariants
//!
//! - **G1** A partition has at most one owner. It gets one only in [`Coordinator::take`], when it
//!   has none; and has none again only when its owner gave it back ([`Coordinator::release`])
//!   or was fenced ([`Coordinator::fence`]), which ends its tenure first.
//! - **G2** What the group is to read again is held all the time, under `Backpressure`: from the
//!   first taking of a partition on there is a gate in force, at the tenure's hold, or resting in
//!   the place, and the new one is in force before the old one goes.
//! - **G3** Whoever has something to do is signalled under the same lock that made it so.

mod members;
mod partitions;

use crate::error::{ConsumeError, FenceReason};
use crate::group::assignor;
use crate::group::assignor::{Assignment, GroupMember, GroupView, MemberId, TopicView};
use crate::group::member::Member;
use crate::group::ownership::{MemberSignals, Ownership};
use crate::group::partition_state::{Grant, GroupPartition, Key};
use crate::log::cursor::OffsetReset;
use crate::topic::{TopicPartition, TopicSubscription};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Coordinator {
    pub(super) name: Arc<str>,
    /// The name of the members' assignor, and whether it is eager.
    pub(crate) assignor: Option<(String, bool)>,
    pub(crate) generation: u64,
    pub(crate) members: BTreeMap<MemberId, Member>,
    pub(crate) places: BTreeMap<Key, GroupPartition>,
    /// One for each topic that it knows: it gets the partitions that are added.
    pub(super) subscriptions: Vec<TopicSubscription>,
    /// How many partitions the members' topics had at the last assignment.
    partitions: u64,
    pub(super) next_id: u64,
    /// Counts what makes a new assignment due, and up to where that was done (or refused).
    changes: u64,
    assigned: u64,
}

/// What a member has to do next.
pub(crate) enum Step {
    /// Nothing.
    Done {
        generation: u64,
        /// The shortest time that a member may not poll; zero when none is bound to.
        shortest_interval: Duration,
    },
    /// It is fenced.
    Fenced(FenceReason),
    /// To run its assignor, and [`Coordinator::install`] the answer.
    Assign { change: u64, group: GroupView },
    /// To give these back: [`Coordinator::release`].
    Release(Vec<(Key, Arc<Ownership>)>),
    /// To read these: they are its own now.
    Take(Vec<Grant>),
}

impl Coordinator {
    pub(crate) fn new(name: Arc<str>) -> Coordinator {
        Coordinator {
            name,
            assignor: None,
            generation: 0,
            members: BTreeMap::new(),
            places: BTreeMap::new(),
            subscriptions: Vec::new(),
            partitions: 0,
            next_id: 0,
            changes: 0,
            assigned: 0,
        }
    }

    pub(super) fn change(&mut self) {
        self.changes += 1;
        self.signal_all();
    }

    fn is_due(&self) -> bool {
        self.changes != self.assigned
    }

    pub(super) fn signal_all(&self) {
        for signals in self.members.values().filter_map(|m| m.signals.as_ref()) {
            signals.signal();
        }
    }

    /// When the last has released, an eager assignor can run.
    pub(super) fn signal_if_free(&self) {
        if self.is_due() && self.places.values().all(|p| p.owner.is_none()) {
            self.signal_all();
        }
    }

    /// What this member has to do next; called again until that is nothing.
    pub(crate) fn step(
        &mut self,
        id: MemberId,
        signals: &MemberSignals,
        reset: OffsetReset,
    ) -> Step {
        if let Some(reason) = signals.fenced() {
            return Step::Fenced(reason);
        }
        self.take_added();
        let partitions = self.count_partitions();
        if partitions != self.partitions {
            self.partitions = partitions;
            self.change();
        }
        let eager = self.assignor.as_ref().is_some_and(|(_, eager)| *eager);
        let wait = if self.is_due() {
            if !eager || self.places.values().all(|p| p.owner.is_none()) {
                return Step::Assign {
                    change: self.changes,
                    group: self.view(),
                };
            }
            true
        } else {
            false
        };
        let release = self.places.iter().filter_map(|(key, place)| {
            let (owner, ownership) = place.owner.as_ref()?;
            let goes = *owner == id && (wait || place.target != Some(id));
            goes.then(|| (key.clone(), ownership.clone()))
        });
        let release: Vec<_> = release.collect();
        if !release.is_empty() {
            return Step::Release(release);
        }
        if !wait {
            let grants = self.take(id, reset);
            if !grants.is_empty() {
                return Step::Take(grants);
            }
        }
        signals.seen();
        let intervals = self.members.values().map(|m| m.max_poll_interval);
        Step::Done {
            generation: self.generation,
            shortest_interval: intervals.filter(|i| !i.is_zero()).min().unwrap_or_default(),
        }
    }

    /// Of all topics that any member reads.
    fn count_partitions(&self) -> u64 {
        let topics = self.members.values().flat_map(|m| &m.topics);
        let topics: BTreeMap<_, _> = topics.map(|t| (Arc::as_ptr(t), t)).collect();
        let open = topics.values().filter(|topic| !topic.is_deleted());
        open.map(|topic| u64::from(topic.partitions())).sum()
    }

    /// The error of a member that was fenced in this generation of its own.
    pub(crate) fn fenced(&self, generation: u64, reason: FenceReason) -> ConsumeError {
        ConsumeError::Fenced {
            group: self.name.clone(),
            generation,
            current: self.generation,
            reason,
        }
    }

    /// The group as its assignor is to see it.
    fn view(&self) -> GroupView {
        let mut topics = BTreeMap::new();
        for topic in self.members.values().flat_map(|m| &m.topics) {
            if !topic.is_deleted() {
                let name = topic.name().clone();
                let partitions = topic.partitions();
                topics.insert(name.clone(), TopicView { name, partitions });
            }
        }
        let mut owned: BTreeMap<MemberId, Vec<TopicPartition>> = BTreeMap::new();
        for ((topic, partition), place) in &self.places {
            let owner = place.owner.as_ref().map(|(id, _)| *id).or(place.target);
            if let Some(owner) = owner {
                let owned = owned.entry(owner).or_default();
                owned.push(TopicPartition::new(&**topic, *partition));
            }
        }
        let members = self.members.iter().map(|(&id, member)| {
            let open = member.topics.iter().filter(|topic| !topic.is_deleted());
            GroupMember {
                id,
                instance_id: member.instance_id.clone(),
                topics: open.map(|topic| topic.name().clone()).collect(),
                owned: owned.remove(&id).unwrap_or_default(),
            }
        });
        let mut members: Vec<_> = members.collect();
        members.sort_by_key(|m| (m.instance_id.is_none(), m.instance_id.clone(), m.id));
        GroupView {
            topics: topics.into_values().collect(),
            members,
        }
    }

    /// Makes an assignor's answer the group's next generation, if nothing has changed since its
    /// question; answers whether it is. What cannot be is refused, and not asked for again before
    /// the next change.
    pub(crate) fn install(
        &mut self,
        change: u64,
        group: &GroupView,
        assignment: &Assignment,
    ) -> Result<bool, ConsumeError> {
        if self.changes != change || self.assigned == change {
            return Ok(false);
        }
        self.assigned = change;
        // Also when it is refused: an eager group goes on as it was.
        self.signal_all();
        if let Err(reason) = assignor::check(group, assignment) {
            let name = self.assignor.as_ref().map(|(name, _)| name.clone());
            return Err(ConsumeError::BadAssignment {
                group: self.name.clone(),
                assignor: name.unwrap_or_default(),
                reason,
            });
        }
        self.generation += 1;
        for place in self.places.values_mut() {
            place.target = None;
        }
        for (&id, partitions) in assignment {
            let Some(member) = self.members.get(&id) else {
                continue;
            };
            for TopicPartition { topic, partition } in partitions {
                let mut open = member.topics.iter().filter(|topic| !topic.is_deleted());
                let found = open.find(|t| &**t.name() == topic);
                let Some(topic) = found else { continue };
                let place = self.places.entry((topic.name().clone(), *partition));
                let place = place.or_insert_with(|| GroupPartition::new(topic));
                if !Arc::ptr_eq(&place.topic, topic) {
                    *place = GroupPartition::new(topic); // another topic of that name
                }
                place.target = Some(id);
            }
        }
        Ok(true)
    }
}
