//! Members that come, go, and die. Under the coordinator's lock, as all of it (`coordinator.rs` has
//! G1 and G2).

use super::Coordinator;
use super::partitions::rest;
use crate::error::{ConsumeError, FenceReason};
use crate::group::assignor::{MemberId, RebalanceProtocol};
use crate::group::member::{JoinRequest, Member};
use crate::group::ownership::MemberSignals;
use crate::group::partition_state::Returned;
use crate::topic::TopicShared;
use std::sync::Arc;
use std::time::Duration;

impl Coordinator {
    /// Makes a consumer a member, or puts it in the place of the one before it with its name.
    pub(crate) fn join(
        &mut self,
        request: JoinRequest,
        signals: &Arc<MemberSignals>,
    ) -> Result<MemberId, ConsumeError> {
        let JoinRequest {
            assignor: offered,
            protocol,
            instance_id,
            max_poll_interval,
            now,
            topics,
        } = request;
        let eager = protocol == RebalanceProtocol::Eager;
        refuse_deleted(&topics)?;
        match &self.assignor {
            Some((name, is_eager))
                if (name, *is_eager) != (&offered, eager) && !self.members.is_empty() =>
            {
                // The protocol is told only where the name does not tell them apart.
                let told = |of: &str, is_eager| match is_eager {
                    _ if *name != offered => of.to_owned(),
                    true => format!("{of} (eager)"),
                    false => format!("{of} (cooperative)"),
                };
                return Err(ConsumeError::OtherAssignor {
                    group: self.name.clone(),
                    assignor: told(name, *is_eager),
                    asked: told(&offered, eager),
                });
            }
            _ => self.assignor = Some((offered, eager)),
        }
        topics.iter().for_each(|topic| self.watch_topic(topic));
        let named =
            |member: &Member| member.instance_id.is_some() && member.instance_id == instance_id;
        let before = self.members.iter().find(|(_, member)| named(member));
        let id = match before.map(|(&id, _)| id) {
            Some(id) => {
                self.fence(id, FenceReason::InstanceId);
                id
            }
            None => {
                let id = MemberId(self.next_id);
                self.next_id += 1;
                id
            }
        };
        let new = Member {
            instance_id,
            topics: topics.clone(),
            signals: Some(signals.clone()),
            max_poll_interval,
            seen: (signals.polls(), now),
        };
        let old = self.members.insert(id, new);
        let same = |old: Member| same_topics(&old.topics, &topics);
        if old.is_some_and(same) {
            signals.signal();
            self.signal_all(); // they may have a shorter interval to watch
        } else {
            self.change();
        }
        Ok(id)
    }

    /// Gives a member other topics. Not if it is fenced: it learns that at its next poll.
    pub(crate) fn subscribe(
        &mut self,
        id: MemberId,
        signals: &MemberSignals,
        topics: Vec<Arc<TopicShared>>,
    ) -> Result<(), ConsumeError> {
        refuse_deleted(&topics)?;
        if signals.fenced().is_some() {
            return Ok(());
        }
        if let Some(member) = self.members.get_mut(&id) {
            if !same_topics(&member.topics, &topics) {
                member.topics.clone_from(&topics);
                topics.iter().for_each(|topic| self.watch_topic(topic));
                self.change();
            }
        }
        Ok(())
    }

    /// Takes a member out of the group, by its own hand, with what it owns. A member with a name
    /// may `stay`: its partitions are kept for the next of that name.
    pub(crate) fn leave(
        &mut self,
        id: MemberId,
        signals: &MemberSignals,
        released: impl Iterator<Item = Returned>,
        now: Duration,
        stay: bool,
    ) {
        if signals.fenced().is_some() {
            return;
        }
        self.release(signals, released);
        match self.members.get_mut(&id) {
            Some(member) if stay && member.instance_id.is_some() => {
                member.signals = None;
                member.seen.1 = now;
            }
            _ => self.remove(id),
        }
    }

