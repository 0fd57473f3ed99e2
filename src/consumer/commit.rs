//! Committing offsets, and looking up committed ones. `group/ownership.rs` says when a commit
//! is valid.

use super::Consumer;
use super::assigned_partition::AssignedPartition;
use super::config::HoldBack;
use super::membership::Membership;
use super::resolved_partition::ResolvedPartition;
use crate::error::ConsumeError;
use crate::group::Coordinator;
use crate::topic::TopicPartition;
use core::{iter, ptr};

/// An offset to commit in one of the consumer's partitions.
#[derive(Clone, Copy)]
struct PendingCommit<'a> {
    assigned: &'a AssignedPartition,
    /// The next offset to read.
    offset: u64,
}

impl Consumer {
    /// Commits the positions of all the consumer's partitions: all of them, or none. The group's
    /// next reader of a partition continues there.
    ///
    /// Partitions without a position and partitions of deleted topics are left out. A consumer that
    /// was [`assign`](Self::assign)ed its partitions can commit while its group has no members.
    ///
    /// # Errors
    /// Nothing is committed after an error.
    ///
    /// - [`ConsumeError::NoGroup`] without a configured group.
    /// - [`ConsumeError::Fenced`] if this consumer is no longer a member of its group.
    /// - [`ConsumeError::CommitPastEnd`] if a position is past the end: the consumer was sent there
    ///   and has not polled since.
    /// - [`ConsumeError::NotAMember`] if the group has members, and this consumer, which was
    ///   `assign`ed its partitions, is none of them.
    /// - [`ConsumeError::Closed`] only if a topic is deleted during this call.
    pub fn commit(&mut self) -> Result<(), ConsumeError> {
        let included = |a: &&AssignedPartition| a.positioned && !a.topic.is_deleted();
        let included = self.assigned.iter().filter(included);
        let commits = included.map(|assigned| PendingCommit {
            assigned,
            offset: assigned.returned_position(),
        });
        self.commit_all(commits, "commit")
    }

