//! A follower: a subscription to topics by name that also takes in topics created later.
//!
//! A follower is registered with the directory (`directory.rs`). From then on, the thread that
//! creates a topic of a name that the follower's filter accepts delivers that topic to it:
//!
//! ```text
//! creating thread                               the follower's consumer
//! lock the followers
//!   subscribe an inbox to all partitions (1)
//!   push it into `found`
//!   publish the topic (2)
//!   set the consumer's bit (3)                  a poll finds the bit, and clears it
//! unlock; wake the consumer                     takes all of `found`
//! ```
//!
//! - **No record is missed.** At (1) the inbox has a hold on each partition, at its first segment.
//!   No other thread can have the topic before (2), so no record is sent before the hold is in
//!   force. So under `Backpressure` nothing is overwritten before the consumer has read it, however
//!   late it polls, unless it may be lapped. This is what an added partition does (`shared.rs`).
//! - **Each topic is found once.** A follower is registered under the same lock, which also returns
//!   the topics that exist. A topic is either one of these, or it is delivered.
//! - **The bit is seen** (row P12). It is set after the push. The consumer clears it before it takes
//!   `found`, so a later delivery sets it again. A consumer that goes to sleep has enrolled in its
//!   event count, which the creating thread notifies (row P15). The bit is in the word that each
//!   poll loads anyway, so following costs a poll nothing.
//!
//! A topic that is deleted is taken back from the followers that have not taken it, so that they
//! do not keep its memory. It is marked as deleted under the same lock. So a thread that has found
//! its successor of the same name finds the old one deleted.
//!
//! A thread that stops under the lock stops creating, deleting and following of topics, and no
//! send and no poll. Lock order: a group's lock, the followers, a topic's subscribers, an inbox.

use super::directory::Directory;
use super::pattern::Pattern;
use super::shared::TopicShared;
use super::subscription::OpenInbox;
use crate::sync::{Mutex, lock};
use crate::wait::Wakeup;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which topics a subscription follows, by their names.
#[derive(Debug)]
pub(crate) enum TopicFilter {
    Names(BTreeSet<Arc<str>>),
    Pattern(Pattern),
}

impl TopicFilter {
    pub(crate) fn accepts(&self, name: &str) -> bool {
        match self {
            TopicFilter::Names(names) => names.contains(name),
            TopicFilter::Pattern(pattern) => pattern.matches(name),
        }
    }
}

/// The directory's side of a follower.
pub(super) struct Follower {
    filter: Arc<TopicFilter>,
    /// Whether the consumer holds back the log start in a gated topic.
    holds_back: bool,
    /// Topics that were created and that the consumer, or its group, has not taken in yet.
    found: Mutex<Vec<OpenInbox>>,
    /// The word of the consumer that is to take them in.
    wakeup: Wakeup,
}

impl Follower {
    pub(super) fn new(filter: Arc<TopicFilter>, holds_back: bool, wakeup: Wakeup) -> Follower {
        Follower {
            filter,
            holds_back,
            found: Mutex::new(Vec::new()),
            wakeup,
        }
    }

    pub(super) fn accepts(&self, name: &str) -> bool {
        self.filter.accepts(name)
    }

    /// Delivers a topic that no other thread has yet.
    pub(super) fn deliver(&self, topic: &Arc<TopicShared>) {
        let inbox = OpenInbox::of_new_topic(topic, self.holds_back);
        lock(&self.found).push(inbox);
    }

    /// After the delivered topic was published.
    pub(super) fn notify(&self) {
        self.wakeup.set_topics_found();
    }

    /// Takes a topic back, if it is still here. The caller drops it outside of locks.
    pub(super) fn take_back(&self, topic: &Arc<TopicShared>) -> Option<OpenInbox> {
        let mut found = lock(&self.found);
        let at = found.iter().position(|inbox| inbox.is_of(topic))?;
        Some(found.swap_remove(at))
    }

    fn take_found(&self) -> Vec<OpenInbox> {
        core::mem::take(&mut *lock(&self.found))
    }
}

/// The subscription's side of a follower. Dropping it ends the following.
pub(crate) struct Following {
    directory: Directory,
    follower: Arc<Follower>,
}

impl Following {
    pub(super) fn new(directory: Directory, follower: Arc<Follower>) -> Following {
        Following {
            directory,
            follower,
        }
    }

    /// The topics that were created since the last call, with all their partitions in the inbox.
    /// Deleted ones are left out, unless they are deleted during this call.
    pub(crate) fn take_found(&self) -> impl Iterator<Item = OpenInbox> + use<> {
        let found = self.follower.take_found().into_iter();
        found.filter(|inbox| !inbox.topic().is_deleted())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.directory.end_following(&self.follower);
    }
}