    fn remove(&mut self, id: MemberId) {
        self.members.remove(&id);
        for place in self.places.values_mut() {
            if place.target == Some(id) {
                place.target = None;
            }
        }
        self.change();
    }

    /// Ends all that a member has, from another's thread. What it stores from now on is nowhere.
    fn fence(&mut self, id: MemberId, reason: FenceReason) {
        let Some(signals) = self.members.get_mut(&id).and_then(|m| m.signals.take()) else {
            return;
        };
        signals.fence(reason);
        for ((_, partition), place) in &mut self.places {
            if !place.is_owned_by(id) {
                continue;
            }
            let ownership = place.owner.take();
            place.end_ownership(ownership.as_ref().and_then(|(_, t)| t.take()));
            // G2: the new gate is in force before the old one goes.
            rest(place, *partition, None);
            if let Some((_, ownership)) = ownership {
                ownership.drop_gate(place.topic.partition(*partition));
            }
        }
        signals.wake();
    }

    /// Fences whoever has not polled for too long, and lets go of names that nobody came back to.
    /// Not for a fenced observer: its id may be another's by now, whose polls these are not.
    pub(crate) fn watch(&mut self, observer: MemberId, signals: &MemberSignals, now: Duration) {
        if signals.fenced().is_some() {
            return;
        }
        let mut dead = Vec::new();
        for (&id, member) in &mut self.members {
            let polls = member.signals.as_ref().map_or(member.seen.0, |w| w.polls());
            if id == observer || polls != member.seen.0 {
                member.seen = (polls, now);
            } else if !member.max_poll_interval.is_zero()
                && now.saturating_sub(member.seen.1) > member.max_poll_interval
            {
                dead.push(id);
            }
        }
        for id in dead {
            self.fence(id, FenceReason::MaxPollInterval);
            self.remove(id);
        }
    }

    pub(crate) fn live_members(&self) -> usize {
        self.members.values().filter(|m| m.is_live()).count()
    }

    /// The topic is gone, and all that was known of it.
    pub(crate) fn forget_topic(&mut self, topic: &Arc<TopicShared>) {
        self.places
            .retain(|_, place| !Arc::ptr_eq(&place.topic, topic));
        self.subscriptions
            .retain(|subscription| !Arc::ptr_eq(subscription.topic(), topic));
        let mut read = false;
        for member in self.members.values_mut() {
            let before = member.topics.len();
            member.topics.retain(|t| !Arc::ptr_eq(t, topic));
            read |= member.topics.len() != before;
        }
        if read {
            self.change();
        }
        // Its owners may have been what the others wait for.
        self.signal_if_free();
    }

    /// Forgets what was committed in a topic that no member reads; `false` if one does, or still
    /// owns a partition of it that it is to give back (G1).
    pub(crate) fn forget_offsets(&mut self, topic: &str) -> bool {
        let mut topics = self.members.values().flat_map(|m| &m.topics);
        let mut places = self.places.iter();
        if topics.any(|t| &**t.name() == topic)
            || places.any(|((name, _), place)| &**name == topic && place.owner.is_some())
        {
            return false;
        }
        self.places.retain(|(name, _), _| &**name != topic);
        self.subscriptions
            .retain(|subscription| &**subscription.topic().name() != topic);
        true
    }
}

/// Under the lock: a topic that is closed later is forgotten later ([`Coordinator::forget_topic`]),
/// so that none stays.
fn refuse_deleted(topics: &[Arc<TopicShared>]) -> Result<(), ConsumeError> {
    topics.iter().try_for_each(|topic| topic.refuse_deleted())
}

fn same_topics(a: &[Arc<TopicShared>], b: &[Arc<TopicShared>]) -> bool {
    let within = |a: &[Arc<TopicShared>], b: &[Arc<TopicShared>]| {
        a.iter().all(|x| b.iter().any(|y| Arc::ptr_eq(x, y)))
    };
    within(a, b) && within(b, a)
}
