//! A consumer's membership in a group: the calls to the coordinator and the fast start of a poll.
//!
//! The membership has no partitions; those are in the consumer, which does the steps of the
//! protocol with them (`rebalance.rs`).

use super::assigned_partition::AssignedPartition;
use super::config::{Clock, ConsumerConfig, HoldBack};
use super::liveness_watch::LivenessWatch;
use super::rebalance_listener::RebalanceListener;
use crate::error::{ConsumeError, FenceReason};
use crate::events::event;
use crate::group::{Assignment, GroupView, JoinRequest, MemberId, MemberSignals};
use crate::group::{Coordinator, Group, Groups, Ownership, RebalanceStep, ReleasedPartition};
use crate::log::cursor::OffsetReset;
use crate::topic::{Following, TopicShared};
use crate::wait::EventCount;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a consumer knows of the group that it is a member of.
pub(super) struct Membership {
    group: Arc<Group>,
    id: MemberId,
    signals: Arc<MemberSignals>,
    generation: u64,
    topics: Vec<Arc<TopicShared>>,
    /// The number of partitions of its topics when the member was last in step with its group.
    partitions: u64,
    /// The closed topics whose end was reported. Partitions that the member has keep that
    /// themselves, and count alone.
    ended: Vec<Arc<TopicShared>>,
    listener: UnsharedListener,
    /// The member was fenced and a poll has reported it: the next poll joins again.
    fence_reported: bool,
    auto_commit: bool,
    /// The member's gates move forward with what its polls return, not only with its commits.
    gates_follow_reads: bool,
    liveness: LivenessWatch,
}

/// A listener need not be `Sync` for the consumer to be: it is reached by exclusive borrows only, so
/// the lock is never taken.
#[derive(Default)]
struct UnsharedListener(Mutex<Option<Box<dyn RebalanceListener>>>);

impl UnsharedListener {
    fn get_mut(&mut self) -> &mut Option<Box<dyn RebalanceListener>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&mut self) -> Option<Box<dyn RebalanceListener>> {
        self.get_mut().take()
    }

    fn set(&mut self, listener: Option<Box<dyn RebalanceListener>>) {
        *self.get_mut() = listener;
    }
}

impl Membership {
    /// Joins the group `name`, which is created if there is none.
    ///
    /// Errors: `Closed` if a topic is deleted; `OtherAssignor`; `OtherHoldBack`.
    pub(super) fn join(
        groups: &Groups,
        config: &ConsumerConfig,
        event_count: &Arc<EventCount>,
        name: &Arc<str>,
        topics: Vec<Arc<TopicShared>>,
        following: Option<Following>,
    ) -> Result<Membership, ConsumeError> {
        let signals = Arc::new(MemberSignals::new(event_count));
        let request = JoinRequest {
            assignor: config.assignor.name().to_owned(),
            protocol: config.assignor.protocol(),
            instance_id: config.instance_id.clone(),
            max_poll_interval: config.max_poll_interval,
            now: (config.clock)(),
            topics: topics.clone(),
            holds_back: config.holds_back(),
            following,
        };
        let join = |coordinator: &mut Coordinator| coordinator.join(request, &signals);
        let (group, id) = groups.with_group(name, join)?;
        Ok(Membership {
            group,
            id,
            signals,
            generation: 0,
            topics,
            partitions: 0,
            ended: Vec::new(),
            listener: UnsharedListener::default(),
            fence_reported: false,
            auto_commit: config.auto_commit,
            gates_follow_reads: config.auto_commit || config.hold_back == HoldBack::Read,
            liveness: LivenessWatch::new(),
        })
    }

    // ---- polling ------------------------------------------------------------------------

    /// The fast start of a poll: counts the poll and commits what the poll before it returned.
    /// Returns whether that is all there is to do for the group.
    #[inline(always)]
    pub(super) fn begin_poll(&mut self, assigned: &[AssignedPartition], next: usize) -> bool {
        self.signals.count_poll();
        // Before the commit: a poll that has more than that to commit takes the slow path.
        if self.liveness.count_poll() {
            return false;
        }
        // The partition read last is the one before `next`. (After a change of the assignment it
        // may be another, whose position was also reached by earlier polls.)
        let after_last = if next == 0 { assigned.len() } else { next };
        let last = assigned.get(after_last.wrapping_sub(1));
        let gate_is_current =
            !self.gates_follow_reads || last.is_none_or(|last| last.follow_reads(self.auto_commit));
        if let Some(last) = last {
            last.publish_committed(&self.signals);
        }
        gate_is_current && self.signals.is_quiet()
    }

