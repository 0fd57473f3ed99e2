//! A member's part in its group: joining, leaving, and the protocol's steps in its polls.
//!
//! A poll starts with [`Membership::begin_poll`], which is all that the fast path has of groups. It
//! commits what the poll before returned (a plain store), counts the poll (another), and loads the
//! member's signal. Whatever it cannot do is left to [`Consumer::serve_group`], on the slow path.

use super::Consumer;
use super::assigned_partition::AssignedPartition;
use super::membership::Membership;
use super::rebalance_listener::{RebalanceEvent, RebalanceListener};
use crate::error::{ConsumeError, FenceReason};
use crate::group::{Assignment, Grant, GroupView, MemberId};
use crate::group::{RebalanceStep, ReleasedPartition, Revocation};
use crate::topic::{Following, TopicPartition, TopicShared};
use std::sync::Arc;

/// Why a consumer leaves its group.
#[derive(Clone, Copy)]
pub(super) enum LeaveReason {
    Closed,
    Dropped,
    Unsubscribed,
    /// The listener or the assignor has panicked.
    Panicked,
}

impl LeaveReason {
    /// Whether the member commits automatically and calls its listener before it leaves.
    fn is_orderly(self) -> bool {
        matches!(self, LeaveReason::Closed | LeaveReason::Unsubscribed)
    }

    /// Whether the partitions are kept for the next member of the same instance id.
    fn keeps_instance(self) -> bool {
        matches!(self, LeaveReason::Closed | LeaveReason::Dropped)
    }
}

impl Consumer {
    // ---- joining and leaving ------------------------------------------------------------

    /// Subscribes as [`subscribe`](Self::subscribe) does, with a listener that is called when this
    /// member gets and loses partitions. A later `subscribe` replaces it.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe), and [`ConsumeError::NoGroup`] without a configured group.
    pub fn subscribe_with<N: AsRef<str>>(
        &mut self,
        topics: impl IntoIterator<Item = N>,
        listener: impl RebalanceListener + 'static,
    ) -> Result<(), ConsumeError> {
        if self.config.group.is_none() {
            return Err(ConsumeError::NoGroup {
                asked: "subscribe_with",
            });
        }
        self.subscribe_to(topics, Some(Box::new(listener)))
    }

    /// The generation of the group's assignment that this member last followed; 0 before the first.
    /// `None` if the consumer is not a member of a group.
    pub fn generation(&self) -> Option<u64> {
        self.member.as_ref().map(|member| member.generation())
    }

    /// The consumer's id in its group. `None` if the consumer is not a member of a group.
    pub fn member_id(&self) -> Option<MemberId> {
        self.member.as_ref().map(|member| member.id())
    }

    pub(super) fn subscribe_as_member(
        &mut self,
        group: &Arc<str>,
        topics: Vec<Arc<TopicShared>>,
        following: Option<Following>,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        match &mut self.member {
            Some(member) if member.fence_reason().is_none() => {
                member.resubscribe(topics, following, listener)?;
            }
            _ => {
                // What a fenced member still has is given up only after the group has let it in.
                let new = self.join_group(group, topics, following)?;
                let old = self.member.replace(new);
                let lost = self.clear_assigned();
                self.set_listener(old.and_then(|mut old| old.take_listener()));
                self.notify_listener(RebalanceEvent::Lost, &lost);
                self.set_listener(listener);
            }
        }
        Ok(())
    }

    fn join_group(
        &self,
        group: &Arc<str>,
        topics: Vec<Arc<TopicShared>>,
        following: Option<Following>,
    ) -> Result<Box<Membership>, ConsumeError> {
        let event_count = self.wakeup.event_count();
        let (groups, config) = (&self.groups, &self.config);
        Membership::join(groups, config, event_count, group, topics, following).map(Box::new)
    }

