//! A consumer that reads after others, or only what is written or durable: the limit of each of its
//! partitions.
//!
//! The limit is the lowest of the upstreams' published positions (`log/published_position.rs`). A
//! quick poll loads one word of each upstream, and only if the limit that the cursor has allows
//! less than a full batch. The words are found by a full poll, which takes a lock for that
//! (`progress.rs`, the group's lock): at the first poll of a partition, and when an upstream has
//! stopped publishing in a word that the consumer has read up to.
//!
//! A poll that finds nothing in any partition reports an upstream that has stopped. So the consumer
//! first gets all that the upstream has read.

use super::Consumer;
use super::assigned_partition::AssignedPartition;
use super::config::ReadUpTo;
use super::progress::{Upstream, UpstreamPosition};
use crate::error::ConsumeError;
use crate::error::UpstreamError;
use crate::group::Groups;
use crate::log::cursor::QuickPoll;
use crate::log::files::PartitionFiles;
use crate::log::published_position::PublishedPosition;
use crate::topic::TopicShared;
use std::sync::Arc;

/// The upstreams of one partition, with their published positions as far as they are known; and how
/// far it is stored.
pub(super) struct ReadLimit {
    /// The consumer reads only what is stored there.
    stored: Option<StoredLimit>,
    upstreams: Arc<[Upstream]>,
    positions: Box<[Option<Arc<PublishedPosition>>]>,
}

/// How far a partition may be read by what is in its files.
struct StoredLimit {
    files: Arc<PartitionFiles>,
    read_up_to: ReadUpTo,
}

impl StoredLimit {
    /// Whether records may be read as soon as they are sent: the files take no more.
    fn is_lifted(&self) -> bool {
        self.read_up_to == ReadUpTo::Written && self.files.is_stopped()
    }

    fn end(&self) -> u64 {
        match self.read_up_to {
            ReadUpTo::Sent => u64::MAX,
            // Set before the topic is closed, and before its readers are woken.
            ReadUpTo::Written if self.is_lifted() => u64::MAX,
            ReadUpTo::Written => self.files.written_end(),
            ReadUpTo::Durable => self.files.durable_end(),
        }
    }
}

impl ReadLimit {
    /// `None` if nothing limits the consumer.
    pub(super) fn new(
        upstreams: &Arc<[Upstream]>,
        files: Option<&Arc<PartitionFiles>>,
        read_up_to: ReadUpTo,
    ) -> Option<Box<ReadLimit>> {
        let files = files.filter(|_| read_up_to != ReadUpTo::Sent);
        (!upstreams.is_empty() || files.is_some()).then(|| {
            Box::new(ReadLimit {
                stored: files.map(|files| StoredLimit {
                    files: files.clone(),
                    read_up_to,
                }),
                upstreams: upstreams.clone(),
                positions: upstreams.iter().map(|_| None).collect(),
            })
        })
    }

    /// The offset before which everything is stored.
    fn stored_end(&self) -> u64 {
        self.stored.as_ref().map_or(u64::MAX, StoredLimit::end)
    }

    /// Whether records that are sent may not be read before they are in the files.
    pub(super) fn is_by_files(&self) -> bool {
        self.stored
            .as_ref()
            .is_some_and(|stored| !stored.is_lifted())
    }

    /// Whether only what is durable is read.
    pub(super) fn is_durable(&self) -> bool {
        let stored = self.stored.as_ref();
        stored.is_some_and(|stored| stored.read_up_to == ReadUpTo::Durable)
    }

    /// The offset before which all upstreams have read everything, and everything is stored.
    /// `None` if that is not known of all of them.
    fn load(&self) -> Option<u64> {
        let mut limit = self.stored_end();
        for position in &self.positions {
            limit = limit.min(position.as_ref()?.load());
        }
        Some(limit)
    }

    /// Whether an upstream has stopped publishing, at or before `position`.
    fn has_ended_at(&self, position: u64) -> bool {
        let mut known = self.positions.iter().flatten();
        known.any(|published| published.has_ended() && published.load() <= position)
    }
}

impl AssignedPartition {
    /// The quick poll of a partition that is paused or has upstreams.
    #[inline(never)]
    pub(super) fn restricted_quick_poll(&mut self, prefetch_value: bool, max: u32) -> QuickPoll {
        if self.paused {
            return QuickPoll::Empty;
        }
        if let Some(limit) = &self.limit {
            if self.cursor.allowance() < max.into() {
                let Some(limit) = limit.load() else {
                    return QuickPoll::Undecided;
                };
                self.cursor.set_limit(limit);
            }
            if self.cursor.allowance() == 0 {
                return match limit.has_ended_at(self.cursor.position()) {
                    true => QuickPoll::Undecided,
                    false => QuickPoll::Empty,
                };
            }
        }
        let max = self.cursor.allowance().min(max.into()) as u32;
        self.cursor.quick_poll(prefetch_value, max)
    }

