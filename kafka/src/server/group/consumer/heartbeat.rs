//! ConsumerGroupHeartbeat: a member joins, reports, or leaves.

use super::super::assignor::{Assignor, Partitions};
use super::super::stored::next_revision;
use super::member::{AWAY, Member};
use super::subscription::compile;
use super::{ConsumerGroup, Refusal, refuse};
use crate::server::config::GroupTimes;
use crate::server::topics::{Topics, random_uuid};
use kafka_protocol::error::ResponseError;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// The epoch of a member that joins.
const JOINS: i32 = 0;
/// The epoch of a member that leaves for good.
const LEAVES: i32 = -1;

/// A member's heartbeat. `None` stands for what has not changed since the last one.
#[derive(Debug)]
pub(crate) struct ConsumerHeartbeat {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) rack_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rebalance_timeout: Option<Duration>,
    pub(crate) names: Option<BTreeSet<String>>,
    /// Empty for a member that no longer subscribes by a pattern.
    pub(crate) pattern: Option<String>,
    pub(crate) assignor: Option<String>,
    /// The partitions that the member has.
    pub(crate) owned: Option<Partitions>,
    /// Whether the server may choose the member's id.
    pub(crate) may_lack_id: bool,
}

/// What a heartbeat is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeartbeatAnswer {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    /// What the member may use, if it has to be said.
    pub(crate) assignment: Option<Partitions>,
    /// Zero for a member that has left.
    pub(crate) interval: Duration,
}

impl ConsumerHeartbeat {
    pub(crate) fn joins(&self) -> bool {
        self.epoch == JOINS
    }

    pub(crate) fn leaves(&self) -> bool {
        matches!(self.epoch, LEAVES | AWAY)
    }

    /// A heartbeat that states everything, or joins, is answered everything.
    fn is_full(&self) -> bool {
        let subscribes = self.names.is_some() || self.pattern.is_some();
        self.joins() || (self.rebalance_timeout.is_some() && subscribes && self.owned.is_some())
    }

