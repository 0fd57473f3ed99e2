//! The topics of a broker by name, and the subscriptions that follow topics as they are created.
//!
//! The map is immutable and replaced as a whole, so it is read without a lock. It is replaced under
//! the lock of the followers (`follower.rs` has the protocol). Sending and polling never look here.

use super::follower::{Follower, Following, TopicFilter};
use super::handle::Topic;
use crate::sync::{Mutex, Snapshot, lock};
use crate::wait::{Wakeup, defer_wakes};
use std::collections::BTreeMap;
use std::sync::Arc;

type Topics = BTreeMap<Arc<str>, Topic>;

/// The topics of a broker by name. A handle: clones share one directory.
#[derive(Clone)]
pub(crate) struct Directory(Arc<Shared>);

struct Shared {
    /// Replaced only under the lock of `followers`.
    topics: Snapshot<Topics>,
    followers: Mutex<Vec<Arc<Follower>>>,
}

impl Directory {
    pub(crate) fn new() -> Directory {
        Directory(Arc::new(Shared {
            topics: Snapshot::from_pointee(BTreeMap::new()),
            followers: Mutex::new(Vec::new()),
        }))
    }

    pub(crate) fn find(&self, name: &str) -> Option<Topic> {
        self.0.topics.load().get(name).cloned()
    }

    /// All topics, sorted by name.
    pub(crate) fn all(&self) -> Vec<Topic> {
        self.0.topics.load().values().cloned().collect()
    }

    /// The names of all topics, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let topics = self.0.topics.load();
        topics.keys().map(|name| name.to_string()).collect()
    }

    /// Replaces the map. The caller holds the lock of the followers.
    fn change(&self, change: impl Fn(&mut Topics)) {
        self.0.topics.rcu(|topics| {
            let mut topics = BTreeMap::clone(topics);
            change(&mut topics);
            Arc::new(topics)
        });
    }

    /// Adds a topic that no other thread has yet. Returns `false` if the directory already has one
    /// of its name. Each follower of the name holds all of the topic before another thread can have
    /// it.
    pub(crate) fn insert(&self, topic: &Topic) -> bool {
        let _deferred = defer_wakes(); // until the lock is released
        let followers = lock(&self.0.followers);
        if self.find(topic.name()).is_some() {
            return false;
        }
        let followers = followers.iter().filter(|f| f.accepts(topic.name()));
        followers.clone().for_each(|f| f.deliver(topic.inner()));
        self.change(|topics| {
            topics.insert(topic.inner().name().clone(), topic.clone());
        });
        followers.for_each(|f| f.notify());
        true
    }

    /// Removes the topic of this name, marks it as deleted, and returns it.
    pub(crate) fn remove(&self, name: &str) -> Option<Topic> {
        let _deferred = defer_wakes(); // until the lock is released
        let followers = lock(&self.0.followers);
        let topic = self.find(name)?;
        topic.inner().delete();
        self.change(|topics| {
            topics.remove(name);
        });
        let untaken = followers.iter().filter_map(|f| f.take_back(topic.inner()));
        let untaken: Vec<_> = untaken.collect();
        drop(followers);
        drop(untaken); // notifies producers
        Some(topic)
    }

    /// Registers a follower. Returns the topics that `filter` accepts now; topics that are created
    /// later are [found](Following::take_found), and `wakeup` gets its bit.
    pub(crate) fn follow(
        &self,
        filter: &Arc<TopicFilter>,
        holds_back: bool,
        wakeup: &Wakeup,
    ) -> (Following, Vec<Topic>) {
        let follower = Arc::new(Follower::new(filter.clone(), holds_back, wakeup.clone()));
        let mut followers = lock(&self.0.followers);
        followers.push(follower.clone());
        let topics = self.0.topics.load();
        let existing = topics.values().filter(|topic| filter.accepts(topic.name()));
        let existing = existing.cloned().collect();
        drop(followers);
        (Following::new(self.clone(), follower), existing)
    }

    pub(super) fn end_following(&self, follower: &Arc<Follower>) {
        let mut followers = lock(&self.0.followers);
        followers.retain(|other| !Arc::ptr_eq(other, follower));
    }
}
