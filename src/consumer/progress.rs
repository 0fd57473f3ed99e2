//! How far a consumer has read, for the consumers that read after it.
//!
//! `log/published_position.rs` has the word that an upstream publishes for each partition. Here is
//! when it does:
//!
//! | event | what counts as read in the partition |
//! |---|---|
//! | a poll begins | all that earlier polls returned |
//! | a seek | all before the new position, unless that is past the end of the log |
//! | `progress`, `subscribe`, `assign`, `unsubscribe`, `close` | all that polls returned |
//! | the consumer is dropped | no more than before: its last batch may not have been handled |
//!
//! It publishes only once it has been asked for a [`ReadProgress`], so other consumers pay one
//! branch at each poll. A consumer with a group publishes nothing itself: its group does
//! (`group/ownership.rs`).
//!
//! A dependent finds the words by partition, in [`ConsumerProgress`], under a lock that is taken
//! when the upstream's partitions change and when a dependent begins to read one; never by a poll
//! that knows its words. An entry stays when the upstream stops reading the partition, so a
//! dependent that comes later reads up to there.

use super::Consumer;
use super::assigned_partition::AssignedPartition;
use super::registry::ConsumerRegistry;
use super::subscribe::AssignmentMode;
use crate::log::published_position::PublishedPosition;
use crate::sync::lock_std as lock;
use crate::topic::{TopicFilter, TopicShared};
use core::fmt;
// Not the facade's lock: in the models no thread waits for another under this lock.
use std::sync::{Arc, Mutex, Weak};

/// What a consumer or a group has read: see [`Consumer::progress`].
///
/// Clones refer to the same consumer or group. The handle may outlive the consumer.
#[derive(Clone)]
pub struct ReadProgress {
    pub(super) upstream: Upstream,
    pub(super) broker: Weak<ConsumerRegistry>,
}

/// A consumer or a group after which another consumer reads.
#[derive(Clone)]
pub(crate) enum Upstream {
    Consumer(Arc<ConsumerProgress>),
    /// By name.
    Group(Arc<str>),
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Upstream::Consumer(progress) => write!(f, "consumer {:?}", progress.client_id),
            Upstream::Group(name) => write!(f, "group {name:?}"),
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for ReadProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadProgress").field(&self.upstream).finish()
    }
}

impl Consumer {
    /// A handle to what this consumer has read, for consumers that are to
    /// [read after it](crate::ConsumerConfig::read_after).
    ///
    /// The records of a batch count as read when the consumer's next call of `poll`, `seek`,
    /// `subscribe`, `assign`, `unsubscribe`, `progress` or `close` begins: then they have been
    /// handled. If the consumer is dropped instead, they do not count. What the consumer has left
    /// out counts as read as well: records before its first position, records that it lost, and records
    /// that a seek has passed. A seek back takes nothing back.
    ///
    /// For a consumer with a [`group`](crate::ConsumerConfig::group) this is the group's progress:
    /// what the group has committed, whichever member reads the partition.
    ///
    /// From this call on, each poll publishes the consumer's position: one plain store.
    pub fn progress(&mut self) -> ReadProgress {
        let upstream = match &self.config.group {
            Some(group) => Upstream::Group(group.clone()),
            None => {
                let progress = self.registered().progress.clone();
                progress.begin();
                for assigned in &mut self.assigned {
                    if assigned.publisher.is_none() {
                        assigned.publisher =
                            progress.publisher(&assigned.topic, assigned.partition);
                    }
                    assigned.publish_read();
                }
                Upstream::Consumer(progress)
            }
        };
        ReadProgress {
            upstream,
            broker: self.registration.broker(),
        }
    }

    /// Publishes that all that was returned has been read.
    pub(super) fn publish_all_read(&self) {
        self.assigned
            .iter()
            .for_each(AssignedPartition::publish_read);
    }

    /// After a change of what the consumer is to read: dependents that wait for it to take in a
    /// partition look again whether it will.
    pub(super) fn announce_progress(&self) {
        let subscribes = self.mode == Some(AssignmentMode::Subscribe);
        let follows = self.followed_filter().cloned();
        let progress = &self.registered().progress;
        let (mut topics, followed) = progress.set_interest(subscribes, follows);
        if let Some(followed) = followed {
            // It may not have taken in all of them.
            let all = self.directory.all();
            let all = all.iter().filter(|topic| followed.accepts(topic.name()));
            topics.extend(all.map(|topic| topic.inner().clone()));
        }
        for topic in topics {
            for partition in 0..topic.partitions() {
                let readers = topic.partition(partition).readers();
                readers.waiting().notify();
            }
        }
    }
}

