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

use super::assignor::{self, Assignment, GroupMember, GroupView, MemberId, Protocol, TopicView};
use super::place::{Grant, Key, Place, Returned, rest};
use super::tenure::{Tenure, Words};
use crate::assigned::Seat;
use crate::config::ConsumerConfig;
use crate::consumer::TopicPartition;
use crate::error::{ConsumeError, Fence};
use crate::topic::TopicInner;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One member.
pub(crate) struct Member {
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) topics: Vec<Arc<TopicInner>>,
    /// `None`: its consumer is gone, and its place kept for the next of its name.
    pub(super) words: Option<Arc<Words>>,
    max_poll_interval: Duration,
    /// How often it had polled when somebody last looked, and when that was first so.
    seen: (u64, Duration),
}

impl Member {
    pub(crate) fn is_live(&self) -> bool {
        self.words.is_some()
    }
}

pub(crate) struct Coordinator {
    pub(super) name: Arc<str>,
    /// The name of the members' assignor, and whether it is eager.
    pub(crate) assignor: Option<(String, bool)>,
    pub(crate) generation: u64,
    pub(crate) members: BTreeMap<MemberId, Member>,
    pub(crate) places: BTreeMap<Key, Place>,
    /// One for each topic that it knows: it gets the partitions that are added.
    pub(super) seats: Vec<Seat>,
    /// How many partitions the members' topics had at the last assignment.
    partitions: u64,
    next_id: u64,
    /// Counts what makes a new assignment due, and up to where that was done (or refused).
    changes: u64,
    assigned: u64,
}

/// What a consumer that joins brings along. It is the user's code that says it, so that it is
/// asked before the lock is taken.
pub(crate) struct Asked {
    assignor: String,
    eager: bool,
    now: Duration,
}

