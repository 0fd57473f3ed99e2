//! The end of a topic for a consumer: which topics polls report as `Closed`, and when.
//!
//! A consumer knows by its own positions that it has read its partitions of a closed topic. A
//! member of a group that has none of them asks its group whether all of the topic is committed:
//! until then a partition may move to it with records to read (`group/mod.rs`, "The end of a closed
//! topic"). It asks at each full poll, so also once more after it has enrolled and before it
//! sleeps; the last owner's commit is announced to it.

use super::Consumer;
use super::assigned_partition::AssignedPartition;
use super::config::ReadUpTo;
use super::membership::Membership;
use crate::error::ConsumeError;
use crate::topic::TopicShared;
use std::sync::Arc;

impl Consumer {
    /// After a round that found nothing: reports each topic that is closed and read to its end,
    /// once while the consumer has other topics, and then at each poll.
    pub(super) fn report_closed(&mut self) -> Result<(), ConsumeError> {
        if !self.has_closed_topic() {
            return Ok(());
        }
        // A consumer that follows topics leaves a deleted one without an error, at its next poll.
        let following = self.is_following();
        let has_ended =
            |topic: &TopicShared| topic.is_closed() && !(following && topic.is_deleted());
        // Each partition is visited once, however many there are.
        let (mut unreported, mut unread) = (Vec::new(), Vec::new());
        for assigned in self.assigned.iter().filter(|a| has_ended(&a.topic)) {
            let topic = &assigned.topic;
            if !contains(&unread, topic) && !assigned.is_drained() {
                unread.push(topic);
            }
            if !assigned.closed_reported && !contains(&unreported, topic) {
                unreported.push(topic);
            }
        }
        let mut unreported = unreported.into_iter();
        if let Some(topic) = unreported.find(|topic| !contains(&unread, topic)).cloned() {
            for assigned in &mut self.assigned {
                assigned.closed_reported |= Arc::ptr_eq(&assigned.topic, &topic);
            }
            self.end_was_reported(&topic);
            return Err(topic.closed_error());
        }
        if let Some(topic) = self.take_end_without_partitions() {
            return Err(topic.closed_error());
        }
        match self.any_topic().filter(|_| self.is_finished()) {
            Some(topic) => Err(topic.closed_error()),
            None => Ok(()),
        }
    }

    /// Whether all the consumer's topics have ended ([`poll`](Self::poll) says when), as far as its
    /// polls have found: each was reported as [`Closed`](ConsumeError::Closed), or was deleted.
    ///
    /// Then each further poll returns `Closed`, and nothing comes any more, unless the consumer seeks
    /// back or subscribes to other topics, or another member of its group dies before it has
    /// committed what it read: its partitions then move to a member that still polls. Also `true`
    /// without a subscription or assignment; never `true` while the consumer follows topics.
    pub fn is_finished(&self) -> bool {
        if self.is_following() {
            return false; // other topics may be created
        }
        let finished = |a: &AssignedPartition| a.closed_reported || a.topic.is_deleted();
        let topic_finished = |topic: &Arc<TopicShared>| {
            let assigned = self.assigned.iter();
            let mut of_topic = assigned.filter(|a| Arc::ptr_eq(&a.topic, topic));
            topic.is_deleted()
                || match of_topic.clone().next() {
                    Some(_) => of_topic.all(finished),
                    None => self.is_end_reported(topic),
                }
        };
        match &self.member {
            Some(member) => member.topics().iter().all(topic_finished),
            None => self.assigned.iter().all(finished),
        }
    }

    /// Whether one of the consumer's topics is closed.
    fn has_closed_topic(&self) -> bool {
        let topics = self.member.as_deref().map_or(&[][..], Membership::topics);
        topics.iter().any(|topic| topic.is_closed())
            || self.assigned.iter().any(|a| a.topic.is_closed())
    }

    /// A closed topic of which this member has no partition, and which has ended since it was asked
    /// last.
    fn take_end_without_partitions(&mut self) -> Option<Arc<TopicShared>> {
        let member = self.member.as_mut()?;
        let assigned = &self.assigned;
        let only_durable = self.config.read_up_to == ReadUpTo::Durable;
        member.take_end(only_durable, |topic| {
            assigned.iter().any(|a| Arc::ptr_eq(&a.topic, topic))
        })
    }

    /// Whether polls have found the end of a topic of which this member has no partition.
    pub(super) fn is_end_reported(&self, topic: &Arc<TopicShared>) -> bool {
        let member = self.member.as_ref();
        member.is_some_and(|member| member.is_end_reported(topic))
    }

    /// A topic of this consumer, to name in the error of a poll after all of them have ended.
    fn any_topic(&self) -> Option<&Arc<TopicShared>> {
        let topics = self
            .member
            .as_deref()
            .and_then(|member| member.topics().first());
        self.assigned.first().map(|a| &a.topic).or(topics)
    }

    /// A topic was reported as closed to a consumer with partitions of it, for the first time. What
    /// polls commit is committed by now.
    fn end_was_reported(&mut self, topic: &Arc<TopicShared>) {
        if let Some(member) = &mut self.member {
            member.end_was_reported(topic);
            member.announce_end(topic);
        }
    }

    /// After a commit by the application: it may have been the group's last in a closed topic.
    pub(super) fn announce_committed_end(&self, assigned: &AssignedPartition, offset: u64) {
        let Some(member) = &self.member else { return };
        if assigned.topic.is_closed() {
            let end = assigned.final_end_offset();
            if end.is_some_and(|end| offset >= end) {
                member.announce_end(&assigned.topic);
            }
        }
    }
}

fn contains(topics: &[&Arc<TopicShared>], topic: &Arc<TopicShared>) -> bool {
    topics.iter().any(|other| Arc::ptr_eq(other, topic))
}