impl AssignedPartition {
    /// Publishes that all that was returned has been read, if another consumer wants to know.
    #[inline(always)]
    pub(super) fn publish_read(&self) {
        if let Some(publisher) = &self.publisher {
            self.publish_to(publisher);
        }
    }

    #[cold]
    #[inline(never)]
    fn publish_to(&self, Publisher(published): &Publisher) {
        let position = self.returned_position();
        // A position past the end is not reached: the next poll finds it out of range.
        if self.positioned
            && (self.cursor.resolved_position().is_some()
                || position <= self.cursor.partition().log_end_offset())
        {
            published.publish(position);
        }
    }
}

/// The right to publish what a consumer has read of one partition. Dropping it ends that.
pub(super) struct Publisher(Arc<PublishedPosition>);

impl Drop for Publisher {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What a consumer has read: one published position for each partition.
pub(crate) struct ConsumerProgress {
    pub(super) consumer_id: u64,
    client_id: Arc<str>,
    state: Mutex<ProgressState>,
}

#[derive(Default)]
struct ProgressState {
    /// There is a handle, so the consumer publishes.
    published: bool,
    /// The consumer is subscribed to topics, and takes in the partitions that are added to them.
    subscribes: bool,
    /// The topics that it takes in when they are created.
    follows: Option<Arc<TopicFilter>>,
    /// The consumer is gone.
    ended: bool,
    partitions: Vec<PublishedPartition>,
}

struct PublishedPartition {
    topic: Weak<TopicShared>,
    partition: u32,
    position: Arc<PublishedPosition>,
}

/// What there is to know of an upstream and a partition.
pub(super) enum UpstreamPosition {
    Known(Arc<PublishedPosition>),
    /// The upstream will take in the partition.
    Awaited,
    NotRead,
    /// The upstream is gone, and has never read the partition.
    Ended,
}

impl ConsumerProgress {
    pub(super) fn new(consumer_id: u64, client_id: &Arc<str>) -> ConsumerProgress {
        ConsumerProgress {
            consumer_id,
            client_id: client_id.clone(),
            state: Mutex::default(),
        }
    }

    fn begin(&self) {
        lock(&self.state).published = true;
    }

    /// The publisher of a partition that the consumer comes to read, if there is a handle.
    pub(super) fn publisher(&self, topic: &Arc<TopicShared>, partition: u32) -> Option<Publisher> {
        if !lock(&self.state).published {
            return None;
        }
        let readers = topic.partition(partition).readers();
        let position = Arc::new(PublishedPosition::new(readers));
        let mut state = lock(&self.state);
        state
            .partitions
            .retain(|known| known.topic.strong_count() > 0 && !known.is(topic, partition));
        state.partitions.push(PublishedPartition {
            topic: Arc::downgrade(topic),
            partition,
            position: position.clone(),
        });
        drop(state);
        readers.waiting().notify();
        Some(Publisher(position))
    }

    /// Returns the topics in which it publishes positions, and the filter of the topics that it followed
    /// until now, if another consumer may wait for it there.
    fn set_interest(
        &self,
        subscribes: bool,
        follows: Option<Arc<TopicFilter>>,
    ) -> (Vec<Arc<TopicShared>>, Option<Arc<TopicFilter>>) {
        let mut state = lock(&self.state);
        state.subscribes = subscribes;
        let followed = std::mem::replace(&mut state.follows, follows);
        let followed = followed.filter(|_| state.published);
        let mut topics: Vec<_> = state.partitions.iter().map(|known| &known.topic).collect();
        topics.dedup_by(|a, b| a.ptr_eq(b));
        let topics = topics.iter().filter_map(|topic| topic.upgrade()).collect();
        (topics, followed)
    }

    /// The consumer is gone.
    pub(super) fn end(&self) {
        lock(&self.state).ended = true;
    }

    pub(super) fn find(&self, topic: &Arc<TopicShared>, partition: u32) -> UpstreamPosition {
        let state = lock(&self.state);
        let mut known = state.partitions.iter();
        if let Some(known) = known.find(|known| known.is(topic, partition)) {
            return UpstreamPosition::Known(known.position.clone());
        }
        let mut partitions = state.partitions.iter();
        let follows = state.follows.as_ref();
        let awaited = state.subscribes && partitions.any(|known| known.is_of(topic))
            || follows.is_some_and(|filter| filter.accepts(topic.name()));
        match awaited {
            _ if state.ended => UpstreamPosition::Ended,
            true => UpstreamPosition::Awaited,
            false => UpstreamPosition::NotRead,
        }
    }
}

impl PublishedPartition {
    fn is_of(&self, topic: &Arc<TopicShared>) -> bool {
        self.topic.as_ptr() == Arc::as_ptr(topic)
    }

    fn is(&self, topic: &Arc<TopicShared>, partition: u32) -> bool {
        self.partition == partition && self.is_of(topic)
    }
}
