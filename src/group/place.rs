//! What a group knows of a partition: whose it is, what is committed, and what is held back while
//! it is nobody's. Under the coordinator's lock, as all of it (`coordinator.rs` has G1 and G2).

use super::assignor::MemberId;
use super::coordinator::Coordinator;
use super::members::refuse_closed;
use super::tenure::{Gate, Tenure, Words};
use crate::assigned::Seat;
use crate::config::OffsetReset;
use crate::error::ConsumeError;
use crate::sync::Count;
use crate::topic_inner::TopicInner;
use std::sync::Arc;

/// A partition in a group, by its topic's name.
pub(crate) type Key = (Arc<str>, u32);

/// What the group knows of one partition. It survives the group's members.
pub(crate) struct Place {
    pub(crate) topic: Arc<TopicInner>,
    /// Where the next owner begins, if anybody has begun yet.
    pub(crate) start: Option<u64>,
    /// `start` was committed, and is not just where the first owner began.
    is_committed: bool,
    /// Whose it is by the last assignment.
    pub(super) target: Option<MemberId>,
    /// Whose it is.
    pub(crate) owner: Option<(MemberId, Arc<Tenure>)>,
    /// Holds back what lies from `start` on, while nobody owns the partition.
    gate: Option<Gate>,
    /// Offsets that went by its owners unread, one after another.
    pub(crate) lost: Arc<Count>,
}

impl Place {
    pub(super) fn new(topic: &Arc<TopicInner>) -> Place {
        Place {
            topic: topic.clone(),
            start: None,
            is_committed: false,
            target: None,
            owner: None,
            gate: None,
            lost: Arc::default(),
        }
    }

    pub(super) fn is_owned_by(&self, id: MemberId) -> bool {
        self.owner.as_ref().is_some_and(|(owner, _)| *owner == id)
    }

    /// What is committed now.
    pub(crate) fn committed(&self) -> Option<u64> {
        let tenure = self.owner.as_ref().and_then(|(_, t)| t.committed());
        tenure.or(self.start.filter(|_| self.is_committed))
    }

    /// Commits, with no owner.
    fn commit(&mut self, partition: u32, offset: u64) {
        self.start = Some(offset);
        self.is_committed = true;
        if self.gate.is_none() {
            self.gate = Gate::join(&self.topic, partition);
        }
        if let Some(gate) = &mut self.gate {
            gate.go(offset);
        }
    }

    /// After a tenure that committed this: the next owner begins there.
    pub(super) fn end_tenure(&mut self, committed: Option<u64>) {
        if let Some(offset) = committed {
            self.start = Some(offset);
            self.is_committed = true;
        }
        self.owner = None;
    }
}

/// A partition that a member has come to own.
pub(crate) struct Grant {
    pub(crate) topic: Arc<TopicInner>,
    pub(crate) partition: u32,
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) gate: Option<Gate>,
    /// Where it begins; `None` when nobody knows ([`OffsetReset::None`]).
    pub(crate) start: Option<u64>,
}

/// A partition that its owner gives back.
pub(crate) struct Returned {
    pub(crate) key: Key,
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) gate: Option<Gate>,
}

impl Coordinator {
    // ---- partitions that are added ------------------------------------------------------

    /// From now on nothing is missed of partitions that are added to this topic.
    pub(super) fn watch_topic(&mut self, topic: &Arc<TopicInner>) {
        if !self
            .seats
            .iter()
            .any(|seat| Arc::ptr_eq(seat.topic(), topic))
        {
            let mut seat = Seat::new(topic);
            seat.subscribe();
            self.seats.push(seat);
        }
    }

    /// What was added to the group's topics is to be read from its first record on, whatever the
    /// members' [`OffsetReset`].
    pub(super) fn take_added(&mut self) {
        for seat in &self.seats {
            let topic = seat.topic();
            for (partition, hold) in seat.take_holds() {
                let (gate, start) = Gate::of_added(topic, partition, hold);
                let key = (topic.name().clone(), partition);
                let place = self.places.entry(key).or_insert_with(|| Place::new(topic));
                if Arc::ptr_eq(&place.topic, topic) && place.start.is_none() {
                    (place.gate, place.start) = (gate, Some(start));
                }
            }
        }
    }

    // ---- ownership ----------------------------------------------------------------------

