//! Names to topics.

use crate::config::{ConsumerConfig, TopicConfig};
use crate::consumer::Consumer;
use crate::error::{GroupError, TopicError};
use crate::group::{GroupDescription, Groups, unknown as unknown_group};
use crate::stats::ConsumerRegistry;
use crate::sync::Snapshot;
use crate::topic::Topic;
use crate::trace::event;
use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The topics by name, replaced as a whole when one comes or goes.
#[derive(Clone)]
pub(crate) struct Directory(Arc<Snapshot<BTreeMap<Arc<str>, Topic>>>);

impl Directory {
    pub(crate) fn find(&self, name: &str) -> Option<Topic> {
        self.0.load().get(name).cloned()
    }
}

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
            directory: Directory(Arc::new(Snapshot::from_pointee(BTreeMap::new()))),
            groups: Arc::new(Groups::new()),
            consumers: Arc::default(),
        }
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(crate) fn consumers(&self) -> &ConsumerRegistry {
        &self.consumers
    }

    /// All topics, by name.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        self.directory.0.load().values().cloned().collect()
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
        // Another thread may add the same name first: whoever's change goes in has made it.
        let mut added = false;
        self.directory.0.rcu(|topics| {
            added = !topics.contains_key(name);
            if !added {
                return topics.clone();
            }
            let mut topics = BTreeMap::clone(topics);
            topics.insert(topic.inner().name().clone(), topic.clone());
            Arc::new(topics)
        });
        if !added {
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
        let mut removed = None;
        self.directory.0.rcu(|topics| {
            let mut rest = BTreeMap::clone(topics);
            removed = rest.remove(name);
            Arc::new(rest)
        });
        match removed {
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
        let topics = self.directory.0.load();
        topics.keys().map(|name| name.to_string()).collect()
    }

    /// A consumer of this broker's topics, without any yet.
    ///
    /// A setting outside its limits is refused by `subscribe` and `assign`.
    pub fn consumer(&self, config: ConsumerConfig) -> Consumer {
        let (directory, groups) = (self.directory.clone(), self.groups.clone());
        Consumer::new(directory, groups, &self.consumers, config)
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