impl Asked {
    pub(crate) fn of(config: &ConsumerConfig) -> Asked {
        Asked {
            assignor: config.assignor.name().to_owned(),
            eager: config.assignor.protocol() == Protocol::Eager,
            now: (config.clock)(),
        }
    }
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
    Fenced(Fence),
    /// To run its assignor, and [`Coordinator::install`] the answer.
    Assign { change: u64, group: GroupView },
    /// To give these back: [`Coordinator::release`].
    Release(Vec<(Key, Arc<Tenure>)>),
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
            seats: Vec::new(),
            partitions: 0,
            next_id: 0,
            changes: 0,
            assigned: 0,
        }
    }

    // ---- coming and going ---------------------------------------------------------------

    /// Makes a consumer a member, or puts it in the place of the one before it with its name.
    pub(crate) fn join(
        &mut self,
        config: &ConsumerConfig,
        asked: Asked,
        topics: Vec<Arc<TopicInner>>,
        words: &Arc<Words>,
    ) -> Result<MemberId, ConsumeError> {
        refuse_closed(&topics)?;
        let Asked {
            assignor: offered,
            eager,
            now,
        } = asked;
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
        let named = |member: &Member| {
            member.instance_id.is_some() && member.instance_id == config.instance_id
        };
        let before = self.members.iter().find(|(_, member)| named(member));
        let id = match before.map(|(&id, _)| id) {
            Some(id) => {
                self.fence(id, Fence::InstanceId);
                id
            }
            None => {
                let id = MemberId(self.next_id);
                self.next_id += 1;
                id
            }
        };
        let new = Member {
            instance_id: config.instance_id.clone(),
            topics: topics.clone(),
            words: Some(words.clone()),
            max_poll_interval: config.max_poll_interval,
            seen: (words.polls(), now),
        };
        let old = self.members.insert(id, new);
        let same = |old: Member| same_topics(&old.topics, &topics);
        if old.is_some_and(same) {
            words.signal();
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
        words: &Words,
        topics: Vec<Arc<TopicInner>>,
    ) -> Result<(), ConsumeError> {
        refuse_closed(&topics)?;
        if words.fenced().is_some() {
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
        words: &Words,
        released: impl Iterator<Item = Returned>,
        now: Duration,
        stay: bool,
    ) {
        if words.fenced().is_some() {
            return;
        }
        self.release(words, released);
        match self.members.get_mut(&id) {
            Some(member) if stay && member.instance_id.is_some() => {
                member.words = None;
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
    fn fence(&mut self, id: MemberId, reason: Fence) {
        let Some(words) = self.members.get_mut(&id).and_then(|m| m.words.take()) else {
            return;
        };
        words.fence(reason);
        for ((_, partition), place) in &mut self.places {
            if !place.is_owned_by(id) {
                continue;
            }
            let tenure = place.owner.take();
            place.end_tenure(tenure.as_ref().and_then(|(_, t)| t.take()));
            // G2: the new gate is in force before the old one goes.
            rest(place, *partition, None);
            if let Some((_, tenure)) = tenure {
                tenure.drop_gate(&place.topic, *partition);
            }
        }
    }

    /// Fences whoever has not polled for too long, and lets go of names that nobody came back to.
    /// Not for a fenced observer: its id may be another's by now, whose polls these are not.
    pub(crate) fn watch(&mut self, observer: MemberId, words: &Words, now: Duration) {
        if words.fenced().is_some() {
            return;
        }
        let mut dead = Vec::new();
        for (&id, member) in &mut self.members {
            let polls = member.words.as_ref().map_or(member.seen.0, |w| w.polls());
            if id == observer || polls != member.seen.0 {
                member.seen = (polls, now);
            } else if !member.max_poll_interval.is_zero()
                && now.saturating_sub(member.seen.1) > member.max_poll_interval
            {
                dead.push(id);
            }
        }
        for id in dead {
            self.fence(id, Fence::MaxPollInterval);
            self.remove(id);
        }
    }

    pub(crate) fn live_members(&self) -> usize {
        self.members.values().filter(|m| m.is_live()).count()
    }

    /// The topic is gone, and all that was known of it.
    pub(crate) fn forget_topic(&mut self, topic: &Arc<TopicInner>) {
        self.places
            .retain(|_, place| !Arc::ptr_eq(&place.topic, topic));
        self.seats.retain(|seat| !Arc::ptr_eq(seat.topic(), topic));
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
        self.seats.retain(|seat| &**seat.topic().name() != topic);
        true
    }

    // ---- what is due --------------------------------------------------------------------

    fn change(&mut self) {
        self.changes += 1;
        self.signal_all();
    }

    fn is_due(&self) -> bool {
        self.changes != self.assigned
    }

    fn signal_all(&self) {
        for words in self.members.values().filter_map(|m| m.words.as_ref()) {
            words.signal();
        }
    }

    /// When the last has released, an eager assignor can run.
    pub(super) fn signal_if_free(&self) {
        if self.is_due() && self.places.values().all(|p| p.owner.is_none()) {
            self.signal_all();
        }
    }

    /// What this member has to do next; called again until that is nothing.
    pub(crate) fn step(&mut self, id: MemberId, words: &Words, config: &ConsumerConfig) -> Step {
        if let Some(reason) = words.fenced() {
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
            let (owner, tenure) = place.owner.as_ref()?;
            let goes = *owner == id && (wait || place.target != Some(id));
            goes.then(|| (key.clone(), tenure.clone()))
        });
        let release: Vec<_> = release.collect();
        if !release.is_empty() {
            return Step::Release(release);
        }
        if !wait {
            let grants = self.take(id, config.offset_reset);
            if !grants.is_empty() {
                return Step::Take(grants);
            }
        }
        words.seen();
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
        let open = topics.values().filter(|topic| !topic.is_closed());
        open.map(|topic| u64::from(topic.partitions())).sum()
    }

    /// The error of a member that was fenced in this generation of its own.
    pub(crate) fn fenced(&self, generation: u64, reason: Fence) -> ConsumeError {
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
            if !topic.is_closed() {
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
            let open = member.topics.iter().filter(|topic| !topic.is_closed());
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
    /// question. What cannot be is refused, and not asked for again before the next change.
    pub(crate) fn install(
        &mut self,
        change: u64,
        group: &GroupView,
        assignment: &Assignment,
    ) -> Result<(), ConsumeError> {
        if self.changes != change || self.assigned == change {
            return Ok(());
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
                let mut open = member.topics.iter().filter(|topic| !topic.is_closed());
                let found = open.find(|t| &**t.name() == topic);
                let Some(topic) = found else { continue };
                let place = self.places.entry((topic.name().clone(), *partition));
                let place = place.or_insert_with(|| Place::new(topic));
                if !Arc::ptr_eq(&place.topic, topic) {
                    *place = Place::new(topic); // another topic of that name
                }
                place.target = Some(id);
            }
        }
        Ok(())
    }
}

/// Under the lock: a topic that is closed later is forgotten later ([`Coordinator::forget_topic`]),
/// so that none stays.
pub(super) fn refuse_closed<'t>(
    topics: impl IntoIterator<Item = &'t Arc<TopicInner>>,
) -> Result<(), ConsumeError> {
    match topics.into_iter().find(|topic| topic.is_closed()) {
        Some(topic) => Err(ConsumeError::Closed {
            topic: topic.name().clone(),
        }),
        None => Ok(()),
    }
}

fn same_topics(a: &[Arc<TopicInner>], b: &[Arc<TopicInner>]) -> bool {
    let within = |a: &[Arc<TopicInner>], b: &[Arc<TopicInner>]| {
        a.iter().all(|x| b.iter().any(|y| Arc::ptr_eq(x, y)))
    };
    within(a, b) && within(b, a)
}
