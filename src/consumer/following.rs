//! Subscriptions that follow topics as they are created and deleted: by pattern, and by names that
//! need not exist.
//!
//! `topic/follower.rs` has the protocol. A full poll follows: it takes in the topics that were
//! found since, and leaves the deleted ones. A member's topics are found for its group, whose
//! coordinator takes them in (`group/coordinator/following.rs`).

use super::subscribe::AssignmentMode;
use super::{Consumer, RebalanceListener};
use crate::error::ConsumeError;
use crate::name::name_fault;
use crate::topic::{Following, Pattern, TopicFilter, TopicShared, TopicSubscription};
use crate::wait::WaitStrategy;
use std::sync::Arc;

/// What a consumer follows.
pub(super) struct FollowedTopics {
    filter: Arc<TopicFilter>,
    /// Finds topics that are created. `None` for a member: its group has it.
    following: Option<Following>,
}

impl Consumer {
    /// Reads all topics whose names match a regular expression, now and later, instead of what the
    /// consumer read before.
    ///
    /// A name matches if the pattern describes **all** of it, as with Kafka's `subscribe(Pattern)`:
    /// `orders` matches only the topic `orders`, and `orders-.*` matches `orders-eu`. The syntax is
    /// that of the crate [`regex-lite`](https://docs.rs/regex-lite/latest/regex_lite/#syntax).
    ///
    /// The consumer follows the topics as they come and go:
    /// - Topics that **exist** at this call are read as with [`subscribe`](Self::subscribe). The
    ///   consumer begins where [`offset_reset`](crate::ConsumerConfig::offset_reset) says.
    /// - A topic that is **created** later is read by the next poll, from its first record on,
    ///   regardless of `offset_reset`. A poll that waits is woken. Under
    ///   [`Overflow::Backpressure`](crate::Overflow::Backpressure) no record is overwritten before
    ///   the consumer has read it, even if it polls much later.
    /// - A topic that is **deleted** is left without an error. Another topic that is created with
    ///   its name is a new topic.
    /// - A topic that is [**closed**](crate::Topic::close) is read to its end, which one poll
    ///   reports with [`ConsumeError::Closed`]. Later polls read on, and wait for other topics: the
    ///   subscription itself has no end.
    ///
    /// It is not an error if no topic matches now. With a
    /// [`group`](crate::ConsumerConfig::group) this makes the consumer a member. Members may
    /// have different patterns. A topic that is created belongs to the whole group, whichever
    /// member polls first, and reaches them by a rebalance. A member that the group has expelled
    /// follows nothing until it has joined again.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// consumer.subscribe_pattern("orders-.*")?;
    ///
    /// let topic = broker.create_topic("orders-eu", TopicConfig::new())?;
    /// topic.producer().send(Record::new("order"))?;
    /// let batch = consumer.try_poll()?;
    /// assert_eq!((batch.topic(), batch.len()), (Some("orders-eu"), 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The old subscription stays in force after an error.
    ///
    /// - [`ConsumeError::InvalidPattern`] if `pattern` is empty or not a regular expression.
    /// - Those of [`subscribe`](Self::subscribe), except `UnknownTopic` and `Closed`.
    pub fn subscribe_pattern(&mut self, pattern: impl AsRef<str>) -> Result<(), ConsumeError> {
        self.subscribe_to_pattern(pattern.as_ref(), None)
    }

    /// Subscribes as [`subscribe_pattern`](Self::subscribe_pattern) does, with a listener that is
    /// called when this member gets and loses partitions. A later subscription replaces it.
    ///
    /// # Errors
    /// As [`subscribe_pattern`](Self::subscribe_pattern), and [`ConsumeError::NoGroup`] without a
    /// configured group.
    pub fn subscribe_pattern_with(
        &mut self,
        pattern: impl AsRef<str>,
        listener: impl RebalanceListener + 'static,
    ) -> Result<(), ConsumeError> {
        if self.config.group.is_none() {
            return Err(ConsumeError::NoGroup {
                asked: "subscribe_pattern_with",
            });
        }
        self.subscribe_to_pattern(pattern.as_ref(), Some(Box::new(listener)))
    }

    fn subscribe_to_pattern(
        &mut self,
        pattern: &str,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        self.check_mode(AssignmentMode::Subscribe)?;
        let compiled = Pattern::new(pattern).map_err(|reason| ConsumeError::InvalidPattern {
            pattern: pattern.to_owned(),
            reason,
        })?;
        self.subscribe_following(TopicFilter::Pattern(compiled), listener)
    }

