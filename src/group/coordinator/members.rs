//! The members of a group: joining, subscribing, leaving, and being fenced off. Under the group's
//! lock (`coordinator/mod.rs` has G1 and G2).

use super::following::check_deleted;
use super::{Coordinator, GroupAssignor};
use crate::error::{ConsumeError, FenceReason};
use crate::group::assignor::MemberId;
use crate::group::member::{JoinRequest, LastPoll, Member};
use crate::group::ownership::MemberSignals;
use crate::group::partition_state::ReleasedPartition;
use crate::topic::{Following, TopicShared};
use std::sync::Arc;
use std::time::Duration;

impl Coordinator {
    /// Makes a consumer a member. If there is a member with its instance id, the consumer replaces
    /// it, and gets its member id.
    pub(crate) fn join(
        &mut self,
        request: JoinRequest,
        signals: &Arc<MemberSignals>,
    ) -> Result<MemberId, ConsumeError> {
        let JoinRequest {
            assignor,
            protocol,
            instance_id,
            max_poll_interval,
            now,
            topics,
            holds_back,
            following,
        } = request;
        let topics = check_deleted(topics, following.as_ref())?;
        self.check_hold_back(holds_back)?;
        self.agree_on_assignor(GroupAssignor {
            name: assignor,
            protocol,
        })?;
        self.take_found(); // also of the member that this one may replace
        self.set_hold_back(holds_back);
        topics.iter().for_each(|topic| self.subscribe_group(topic));
        let has_same_name =
            |member: &Member| member.instance_id.is_some() && member.instance_id == instance_id;
        let replaced = self.members.iter().find(|(_, m)| has_same_name(m));
        let id = match replaced.map(|(&id, _)| id) {
            Some(id) => {
                self.fence_off(id, FenceReason::InstanceId);
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
            following,
            signals: Some(signals.clone()),
            max_poll_interval,
            last_poll: LastPoll {
                count: signals.sign_of_life().polls,
                seen_at: now,
            },
        };
        let old = self.members.insert(id, new);
        if old.is_some_and(|old| same_topics(&old.topics, &topics)) {
            signals.signal();
            self.signal_all(); // the shortest `max_poll_interval` may have changed
        } else {
            self.require_assignment();
        }
        Ok(id)
    }

    /// Refuses an assignor that differs from that of the members.
    fn agree_on_assignor(&mut self, offered: GroupAssignor) -> Result<(), ConsumeError> {
        match &self.assignor {
            Some(agreed) if *agreed != offered && !self.members.is_empty() => {
                return Err(ConsumeError::OtherAssignor {
                    group: self.name.clone(),
                    assignor: agreed.name_beside(&offered),
                    asked: offered.name_beside(agreed),
                });
            }
            _ => self.assignor = Some(offered),
        }
        Ok(())
    }

    /// Changes a member's topics. Does nothing for a member that was fenced off, which finds that
    /// out at its next poll.
    pub(crate) fn subscribe(
        &mut self,
        id: MemberId,
        signals: &MemberSignals,
        topics: Vec<Arc<TopicShared>>,
        following: Option<Following>,
    ) -> Result<(), ConsumeError> {
        let topics = check_deleted(topics, following.as_ref())?;
        if signals.fence_reason().is_some() {
            return Ok(());
        }
        self.take_found();
        if let Some(member) = self.members.get_mut(&id) {
            member.following = following;
            if !same_topics(&member.topics, &topics) {
                member.topics.clone_from(&topics);
                topics.iter().for_each(|topic| self.subscribe_group(topic));
                self.require_assignment();
            }
        }
        Ok(())
    }

    /// Removes a member by its own call, with all that it owns. If `keep_partitions` and the member
    /// has an instance id, its partitions are kept for the next consumer with that id.
    pub(crate) fn leave(
        &mut self,
        id: MemberId,
        signals: &MemberSignals,
        released: impl Iterator<Item = ReleasedPartition>,
        now: Duration,
        keep_partitions: bool,
    ) {
        if signals.fence_reason().is_some() {
            return;
        }
        self.release(signals, released);
        self.take_found();
        match self.members.get_mut(&id) {
            Some(member) if keep_partitions && member.instance_id.is_some() => {
                member.signals = None;
                member.last_poll.seen_at = now;
                // It has perhaps committed the last of its topics, and gets no successor soon.
                let topics = member.topics.clone();
                topics.iter().for_each(|topic| self.announce_end(topic));
            }
            _ => self.remove(id),
        }
    }

    fn remove(&mut self, id: MemberId) {
        self.members.remove(&id);
        for partition in self.partitions.values_mut() {
            if partition.target == Some(id) {
                partition.target = None;
            }
        }
        self.require_assignment();
    }

    /// Fences a member off: ends all its ownerships, from another thread. What the member commits
    /// from now on is not read.
    fn fence_off(&mut self, id: MemberId, reason: FenceReason) {
        let Some(signals) = self.members.get_mut(&id).and_then(|m| m.signals.take()) else {
            return;
        };
        signals.fence_off(reason);
        for partition in self.partitions.values_mut() {
            partition.fence_off(id);
        }
        signals.wake();
    }

    /// Fences off and removes the members that have not polled for their `max_poll_interval` and do
    /// not wait in a poll, and those whose consumers have not come back for as long.
    ///
    /// Does nothing for an `observer` that was fenced off: its id may belong to another consumer by
    /// now, and this is not a poll of that one.
    pub(crate) fn expire_members(
        &mut self,
        observer: MemberId,
        signals: &MemberSignals,
        now: Duration,
    ) {
        if signals.fence_reason().is_some() {
            return;
        }
        let mut expired = Vec::new();
        for (&id, member) in &mut self.members {
            let last = member.last_poll;
            let sign = member.signals.as_ref().map(|s| s.sign_of_life());
            let alive = sign.filter(|s| id == observer || s.is_waiting || s.polls != last.count);
            if let Some(sign) = alive {
                member.last_poll = LastPoll {
                    count: sign.polls,
                    seen_at: now,
                };
            } else if !member.max_poll_interval.is_zero()
                && now.saturating_sub(last.seen_at) > member.max_poll_interval
            {
                expired.push(id);
            }
        }
        if !expired.is_empty() {
            self.take_found();
        }
        for id in expired {
            self.fence_off(id, FenceReason::MaxPollInterval);
            self.remove(id);
        }
    }

    pub(crate) fn live_members(&self) -> usize {
        self.members.values().filter(|m| m.is_live()).count()
    }

    /// Forgets a topic that was deleted, and all that was known of it.
    pub(in crate::group) fn forget_topic(&mut self, topic: &Arc<TopicShared>) {
        self.partitions
            .retain(|_, partition| !partition.is_of(topic));
        self.subscriptions
            .retain(|subscription| !Arc::ptr_eq(subscription.topic(), topic));
        let mut was_read = false;
        for member in self.members.values_mut() {
            let before = member.topics.len();
            member.topics.retain(|t| !Arc::ptr_eq(t, topic));
            was_read |= member.topics.len() != before;
        }
        if was_read {
            self.require_assignment();
        }
        // An eager assignor may have been waiting for the owners of its partitions.
        self.signal_if_all_released();
    }

    /// Forgets what was committed in a topic. Returns `false`, and does nothing, while a member
    /// reads the topic, or still owns a partition of it that it is to release (G1).
    pub(crate) fn forget_offsets(&mut self, topic: &str) -> bool {
        let mut topics = self.members.values().flat_map(|m| &m.topics);
        let mut partitions = self.partitions.iter();
        if topics.any(|t| &**t.name() == topic)
            || partitions.any(|(key, partition)| &*key.topic == topic && partition.is_owned())
        {
            return false;
        }
        self.partitions.retain(|key, _| &*key.topic != topic);
        self.subscriptions
            .retain(|subscription| &**subscription.topic().name() != topic);
        true
    }
}

fn same_topics(a: &[Arc<TopicShared>], b: &[Arc<TopicShared>]) -> bool {
    let within = |a: &[Arc<TopicShared>], b: &[Arc<TopicShared>]| {
        a.iter().all(|x| b.iter().any(|y| Arc::ptr_eq(x, y)))
    };
    within(a, b) && within(b, a)
}
