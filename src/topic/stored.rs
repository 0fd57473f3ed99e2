//! The storage of a durable topic: its directory, its partitions' files, and the part of its
//! configuration that is stored.
//!
//! A clock, a partitioner and a wait strategy are code, and are not stored: a topic that was
//! recovered has the default ones, unless the program gives it others
//! ([`Broker::attach_with`](crate::Broker::attach_with)).

use super::config::{Timestamps, TopicConfig};
use super::shared::TopicShared;
use crate::error::StorageError;
use crate::log::overflow::Overflow;
use crate::log::partition::Partition;
use crate::storage::{Durable, PartitionCopier, Served, Storage, StoredTopic, TopicRecord, Wanted};
use crate::sync::{Mutex, lock};
use crate::topic_partition::TopicPartition;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What a durable topic has of its storage.
pub(crate) struct TopicStorage {
    storage: Storage,
    dir: PathBuf,
    record: Mutex<TopicRecord>,
    /// By partition.
    durable: Mutex<Vec<Arc<Durable>>>,
    served: Arc<Served>,
}

impl TopicStorage {
    pub(super) fn new(storage: Storage, stored: &StoredTopic) -> TopicStorage {
        TopicStorage {
            storage,
            dir: stored.dir.clone(),
            record: Mutex::new(stored.record.clone()),
            durable: Mutex::new(Vec::new()),
            served: stored.served.clone(),
        }
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The topic's id, which no other topic ever has.
    pub(crate) fn id(&self) -> [u8; 16] {
        lock(&self.record).id
    }

    fn change(&self, change: impl FnOnce(&mut TopicRecord)) -> Result<(), StorageError> {
        let mut record = lock(&self.record);
        let mut changed = record.clone();
        change(&mut changed);
        if changed != *record {
            self.storage.shared().store_topic(&self.dir, &changed)?;
            *record = changed;
        }
        Ok(())
    }
}

impl TopicShared {
    /// The error of a call that needs a durable topic.
    fn stored(&self) -> Result<&TopicStorage, StorageError> {
        self.storage().ok_or_else(|| StorageError::NotDurable {
            topic: self.name().clone(),
        })
    }

    /// Has the storage copy partition `partitions` from now on. Nothing was appended there yet.
    pub(super) fn start_copying(self: &Arc<Self>, partitions: &[Arc<Partition>]) {
        let Some(stored) = self.storage() else {
            return;
        };
        let mut copiers = Vec::new();
        for partition in partitions {
            let Some(files) = partition.files() else {
                continue;
            };
            let topic: Weak<TopicShared> = Arc::downgrade(self);
            let durable = Arc::new(Durable::new(
                stored.storage.shared().clone(),
                files.clone(),
                partition.readers().waiting().clone(),
                self.retention_arc().clone(),
                stored.served.clone(),
                move || {
                    if let Some(topic) = topic.upgrade() {
                        topic.end();
                    }
                },
            ));
            lock(&stored.durable).push(durable.clone());
            copiers.push(PartitionCopier::new(partition, durable));
        }
        stored.storage.shared().start_copying(copiers);
    }

    /// The files of partitions that are to be added, numbered from `first` on.
    pub(super) fn create_files(
        &self,
        partitions: core::ops::Range<u32>,
    ) -> Result<Vec<Arc<crate::log::files::PartitionFiles>>, StorageError> {
        let Some(stored) = self.storage() else {
            return Ok(Vec::new());
        };
        let record = lock(&stored.record).clone();
        let shared = stored.storage.shared();
        let first_offset = self.origin().offset;
        let files = {
            let _access = shared.directory()?;
            let files = partitions.clone().map(|partition| {
                shared.create_partition(&stored.dir, &record, partition, first_offset)
            });
            files.collect::<Result<_, _>>()?
        };
        stored.change(|record| record.partitions = partitions.end)?;
        Ok(files)
    }

    /// Stores that the topic is closed.
    pub(super) fn store_closed(&self) {
        if let Some(stored) = self.storage() {
            // If this fails the topic is open again after the next start: nothing is lost by that.
            let _ = stored.change(|record| record.closed = true);
        }
    }

    /// Stores a limit of retention that was changed.
    fn store_limit(&self, name: &str, value: Option<String>) {
        if let Some(stored) = self.storage() {
            // If this fails the limit is the one before after the next start.
            let _ = stored.change(|record| {
                record.settings.retain(|(setting, _)| setting != name);
                let value = value.map(|value| (name.to_owned(), value));
                record.settings.extend(value);
            });
        }
    }

    /// Changes the limit of retention by time, also for after a restart.
    pub(super) fn set_retention_time(&self, time: Option<Duration>) {
        self.retention().set_time(time);
        self.store_limit(RETENTION_MS, time.map(millis));
    }

    /// The same for the limit by bytes.
    pub(super) fn set_retention_bytes(&self, bytes: Option<u64>) {
        self.retention().set_bytes(bytes);
        self.store_limit(RETENTION_BYTES, bytes.map(|bytes| bytes.to_string()));
    }