    /// Positions have changed otherwise than by the polls' reads, so that the next poll has more
    /// to commit than what the last one returned.
    pub(super) fn positions_changed(&mut self) {
        self.liveness.take_slow_path();
    }

    /// Publishes what was committed in the partition, for readers that follow the group.
    pub(super) fn publish_committed(&self, assigned: &AssignedPartition) {
        assigned.publish_committed(&self.signals);
    }

    /// Counts a poll that takes the slow path.
    pub(super) fn count_poll(&self) {
        self.signals.count_poll();
    }

    /// From now on the member waits in a poll, and is alive: see `group/ownership.rs`.
    pub(super) fn begin_wait(&self) {
        self.signals.begin_wait();
    }

    /// Ends a wait, if there is one. That counts as a poll.
    pub(super) fn end_wait(&self) {
        self.signals.end_wait();
    }

    /// Now and then has the coordinator fence members that have stopped polling.
    pub(super) fn check_liveness(&mut self, clock: Clock) {
        if let Some(now) = self.liveness.check_due(clock) {
            self.group
                .lock()
                .expire_members(self.id, &self.signals, now);
        }
    }

    /// How long the member may sleep before it checks the others' liveness again.
    pub(super) fn longest_park(&self) -> Duration {
        self.liveness.longest_park()
    }

    /// The next step of the protocol that this member has to take; `None` if it is in step with
    /// its group. `Done` is applied here before it is returned.
    pub(super) fn next_step(&mut self, reset: OffsetReset) -> Option<RebalanceStep> {
        // Added partitions set no signal: the first member to see them makes an assignment due.
        let partitions = count_partitions(&self.topics);
        if self.signals.is_quiet() && self.partitions == partitions {
            return None;
        }
        let step = self.group.lock().next_step(self.id, &self.signals, reset);
        if let RebalanceStep::Done {
            generation,
            shortest_interval,
        } = &step
        {
            self.generation = *generation;
            self.partitions = partitions;
            self.liveness.set_shortest_interval(*shortest_interval);
        }
        Some(step)
    }

    /// Offers the group an assignment of `group`, its state at `change`. It counts unless another
    /// change or another member's assignment came first.
    ///
    /// Errors: `BadAssignment`.
    pub(super) fn install(
        &self,
        change: u64,
        group: &GroupView,
        assignment: &Assignment,
    ) -> Result<(), ConsumeError> {
        let mut coordinator = self.group.lock();
        let installed = coordinator.install(change, group, assignment)?;
        let (generation, members) = (coordinator.generation, coordinator.live_members());
        drop(coordinator);
        if installed {
            event!(
                info,
                "group rebalanced",
                group = &**self.group.name(),
                generation = generation,
                members = members,
            );
        }
        Ok(())
    }

    /// Releases partitions.
    pub(super) fn release(&self, released: impl Iterator<Item = ReleasedPartition>) {
        self.group.lock().release(&self.signals, released);
    }

    /// Leaves the group and releases its partitions. They are kept for the next member of the
    /// same instance id if `keep_instance` says so and this one has such an id.
    pub(super) fn leave(
        &self,
        released: impl Iterator<Item = ReleasedPartition>,
        now: Duration,
        keep_instance: bool,
    ) {
        let mut coordinator = self.group.lock();
        coordinator.leave(self.id, &self.signals, released, now, keep_instance);
    }

    // ---- being fenced -------------------------------------------------------------------

    /// Why the member is fenced, if it is. A hint unless the group's lock is held.
    pub(super) fn fence_reason(&self) -> Option<FenceReason> {
        self.signals.fence_reason()
    }

    /// Errors: `Fenced`, after the group's lock was taken once.
    pub(super) fn check_fenced(&self) -> Result<(), ConsumeError> {
        match self.fence_reason() {
            Some(reason) => Err(self.fenced_error(reason)),
            None => Ok(()),
        }
    }

    pub(super) fn fenced_error(&self, reason: FenceReason) -> ConsumeError {
        self.group.lock().fenced_error(self.generation, reason)
    }

    /// The error of the poll that finds the member fenced. The next poll joins again.
    pub(super) fn report_fenced(&mut self, reason: FenceReason) -> ConsumeError {
        self.fence_reported = true;
        self.fenced_error(reason)
    }

    pub(super) fn is_fence_reported(&self) -> bool {
        self.fence_reported
    }

    // ---- commits ------------------------------------------------------------------------

    /// After a commit without the lock: whether it is valid (row P14 in `group/ownership.rs`).
    pub(super) fn is_commit_valid(&self) -> bool {
        self.signals.is_commit_valid()
    }