    /// Commits these offsets, each the *next* one to read: all of them, or none.
    ///
    /// An offset may be lower than the one committed before, as in Kafka. Records that are no
    /// longer retained when a reader continues there are lost. If a partition is named twice, the
    /// last offset counts.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig, TopicPartition};
    /// # use std::time::Duration;
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// topic.producer().send(Record::new("login"))?;
    /// let config = ConsumerConfig::new().group("billing").auto_commit(false);
    /// let mut consumer = broker.consumer(config)?;
    /// consumer.subscribe(["orders"])?;
    ///
    /// let batch = consumer.poll(Duration::from_secs(1))?;
    /// let last = batch.last_offset().unwrap_or_default();
    /// consumer.commit_offsets([(("orders", 0), last + 1)])?;
    /// assert_eq!(consumer.committed(("orders", 0))?, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`commit`](Self::commit), with [`ConsumeError::CommitPastEnd`] for one of these offsets.
    /// Also [`ConsumeError::NotAssigned`] for a partition that this consumer does not read, and
    /// [`ConsumeError::Closed`] for one whose topic was deleted. Nothing is committed after an
    /// error.
    pub fn commit_offsets<P: Into<TopicPartition>>(
        &mut self,
        offsets: impl IntoIterator<Item = (P, u64)>,
    ) -> Result<(), ConsumeError> {
        // The user's code runs before anything is done.
        let offsets: Vec<(TopicPartition, u64)> =
            offsets.into_iter().map(|(p, o)| (p.into(), o)).collect();
        if let Some(member) = &self.member {
            member.check_fenced()?;
        }
        let mut commits: Vec<PendingCommit<'_>> = Vec::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            let assigned = &self.assigned[self.index_of(&partition)?];
            let same = |commit: &&mut PendingCommit<'_>| ptr::eq(commit.assigned, assigned);
            match commits.iter_mut().find(same) {
                Some(commit) => commit.offset = offset,
                None => commits.push(PendingCommit { assigned, offset }),
            }
        }
        self.commit_all(commits.iter().copied(), "commit_offsets")
    }

    /// Commits in one partition, for a batch of it.
    pub(super) fn commit_partition(
        &self,
        assigned: &AssignedPartition,
        offset: u64,
        asked: &'static str,
    ) -> Result<(), ConsumeError> {
        self.commit_all(iter::once(PendingCommit { assigned, offset }), asked)
    }

    /// The offset that the consumer's group has committed in this partition: the next one to read.
    /// `None` if the group has committed nothing there.
    ///
    /// The partition may be of any topic, whether this consumer reads it or not.
    ///
    /// # Errors
    /// [`ConsumeError::NoGroup`] without a configured group; [`ConsumeError::UnknownTopic`] and
    /// [`ConsumeError::PartitionOutOfRange`] if there is no such partition.
    pub fn committed(
        &self,
        partition: impl Into<TopicPartition>,
    ) -> Result<Option<u64>, ConsumeError> {
        let Some(name) = &self.config.group else {
            return Err(ConsumeError::NoGroup { asked: "committed" });
        };
        let found = self.find_partition(&partition.into())?;
        let group = self.groups.find(name);
        Ok(group.and_then(|group| group.lock().committed(&found.topic, found.partition)))
    }

    /// Moves to the group's committed offsets, but for the partitions that were assigned before.
    pub(super) fn resume_at_committed(&mut self, before: &[ResolvedPartition]) {
        let Some(group) = self.group() else {
            return;
        };
        let coordinator = group.lock();
        for assigned in &mut self.assigned {
            let committed = coordinator.committed(&assigned.topic, assigned.partition);
            let is_new = !before.iter().any(|old| old.is_read_by(assigned));
            if let (Some(offset), true) = (committed, is_new) {
                assigned.resume_at(offset);
            }
        }
    }

    /// Goes through the commits several times, so that nothing is allocated for them.
    fn commit_all<'a>(
        &self,
        commits: impl Iterator<Item = PendingCommit<'a>> + Clone,
        asked: &'static str,
    ) -> Result<(), ConsumeError> {
        let Some(name) = &self.config.group else {
            return Err(ConsumeError::NoGroup { asked });
        };
        for commit in commits.clone() {
            check_offset(commit.assigned, commit.offset)?;
        }
        if let Some(member) = &self.member {
            return self.commit_as_member(member, commits);
        }
        let offsets = commits.map(|PendingCommit { assigned, offset }| {
            (assigned.topic.clone(), assigned.partition, offset)
        });
        let offsets: Vec<_> = offsets.collect();
        if offsets.is_empty() {
            return Ok(());
        }
        let commit = |coordinator: &mut Coordinator| {
            coordinator.commit_unowned(&offsets, self.config.holds_back())
        };
        self.groups.with_group(name, commit).map(|_| ())
    }

    fn commit_as_member<'a>(
        &self,
        member: &Membership,
        commits: impl Iterator<Item = PendingCommit<'a>> + Clone,
    ) -> Result<(), ConsumeError> {
        // If the member is fenced off already, nothing changes. If it is from here on, this may
        // still be its last commit (P14).
        member.check_fenced()?;
        // Offsets that are committed already are left out. That mostly leaves one partition, which
        // is committed without the group's lock.
        let mut new = commits.clone().filter(|commit| {
            let ownership = commit.assigned.ownership();
            ownership.is_some_and(|ownership| ownership.committed() != Some(commit.offset))
        });
        match (new.next(), new.next()) {
            (Some(commit), None) => {
                let Some(ownership) = commit.assigned.ownership() else {
                    return Ok(());
                };
                ownership.commit(commit.offset);
                if !member.is_commit_valid() {
                    // Takes the group's lock, after which the final commit is settled.
                    let fenced = member.check_fenced();
                    return if ownership.is_final_commit(commit.offset) {
                        Ok(())
                    } else {
                        fenced
                    };
                }
            }
            (Some(first), Some(second)) => {
                let new = [first, second].into_iter().chain(new);
                let new = new.filter_map(|PendingCommit { assigned, offset }| {
                    Some((&**assigned.ownership()?, offset))
                });
                member.commit_together(new)?;
            }
            (None, _) if member.is_commit_valid() => {}
            (None, _) => return member.check_fenced(),
        }
        for PendingCommit { assigned, offset } in commits {
            if let Some(ownership) = assigned.ownership() {
                ownership.publish(offset);
            }
            if self.config.hold_back == HoldBack::Committed {
                member.hold_uncommitted(assigned);
            }
            self.announce_committed_end(assigned, offset);
        }
        Ok(())
    }
}

/// Whether this offset can be committed. Errors: `Closed` and `CommitPastEnd`.
fn check_offset(assigned: &AssignedPartition, offset: u64) -> Result<(), ConsumeError> {
    let topic = &assigned.topic;
    topic.refuse_deleted::<ConsumeError>()?;
    // What was read exists. So the words that producers write are seldom loaded here.
    let reached = assigned.cursor.resolved_position();
    if reached.is_some_and(|reached| offset <= reached) {
        return Ok(());
    }
    let log_end = topic.partition(assigned.partition).log_end_offset();
    if offset <= log_end {
        return Ok(());
    }
    Err(ConsumeError::CommitPastEnd {
        topic: topic.name().as_ref().to_owned(),
        partition: assigned.partition,
        offset,
        log_end,
    })
}
