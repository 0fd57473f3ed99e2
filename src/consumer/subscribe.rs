use super::assigned_partition::{AssignedPartition, take_added};
use super::rebalance_listener::RebalanceListener;
use super::registry::Registration;
use super::{Consumer, MANY};
use crate::error::ConsumeError;
use crate::topic::{Topic, TopicPartition, TopicShared, TopicSubscription};
use crate::wait::WaitStrategy;
use std::sync::Arc;

/// How the consumer was given its partitions. The two do not mix.
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
    /// Reads all partitions of these topics from now on, instead of what it read before.
    /// Partitions that it read already keep their positions; in the others it begins as
    /// [`OffsetReset`](crate::OffsetReset) says, now. No topics: as [`unsubscribe`](Self::unsubscribe).
    ///
    /// With a [`group`](ConsumerConfig::group) this makes it a member, which gets and gives back its
    /// share of the partitions in its polls.
    ///
    /// # Errors
    /// [`ConsumeError::UnknownTopic`]; [`ConsumeError::Closed`];
    /// [`ConsumeError::MixedAssignment`] after `assign`; [`ConsumeError::InvalidConfig`] if
    /// the consumer's settings are outside their limits; with a group also
    /// [`ConsumeError::InvalidName`] and [`ConsumeError::OtherAssignor`]. The old subscription stays
    /// then.
    pub fn subscribe<N: AsRef<str>>(&mut self, topics: &[N]) -> Result<(), ConsumeError> {
        self.subscribe_to(topics, None)
    }

    pub(crate) fn subscribe_to<N: AsRef<str>>(
        &mut self,
        names: &[N],
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        self.check_given(AssignmentMode::Subscribe)?;
        let mut found: Vec<Arc<TopicShared>> = Vec::new();
        for name in names {
            let topic = self.find_topic(name.as_ref())?;
            if !found.iter().any(|t| Arc::ptr_eq(t, topic.inner())) {
                found.push(topic.inner().clone());
            }
        }
        let group = self.config.group.clone().filter(|_| !found.is_empty());
        if let Some(group) = group {
            let waits = found.iter().map(|topic| &topic.config().wait);
            let wait = WaitStrategy::most_patient(waits);
            self.subscribe_as_member(&group, found, listener)?;
            (self.wait, self.mode) = (wait, Some(AssignmentMode::Subscribe));
            return Ok(());
        }
        // From here on nothing is refused. Who subscribes first and counts then misses none.
        self.leave_group(true, false);
        let mut subscriptions: Vec<TopicSubscription> = Vec::new();
        let mut partitions = Vec::new();
        for topic in found {
            let mut subscription = self.subscription(&topic);
            let there = subscription.subscribe();
            self.assigned.extend(added(&subscription, &self.entry));
            // One that is just being added it may have before the topic tells of it.
            let here = self.assigned.iter();
            let here = here.filter(|a| Arc::ptr_eq(&a.topic, &topic));
            let all = here.map(|a| a.partition + 1).fold(there, u32::max);
            partitions.extend((0..all).map(|p| (topic.clone(), p)));
            subscriptions.push(subscription);
        }
        self.replace(AssignmentMode::Subscribe, partitions, subscriptions);
        // What was added meanwhile is in the states that the partitions remember.
        self.take_added();
        Ok(())
    }

    /// Reads exactly these partitions from now on; otherwise as
    /// [`subscribe`](Self::subscribe). With a group it begins where that has committed, and is no
    /// member of it.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe), and [`ConsumeError::PartitionOutOfRange`].
    pub fn assign(&mut self, partitions: &[TopicPartition]) -> Result<(), ConsumeError> {
        self.check_given(AssignmentMode::Assign)?;
        let mut found = Vec::new();
        for wanted in partitions {
            let topic = self.find_partition(wanted)?;
            found.push((topic.inner().clone(), wanted.partition));
        }
        let mut subscriptions: Vec<TopicSubscription> = Vec::new();
        for (topic, _) in &found {
            if !subscriptions
                .iter()
                .any(|subscription| Arc::ptr_eq(subscription.topic(), topic))
            {
                subscriptions.push(self.subscription(topic));
            }
        }
        let before = self.assigned.iter();
        let before: Vec<_> = before.map(|a| (a.topic.clone(), a.partition)).collect();
        self.replace(AssignmentMode::Assign, found, subscriptions);
        self.resume_at_committed(&before);
        Ok(())
    }

    /// Reads nothing any more, and holds nothing back. `subscribe` and `assign` are both
    /// possible again. A member leaves its group; it commits first, if it does so by itself.
    pub fn unsubscribe(&mut self) {
        self.leave_group(true, false);
        self.assigned.clear();
        self.subscriptions.clear();
        self.mode = None;
    }

    /// The partitions that it reads.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        let assigned = self.assigned.iter();
        assigned
            .map(|a| TopicPartition::new(&**a.topic.name(), a.partition))
            .collect()
    }

    fn check_given(&self, asked: AssignmentMode) -> Result<(), ConsumeError> {
        self.config.validate()?;
        match self.mode {
            Some(given) if given != asked => Err(ConsumeError::MixedAssignment {
                given: given.name(),
                asked: asked.name(),
            }),
            _ => Ok(()),
        }
    }

    fn find_topic(&self, name: &str) -> Result<Topic, ConsumeError> {
        self.directory
            .find(name)
            .ok_or_else(|| ConsumeError::UnknownTopic {
                name: name.to_owned(),
            })
    }

    pub(crate) fn find_partition(&self, wanted: &TopicPartition) -> Result<Topic, ConsumeError> {
        let topic = self.find_topic(&wanted.topic)?;
        if wanted.partition >= topic.partitions() {
            return Err(ConsumeError::PartitionOutOfRange {
                topic: topic.inner().name().clone(),
                partition: wanted.partition,
                partitions: topic.partitions(),
            });
        }
        Ok(topic)
    }

    /// The seat that it has at this topic, or a new one.
    fn subscription(&mut self, topic: &Arc<TopicShared>) -> TopicSubscription {
        let mut subscriptions = self.subscriptions.iter();
        match subscriptions.position(|subscription| Arc::ptr_eq(subscription.topic(), topic)) {
            Some(i) => self.subscriptions.swap_remove(i),
            None => TopicSubscription::new(topic),
        }
    }

    /// Takes in the partitions that were added to the topics it is subscribed to.
    pub(super) fn take_added(&mut self) {
        for subscription in &self.subscriptions {
            if !subscription.topic().is_deleted() {
                self.assigned.extend(added(subscription, &self.entry));
            }
        }
    }

    fn replace(
        &mut self,
        given: AssignmentMode,
        partitions: Vec<(Arc<TopicShared>, u32)>,
        subscriptions: Vec<TopicSubscription>,
    ) {
        let mut old = core::mem::take(&mut self.assigned);
        let old_seats = core::mem::replace(&mut self.subscriptions, subscriptions);
        // One pin at a time: joining a partition may pin.
        for assigned in &mut old {
            assigned.cursor.unpin();
        }
        for (topic, partition) in partitions {
            let same =
                |a: &AssignedPartition| a.partition == partition && Arc::ptr_eq(&a.topic, &topic);
            if self.assigned.iter().any(same) {
                continue; // named twice
            }
            self.assigned.push(match old.iter().position(same) {
                Some(i) => old.swap_remove(i),
                None => AssignedPartition::join(&topic, partition, self.config.offset_reset)
                    .watched(&self.entry.card, false),
            });
        }
        // The partitions left behind go before the seats that their holds sat on.
        drop(old);
        drop(old_seats);
        let waits = self
            .subscriptions
            .iter()
            .map(|subscription| &subscription.topic().config().wait);
        self.wait = WaitStrategy::most_patient(waits);
        self.mode = (!self.assigned.is_empty()).then_some(given);
        self.next = 0;
        self.pinned = 0;
        if self.assigned.len() >= MANY {
            self.poll_order.make_room(self.assigned.len());
        }
    }
}

/// The partitions that were added to the topic of a consumer's seat.
fn added<'s>(
    subscription: &TopicSubscription,
    entry: &'s Registration,
) -> impl Iterator<Item = AssignedPartition> + use<'s> {
    let added = take_added(subscription).into_iter();
    added.map(|assigned| assigned.watched(&entry.card, false))
}