    /// Follows the topics of these names: see
    /// [`ConsumerConfig::wait_for_topics`](crate::ConsumerConfig::wait_for_topics).
    pub(super) fn subscribe_to_names(
        &mut self,
        names: Vec<Arc<str>>,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        if names.is_empty() {
            self.unsubscribe();
            return Ok(());
        }
        for name in &names {
            if let Some(reason) = name_fault(name) {
                return Err(ConsumeError::InvalidName {
                    setting: "topic name",
                    name: name.as_ref().to_owned(),
                    reason,
                });
            }
        }
        self.subscribe_following(TopicFilter::Names(names.into_iter().collect()), listener)
    }

    fn subscribe_following(
        &mut self,
        filter: TopicFilter,
        listener: Option<Box<dyn RebalanceListener>>,
    ) -> Result<(), ConsumeError> {
        let filter = Arc::new(filter);
        let (following, topics) = self.follow(&filter);
        self.check_upstreams_of_topics(&topics)?;
        let wait = most_patient_wait(&topics);
        let following = match self.config.group.clone() {
            Some(group) => {
                self.subscribe_as_member(&group, topics, Some(following), listener)?;
                None
            }
            None => {
                // What the old subscription has found and this one reads too keeps its start.
                self.take_found_topics();
                self.subscribe_alone(topics);
                Some(following)
            }
        };
        self.followed = Some(FollowedTopics { filter, following });
        (self.wait, self.mode) = (wait, Some(AssignmentMode::Subscribe));
        self.announce_progress();
        Ok(())
    }

    /// What the consumer follows.
    pub(super) fn followed_filter(&self) -> Option<&Arc<TopicFilter>> {
        self.followed.as_ref().map(|followed| &followed.filter)
    }

    /// Begins to follow topics. Also returns the topics that exist.
    fn follow(&self, filter: &Arc<TopicFilter>) -> (Following, Vec<Arc<TopicShared>>) {
        let holds_back = self.config.holds_back();
        let (following, topics) = self.directory.follow(filter, holds_back, &self.wakeup);
        let topics = topics.iter().map(|topic| topic.inner().clone());
        (following, topics.collect())
    }

    /// For a member that joins again: its topics, or the topics that exist now if it follows topics.
    pub(super) fn topics_to_join(&self) -> (Vec<Arc<TopicShared>>, Option<Following>) {
        match (&self.followed, &self.member) {
            (Some(followed), _) => {
                let (following, topics) = self.follow(&followed.filter);
                (topics, Some(following))
            }
            (None, Some(member)) => (member.topics().to_vec(), None),
            (None, None) => (Vec::new(), None),
        }
    }

    /// Whether the subscription follows topics. It has no end then.
    pub(super) fn is_following(&self) -> bool {
        self.followed.is_some()
    }

    /// A full poll's part: takes in topics that were created, and leaves the deleted ones.
    /// (A member leaves them when it serves its group.)
    pub(super) fn follow_topics(&mut self) {
        // Cleared also if the bit is left over from an earlier subscription.
        let found = self.wakeup.take_topics_found();
        if self.followed.is_none() {
            return;
        }
        if let Some(member) = &mut self.member {
            if found {
                member.update_topics();
                self.wait = most_patient_wait(member.topics());
            }
            return;
        }
        if found {
            self.take_found_topics();
        }
        if self.subscriptions.iter().any(|s| s.topic().is_deleted()) {
            self.drop_deleted_topics();
        }
    }

    /// Reads the topics that were found, from their first record.
    fn take_found_topics(&mut self) {
        let followed = self.followed.as_ref();
        let Some(following) = followed.and_then(|followed| followed.following.as_ref()) else {
            return;
        };
        for inbox in following.take_found() {
            self.subscriptions.push(TopicSubscription::of_inbox(inbox));
        }
        let topics = self.subscriptions.iter().map(TopicSubscription::topic);
        self.wait = WaitStrategy::most_patient(topics.map(|topic| &topic.config().wait));
        self.assign_added_partitions();
        // Again: the states that the new partitions have seen may include partitions added
        // meanwhile.
        self.assign_added_partitions();
    }

    fn drop_deleted_topics(&mut self) {
        // The partition that may have a pin changes its index.
        if let Some(pinned) = self.assigned.get_mut(self.pinned) {
            pinned.cursor.unpin();
        }
        // Cursors are dropped before the spare segments that pay for their holds.
        self.assigned.retain(|a| !a.topic.is_deleted());
        self.subscriptions.retain(|s| !s.topic().is_deleted());
        (self.next, self.pinned) = (0, 0);
    }
}

fn most_patient_wait(topics: &[Arc<TopicShared>]) -> WaitStrategy {
    WaitStrategy::most_patient(topics.iter().map(|topic| &topic.config().wait))
}
