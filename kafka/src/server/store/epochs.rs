//! The leader epoch: the number of the start of this directory's server, and what is kept of it.
//!
//! Each start of a server begins an epoch in all partitions, where they end then. The number and each
//! partition's list ([`LeaderEpochs`]) are stored, durably, before a client is served. So a list is
//! never behind what a client has seen, and it is cut where a crash has cut the log.
//!
//! The number never goes down, also for a topic that is deleted and created again: clients ignore an
//! epoch that is before one that they have seen. If it may be lost, it goes on at one that no server can
//! have had: the seconds since 2020, as there was less than one start a second. That is so
//! - if the store is damaged, or something at its end was cut off: there may have been a later number;
//! - if there is none, and yet there is something else in the store, or records in the topics: the store
//!   was removed, or is of a version that had no epochs, or a program has written to topics before.
//!
//! If it cannot be stored, there is none ([`NO_EPOCH`]) until the next start: clients go on as with a
//! server that has no epochs.

use super::{COMPACT_STEP, Change, Reader, Store, StoreError, Writer};
use crate::server::leader_epochs::{EpochStart, LeaderEpochs, NO_EPOCH};
use ringlog::{Broker, Topic, TopicError};
use std::collections::HashSet;
use std::mem;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tracing::warn;
use uuid::Uuid;

/// The seconds from 1970 to 2020.
const FIRST_CLOCK: Duration = Duration::from_secs(1_577_836_800);

fn key() -> Vec<u8> {
    vec![b'l']
}

fn list_key(id: Uuid, partition: u32) -> Vec<u8> {
    let key = Writer::new(b'e').uuid(id);
    key.i32(partition as i32).into_bytes()
}

fn write_list(epochs: &LeaderEpochs) -> Vec<u8> {
    let entries = epochs.entries();
    let list = Writer::new(1).list(entries, |writer, entry| {
        writer.i32(entry.epoch).u64(entry.start)
    });
    list.into_bytes()
}

fn read_list(bytes: &[u8]) -> Option<LeaderEpochs> {
    let entries = Reader::new(bytes, 1)?.list(|reader| {
        Some(EpochStart {
            epoch: reader.i32()?,
            start: reader.u64()?,
        })
    });
    LeaderEpochs::from_entries(entries?)
}

/// What can be an epoch at this time that no server has had.
fn by_clock() -> i32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or_default().saturating_sub(FIRST_CLOCK);
    i32::try_from(since.as_secs()).unwrap_or(i32::MAX)
}

/// How many of the first changes are applied at once.
fn step(changes: &[Change]) -> usize {
    let mut bytes = 0;
    let fits = changes.iter().take_while(|(key, value)| {
        bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        bytes <= COMPACT_STEP
    });
    fits.count().max(1)
}

impl Store {
    fn epochs(&self, id: Uuid, partition: u32) -> Option<LeaderEpochs> {
        let stored = self.get(&list_key(id, partition))?;
        let epochs = read_list(&stored);
        if epochs.is_none() {
            warn!(topic = %id, partition, "the partition's stored leader epochs cannot be read");
        }
        epochs
    }

    /// The epoch that begins now.
    fn next_epoch(&self, topics: &[Topic]) -> i32 {
        let stored = self.get(&key());
        let stored = stored.and_then(|value| Reader::new(&value, 1)?.i32());
        // A list may have outlived the number.
        let lists = self.with_prefix(b"e").into_iter();
        let listed = lists.filter_map(|(_, value)| read_list(&value));
        let latest = listed.map(|list| list.current()).chain(stored).max();
        let next = latest.map_or(0, |latest| latest.saturating_add(1));
        let has_records = |topic: &Topic| {
            let mut partitions = 0..topic.partitions();
            topic.id().is_some() && partitions.any(|n| topic.log_end_offset(n) != Ok(0))
        };
        let is_first = || self.is_empty() && !topics.iter().any(has_records);
        if !self.may_have_lost_changes && (stored.is_some() || is_first()) {
            return next;
        }
        let epoch = next.max(by_clock());
        warn!(epoch, "the last leader epoch is not known: it goes on here");
        epoch
    }

