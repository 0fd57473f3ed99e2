//! The topics of a broker by name, as an immutable map that is replaced as a whole.

use super::handle::Topic;
use crate::sync::Snapshot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The topics by name. A handle: clones are the same directory.
#[derive(Clone)]
pub(crate) struct Directory(Arc<Snapshot<BTreeMap<Arc<str>, Topic>>>);

impl Directory {
    pub(crate) fn new() -> Directory {
        Directory(Arc::new(Snapshot::from_pointee(BTreeMap::new())))
    }

    pub(crate) fn find(&self, name: &str) -> Option<Topic> {
        self.0.load().get(name).cloned()
    }

    /// All topics, by name.
    pub(crate) fn all(&self) -> Vec<Topic> {
        self.0.load().values().cloned().collect()
    }

    /// The names of all topics, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.load().keys().map(|name| name.to_string()).collect()
    }

    /// Adds a topic; `false` if there is one of its name.
    pub(crate) fn insert(&self, topic: &Topic) -> bool {
        // Another thread may insert the same name first: the exchange that succeeds decides.
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

    /// Removes the topic of this name and returns it.
    pub(crate) fn remove(&self, name: &str) -> Option<Topic> {
        let mut removed = None;
        self.0.rcu(|topics| {
            let mut rest = BTreeMap::clone(topics);
            removed = rest.remove(name);
            Arc::new(rest)
        });
        removed
    }
}
