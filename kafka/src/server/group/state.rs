//! A group's state, and its steps from one to the next.

use super::stored::next_revision;
use super::{Joined, JoinedMember, Synced, Waiting};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use tokio::time::Instant;

/// The least time that static members are given to join once more.
const MIN_MORE_TIME: Duration = Duration::from_secs(1);

/// Where a group is in its rebalances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has no members.
    Empty,
    /// Members join, until all have or the time is up.
    Preparing,
    /// The leader assigns the partitions.
    Completing,
    /// Each member has its assignment.
    Stable,
}

/// A member of a group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    /// The assignors that it supports, the preferred one first, each with its metadata.
    pub(super) protocols: Vec<(String, Bytes)>,
    pub(crate) assignment: Bytes,
    /// When it is taken for dead.
    pub(super) session_ends: Instant,
    /// Its join is not answered yet.
    pub(super) joining: Option<Waiting<Joined>>,
    /// Its sync is not answered yet.
    pub(super) syncing: Option<Waiting<Synced>>,
    /// It has synced in this generation.
    pub(super) has_synced: bool,
}

impl Member {
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }

    /// A member that waits for an answer is alive as long as its client is connected.
    fn is_waiting(&self) -> bool {
        let joining = self.joining.as_ref().is_some_and(|join| !join.is_closed());
        joining || self.syncing.as_ref().is_some_and(|sync| !sync.is_closed())
    }

    pub(super) fn touch(&mut self, now: Instant) {
        self.session_ends = now + self.session_timeout;
    }
}

/// The members of a group by the classic protocol.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    pub(crate) state: State,
    pub(crate) generation: i32,
    /// `consumer`, or `connect`: only members of one kind make a group.
    pub(crate) protocol_type: Option<String>,
    /// The assignor of this generation.
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    pub(crate) members: BTreeMap<String, Member>,
    /// The members with an instance id, by that.
    pub(super) instances: HashMap<String, String>,
    /// Members that have an id and are to join with it, and until when.
    pub(super) expected: HashMap<String, Instant>,
    /// When a rebalance goes on without the members that have not joined, or not synced.
    pub(super) phase_ends: Option<Instant>,
    /// Another one for each state that is to be stored ([`next_revision`]).
    pub(super) revision: u64,
}

impl ClassicGroup {
    pub(super) fn new() -> ClassicGroup {
        ClassicGroup {
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: HashMap::new(),
            expected: HashMap::new(),
            phase_ends: None,
            revision: 0,
        }
    }

    /// Whether it has no members, and none are expected.
    pub(super) fn is_unused(&self) -> bool {
        self.state == State::Empty && self.expected.is_empty()
    }

    // ---- a rebalance ----------------------------------------------------------------------

    /// Begins a rebalance, if there is none. Members that wait for their assignment join again.
    pub(super) fn prepare(&mut self, initial_delay: Duration) {
        if self.state == State::Preparing {
            return;
        }
        let wait = match self.state {
            State::Empty => initial_delay,
            _ => self.rebalance_timeout(),
        };
        let now = Instant::now();
        for member in self.members.values_mut() {
            member.has_synced = false;
            if let Some(syncing) = member.syncing.take() {
                // It was alive while it waited, however long that was.
                member.touch(now);
                // The receiver is gone if the client is.
                let _ = syncing.send(Err(ResponseError::RebalanceInProgress));
            }
        }
        self.state = State::Preparing;
        self.phase_ends = Some(now + wait);
    }

    fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }

    /// Ends the joining if nothing is waited for any more.
    pub(super) fn complete_join_if_all_have_joined(&mut self) {
        let all_joined = self.members.values().all(|member| member.joining.is_some());
        let is_waiting_for_first = self
            .phase_ends
            .is_some_and(|end| self.is_first_generation() && end > Instant::now());
        if self.state == State::Preparing
            && all_joined
            && self.expected.is_empty()
            && !is_waiting_for_first
        {
            self.complete_join();
        }
    }

    /// The first members of a group are waited for by the initial delay.
    fn is_first_generation(&self) -> bool {
        self.leader.is_none()
    }

    /// Ends the joining: members that have not joined are removed, unless they are static.
    pub(super) fn complete_join(&mut self) {
        let missing = self.members.iter();
        let missing = missing.filter(|(_, m)| m.joining.is_none() && m.instance_id.is_none());
        let missing: Vec<String> = missing.map(|(id, _)| id.clone()).collect();
        for id in &missing {
            self.remove(id);
        }
        if self.members.is_empty() {
            return self.become_empty();
        }
        let has_joined = |id: &String| self.members.get(id).is_some_and(|m| m.joining.is_some());
        if !self.leader.as_ref().is_some_and(has_joined) {
            let joined = self.members.iter().find(|(_, m)| m.joining.is_some());
            match joined {
                Some((id, _)) => self.leader = Some(id.clone()),
                // Only static members are left, and none has joined: they have more time. A member
                // may ask for none at all, and the group's timer must not wake all the time.
                None => {
                    let more = self.rebalance_timeout().max(MIN_MORE_TIME);
                    self.phase_ends = Some(Instant::now() + more);
                    return;
                }
            }
        }
        self.generation = self.generation.wrapping_add(1).max(1);
        self.protocol = self.choose_protocol();
        self.state = State::Completing;
        self.phase_ends = Some(Instant::now() + self.rebalance_timeout());
        let now = Instant::now();
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = Bytes::new();
                member.has_synced = false;
                if let Some(joining) = member.joining.take() {
                    member.touch(now);
                    let _ = joining.send(Ok(joined));
                }
            }
        }
    }

    /// The answer to the join of a member of this generation.
    pub(super) fn joined(&self, id: &str) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let is_leader = self.leader.as_deref() == Some(id);
        let member = |(id, member): (&String, &Member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(&protocol),
        };
        let members = match is_leader {
            true => self.members.iter().map(member).collect(),
            false => Vec::new(),
        };
        Joined {
            member_id: id.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            members,
            skip_assignment: false,
            protocol,
        }
    }

    /// Whether every member supports one of these assignors.
    pub(super) fn has_common_protocol(&self, protocols: &[(String, Bytes)]) -> bool {
        let names = protocols.iter().map(|(name, _)| name.as_str());
        !self.supported_among(names.collect()).is_empty()
    }

    /// Those of these assignors that every member supports.
    fn supported_among<'a>(&'a self, mut names: HashSet<&'a str>) -> HashSet<&'a str> {
        for member in self.members.values() {
            let own = member.protocols.iter().map(|(name, _)| name.as_str());
            let own: HashSet<&str> = own.collect();
            names.retain(|name| own.contains(name));
        }
        names
    }

    /// The assignor that most members prefer, among the assignors that all support.
    pub(super) fn choose_protocol(&self) -> Option<String> {
        let first = self.members.values().next()?;
        let names = first.protocols.iter().map(|(name, _)| name.as_str());
        let supported = self.supported_among(names.collect());
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.values() {
            let names = member.protocols.iter().map(|(name, _)| name.as_str());
            let Some(vote) = names.into_iter().find(|name| supported.contains(name)) else {
                continue;
            };
            match votes.iter_mut().find(|(name, _)| *name == vote) {
                Some((_, count)) => *count += 1,
                None => votes.push((vote, 1)),
            }
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(name, _)| name.to_owned())
    }

    // ---- members --------------------------------------------------------------------------

    /// Removes a member, and answers it if it waits.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        if let Some(instance) = &member.instance_id
            && self.instances.get(instance).is_some_and(|held| held == id)
        {
            self.instances.remove(instance);
        }
        if let Some(joining) = member.joining {
            let _ = joining.send(Err(ResponseError::UnknownMemberId));
        }
        if let Some(syncing) = member.syncing {
            let _ = syncing.send(Err(ResponseError::UnknownMemberId));
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// What follows when members were removed.
    pub(super) fn has_lost_members(&mut self) {
        match self.state {
            State::Empty => {}
            State::Preparing => {
                if self.members.is_empty() && self.expected.is_empty() {
                    self.become_empty();
                } else {
                    self.complete_join_if_all_have_joined();
                }
            }
            State::Completing | State::Stable => {
                self.prepare(Duration::ZERO);
                if self.members.is_empty() {
                    self.become_empty();
                } else {
                    self.complete_join_if_all_have_joined();
                }
            }
        }
    }

    fn become_empty(&mut self) {
        self.generation = self.generation.wrapping_add(1).max(1);
        self.state = State::Empty;
        self.protocol = None;
        self.leader = None;
        self.phase_ends = None;
        self.revision = next_revision();
    }

    // ---- time -----------------------------------------------------------------------------

    /// The next time at which something is to be done.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let sessions = self.members.values();
        let sessions = sessions.filter(|member| !member.is_waiting());
        let sessions = sessions.map(|member| member.session_ends);
        let expected = self.expected.values().copied();
        sessions.chain(expected).chain(self.phase_ends).min()
    }

    /// Removes what has run out of time by `now`.
    pub(super) fn expire(&mut self, now: Instant) {
        let expected_before = self.expected.len();
        self.expected.retain(|_, ends| *ends > now);
        let dead = self.members.iter();
        let dead = dead.filter(|(_, m)| m.session_ends <= now && !m.is_waiting());
        let dead: Vec<String> = dead.map(|(id, _)| id.clone()).collect();
        for id in &dead {
            self.remove(id);
        }
        if !dead.is_empty() || self.expected.len() < expected_before {
            match dead.is_empty() {
                false => self.has_lost_members(),
                true => self.complete_join_if_all_have_joined(),
            }
        }
        if self.phase_ends.is_some_and(|ends| ends <= now) {
            match self.state {
                State::Preparing => self.complete_join(),
                State::Completing => self.drop_members_without_sync(),
                State::Empty | State::Stable => self.phase_ends = None,
            }
        }
    }

    /// The time in which members are to sync is up.
    fn drop_members_without_sync(&mut self) {
        self.phase_ends = None;
        let missing = self.members.iter();
        let missing = missing.filter(|(_, m)| m.syncing.is_none() && !m.has_synced);
        let missing: Vec<String> = missing.map(|(id, _)| id.clone()).collect();
        for id in &missing {
            self.remove(id);
        }
        if !missing.is_empty() {
            self.has_lost_members();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_members_have_more_time_although_they_ask_for_none() {
        let now = Instant::now();
        let member = Member {
            instance_id: Some("a".to_owned()),
            client_id: String::new(),
            client_host: String::new(),
            session_timeout: Duration::from_secs(60),
            rebalance_timeout: Duration::ZERO,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            session_ends: now + Duration::from_secs(60),
            joining: None,
            syncing: None,
            has_synced: false,
        };
        let mut group = ClassicGroup::new();
        group.state = State::Preparing;
        group.members.insert("a-1".to_owned(), member);
        group.complete_join();
        assert_eq!(group.state, State::Preparing);
        assert!(group.next_deadline() >= Some(now + MIN_MORE_TIME));
    }
}