    /// Gives a member all that is meant for it and has no owner (G1).
    pub(super) fn take(&mut self, id: MemberId, reset: OffsetReset) -> Vec<Grant> {
        let mut grants = Vec::new();
        for (&(_, partition), place) in &mut self.places {
            if place.target != Some(id) || place.owner.is_some() {
                continue;
            }
            let mut gate = place.gate.take();
            match &mut gate {
                Some(gate) => gate.look_at_floor(),
                None => gate = Gate::join(&place.topic, partition),
            }
            if place.start.is_none() {
                place.start = begin(&place.topic, partition, reset, &mut gate);
            }
            let tenure = Arc::new(Tenure::new(gate.as_ref(), &place.lost));
            place.owner = Some((id, tenure.clone()));
            grants.push(Grant {
                topic: place.topic.clone(),
                partition,
                tenure,
                gate,
                start: place.start,
            });
        }
        grants
    }

    /// Takes partitions back from their owner, by its own hand, with the gates that it had. It is
    /// the tenure that counts: one of a topic that was deleted is not one of the next topic of
    /// that name.
    pub(crate) fn release(&mut self, words: &Words, released: impl Iterator<Item = Returned>) {
        if words.fenced().is_some() {
            return;
        }
        for Returned { key, tenure, gate } in released {
            let Some(place) = self.places.get_mut(&key) else {
                continue;
            };
            let owner = place.owner.as_ref();
            if !owner.is_some_and(|(_, t)| Arc::ptr_eq(t, &tenure)) {
                continue;
            }
            let committed = place.owner.as_ref().and_then(|(_, t)| t.committed());
            place.end_tenure(committed);
            rest(place, key.1, gate);
            let target = place.target.and_then(|target| self.members.get(&target));
            if let Some(words) = target.and_then(|member| member.words.as_ref()) {
                words.signal();
            }
        }
        self.signal_if_free();
    }

    // ---- commits ------------------------------------------------------------------------

    /// Commits several partitions of one owner, all of them or, if it is fenced, none.
    pub(crate) fn commit_owned<'t>(
        &self,
        words: &Words,
        generation: u64,
        commits: impl Iterator<Item = (&'t Tenure, u64)>,
    ) -> Result<(), ConsumeError> {
        if let Some(reason) = words.fenced() {
            return Err(self.fenced(generation, reason));
        }
        for (tenure, offset) in commits {
            tenure.commit(offset);
        }
        Ok(())
    }

    /// Commits from outside, which only a group without members allows.
    pub(crate) fn commit_unowned(
        &mut self,
        commits: &[(Arc<TopicInner>, u32, u64)],
    ) -> Result<(), ConsumeError> {
        if !self.members.is_empty() {
            return Err(ConsumeError::NotAMember {
                group: self.name.clone(),
                members: self.members.len(),
            });
        }
        refuse_closed(commits.iter().map(|(topic, ..)| topic))?;
        for (topic, partition, offset) in commits {
            let key = (topic.name().clone(), *partition);
            let place = self.places.entry(key).or_insert_with(|| Place::new(topic));
            if !Arc::ptr_eq(&place.topic, topic) {
                *place = Place::new(topic);
            }
            place.commit(*partition, *offset);
        }
        Ok(())
    }

    /// What is committed in a partition of this very topic.
    pub(crate) fn committed(&self, topic: &Arc<TopicInner>, partition: u32) -> Option<u64> {
        let place = self.places.get(&(topic.name().clone(), partition))?;
        let here = Arc::ptr_eq(&place.topic, topic);
        place.committed().filter(|_| here)
    }
}

/// A partition without an owner is held from where the next one begins (G2): by the gate that the
/// last one had, or by a new one.
pub(super) fn rest(place: &mut Place, partition: u32, gate: Option<Gate>) {
    let mut gate = gate.or_else(|| Gate::join(&place.topic, partition));
    if let (Some(gate), Some(start)) = (&mut gate, place.start) {
        gate.go(start);
    }
    place.gate = gate;
}

/// Where a group begins in a partition that it has not read yet. It keeps that, so that what
/// comes between the first owner and its first commit is skipped by nobody.
fn begin(
    topic: &Arc<TopicInner>,
    partition: u32,
    reset: OffsetReset,
    gate: &mut Option<Gate>,
) -> Option<u64> {
    let (log, pool) = (topic.partition(partition), topic.pool());
    Some(match (reset, gate) {
        (OffsetReset::None, _) => return None,
        (OffsetReset::Earliest, Some(gate)) => gate.go_to_start(),
        (OffsetReset::Earliest, None) => log.log_start_offset(pool),
        (OffsetReset::Latest, Some(gate)) => gate.go_to_end(),
        (OffsetReset::Latest, None) => log.log_end_offset(pool),
    })
}
