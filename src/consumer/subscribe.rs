//! Which partitions a consumer reads: `subscribe`, `assign` and `unsubscribe`.

use super::assigned_partition::{AssignedPartition, added_partitions};
use super::rebalance::LeaveReason;
use super::rebalance_listener::RebalanceListener;
use super::resolved_partition::ResolvedPartition;
use super::{Consumer, MANY_PARTITIONS};
use crate::error::ConsumeError;
use crate::topic::{TopicPartition, TopicShared, TopicSubscription};
use crate::wait::WaitStrategy;
use std::sync::Arc;

/// How the consumer came to its partitions. The two ways do not mix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AssignmentMode {
    Subscribe,
    Assign,
}

impl AssignmentMode {
    fn name(self) -> &'static str {
        match self {
            AssignmentMode::Subscribe => "subscribe",
            AssignmentMode::Assign => "assign",
        }
    }
}

impl Consumer {
    /// Reads all partitions of these topics from now on, instead of what the consumer read before.
    ///
    /// Partitions that it already read keep their positions. In the others it begins where
    /// [`offset_reset`](crate::ConsumerConfig::offset_reset) says, as of this call. Partitions that
    /// are added to the topics later are read too, from their first record. An empty list does the
    /// same as [`unsubscribe`](Self::unsubscribe).
    ///
    /// Each topic must exist, so that a name that is misspelled is an error. With
    /// [`wait_for_topics`](crate::ConsumerConfig::wait_for_topics) the consumer waits for topics that
    /// do not exist yet.
    ///
    /// With a [`group`](crate::ConsumerConfig::group) this makes the consumer a member. Its polls
    /// then take and give back its share of the partitions.
    ///
    /// # Errors
    /// The old subscription stays in force after an error.
    ///
    /// - [`ConsumeError::UnknownTopic`] for a name that the broker does not have. Not with
    ///   `wait_for_topics`; then it is [`ConsumeError::InvalidName`] for a name that no topic can
    ///   have.
    /// - [`ConsumeError::MixedAssignment`] after [`assign`](Self::assign), until `unsubscribe`.
    /// - With a group, [`ConsumeError::Closed`] if a topic was deleted meanwhile, and
    ///   [`ConsumeError::OtherAssignor`] and [`ConsumeError::OtherHoldBack`] if the group's members
    ///   use another assignor, or hold records back and this consumer does not, or the reverse.
    /// - [`ConsumeError::Upstream`] if the consumer [reads after](crate::ConsumerConfig::read_after)
    ///   another that does not read a partition of these topics.
    pub fn subscribe<N: AsRef<str>>(
        &mut self,
        topics: impl IntoIterator<Item = N>,
    ) -> Result<(), ConsumeError> {
        self.subscribe_to(topics, None)
    }

    pub(super) fn subscribe_to<N: AsRef<str>>(
        &mut self,
        names: impl IntoIterator<Item = N>,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        self.check_mode(AssignmentMode::Subscribe)?;
        if self.config.wait_for_topics {
            let names = names.into_iter().map(|name| name.as_ref().into()).collect();
            return self.subscribe_to_names(names, listener);
        }
        let mut topics: Vec<Arc<TopicShared>> = Vec::new();
        for name in names {
            let topic = self.find_topic(name.as_ref())?;
            if !topics.iter().any(|other| Arc::ptr_eq(other, &topic)) {
                topics.push(topic);
            }
        }
        self.check_upstreams_of_topics(&topics)?;
        match self.config.group.clone() {
            Some(group) if !topics.is_empty() => {
                let wait = WaitStrategy::most_patient(topics.iter().map(|t| &t.config().wait));
                self.subscribe_as_member(&group, topics, None, listener)?;
                (self.wait, self.mode) = (wait, Some(AssignmentMode::Subscribe));
            }
            _ => self.subscribe_alone(topics),
        }
        self.followed = None;
        self.announce_progress();
        Ok(())
    }

    /// Subscribes outside groups. Nothing fails here.
    pub(super) fn subscribe_alone(&mut self, topics: Vec<Arc<TopicShared>>) {
        self.leave_group(LeaveReason::Unsubscribed);
        let mut subscriptions: Vec<TopicSubscription> = Vec::new();
        let mut partitions = Vec::new();
        for topic in topics {
            // Subscribed before the partitions are counted, so that none is missed.
            let mut subscription = self.take_subscription(&topic);
            let counted = subscription.subscribe();
            let consumer = self.registration.consumer();
            self.assigned
                .extend(added_partitions(&subscription, consumer));
            // A partition that is being added may be in the inbox before the topic counts it.
            let of_topic = self.assigned.iter();
            let of_topic = of_topic.filter(|a| Arc::ptr_eq(&a.topic, &topic));
            let count = of_topic.map(|a| a.partition + 1).fold(counted, u32::max);
            partitions.extend((0..count).map(|partition| ResolvedPartition {
                topic: topic.clone(),
                partition,
            }));
            subscriptions.push(subscription);
        }
        self.replace_assignment(AssignmentMode::Subscribe, &partitions, subscriptions);
        // The states that the partitions have seen may include partitions added meanwhile.
        self.assign_added_partitions();
    }

