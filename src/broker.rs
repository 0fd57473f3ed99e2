//! [`Broker`]: topics and groups by name.

use crate::consumer::{Consumer, ConsumerConfig, ConsumerRegistry};
use crate::error::{ConsumeError, GroupError, TopicError};
use crate::events::event;
use crate::group::{GroupDescription, Groups};
use crate::stats::{self, BrokerSnapshot};
use crate::topic::{Directory, Topic, TopicConfig};
use core::fmt;
use std::sync::Arc;

/// A set of named topics and consumer groups, in this process.
///
/// This is a handle: clones refer to the same broker. Any thread may create and delete topics.
/// Sending and polling never use the broker, so its methods do not slow them down.
///
/// ```
/// use ringlog::{Broker, TopicConfig};
///
/// let broker = Broker::new();
/// let topic = broker.create_topic("orders", TopicConfig::new().partitions(3))?;
/// assert_eq!(broker.topic("orders")?.partitions(), topic.partitions());
/// assert_eq!(broker.topic_names(), ["orders"]);
/// broker.delete_topic("orders")?;
/// assert!(broker.topic("orders").is_err());
/// # Ok::<(), ringlog::TopicError>(())
/// ```
#[derive(Clone)]
pub struct Broker {
    directory: Directory,
    groups: Arc<Groups>,
    consumers: Arc<ConsumerRegistry>,
}

impl Default for Broker {
    fn default() -> Self {
        Self::new()
    }
}

impl Broker {
    /// Creates a broker without topics.
    pub fn new() -> Broker {
        Broker {
            directory: Directory::new(),
            groups: Arc::new(Groups::new()),
            consumers: Arc::default(),
        }
    }

    /// Creates a topic, and allocates all its memory.
    ///
    /// # Errors
    /// - [`TopicError::TopicExists`] if the broker has a topic of this name.
    /// - [`TopicError::InvalidName`] for a name that is empty, is longer than 249 bytes or has
    ///   characters that do not print.
    /// - [`TopicError::InvalidConfig`] and [`TopicError::TooManySegments`] for a setting outside
    ///   its limits.
    /// - [`TopicError::OutOfMemory`] if the system refuses the memory.
    ///
    /// On an error nothing is created.
    pub fn create_topic(&self, name: &str, config: TopicConfig) -> Result<Topic, TopicError> {
        let exists = || TopicError::TopicExists {
            name: name.to_owned(),
        };
        if self.directory.find(name).is_some() {
            return Err(exists());
        }
        let topic = Topic::new(name, config)?;
        if !self.directory.insert(&topic) {
            return Err(exists());
        }
        event!(
            info,
            "topic created",
            topic = name,
            partitions = topic.partitions(),
            memory_bytes = topic.memory_bytes(),
        );
        Ok(topic)
    }

    /// Returns the topic of this name, or creates it if there is none.
    ///
    /// Threads that call this at the same time get the same topic: one of them creates it. A topic
    /// that exists is returned **as it is**, also if it was created with another configuration or
    /// is [closed](Topic::close); `config` is not looked at then. If the topic is deleted during the
    /// call, another one is created.
    ///
    /// ```
    /// use ringlog::{Broker, TopicConfig};
    ///
    /// let broker = Broker::new();
    /// let topic = broker.get_or_create_topic("orders", TopicConfig::new().partitions(3))?;
    /// let same = broker.get_or_create_topic("orders", TopicConfig::new())?;
    /// assert_eq!((topic.partitions(), same.partitions()), (3, 3));
    /// # Ok::<(), ringlog::TopicError>(())
    /// ```
    ///
    /// # Errors
    /// As [`create_topic`](Self::create_topic), except `TopicExists`.
    pub fn get_or_create_topic(
        &self,
        name: &str,
        config: TopicConfig,
    ) -> Result<Topic, TopicError> {
        loop {
            if let Some(topic) = self.directory.find(name) {
                return Ok(topic);
            }
            // Two threads may both allocate a topic, and then one of them may be out of memory
            // although the other's topic exists. So the name decides, whatever the error.
            match self.create_topic(name, config.clone()) {
                Ok(topic) => return Ok(topic),
                Err(TopicError::TopicExists { .. }) => {}
                Err(error) => return self.directory.find(name).ok_or(error),
            }
        }
    }

    /// Returns the topic of this name.
    ///
    /// # Errors
    /// [`TopicError::UnknownTopic`].
    pub fn topic(&self, name: &str) -> Result<Topic, TopicError> {
        self.directory.find(name).ok_or_else(|| unknown(name))
    }