    /// Checks what does not depend on the group.
    pub(crate) fn check(&self, group: &str) -> Result<(), Refusal> {
        let invalid = |reason: &str| refuse(ResponseError::InvalidRequest, reason);
        if group.is_empty() {
            return invalid("GroupId can't be empty.");
        }
        if self.instance_id.as_deref() == Some("") {
            return invalid("InstanceId can't be empty.");
        }
        if self.rack_id.as_deref() == Some("") {
            return invalid("RackId can't be empty.");
        }
        if self.member_id.is_empty() && !(self.joins() && self.may_lack_id) {
            return invalid("MemberId can't be empty.");
        }
        match self.epoch {
            JOINS => {
                if self.rebalance_timeout.is_none() {
                    return invalid("RebalanceTimeoutMs must be provided in first request.");
                }
                if !self.owned.as_ref().is_some_and(BTreeSet::is_empty) {
                    return invalid("TopicPartitions must be empty when (re-)joining.");
                }
                if self.names.is_none() && self.pattern.is_none() {
                    return invalid(
                        "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                    );
                }
            }
            AWAY if self.instance_id.is_none() => return invalid("InstanceId can't be null."),
            1.. | LEAVES | AWAY => {}
            _ => return invalid("MemberEpoch is invalid."),
        }
        match &self.assignor {
            Some(name) if Assignor::named(name).is_none() => {
                let reason = format!(
                    "ServerAssignor {name} is not supported. Supported assignors: uniform, range."
                );
                refuse(ResponseError::UnsupportedAssignor, reason)
            }
            _ => Ok(()),
        }
    }
}

impl ConsumerHeartbeat {
    /// Checks that this member may join a group of these classic members, which is to change its
    /// protocol then: what [`ConsumerGroup::heartbeat`] checks after the change.
    pub(crate) fn check_join_to_classic<M>(
        &self,
        members: &BTreeMap<String, M>,
        instances: &HashMap<String, String>,
        max_members: usize,
    ) -> Result<(), Refusal> {
        let is_member = members.contains_key(&self.member_id);
        if members.len() >= max_members && !is_member {
            return group_is_full(max_members);
        }
        let instance = self.instance_id.as_ref();
        if is_member && instance.is_none_or(|instance| !instances.contains_key(instance)) {
            let reason = "The member has joined by the classic protocol under the same id.";
            return refuse(ResponseError::FencedMemberEpoch, reason);
        }
        match self.pattern.as_deref().filter(|text| !text.is_empty()) {
            Some(pattern) => compiled(pattern).map(|_| ()),
            None => Ok(()),
        }
    }
}

fn group_is_full<T>(max_members: usize) -> Result<T, Refusal> {
    let reason =
        format!("The consumer group has reached its maximum capacity of {max_members} members.");
    refuse(ResponseError::GroupMaxSizeReached, reason)
}

fn compiled(text: &str) -> Result<Regex, Refusal> {
    compile(text).or_else(|cause| {
        let reason = format!("SubscribedTopicRegex is not a valid regular expression: {cause}.");
        refuse(ResponseError::InvalidRegularExpression, reason)
    })
}

/// When a member is to send its next heartbeat that waits for partitions which others are to give up: it
/// gets them soon after that, and not at the end of a whole interval.
const UNSETTLED_INTERVAL: Duration = Duration::from_millis(50);

/// When a member that has just learned its assignment is to send its next heartbeat, unless it has taken
/// the assignment over before. Java's consumer (4.1) may not look at an assignment before its next
/// heartbeat is due, so a longer time is a longer pause before its first record.
const UNREPORTED_INTERVAL: Duration = Duration::from_millis(5);

/// After that, the part of the time that the member has taken so far: its pause is not much longer than
/// what it waits for (its user's code, or metadata), and it does not send many heartbeats meanwhile.
const UNREPORTED_PART: u32 = 4;

/// When this member is to send its next heartbeat.
fn next_beat(member: &Member, target_epoch: i32, now: Instant, interval: Duration) -> Duration {
    let settled = match member.is_reconciled_to(target_epoch) {
        true => interval,
        false => interval.min(UNSETTLED_INTERVAL),
    };
    match member.unreported_since {
        Some(since) => {
            let taken = now.duration_since(since);
            settled.min(UNREPORTED_INTERVAL.max(taken / UNREPORTED_PART))
        }
        None => settled,
    }
}

impl ConsumerGroup {
    /// Takes one step of the group, for a heartbeat that was [checked](ConsumerHeartbeat::check).
    pub(crate) fn heartbeat(
        &mut self,
        group: &str,
        beat: ConsumerHeartbeat,
        topics: &Topics,
        times: &GroupTimes,
        max_members: usize,
    ) -> Result<HeartbeatAnswer, Refusal> {
        if beat.leaves() {
            return self.leave_by_heartbeat(group, &beat);
        }
        if self.members.len() >= max_members && !self.members.contains_key(&beat.member_id) {
            return group_is_full(max_members);
        }
        let now = Instant::now();
        let session_ends = now + times.consumer_session_timeout;
        let id = match beat.member_id.is_empty() {
            true => random_uuid().to_string(),
            false => beat.member_id.clone(),
        };
        self.check_member(group, &id, &beat)?;
        self.learn_pattern(beat.pattern.as_deref())?;
        if beat.joins() {
            let (client, host) = (&beat.client_id, &beat.client_host);
            let new = || Member::new(client.clone(), host.clone(), session_ends);
            self.admit(&id, beat.instance_id.as_deref(), new);
        }
        let is_full = beat.is_full();
        let owned = beat.owned.clone();
        let Some(member) = self.members.get_mut(&id) else {
            return Self::unknown_member(&id, group);
        };
        member.session_ends = session_ends;
        let had = member.assigned.clone();
        let joins = beat.joins();
        let subscribes_otherwise = update(member, beat);
        self.advance(subscribes_otherwise, topics);
        self.reconcile(&id, owned.as_ref(), now);
        self.touched = Some(id.clone());
        let Some(member) = self.members.get_mut(&id) else {
            return Self::unknown_member(&id, group);
        };
        let is_new = joins || member.assigned != had;
        member.note_report(owned.as_ref(), is_new, now);
        let assignment = (is_full || is_new).then(|| member.assigned.clone());
        let interval = times.consumer_heartbeat_interval;
        Ok(HeartbeatAnswer {
            epoch: member.epoch,
            assignment,
            interval: next_beat(member, self.target_epoch, now, interval),
            member_id: id,
        })
    }

    /// Checks that this member may send this heartbeat.
    fn check_member(&self, group: &str, id: &str, beat: &ConsumerHeartbeat) -> Result<(), Refusal> {
        let member = match &beat.instance_id {
            None => self.members.get(id),
            Some(instance) => {
                let holder = self.instances.get(instance);
                let held = holder.and_then(|holder| self.members.get_key_value(holder));
                match held {
                    // It comes back under whatever id; the instance id must be free, even if the
                    // member's id is the same.
                    Some((holder, member)) if beat.joins() => {
                        return match member.epoch == AWAY || member.classic.is_some() {
                            true => Ok(()),
                            false => refuse(
                                ResponseError::UnreleasedInstanceId,
                                format!(
                                    "Static member {id} with instance id {instance} cannot join the group because the instance id is owned by {holder} member."
                                ),
                            ),
                        };
                    }
                    _ => self.check_instance(id, instance, beat.joins())?,
                }
            }
        };
        match member {
            Some(member) => check_epoch(member, beat),
            None if beat.joins() => Ok(()),
            None => Self::unknown_member(id, group),
        }
    }