    /// Leaves the group, if the consumer is a member of one, with all its partitions.
    pub(super) fn leave_group(&mut self, reason: LeaveReason) {
        let Some(member) = &self.member else { return };
        let event = match member.fence_reason() {
            Some(_) => RebalanceEvent::Lost,
            None => RebalanceEvent::Revoked,
        };
        if reason.is_orderly() {
            if member.auto_commit() {
                self.commit_reached();
            }
            let all = self.assignment();
            self.notify_listener(event, &all);
        }
        let Some(member) = self.member.take() else {
            return; // cannot be: a listener that panics unwinds through this function
        };
        // The partitions are no longer read when they are released.
        let mut removed = core::mem::take(&mut self.assigned);
        let now = (self.config.clock)();
        let released = removed.iter_mut().filter_map(AssignedPartition::release);
        member.leave(released, now, reason.keeps_instance());
    }

    // ---- polling ------------------------------------------------------------------------

    /// Does what a poll has to do for the group before it looks for records.
    ///
    /// Errors: `Closed` for a deleted topic; `Fenced`; `BadAssignment`; and those of joining again.
    pub(super) fn serve_group(&mut self) -> Result<(), ConsumeError> {
        let Some(member) = &self.member else {
            return Ok(());
        };
        member.count_poll();
        if member.gates_follow_reads() {
            self.move_gates();
        }
        if let Some(member) = &mut self.member {
            member.check_liveness(self.config.clock);
            if self.assigned.iter().any(|a| a.unreturned.is_some()) {
                member.positions_changed(); // no poll may commit the position of that partition
            }
        }
        self.leave_deleted_topics()?;
        self.sync_with_group()
    }

    /// Moves the gates to where the member has read, unless it is fenced (P14).
    fn move_gates(&mut self) {
        let Some(member) = &self.member else { return };
        for assigned in &mut self.assigned {
            if !assigned.follow_returned(member.auto_commit()) && member.is_commit_valid() {
                assigned.move_gate();
            }
            member.publish_committed(assigned);
        }
    }

    /// Stops reading the partitions of deleted topics, also of topics subscribed to earlier.
    ///
    /// Errors: `Closed` for each deleted topic that is still subscribed to: once, or at each poll
    /// if all topics are deleted. None if the subscription follows topics.
    fn leave_deleted_topics(&mut self) -> Result<(), ConsumeError> {
        let Some(member) = &mut self.member else {
            return Ok(());
        };
        let deleted = if self.followed.is_some() {
            member.leave_deleted_topics();
            None
        } else {
            member.take_deleted_topic()
        };
        if self.assigned.iter().any(|a| a.topic.is_deleted()) {
            let removed = self.remove_assigned(|a| a.topic.is_deleted());
            let lost = removed.iter().map(AssignedPartition::topic_partition);
            let lost: Vec<_> = lost.collect();
            drop(removed);
            self.notify_listener(RebalanceEvent::Lost, &lost);
        }
        match deleted {
            Some(topic) => Err(topic.closed_error()),
            None => Ok(()),
        }
    }

    /// Takes the protocol's steps (`group/mod.rs`) that this member has to take.
    fn sync_with_group(&mut self) -> Result<(), ConsumeError> {
        loop {
            let Some(member) = &mut self.member else {
                return Ok(());
            };
            if member.is_fence_reported() {
                self.join_again()?;
                continue;
            }
            match member.next_step(self.config.offset_reset) {
                None | Some(RebalanceStep::Done { .. }) => return Ok(()),
                Some(RebalanceStep::FencedOff(reason)) => {
                    let error = member.report_fenced(reason);
                    let lost = self.clear_assigned();
                    self.notify_listener(RebalanceEvent::Lost, &lost);
                    return Err(error);
                }
                Some(RebalanceStep::RunAssignor { change, group }) => {
                    self.run_assignor(change, &group)?;
                }
                Some(RebalanceStep::Release(revoked)) => self.release(&revoked),
                Some(RebalanceStep::Take(grants)) => self.take_grants(grants),
            }
        }
    }