    /// Begins an epoch in all partitions that are there, durably. Returns it.
    pub(crate) async fn begin_epoch(&self, broker: &Broker) -> Result<i32, StoreError> {
        let names = broker.topic_names().into_iter();
        let topics: Vec<Topic> = names.filter_map(|name| broker.topic(&name).ok()).collect();
        let epoch = self.next_epoch(&topics);
        // Of topics that a program has deleted, or that were deleted just before a crash.
        let ids = topics.iter().filter_map(Topic::id).map(Uuid::from_bytes);
        let ids: HashSet<Uuid> = ids.collect();
        let is_kept = |key: &[u8]| {
            let id = Reader::new(key, b'e').and_then(|mut key| key.uuid());
            id.is_some_and(|id| ids.contains(&id))
        };
        let lists = self.with_prefix(b"e").into_iter();
        let left = lists.filter(|(key, _)| !is_kept(key));
        let mut changes: Vec<Change> = left.map(|(key, _)| (key, None)).collect();
        for topic in &topics {
            let Some(id) = topic.id().map(Uuid::from_bytes) else {
                continue;
            };
            for partition in 0..topic.partitions() {
                let stored = self.epochs(id, partition);
                if let Ok(begun) = begin(stored, epoch, topic, partition) {
                    changes.push((list_key(id, partition), Some(write_list(&begun))));
                }
            }
        }
        let number = Writer::new(1).i32(epoch).into_bytes();
        changes.push((key(), Some(number)));
        // Some alone do no harm: the next epoch is later than that of any list.
        self.apply_in_steps(changes).await?;
        self.durable().await?;
        Ok(epoch)
    }

    /// Applies more changes than the journal's ring may hold at once: some, when those before them are
    /// written.
    async fn apply_in_steps(&self, mut changes: Vec<Change>) -> Result<(), StoreError> {
        while !changes.is_empty() {
            let rest = changes.split_off(step(&changes));
            self.apply(mem::replace(&mut changes, rest))?;
            self.written().await?;
        }
        Ok(())
    }
}

fn begin(
    stored: Option<LeaderEpochs>,
    epoch: i32,
    topic: &Topic,
    partition: u32,
) -> Result<LeaderEpochs, TopicError> {
    let log_start = topic.log_start_offset(partition)?;
    let log_end = topic.log_end_offset(partition)?;
    Ok(LeaderEpochs::begin(stored, epoch, log_start, log_end))
}

/// The leader epochs of a topic's partitions.
#[derive(Debug)]
pub(crate) struct TopicEpochs {
    current: i32,
    /// Where those of a durable topic are kept, by its id.
    kept_by: Option<(Arc<Store>, Uuid)>,
    partitions: RwLock<Vec<Arc<LeaderEpochs>>>,
}

impl TopicEpochs {
    /// `current` is the epoch of this server.
    pub(crate) fn new(current: i32, kept_by: Option<(Arc<Store>, Uuid)>) -> TopicEpochs {
        TopicEpochs {
            current,
            kept_by,
            partitions: RwLock::default(),
        }
    }

    /// Those of a partition, which exists.
    pub(crate) fn of(&self, topic: &Topic, partition: u32) -> Arc<LeaderEpochs> {
        let index = partition as usize;
        let read = self.partitions.read();
        let read = read.unwrap_or_else(PoisonError::into_inner);
        if let Some(epochs) = read.get(index) {
            return epochs.clone();
        }
        drop(read);
        let write = self.partitions.write();
        let mut write = write.unwrap_or_else(PoisonError::into_inner);
        // At once: a change for each of many partitions would take far longer on a full disk.
        let mut changes: Vec<Change> = Vec::new();
        while write.len() <= index {
            let begun = self.begun(topic, write.len() as u32, &mut changes);
            write.push(Arc::new(begun));
        }
        let kept_by = self.kept_by.as_ref().filter(|_| !changes.is_empty());
        if let Some(Err(reason)) = kept_by.map(|(store, _)| store.apply(changes)) {
            warn!(topic = topic.name(), %reason, "leader epochs are not kept");
        }
        write[index].clone()
    }

    /// Those of a partition that was there at the start, or that begins now.
    ///
    /// What begins now need not be durable at once: without it, all records are of epoch 0 after the
    /// next start, and what was read of this one ended where the next begins.
    fn begun(&self, topic: &Topic, partition: u32, changes: &mut Vec<Change>) -> LeaderEpochs {
        if self.current == NO_EPOCH {
            return LeaderEpochs::only(NO_EPOCH);
        }
        let kept_by = self.kept_by.as_ref();
        let stored = kept_by.and_then(|(store, id)| store.epochs(*id, partition));
        if let Some(begun) = stored.as_ref().filter(|s| s.current() == self.current) {
            return begun.clone();
        }
        let Ok(begun) = begin(stored, self.current, topic, partition) else {
            return LeaderEpochs::only(self.current);
        };
        if let Some((_, id)) = kept_by {
            changes.push((list_key(*id, partition), Some(write_list(&begun))));
        }
        begun
    }
}

#[cfg(test)]
#[path = "epochs_tests.rs"]
mod tests;
