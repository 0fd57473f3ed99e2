//! The consumer's side of a group: what its polls do.
//!
//! A poll begins with [`Membership::turn`], which is all there is of groups on its usual way: it
//! commits what the poll before returned (a plain store), counts the poll (another), and loads the
//! signal. What it cannot do so goes to [`Consumer::attend`], off the way.

use super::Consumer;
use super::assigned_partition::AssignedPartition;
use super::membership::{MOST_POLLS, Membership, count_partitions};
use super::owned_partition::{give_up, take_gate};
use super::rebalance_listener::{RebalanceEvent, RebalanceListener};
use crate::error::{ConsumeError, FenceReason};
use crate::events::event;
use crate::group::{Assignment, GroupView, MemberId};
use crate::group::{Grant, RebalanceStep, ReleasedPartition, Revocation};
use crate::topic::TopicShared;
use std::sync::Arc;

impl Consumer {
    // ---- joining and leaving ------------------------------------------------------------

    /// As [`subscribe`](Self::subscribe), with a listener that is told which partitions this
    /// member gets and loses. A later `subscribe` replaces it.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe), and [`ConsumeError::NoGroup`] without a group.
    pub fn subscribe_with<N: AsRef<str>>(
        &mut self,
        topics: &[N],
        listener: impl RebalanceListener + 'static,
    ) -> Result<(), ConsumeError> {
        if self.config.group.is_none() {
            return Err(ConsumeError::NoGroup {
                asked: "subscribe_with",
            });
        }
        self.subscribe_to(topics, Some(Box::new(listener)))
    }

    /// The generation of the group's assignment that this member has its partitions by: 0 before
    /// the first. `None` outside groups.
    pub fn generation(&self) -> Option<u64> {
        self.member.as_ref().map(|member| member.generation)
    }

    /// Which member it is. `None` outside groups.
    pub fn member_id(&self) -> Option<MemberId> {
        self.member.as_ref().map(|member| member.id)
    }

    pub(crate) fn subscribe_as_member(
        &mut self,
        name: &Arc<str>,
        topics: Vec<Arc<TopicShared>>,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        match &mut self.member {
            Some(member) if member.signals.fence_reason().is_none() => {
                let mut coordinator = member.group.lock();
                coordinator.subscribe(member.id, &member.signals, topics.clone())?;
                drop(coordinator);
                member.topics = topics;
                member.listener = listener;
            }
            _ => {
                // Only who is let in lets go of what it had before it was fenced.
                let event_count = self.wakeup.event_count();
                let new = Membership::join(&self.groups, &self.config, event_count, name, topics)?;
                let old = self.member.replace(Box::new(new));
                let lost = self.assignment();
                self.assigned.clear();
                self.next = 0;
                if let Some(member) = &mut self.member {
                    member.listener = old.and_then(|old| old.listener);
                }
                self.notify_listener(RebalanceEvent::Lost, &lost);
                if let Some(member) = &mut self.member {
                    member.listener = listener;
                }
            }
        }
        Ok(())
    }

    /// Leaves the group, if it is in one, with all its partitions. The listener may be told. A
    /// member with a name may `stay`: its partitions are kept for the next of that name.
    pub(crate) fn leave_group(&mut self, tell: bool, stay: bool) {
        let Some(member) = &self.member else { return };
        let fenced = member.signals.fence_reason().is_some();
        if tell {
            if member.auto_commit {
                self.commit_reached();
            }
            let event = if fenced {
                RebalanceEvent::Lost
            } else {
                RebalanceEvent::Revoked
            };
            let all = self.assignment();
            self.notify_listener(event, &all);
        }
        let Some(member) = self.member.take() else {
            return; // it was left when the listener panicked
        };
        // First they are not read any more, then they are given back.
        let mut gone = core::mem::take(&mut self.assigned);
        let now = (self.config.clock)();
        let released = gone.iter_mut().filter_map(give_up);
        let mut coordinator = member.group.lock();
        coordinator.leave(member.id, &member.signals, released, now, stay);
        drop(coordinator);
    }

    // ---- polling ------------------------------------------------------------------------

    /// Does what there is to do in the group before a poll goes on to look for records.
    pub(crate) fn attend(&mut self) -> Result<(), ConsumeError> {
        let Some(member) = &mut self.member else {
            return Ok(());
        };
        member.signals.count_poll();
        if member.follows {
            self.move_gates();
        }
        self.watch();
        self.leave_closed_topics()?;
        self.sync()
    }

    /// The gates go on to where the member has read. Not any more if it is fenced (P14).
    fn move_gates(&mut self) {
        let Some(member) = &self.member else { return };
        for assigned in &mut self.assigned {
            if !assigned.keep_up(member.auto_commit) && member.signals.is_commit_valid() {
                let position = assigned.cursor.position();
                if let Some(owned) = &mut assigned.owned {
                    owned.hold(position);
                }
            }
        }
    }

    /// Of topics that were deleted nothing is read any more, also of those that it was subscribed
    /// to before. An error says so of each that it still is subscribed to: once, or for ever if
    /// all are gone.
    fn leave_closed_topics(&mut self) -> Result<(), ConsumeError> {
        let Some(member) = &mut self.member else {
            return Ok(());
        };
        let mut closed = member.topics.iter().filter(|topic| topic.is_deleted());
        let topic = closed.next().cloned();
        if let Some(topic) = &topic {
            if member.topics.iter().any(|topic| !topic.is_deleted()) {
                member.topics.retain(|t| !Arc::ptr_eq(t, topic));
            }
        }
        if self.assigned.iter().any(|a| a.topic.is_deleted()) {
            let of_them = |a: &AssignedPartition| a.topic.is_deleted();
            let (gone, rest) = self.assigned.drain(..).partition::<Vec<_>, _>(of_them);
            self.assigned = rest;
            self.next = 0;
            let lost: Vec<_> = gone.iter().map(AssignedPartition::named).collect();
            drop(gone);
            self.notify_listener(RebalanceEvent::Lost, &lost);
        }
        match topic {
            Some(topic) => Err(topic.closed_error()),
            None => Ok(()),
        }
    }

