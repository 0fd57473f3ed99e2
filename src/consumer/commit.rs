//! Committing, and asking what was committed. `ownership.rs` says when a commit counts.

use super::Consumer;
use super::assigned_partition::AssignedPartition;
use super::config::HoldBack;
use crate::error::ConsumeError;
use crate::group::Coordinator;
use crate::topic::{TopicPartition, TopicShared};
use std::sync::Arc;

impl Consumer {
    /// Commits the positions of all its partitions: the group goes on there if this member does
    /// not. All of them are committed, or none. Those of topics that were deleted are left out:
    /// there is nothing to go on with.
    ///
    /// A consumer that was `assign`ed its partitions can commit while its group has no members.
    ///
    /// # Errors
    /// [`ConsumeError::NoGroup`]; [`ConsumeError::Fenced`] when this member is none any more;
    /// [`ConsumeError::CommitPastEnd`] when it was sent past the end and has not polled since;
    /// [`ConsumeError::NotAMember`]; [`ConsumeError::Closed`] only if a topic is deleted while
    /// this runs.
    pub fn commit(&mut self) -> Result<(), ConsumeError> {
        let counts = |(_, a): &(usize, &AssignedPartition)| a.positioned && !a.topic.is_deleted();
        let all = self.assigned.iter().enumerate().filter(counts);
        let all = all.map(|(i, assigned)| (i, assigned.cursor.position()));
        let all = all.collect();
        self.commit_all(all, "commit")
    }

    /// Commits these offsets, each the *next* one to be read: all of them, or none. They may go
    /// back, as in Kafka; what is not retained any more by then is lost. Of a partition that is
    /// named twice the last counts.
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
    /// As [`commit`](Self::commit), and [`ConsumeError::NotAssigned`]; [`ConsumeError::Closed`] if
    /// the topic of one was deleted.
    pub fn commit_offsets(
        &mut self,
        offsets: &[(TopicPartition, u64)],
    ) -> Result<(), ConsumeError> {
        self.check_fenced()?;
        let mut all: Vec<(usize, u64)> = Vec::with_capacity(offsets.len());
        for (at, offset) in offsets {
            let i = self.position_of(&at.topic, at.partition)?;
            match all.iter_mut().find(|(before, _)| *before == i) {
                Some(before) => before.1 = *offset,
                None => all.push((i, *offset)),
            }
        }
        self.commit_all(all, "commit_offsets")
    }

    /// What its group has committed in a partition of any topic: the next offset to be read by
    /// whoever gets it next. `None` if nothing was.
    ///
    /// # Errors
    /// [`ConsumeError::NoGroup`]; [`ConsumeError::UnknownTopic`];
    /// [`ConsumeError::PartitionOutOfRange`].
    pub fn committed(&self, topic: &str, partition: u32) -> Result<Option<u64>, ConsumeError> {
        let Some(name) = &self.config.group else {
            return Err(ConsumeError::NoGroup { asked: "committed" });
        };
        let topic = self.find_partition(&TopicPartition::new(topic, partition))?;
        let group = self.groups.find(name);
        Ok(group.and_then(|group| group.lock().committed(topic.inner(), partition)))
    }

    /// Begins where its group has committed, in the partitions that it was not assigned before.
    pub(crate) fn resume_at_committed(&mut self, before: &[(Arc<TopicShared>, u32)]) {
        let Some(group) = self.group() else {
            return;
        };
        let coordinator = group.lock();
        for assigned in &mut self.assigned {
            let committed = coordinator.committed(&assigned.topic, assigned.partition);
            let is_old = before.iter().any(|(topic, partition)| {
                Arc::ptr_eq(topic, &assigned.topic) && *partition == assigned.partition
            });
            if let (Some(offset), false) = (committed, is_old) {
                assigned.resume_at(offset);
            }
        }
    }

    fn check_fenced(&self) -> Result<(), ConsumeError> {
        let Some(member) = &self.member else {
            return Ok(());
        };
        match member.signals.fence_reason() {
            Some(reason) => Err(member.error(reason)),
            None => Ok(()),
        }
    }

    fn commit_all(
        &mut self,
        all: Vec<(usize, u64)>,
        asked: &'static str,
    ) -> Result<(), ConsumeError> {
        let Some(name) = self.config.group.clone() else {
            return Err(ConsumeError::NoGroup { asked });
        };
        for &(i, offset) in &all {
            check(&self.assigned[i], offset)?;
        }
        if self.member.is_some() {
            return self.commit_as_member(&all);
        }
        if all.is_empty() {
            return Ok(());
        }
        let offsets: Vec<_> = all
            .iter()
            .map(|&(i, offset)| {
                (
                    self.assigned[i].topic.clone(),
                    self.assigned[i].partition,
                    offset,
                )
            })
            .collect();
        let commit = |group: &mut Coordinator| group.commit_unowned(&offsets);
        self.groups.with_group(&name, commit).map(|_| ())
    }

    fn commit_as_member(&mut self, all: &[(usize, u64)]) -> Result<(), ConsumeError> {
        let Some(member) = &self.member else {
            return Ok(());
        };
        let ownerships = all.iter().filter_map(|&(i, offset)| {
            let owned = self.assigned[i].owned.as_ref()?;
            Some((&owned.ownership, offset))
        });
        // What is committed already need not be committed again, which leaves one partition,
        // most often: that is done without the lock.
        let mut new =
            ownerships.filter(|(ownership, offset)| ownership.committed() != Some(*offset));
        match (new.next(), new.next()) {
            (Some((ownership, offset)), None) => {
                ownership.commit(offset);
                if !member.signals.is_commit_valid() {
                    let ownership = ownership.clone();
                    let fenced = self.check_fenced();
                    return if ownership.is_final_commit(offset) {
                        Ok(())
                    } else {
                        fenced
                    };
                }
            }
            (None, _) if member.signals.is_commit_valid() => {}
            (None, _) => return self.check_fenced(),
            (Some(first), Some(second)) => {
                let several = [first, second].into_iter().chain(new);
                let several = several.map(|(ownership, offset)| (&**ownership, offset));
                let coordinator = member.group.lock();
                coordinator.commit_owned(&member.signals, member.generation, several)?;
            }
        }
        if self.config.hold_back == HoldBack::Committed {
            for &(i, offset) in all {
                self.assigned[i].hold_from(offset);
            }
        }
        Ok(())
    }
}

/// Whether this can be committed.
fn check(assigned: &AssignedPartition, offset: u64) -> Result<(), ConsumeError> {
    let topic = &assigned.topic;
    topic.refuse_deleted::<ConsumeError>()?;
    // What was read is there: most often there is no need to look at what producers write.
    if assigned
        .cursor
        .resolved_position()
        .is_some_and(|reached| offset <= reached)
    {
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

impl AssignedPartition {
    /// After a commit: holds what lies behind it, or behind the position if that is before it.
    fn hold_from(&mut self, committed: u64) {
        let from = committed.min(self.cursor.position());
        let there = self.cursor.is_in_segment_of(from);
        let number = self.cursor.segment_number();
        if let Some(owned) = &mut self.owned {
            if !(there && owned.holds(number)) {
                owned.hold(from);
            }
        }
    }
}