    /// The member with this id, which must have this instance id. `None` if both are new.
    pub(super) fn check_instance(
        &self,
        id: &str,
        instance: &str,
        joins: bool,
    ) -> Result<Option<&Member>, Refusal> {
        match self.instances.get(instance) {
            Some(holder) if holder == id => Ok(self.members.get(id)),
            Some(holder) => refuse(
                ResponseError::FencedInstanceId,
                format!(
                    "Static member {id} with instance id {instance} was fenced by member {holder}."
                ),
            ),
            None if joins => Ok(self.members.get(id)),
            None => {
                let reason = format!("Instance id {instance} is unknown.");
                refuse(ResponseError::UnknownMemberId, reason)
            }
        }
    }

    fn learn_pattern(&mut self, pattern: Option<&str>) -> Result<(), Refusal> {
        let Some(text) = pattern.filter(|text| !text.is_empty()) else {
            return Ok(());
        };
        if self.topics.has_pattern(text) {
            return Ok(());
        }
        self.topics.add_pattern(text, compiled(text)?);
        Ok(())
    }

    /// A member that was checked joins. A static member that was away takes the place of the member
    /// that it was, and what that had.
    pub(super) fn admit(&mut self, id: &str, instance: Option<&str>, new: impl FnOnce() -> Member) {
        self.wakes_timer = true;
        self.revision = next_revision();
        let before = instance.and_then(|instance| self.instances.get(instance).cloned());
        if before.as_deref().is_some_and(|before| before != id) {
            // Another member's id: that one is gone, with what it had.
            self.remove(id);
        }
        let replaced = before.and_then(|before| self.members.remove_entry(&before));
        if let Some((before, mut member)) = replaced {
            member.epoch = JOINS;
            member.previous_epoch = JOINS;
            for partition in std::mem::take(&mut member.revoking) {
                self.owned.remove(&partition);
            }
            if let Some(target) = self.target.remove(&before) {
                self.target.insert(id.to_owned(), target);
            }
            self.members.insert(id.to_owned(), member);
        }
        if let Some(instance) = instance {
            let other = self
                .members
                .get(id)
                .and_then(|member| member.instance_id.as_ref());
            if let Some(other) = other {
                self.instances.remove(other);
            }
            self.instances.insert(instance.to_owned(), id.to_owned());
        }
        self.members.entry(id.to_owned()).or_insert_with(new);
    }

    fn leave_by_heartbeat(
        &mut self,
        group: &str,
        beat: &ConsumerHeartbeat,
    ) -> Result<HeartbeatAnswer, Refusal> {
        let id = &beat.member_id;
        if let Some(instance) = &beat.instance_id {
            self.check_instance(id, instance, false)?;
        }
        let Some(member) = self.members.get_mut(id) else {
            return Self::unknown_member(id, group);
        };
        match beat.epoch {
            AWAY => {
                // What it was to give up is free; what it was assigned waits for it, until its session
                // ends.
                for partition in std::mem::take(&mut member.revoking) {
                    self.owned.remove(&partition);
                }
                member.epoch = AWAY;
                member.revocation_ends = None;
                self.touched = Some(id.clone());
            }
            _ => self.remove(id),
        }
        Ok(HeartbeatAnswer {
            member_id: id.clone(),
            epoch: beat.epoch,
            assignment: None,
            interval: Duration::ZERO,
        })
    }
}

fn check_epoch(member: &Member, beat: &ConsumerHeartbeat) -> Result<(), Refusal> {
    let is_lost_answer = || {
        let owned = beat.owned.as_ref();
        beat.epoch == member.previous_epoch
            && owned.is_some_and(|owned| owned.is_subset(&member.assigned))
    };
    let relation = match beat.epoch.cmp(&member.epoch) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less if is_lost_answer() => return Ok(()),
        std::cmp::Ordering::Less => "smaller",
        std::cmp::Ordering::Greater => "greater",
    };
    refuse(
        ResponseError::FencedMemberEpoch,
        format!(
            "The consumer group member has a {relation} member epoch ({}) than the one known by the group coordinator ({}). The member must abandon all its partitions and rejoin.",
            beat.epoch, member.epoch
        ),
    )
}

/// Takes over what a heartbeat states. Returns whether the member subscribes otherwise.
fn update(member: &mut Member, beat: ConsumerHeartbeat) -> bool {
    let states_it = beat.names.is_some() || beat.pattern.is_some();
    let before = states_it.then(|| member.subscription.clone());
    member.classic = None;
    member.client_id = beat.client_id;
    member.client_host = beat.client_host;
    if beat.instance_id.is_some() {
        member.instance_id = beat.instance_id;
    }
    if beat.rack_id.is_some() {
        member.rack_id = beat.rack_id;
    }
    if let Some(timeout) = beat.rebalance_timeout {
        member.rebalance_timeout = timeout;
    }
    if let Some(name) = beat.assignor {
        member.assignor = Assignor::named(&name);
    }
    if let Some(names) = beat.names {
        member.subscription.names = names;
    }
    if let Some(pattern) = beat.pattern {
        member.subscription.pattern = pattern;
    }
    before.is_some_and(|before| member.subscription != before)
}