    /// Reads exactly these partitions from now on, instead of what the consumer read before.
    ///
    /// Positions are as with [`subscribe`](Self::subscribe). With a
    /// [`group`](crate::ConsumerConfig::group) the consumer begins at the group's committed
    /// offsets, and does not become a member. A partition named twice counts once.
    ///
    /// # Errors
    /// The old assignment stays in force after an error.
    ///
    /// - [`ConsumeError::UnknownTopic`] and [`ConsumeError::PartitionOutOfRange`] for a partition
    ///   that does not exist.
    /// - [`ConsumeError::MixedAssignment`] after `subscribe`, until
    ///   [`unsubscribe`](Self::unsubscribe).
    /// - [`ConsumeError::Upstream`] if the consumer [reads after](crate::ConsumerConfig::read_after)
    ///   another that does not read one of these partitions.
    pub fn assign<P: Into<TopicPartition>>(
        &mut self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<(), ConsumeError> {
        self.check_mode(AssignmentMode::Assign)?;
        let partitions = partitions.into_iter();
        let wanted = partitions.map(|wanted| self.find_partition(&wanted.into()));
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        self.check_upstreams(
            wanted
                .iter()
                .map(|wanted| (&wanted.topic, wanted.partition)),
        )?;
        let mut subscriptions: Vec<TopicSubscription> = Vec::new();
        for ResolvedPartition { topic, .. } in &wanted {
            let mut topics = subscriptions.iter().map(TopicSubscription::topic);
            if !topics.any(|other| Arc::ptr_eq(other, topic)) {
                subscriptions.push(self.take_subscription(topic));
            }
        }
        let before = self.assigned.iter().map(|assigned| ResolvedPartition {
            topic: assigned.topic.clone(),
            partition: assigned.partition,
        });
        let before: Vec<_> = before.collect();
        self.replace_assignment(AssignmentMode::Assign, &wanted, subscriptions);
        self.resume_at_committed(&before);
        self.announce_progress();
        Ok(())
    }

    /// Reads nothing from now on, and holds nothing back. Both `subscribe` and `assign` are
    /// possible again.
    ///
    /// A member leaves its group. With [`auto_commit`](crate::ConsumerConfig::auto_commit) it first
    /// commits what its polls have returned.
    pub fn unsubscribe(&mut self) {
        self.leave_group(LeaveReason::Unsubscribed);
        self.publish_all_read();
        self.assigned.clear();
        self.subscriptions.clear();
        self.followed = None;
        self.mode = None;
        self.announce_progress();
    }

    /// The partitions that the consumer reads now.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        let assigned = self.assigned.iter();
        assigned.map(AssignedPartition::topic_partition).collect()
    }

    pub(super) fn check_mode(&self, requested: AssignmentMode) -> Result<(), ConsumeError> {
        match self.mode {
            Some(mode) if mode != requested => Err(ConsumeError::MixedAssignment {
                given: mode.name(),
                asked: requested.name(),
            }),
            _ => Ok(()),
        }
    }

    /// The consumer's subscription to this topic, or a new one.
    fn take_subscription(&mut self, topic: &Arc<TopicShared>) -> TopicSubscription {
        let mut topics = self.subscriptions.iter().map(TopicSubscription::topic);
        match topics.position(|other| Arc::ptr_eq(other, topic)) {
            Some(i) => self.subscriptions.swap_remove(i),
            None => TopicSubscription::new(topic, self.config.holds_back()),
        }
    }

    /// Reads also the partitions that were added to the subscribed topics.
    pub(super) fn assign_added_partitions(&mut self) {
        for subscription in &self.subscriptions {
            if !subscription.topic().is_deleted() {
                let consumer = self.registration.consumer();
                self.assigned
                    .extend(added_partitions(subscription, consumer));
            }
        }
    }

    fn replace_assignment(
        &mut self,
        mode: AssignmentMode,
        partitions: &[ResolvedPartition],
        subscriptions: Vec<TopicSubscription>,
    ) {
        self.publish_all_read();
        let mut old = core::mem::take(&mut self.assigned);
        let old_subscriptions = core::mem::replace(&mut self.subscriptions, subscriptions);
        // The consumer pins one segment at a time (`segment_pool.rs`), and joining may pin.
        for assigned in &mut old {
            assigned.cursor.unpin();
        }
        for wanted in partitions {
            if self.assigned.iter().any(|a| wanted.is_read_by(a)) {
                continue; // named twice
            }
            let assigned = match old.iter().position(|a| wanted.is_read_by(a)) {
                Some(i) => old.swap_remove(i),
                None => AssignedPartition::join(&wanted.topic, wanted.partition, &self.config)
                    .registered_with(self.registration.consumer(), false),
            };
            self.assigned.push(assigned);
        }
        // Cursors are dropped before the spare segments that pay for their holds.
        drop(old);
        drop(old_subscriptions);
        let topics = self.subscriptions.iter().map(TopicSubscription::topic);
        self.wait = WaitStrategy::most_patient(topics.map(|topic| &topic.config().wait));
        self.mode = (!self.assigned.is_empty()).then_some(mode);
        self.find_upstreams();
        self.next = 0;
        self.pinned = 0;
        if self.assigned.len() >= MANY_PARTITIONS {
            self.poll_order.resize(self.assigned.len());
        }
    }
}