    /// Removes a topic from the broker and closes it.
    ///
    /// Its producers and consumers report `Closed` from now on, and waiting calls end. (A consumer
    /// that follows topics, by [pattern](Consumer::subscribe_pattern) or with
    /// [`wait_for_topics`](ConsumerConfig::wait_for_topics), reports nothing and reads on.) Groups
    /// forget the topic. Batches that are held stay readable. The memory is freed when the last
    /// handle is dropped.
    ///
    /// # Errors
    /// [`TopicError::UnknownTopic`].
    pub fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        match self.directory.remove(name) {
            Some(topic) => {
                self.groups.forget_topic(topic.inner());
                event!(info, "topic deleted", topic = name);
                Ok(())
            }
            None => Err(unknown(name)),
        }
    }

    /// The names of all topics, sorted.
    pub fn topic_names(&self) -> Vec<String> {
        self.directory.names()
    }

    /// Creates a consumer of this broker's topics. It reads nothing until it is subscribed to
    /// topics or assigned partitions.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new())?;
    /// consumer.subscribe(["orders"])?;
    /// topic.producer().send(Record::new("login"))?;
    /// assert_eq!(consumer.try_poll()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ConsumeError::InvalidConfig`], [`ConsumeError::InvalidName`] and
    /// [`ConsumeError::NoGroup`] if the configuration is not valid: a number is outside its limits,
    /// a name breaks its rule, or there is an `instance_id` without a group.
    pub fn consumer(&self, config: ConsumerConfig) -> Result<Consumer, ConsumeError> {
        let (directory, groups) = (self.directory.clone(), self.groups.clone());
        Consumer::new(directory, groups, &self.consumers, config)
    }

    /// Returns the statistics of all topics, groups and live consumers.
    ///
    /// Any thread may call it, at any rate: it stops no other thread, and sending and polling do
    /// no extra work for it. Each number was true at some moment of the call, and
    /// `log_start <= position <= log_end` holds for every position. Of two snapshots taken by one
    /// thread, no counter of a partition is lower in the later. With a thousand partitions and a
    /// thousand cursors it takes about a third of a millisecond.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new().client_id("billing"))?;
    /// consumer.subscribe(["orders"])?;
    /// topic.producer().send(Record::new("login"))?;
    ///
    /// let snapshot = broker.snapshot();
    /// assert_eq!(snapshot.topics[0].partitions[0].appended_records, 1);
    /// let billing = &snapshot.consumers[0];
    /// assert_eq!((&*billing.client_id, billing.partitions[0].lag), ("billing", 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> BrokerSnapshot {
        stats::snapshot(&self.directory, &self.groups, &self.consumers)
    }

    // ---- groups -------------------------------------------------------------------------

    /// The names of all groups, sorted. A group exists from its first member or commit until it is
    /// deleted.
    pub fn group_names(&self) -> Vec<String> {
        self.groups.names()
    }

    /// Describes a group as it is now: its members, the owner of each partition, and the
    /// committed offsets.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// # let broker = Broker::new();
    /// # let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// topic.producer().send(Record::new("login"))?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new().group("billing"))?;
    /// consumer.subscribe(["orders"])?;
    /// consumer.try_poll()?; // takes the partition, and reads the record
    /// consumer.try_poll()?; // commits it
    ///
    /// let group = broker.describe_group("billing")?;
    /// assert_eq!(group.members.len(), 1);
    /// assert_eq!(group.partitions[0].owner, Some(group.members[0].id));
    /// assert_eq!(group.partitions[0].committed, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`].
    pub fn describe_group(&self, name: &str) -> Result<GroupDescription, GroupError> {
        let group = self.groups.get(name)?;
        let description = group.lock().describe(name);
        Ok(description)
    }

    /// Deletes a group with its committed offsets, and releases the records that were held back
    /// for it. Members whose consumers are gone (see [`ConsumerConfig::instance_id`]) are deleted
    /// with it.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`]; [`GroupError::NotEmpty`] while it has live members.
    pub fn delete_group(&self, name: &str) -> Result<(), GroupError> {
        self.groups.delete(name)
    }

    /// Deletes a group's committed offsets in a topic that its members no longer read, and
    /// releases the topic's records that were held back for the group.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`]; [`GroupError::Subscribed`] while a member is subscribed to
    /// the topic, or still owns a partition of it, which it releases at its next poll.
    pub fn delete_group_offsets(&self, name: &str, topic: &str) -> Result<(), GroupError> {
        let group = self.groups.get(name)?;
        if group.lock().forget_offsets(topic) {
            return Ok(());
        }
        Err(GroupError::Subscribed {
            name: name.to_owned(),
            topic: topic.to_owned(),
        })
    }
}

fn unknown(name: &str) -> TopicError {
    TopicError::UnknownTopic {
        name: name.to_owned(),
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("topics", &self.topic_names())
            .finish()
    }
}
