//! Names to topics.

use crate::consumer::{Consumer, ConsumerConfig, ConsumerRegistry};
use crate::error::{GroupError, TopicError};
use crate::events::event;
use crate::group::{GroupDescription, Groups, unknown_group};
use crate::stats::{self, BrokerSnapshot};
use crate::topic::{Directory, Topic, TopicConfig};
use core::fmt;
use std::sync::Arc;

/// A set of named topics, in this process.
///
/// A handle: clones are the same broker. Making and deleting topics is safe from any
/// thread; sending and polling never come here.
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
    /// A broker without topics.
    pub fn new() -> Broker {
        Broker {
            directory: Directory::new(),
            groups: Arc::new(Groups::new()),
            consumers: Arc::default(),
        }
    }

    /// Makes a topic, with all its memory.
    ///
    /// # Errors
    /// [`TopicError::TopicExists`]; [`TopicError::InvalidName`] for a name that is empty,
    /// over 249 bytes or does not print; [`TopicError::InvalidConfig`] and
    /// [`TopicError::TooManySegments`] for a setting outside its limits;
    /// [`TopicError::OutOfMemory`] when the system refuses the memory. Nothing is made then.
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

    /// Finds a topic.
    ///
    /// # Errors
    /// [`TopicError::UnknownTopic`].
    pub fn topic(&self, name: &str) -> Result<Topic, TopicError> {
        self.directory.find(name).ok_or_else(|| unknown(name))
    }

    /// Takes a topic out of the broker and closes it: its producers and consumers report
    /// `Closed` from now on, and calls that wait end. Groups forget it. Batches that are held stay readable;
    /// the memory goes with the last handle.
    ///
    /// # Errors
    /// [`TopicError::UnknownTopic`].
    pub fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        match self.directory.remove(name) {
            Some(topic) => {
                topic.inner().delete();
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

    /// A consumer of this broker's topics, without any yet.
    ///
    /// A setting outside its limits is refused by `subscribe` and `assign`.
    pub fn consumer(&self, config: ConsumerConfig) -> Consumer {
        let (directory, groups) = (self.directory.clone(), self.groups.clone());
        Consumer::new(directory, groups, &self.consumers, config)
    }

    /// All there is to see of the broker now: topics, groups, and the consumers that live.
    ///
    /// It may be taken from any thread, at any rate: it stops nobody, and neither sending nor
    /// polling does anything for it. Each number was true at some moment of the call, and
    /// `log_start <= position <= log_end` holds for every position. Of two snapshots that one thread
    /// takes, no counter of a partition is lower in the later. A thousand partitions and a thousand
    /// cursors take about a third of a millisecond.
    ///
    /// ```
    /// # use ringlog::{Broker, ConsumerConfig, Record, TopicConfig};
    /// let broker = Broker::new();
    /// let topic = broker.create_topic("orders", TopicConfig::new())?;
    /// let mut consumer = broker.consumer(ConsumerConfig::new().client_id("billing"));
    /// consumer.subscribe(&["orders"])?;
    /// topic.producer().send(Record::new("login"))?;
    ///
    /// let snapshot = broker.snapshot();
    /// assert_eq!(snapshot.topics[0].partitions[0].appended_records, 1);
    /// let billing = &snapshot.consumers[0];
    /// assert_eq!((&*billing.client_id, billing.partitions[0].lag), ("billing", 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> BrokerSnapshot {
        stats::snapshot(&self.directory.all(), &self.groups, &self.consumers)
    }

    // ---- groups -------------------------------------------------------------------------

    /// The names of all groups, sorted. A group is there from its first member, or commit, until
    /// it is deleted.
    pub fn group_names(&self) -> Vec<String> {
        self.groups.names()
    }

    /// Who is in a group, whose is what, and what is committed, now.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`].
    pub fn describe_group(&self, name: &str) -> Result<GroupDescription, GroupError> {
        let group = self.groups.find(name).ok_or_else(|| unknown_group(name))?;
        let description = group.lock().describe(name);
        Ok(description)
    }

    /// Forgets a group, and holds nothing back for it any more. Members whose consumers are gone
    /// (see [`ConsumerConfig::instance_id`]) are forgotten with it.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`]; [`GroupError::NotEmpty`] while it has live members.
    pub fn delete_group(&self, name: &str) -> Result<(), GroupError> {
        self.groups.delete(name)
    }

    /// Forgets what a group has committed in a topic, and holds nothing of it back any more: for
    /// a topic that its members do not read any longer.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`]; [`GroupError::Subscribed`] while a member is subscribed to
    /// the topic, or still owns a partition of it: it gives that back at its next poll.
    pub fn delete_group_offsets(&self, name: &str, topic: &str) -> Result<(), GroupError> {
        let group = self.groups.find(name).ok_or_else(|| unknown_group(name))?;
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