    /// A full poll's part: finds the words that are not known yet, and sets the limit.
    pub(super) fn update_limit(&mut self, groups: &Groups) {
        let position = self.cursor.position();
        let Some(known_limit) = self.limit.as_deref_mut() else {
            return;
        };
        let mut limit = known_limit.stored_end();
        let ReadLimit {
            upstreams,
            positions,
            ..
        } = known_limit;
        for (upstream, known) in upstreams.iter().zip(positions) {
            let is_exhausted =
                |known: &Arc<PublishedPosition>| known.has_ended() && known.load() <= position;
            if known.as_ref().is_none_or(is_exhausted) {
                let found = upstream.find(groups, &self.topic, self.partition);
                if let UpstreamPosition::Known(found) = found {
                    *known = Some(found);
                }
            }
            limit = limit.min(known.as_ref().map_or(0, |known| known.load()));
        }
        self.cursor.set_limit(limit);
    }

    /// Whether only a full poll can say that an upstream has stopped.
    pub(super) fn is_upstream_ended(&self) -> bool {
        let limit = self.limit.as_ref();
        limit.is_some_and(|limit| limit.has_ended_at(self.cursor.position()))
    }

    /// Finds the limit, as a full poll does. Returns whether an upstream keeps the consumer from
    /// reading on, which a full poll reports if it finds nothing else.
    pub(super) fn has_ended_upstream(&mut self, groups: &Groups) -> bool {
        if self.limit.is_none() {
            return false;
        }
        self.update_limit(groups);
        !self.is_drained() && self.check_upstreams(groups).is_err()
    }

    /// After a full poll that found nothing. Errors: [`UpstreamError::Ended`] and
    /// [`UpstreamError::NotRead`].
    fn check_upstreams(&self, groups: &Groups) -> Result<(), UpstreamError> {
        let Some(limit) = &self.limit else {
            return Ok(());
        };
        for (upstream, known) in limit.upstreams.iter().zip(&limit.positions) {
            match known {
                Some(known) if known.has_ended() && known.load() <= self.cursor.position() => {
                    return Err(upstream.ended(&self.topic, self.partition, known.load()));
                }
                Some(_) => {}
                None => upstream.check(groups, &self.topic, self.partition)?,
            }
        }
        Ok(())
    }
}

impl Upstream {
    fn find(&self, groups: &Groups, topic: &Arc<TopicShared>, partition: u32) -> UpstreamPosition {
        match self {
            Upstream::Consumer(progress) => progress.find(topic, partition),
            Upstream::Group(name) => match groups.find(name) {
                None => UpstreamPosition::Ended,
                Some(group) => match group.lock().watch(topic, partition) {
                    Some(position) => UpstreamPosition::Known(position),
                    None => UpstreamPosition::Awaited, // the topic is deleted: the poll reports it
                },
            },
        }
    }

    /// Whether the upstream reads the partition, or has read some of it.
    fn check(
        &self,
        groups: &Groups,
        topic: &Arc<TopicShared>,
        partition: u32,
    ) -> Result<(), UpstreamError> {
        let found = match self {
            // Its position is found when it is needed.
            Upstream::Group(name) if groups.find(name).is_some() => UpstreamPosition::Awaited,
            _ => self.find(groups, topic, partition),
        };
        match found {
            UpstreamPosition::Known(_) | UpstreamPosition::Awaited => Ok(()),
            UpstreamPosition::Ended => Err(self.ended(topic, partition, 0)),
            UpstreamPosition::NotRead => Err(UpstreamError::NotRead {
                upstream: self.to_string(),
                topic: topic.name().clone(),
                partition,
            }),
        }
    }

    fn ended(&self, topic: &TopicShared, partition: u32, position: u64) -> UpstreamError {
        UpstreamError::Ended {
            upstream: self.to_string(),
            topic: topic.name().clone(),
            partition,
            position,
        }
    }
}

impl Consumer {
    /// Whether the consumer's upstreams read these partitions. Errors: [`UpstreamError::Ended`] and
    /// [`UpstreamError::NotRead`].
    pub(super) fn check_upstreams<'t>(
        &self,
        partitions: impl Iterator<Item = (&'t Arc<TopicShared>, u32)>,
    ) -> Result<(), ConsumeError> {
        let upstreams = &self.registered().upstreams;
        if upstreams.is_empty() {
            return Ok(());
        }
        for (topic, partition) in partitions {
            for upstream in upstreams.iter() {
                upstream.check(&self.groups, topic, partition)?;
            }
        }
        Ok(())
    }

    /// Finds what the upstreams publish in the consumer's partitions, before the first poll needs it.
    pub(super) fn find_upstreams(&mut self) {
        for assigned in &mut self.assigned {
            assigned.update_limit(&self.groups);
        }
    }

    /// The same for all partitions of these topics.
    pub(super) fn check_upstreams_of_topics(
        &self,
        topics: &[Arc<TopicShared>],
    ) -> Result<(), ConsumeError> {
        self.check_upstreams(topics.iter().flat_map(|topic| {
            let partitions = 0..topic.partitions();
            partitions.map(move |partition| (topic, partition))
        }))
    }

    /// After a round that found nothing: reports an upstream that has stopped reading, where there
    /// is more to read.
    pub(super) fn report_upstreams(&mut self) -> Result<(), ConsumeError> {
        for assigned in &mut self.assigned {
            if assigned.limit.is_some() && !assigned.paused && !assigned.is_drained() {
                // A partition without records was not polled in full.
                assigned.update_limit(&self.groups);
                assigned.check_upstreams(&self.groups)?;
            }
        }
        Ok(())
    }
}