    /// After a valid commit: moves the partition's gate to what is not committed.
    pub(super) fn hold_uncommitted(&self, assigned: &AssignedPartition) {
        assigned.hold_uncommitted(&self.signals);
    }

    /// Commits several partitions under the group's lock: all of them, or none.
    ///
    /// Errors: `Fenced`.
    pub(super) fn commit_together<'o>(
        &self,
        commits: impl Iterator<Item = (&'o Ownership, u64)>,
    ) -> Result<(), ConsumeError> {
        let coordinator = self.group.lock();
        coordinator.commit_owned(&self.signals, self.generation, commits)
    }

    pub(super) fn auto_commit(&self) -> bool {
        self.auto_commit
    }

    pub(super) fn gates_follow_reads(&self) -> bool {
        self.gates_follow_reads
    }

    // ---- closed topics ------------------------------------------------------------------

    /// A closed topic without a partition assigned to this member, of which the group has committed
    /// all since this was last called. A topic that has records again (its offsets were set back)
    /// has not ended any more.
    pub(super) fn take_end(
        &mut self,
        only_durable: bool,
        is_assigned: impl Fn(&Arc<TopicShared>) -> bool,
    ) -> Option<Arc<TopicShared>> {
        let mut new = None;
        for topic in &self.topics {
            if !topic.is_closed() || topic.is_deleted() || is_assigned(topic) {
                continue;
            }
            let has_ended = self.group.lock().has_read(topic, only_durable);
            if !has_ended {
                self.ended.retain(|other| !Arc::ptr_eq(other, topic));
            } else if new.is_none() && !self.is_end_reported(topic) {
                new = Some(topic.clone());
            }
        }
        self.ended.extend(new.clone());
        new
    }

    pub(super) fn end_was_reported(&mut self, topic: &Arc<TopicShared>) {
        if !self.is_end_reported(topic) {
            self.ended.push(topic.clone());
        }
    }

    pub(super) fn is_end_reported(&self, topic: &Arc<TopicShared>) -> bool {
        self.ended.iter().any(|other| Arc::ptr_eq(other, topic))
    }

    /// This member has committed all that it will of a closed topic.
    pub(super) fn announce_end(&self, topic: &Arc<TopicShared>) {
        self.group.lock().announce_end(topic);
    }

    // ---- what it is subscribed to -------------------------------------------------------

    pub(super) fn id(&self) -> MemberId {
        self.id
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn group_name(&self) -> &Arc<str> {
        self.group.name()
    }

    pub(super) fn topics(&self) -> &[Arc<TopicShared>] {
        &self.topics
    }

    /// Subscribes to other topics, with another listener.
    ///
    /// Errors: `Closed` if a topic is deleted and topics are not followed; nothing is changed then.
    pub(super) fn resubscribe(
        &mut self,
        topics: Vec<Arc<TopicShared>>,
        following: Option<Following>,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        let mut coordinator = self.group.lock();
        coordinator.subscribe(self.id, &self.signals, topics.clone(), following)?;
        drop(coordinator);
        self.ended
            .retain(|ended| topics.iter().any(|topic| Arc::ptr_eq(topic, ended)));
        self.topics = topics;
        self.listener.set(listener);
        Ok(())
    }

    /// One of its topics that was deleted. It is removed from the subscription unless all are
    /// deleted, so that it is returned once or, if all are, each time.
    pub(super) fn take_deleted_topic(&mut self) -> Option<Arc<TopicShared>> {
        let mut topics = self.topics.iter();
        let deleted = topics.find(|topic| topic.is_deleted())?.clone();
        if self.topics.iter().any(|topic| !topic.is_deleted()) {
            self.topics.retain(|topic| !Arc::ptr_eq(topic, &deleted));
        }
        Some(deleted)
    }

    /// Topics that the member follows were found: learns its topics from the group.
    pub(super) fn update_topics(&mut self) {
        let topics = self.group.lock().followed_topics(self.id, &self.signals);
        if let Some(topics) = topics {
            self.topics = topics;
        }
    }

    /// Removes the topics that were deleted from the subscription.
    pub(super) fn leave_deleted_topics(&mut self) {
        self.topics.retain(|topic| !topic.is_deleted());
    }

    pub(super) fn take_listener(&mut self) -> Option<Box<dyn RebalanceListener>> {
        self.listener.take()
    }

    pub(super) fn set_listener(&mut self, listener: Option<Box<dyn RebalanceListener>>) {
        self.listener.set(listener);
    }
}

fn count_partitions(topics: &[Arc<TopicShared>]) -> u64 {
    let counts = topics.iter().map(|topic| u64::from(topic.partitions()));
    counts.sum()
}