    /// Goes the steps of the protocol (`mod.rs`) that this member has to go.
    fn sync(&mut self) -> Result<(), ConsumeError> {
        loop {
            let Some(member) = &mut self.member else {
                return Ok(());
            };
            if member.is_out {
                self.join_again()?;
                continue;
            }
            // More of them are no signal: whoever sees them first has a new assignment made.
            let partitions = count_partitions(&member.topics);
            if member.signals.is_quiet() && member.partitions == partitions {
                return Ok(());
            }
            let step =
                member
                    .group
                    .lock()
                    .next_step(member.id, &member.signals, self.config.offset_reset);
            match step {
                RebalanceStep::Done {
                    generation,
                    shortest_interval,
                } => {
                    member.generation = generation;
                    member.partitions = partitions;
                    member.watch_period = shortest_interval / 8;
                    member.until_watch = 1;
                    return Ok(());
                }
                RebalanceStep::FencedOff(reason) => {
                    member.is_out = true;
                    let error = member.error(reason);
                    let lost = self.assignment();
                    self.assigned.clear();
                    self.next = 0;
                    self.notify_listener(RebalanceEvent::Lost, &lost);
                    return Err(error);
                }
                RebalanceStep::RunAssignor { change, group } => {
                    self.assign_group(change, &group)?
                }
                RebalanceStep::Release(all) => self.release(&all),
                RebalanceStep::Take(grants) => self.take(grants),
            }
        }
    }

    /// After it was fenced. Not if another has its name: that is for the user to settle.
    fn join_again(&mut self) -> Result<(), ConsumeError> {
        let Some(mut member) = self.member.take() else {
            return Ok(());
        };
        let joined = match member.signals.fence_reason() {
            Some(FenceReason::InstanceId) => Err(member.error(FenceReason::InstanceId)),
            _ => {
                let (name, topics) = (member.group.name().clone(), member.topics.clone());
                let groups = &self.groups;
                Membership::join(
                    groups,
                    &self.config,
                    self.wakeup.event_count(),
                    &name,
                    topics,
                )
            }
        };
        match joined {
            Ok(mut new) => {
                new.listener = member.listener.take();
                self.member = Some(Box::new(new));
                Ok(())
            }
            Err(error) => {
                self.member = Some(member);
                Err(error)
            }
        }
    }

    fn assign_group(&mut self, change: u64, group: &GroupView) -> Result<(), ConsumeError> {
        let assignor = self.config.assignor.clone();
        let assignment: Assignment = self.call(|_| assignor.assign(group));
        let Some(member) = &self.member else {
            return Ok(());
        };
        let mut coordinator = member.group.lock();
        let installed = coordinator.install(change, group, &assignment)?;
        let (generation, members) = (coordinator.generation, coordinator.live_members());
        drop(coordinator);
        if installed {
            event!(
                info,
                "group rebalanced",
                group = &**member.group.name(),
                generation = generation,
                members = members,
            );
        }
        Ok(())
    }

    /// Also what it does not read any more, because the topic is closed.
    fn release(&mut self, all: &[Revocation]) {
        let Some(member) = &self.member else { return };
        if member.auto_commit {
            self.commit_reached();
        }
        let named = all.iter().map(|revoked| revoked.key.to_topic_partition());
        let named: Vec<_> = named.collect();
        self.notify_listener(RebalanceEvent::Revoked, &named);
        let Some(member) = &self.member else { return };
        // First they are not read any more, then they are given back.
        let goes = |a: &AssignedPartition| all.iter().any(|revoked| a.is_in(&revoked.ownership));
        let (mut gone, rest) = self.assigned.drain(..).partition::<Vec<_>, _>(goes);
        self.assigned = rest;
        self.next = 0;
        let released = all
            .iter()
            .map(|Revocation { key, ownership }| ReleasedPartition {
                key: key.clone(),
                ownership: ownership.clone(),
                gate: gone
                    .iter_mut()
                    .find(|a| a.is_in(ownership))
                    .and_then(take_gate),
            });
        let mut coordinator = member.group.lock();
        coordinator.release(&member.signals, released);
        drop(coordinator);
    }

    fn take(&mut self, grants: Vec<Grant>) {
        let mut named = Vec::new();
        let commits = self.config.auto_commit;
        for grant in grants {
            let assigned = AssignedPartition::own(grant).watched(self.card(), commits);
            named.push(assigned.named());
            self.assigned.push(assigned);
        }
        self.next = 0;
        self.notify_listener(RebalanceEvent::Assigned, &named);
    }

    /// Commits, without a promise, where the polls so far have come to.
    fn commit_reached(&mut self) {
        for assigned in &self.assigned {
            assigned.keep_up(true);
        }
    }

    /// Now and then: whether another member is dead.
    fn watch(&mut self) {
        let clock = self.config.clock;
        let Some(member) = &mut self.member else {
            return;
        };
        let period = member.watch_period;
        if period.is_zero() {
            member.until_watch = u32::MAX;
            return;
        }
        let now = clock();
        if now.saturating_sub(member.watched) < period {
            member.polls_a_watch = (member.polls_a_watch * 2).min(MOST_POLLS);
        } else {
            member.polls_a_watch = 1;
            member.watched = now;
            member
                .group
                .lock()
                .expire_members(member.id, &member.signals, now);
        }
        member.until_watch = member.polls_a_watch;
    }
}