    /// Joins the group again after the member was fenced.
    ///
    /// Errors: `Fenced` if another consumer has taken its instance id, which the application has to
    /// settle; and those of `Membership::join`.
    fn join_again(&mut self) -> Result<(), ConsumeError> {
        let Some(member) = &self.member else {
            return Ok(());
        };
        if let Some(reason @ FenceReason::InstanceId) = member.fence_reason() {
            return Err(member.fenced_error(reason));
        }
        let (topics, following) = self.topics_to_join();
        let new = self.join_group(member.group_name(), topics, following)?;
        let old = self.member.replace(new);
        self.set_listener(old.and_then(|mut old| old.take_listener()));
        Ok(())
    }

    /// Runs the assignor, without a lock, and offers the group its assignment.
    fn run_assignor(&mut self, change: u64, group: &GroupView) -> Result<(), ConsumeError> {
        let assignor = self.config.assignor.clone();
        let assignment: Assignment = self.call_user_code(|_| assignor.assign(group));
        match &self.member {
            Some(member) => member.install(change, group, &assignment),
            None => Ok(()),
        }
    }

    /// Releases partitions that are to move to other members. Among them may be some that the
    /// consumer no longer reads because their topic was deleted.
    fn release(&mut self, revoked: &[Revocation]) {
        let Some(member) = &self.member else { return };
        if member.auto_commit() {
            self.commit_reached();
        }
        let partitions = revoked.iter().map(|r| r.key.to_topic_partition());
        let partitions: Vec<_> = partitions.collect();
        self.notify_listener(RebalanceEvent::Revoked, &partitions);
        if self.member.is_none() {
            return;
        }
        // The partitions are no longer read when they are released.
        let is_revoked =
            |a: &AssignedPartition| revoked.iter().any(|r| a.is_owned_by(&r.ownership));
        let mut removed = self.remove_assigned(is_revoked);
        let released = revoked.iter().map(|Revocation { key, ownership }| {
            let assigned = removed.iter_mut().find(|a| a.is_owned_by(ownership));
            ReleasedPartition {
                key: key.clone(),
                ownership: ownership.clone(),
                gate: assigned.and_then(AssignedPartition::take_gate),
            }
        });
        if let Some(member) = &self.member {
            member.release(released);
        }
    }

    fn take_grants(&mut self, grants: Vec<Grant>) {
        let mut taken = Vec::new();
        let commits_each_poll = self.config.auto_commit;
        for grant in grants {
            let mut assigned = AssignedPartition::from_grant(grant)
                .registered_with(self.registration.consumer(), commits_each_poll);
            // An end that was reported already is not reported again for an empty rest.
            assigned.closed_reported =
                self.is_end_reported(&assigned.topic) && assigned.is_drained();
            taken.push(assigned.topic_partition());
            self.assigned.push(assigned);
        }
        self.next = 0;
        self.notify_listener(RebalanceEvent::Assigned, &taken);
    }

    // ---- helpers ------------------------------------------------------------------------

    /// Commits the positions that polls have reached, by plain stores. Those of a fenced-off member
    /// are void.
    fn commit_reached(&mut self) {
        for assigned in &self.assigned {
            assigned.follow_returned(true);
        }
    }

    /// Removes the assigned partitions for which `is_removed` holds, and returns them.
    fn remove_assigned(
        &mut self,
        is_removed: impl Fn(&AssignedPartition) -> bool,
    ) -> Vec<AssignedPartition> {
        let (removed, kept) = self.assigned.drain(..).partition(is_removed);
        self.assigned = kept;
        self.next = 0;
        removed
    }

    /// Stops reading all assigned partitions, and returns which they were.
    fn clear_assigned(&mut self) -> Vec<TopicPartition> {
        let assignment = self.assignment();
        self.assigned.clear();
        self.next = 0;
        assignment
    }

    fn set_listener(&mut self, listener: Option<Box<dyn RebalanceListener>>) {
        if let Some(member) = &mut self.member {
            member.set_listener(listener);
        }
    }
}
