//! Committing offsets, and looking up committed ones. `group/ownership.rs` says when a commit
//! is valid.

use super::Consumer;
use super::assigned_partition::AssignedPartition;
use super::config::HoldBack;
use super::resolved_partition::ResolvedPartition;
use crate::error::ConsumeError;
use crate::group::Coordinator;
use crate::topic::TopicPartition;

/// An offset to commit in one of the consumer's partitions.
struct PendingCommit {
    /// The partition's index in `Consumer::assigned`.
    index: usize,
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
        let assigned = self.assigned.iter().enumerate();
        let included = assigned.filter(|(_, a)| a.positioned && !a.topic.is_deleted());
        let commits = included.map(|(index, assigned)| PendingCommit {
            index,
            offset: assigned.cursor.position(),
        });
        let commits: Vec<_> = commits.collect();
        self.commit_all(&commits, "commit")
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
    /// let mut consumer = broker.consumer(config);
    /// consumer.subscribe(&["orders"])?;
    ///
    /// let batch = consumer.poll(Duration::from_secs(1))?;
    /// let last = batch.iter().last().map_or(0, |record| record.offset());
    /// drop(batch);
    /// consumer.commit_offsets(&[(TopicPartition::new("orders", 0), last + 1)])?;
    /// assert_eq!(consumer.committed("orders", 0)?, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`commit`](Self::commit), with [`ConsumeError::CommitPastEnd`] for one of these offsets.
    /// Also [`ConsumeError::NotAssigned`] for a partition that this consumer does not read, and
    /// [`ConsumeError::Closed`] for one whose topic was deleted. Nothing is committed after an
    /// error.
    pub fn commit_offsets(
        &mut self,
        offsets: &[(TopicPartition, u64)],
    ) -> Result<(), ConsumeError> {
        if let Some(member) = &self.member {
            member.check_fenced()?;
        }
        let mut commits: Vec<PendingCommit> = Vec::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            let (index, offset) = (
                self.index_of(&partition.topic, partition.partition)?,
                *offset,
            );
            match commits.iter_mut().find(|commit| commit.index == index) {
                Some(commit) => commit.offset = offset,
                None => commits.push(PendingCommit { index, offset }),
            }
        }
        self.commit_all(&commits, "commit_offsets")
    }

    /// The offset that the consumer's group has committed in this partition: the next one to read.
    /// `None` if the group has committed nothing there.
    ///
    /// The partition may be of any topic, whether this consumer reads it or not.
    ///
    /// # Errors
    /// [`ConsumeError::NoGroup`] without a configured group; [`ConsumeError::UnknownTopic`] and
    /// [`ConsumeError::PartitionOutOfRange`] if there is no such partition.
    pub fn committed(&self, topic: &str, partition: u32) -> Result<Option<u64>, ConsumeError> {
        let Some(name) = &self.config.group else {
            return Err(ConsumeError::NoGroup { asked: "committed" });
        };
        let found = self.find_partition(&TopicPartition::new(topic, partition))?;
        let group = self.groups.find(name);
        Ok(group.and_then(|group| group.lock().committed(&found.topic, partition)))
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

    fn commit_all(
        &mut self,
        commits: &[PendingCommit],
        asked: &'static str,
    ) -> Result<(), ConsumeError> {
        let Some(name) = self.config.group.clone() else {
            return Err(ConsumeError::NoGroup { asked });
        };
        for commit in commits {
            check_offset(&self.assigned[commit.index], commit.offset)?;
        }
        if self.member.is_some() {
            return self.commit_as_member(commits);
        }
        if commits.is_empty() {
            return Ok(());
        }
        let offsets = commits.iter().map(|commit| {
            let assigned = &self.assigned[commit.index];
            (assigned.topic.clone(), assigned.partition, commit.offset)
        });
        let offsets: Vec<_> = offsets.collect();
        let commit = |coordinator: &mut Coordinator| coordinator.commit_unowned(&offsets);
        self.groups.with_group(&name, commit).map(|_| ())
    }

    fn commit_as_member(&mut self, commits: &[PendingCommit]) -> Result<(), ConsumeError> {
        let Some(member) = &self.member else {
            return Ok(());
        };
        // Offsets that are committed already are left out. That mostly leaves one partition, which
        // is committed without the group's lock.
        let mut new = commits.iter().filter_map(|commit| {
            let ownership = self.assigned[commit.index].ownership()?;
            let is_new = ownership.committed() != Some(commit.offset);
            is_new.then_some((&**ownership, commit.offset))
        });
        match (new.next(), new.next()) {
            (Some((ownership, offset)), None) => {
                ownership.commit(offset);
                if !member.is_commit_valid() {
                    // Takes the group's lock, after which the final commit is settled.
                    let fenced = member.check_fenced();
                    return if ownership.is_final_commit(offset) {
                        Ok(())
                    } else {
                        fenced
                    };
                }
            }
            (Some(first), Some(second)) => {
                member.commit_together([first, second].into_iter().chain(new))?;
            }
            (None, _) if member.is_commit_valid() => {}
            (None, _) => return member.check_fenced(),
        }
        if self.config.hold_back == HoldBack::Committed {
            for commit in commits {
                self.assigned[commit.index].hold_uncommitted(commit.offset);
            }
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