    /// Removes the files of a topic that was deleted.
    pub(crate) fn remove_files(&self) -> Result<(), StorageError> {
        let Some(stored) = self.storage() else {
            return Ok(());
        };
        let durable = lock(&stored.durable).clone();
        for one in durable {
            one.end(StorageError::Deleted {
                topic: self.name().clone(),
            });
        }
        let shared = stored.storage.shared();
        shared.wake_copier(); // which lets go of the partitions
        shared.remove_topic(&stored.dir, stored.id())
    }

    /// Applies retention to the files now.
    pub(super) fn apply_retention_to_files(&self) -> Result<(), StorageError> {
        let Some(stored) = self.storage() else {
            return Ok(());
        };
        let durable = lock(&stored.durable).clone();
        durable.iter().try_for_each(|one| one.apply_retention_now())
    }

    /// What is to be waited for until `end` of a partition is durable.
    pub(super) fn wanted(&self, partition: u32, end: u64) -> Result<Wanted, StorageError> {
        let stored = self.stored()?;
        let partitions = self.partitions();
        let durable = lock(&stored.durable).get(partition as usize).cloned();
        match durable {
            Some(durable) => Ok(Wanted {
                partition: TopicPartition {
                    topic: self.name().clone(),
                    partition,
                },
                durable,
                end,
            }),
            None => Err(StorageError::PartitionOutOfRange {
                topic: self.name().clone(),
                partition,
                partitions,
            }),
        }
    }

    /// The same for everything that is in the topic now.
    pub(super) fn wanted_now(&self) -> Result<Vec<Wanted>, StorageError> {
        self.stored()?;
        let partitions = 0..self.partitions();
        let wanted = partitions.map(|partition| {
            let end = self.partition(partition).log_end_offset();
            self.wanted(partition, end)
        });
        wanted.collect()
    }
}

// ---- the configuration --------------------------------------------------------------------

const RETENTION_MS: &str = "retention-ms";
const RETENTION_BYTES: &str = "retention-bytes";

fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}

impl TopicConfig {
    /// The settings that are stored.
    pub(super) fn to_settings(&self) -> Vec<(String, String)> {
        let overflow = match self.overflow {
            Overflow::Backpressure => "backpressure",
            Overflow::DropOldest => "drop-oldest",
        };
        let timestamps = match self.timestamps {
            Timestamps::Append => "append",
            Timestamps::Given => "given",
        };
        let (time, bytes) = self.retention_settings();
        let always = [
            ("segments", self.segments.to_string()),
            ("segment-records", self.segment_records.to_string()),
            ("segment-bytes", self.segment_bytes.to_string()),
            ("overflow", overflow.to_owned()),
            ("timestamps", timestamps.to_owned()),
            ("max-block-ms", millis(self.max_block)),
            ("prefault", self.prefault.to_string()),
        ];
        let limits = [
            (RETENTION_MS, time.map(millis)),
            (RETENTION_BYTES, bytes.map(|bytes| bytes.to_string())),
        ];
        let limits = limits.into_iter();
        let limits = limits.filter_map(|(name, value)| Some((name, value?)));
        let all = always.into_iter().chain(limits);
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The configuration of a stored topic. A setting that cannot be read has its default.
    pub(super) fn from_settings(partitions: u32, settings: &[(String, String)]) -> TopicConfig {
        let mut config = TopicConfig::new().partitions(partitions);
        for (name, value) in settings {
            let number = || value.parse::<u64>().ok();
            let time = || number().map(Duration::from_millis);
            let changed = config.clone();
            let changed = match (name.as_str(), value.as_str()) {
                ("segments", value) => value.parse().ok().map(|n| changed.segments(n)),
                ("segment-records", value) => {
                    value.parse().ok().map(|n| changed.segment_records(n))
                }
                ("segment-bytes", value) => value.parse().ok().map(|n| changed.segment_bytes(n)),
                ("overflow", "backpressure") => Some(changed.overflow(Overflow::Backpressure)),
                ("overflow", "drop-oldest") => Some(changed.overflow(Overflow::DropOldest)),
                ("timestamps", "append") => Some(changed.timestamps(Timestamps::Append)),
                ("timestamps", "given") => Some(changed.timestamps(Timestamps::Given)),
                ("max-block-ms", _) => time().map(|time| changed.max_block(time)),
                (RETENTION_MS, _) => time().map(|time| changed.retention(time)),
                (RETENTION_BYTES, _) => number().map(|bytes| changed.retention_bytes(bytes)),
                ("prefault", value) => value.parse().ok().map(|on| changed.prefault(on)),
                _ => None,
            };
            config = changed.unwrap_or(config);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_back_as_it_was_stored() {
        let config = TopicConfig::new()
            .partitions(3)
            .segments(7)
            .segment_records(11)
            .segment_bytes(4096)
            .overflow(Overflow::DropOldest)
            .timestamps(Timestamps::Given)
            .max_block(Duration::from_millis(12))
            .retention(Duration::from_millis(34))
            .retention_bytes(56);
        let settings = config.to_settings();
        let read = TopicConfig::from_settings(3, &settings);
        assert_eq!(read.to_settings(), settings);
        assert_eq!(read.partitions, 3);
        let unreadable = [("segments".to_owned(), "many".to_owned())];
        let read = TopicConfig::from_settings(1, &unreadable);
        assert_eq!(read.to_settings(), TopicConfig::new().to_settings());
    }
}
