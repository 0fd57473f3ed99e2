//! The topics of a broker by name: an immutable map that is replaced as a whole.
//!
//! Readers load the current map without a lock. Sending and polling never look here.

use super::handle::Topic;
use crate::sync::Snapshot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The topics of a broker by name. A handle: clones share one directory.
#[derive(Clone)]
pub(crate) struct Directory(Arc<Snapshot<BTreeMap<Arc<str>, Topic>>>);

impl Directory {
    pub(crate) fn new() -> Directory {
        Directory(Arc::new(Snapshot::from_pointee(BTreeMap::new())))
    }

    pub(crate) fn find(&self, name: &str) -> Option<Topic> {
        self.0.load().get(name).cloned()
    }

    /// All topics, sorted by name.
    pub(crate) fn all(&self) -> Vec<Topic> {
        self.0.load().values().cloned().collect()
    }

    /// The names of all topics, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.load().keys().map(|name| name.to_string()).collect()
    }

    /// Adds a topic. Returns `false` if the directory already has one of its name.
    pub(crate) fn insert(&self, topic: &Topic) -> bool {
        // `rcu` retries until its exchange succeeds. Another thread may insert the same name
        // first, so only the last run counts.
        let mut inserted = false;
        self.0.rcu(|topics| {
            inserted = !topics.contains_key(topic.name());
            if !inserted {
                return topics.clone();
            }
            let mut topics = BTreeMap::clone(topics);
            topics.insert(topic.inner().name().clone(), topic.clone());
            Arc::new(topics)
        });
        inserted
    }

    /// Removes the topic of this name, and returns it.
    pub(crate) fn remove(&self, name: &str) -> Option<Topic> {
        let mut removed = None;
        self.0.rcu(|topics| {
            let mut remaining = BTreeMap::clone(topics);
            removed = remaining.remove(name);
            Arc::new(remaining)
        });
        removed
    }
}
