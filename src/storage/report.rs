//! What was found when a storage's directory was opened.

use super::catalog::UnservedTopic;
use crate::log::files::Recovery;
use std::path::PathBuf;
use std::time::Duration;

/// What [`Broker::open`](crate::Broker::open) has found in a directory, and how long that took.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Each topic that is served.
    pub topics: Vec<TopicRecovery>,
    /// Directories of topics that are not served, and are left as they are: a second one of a topic, such
    /// as a copy; and one whose topic is not known, because its record is damaged and no file names it.
    pub not_served: Vec<SetAside>,
    /// Groups whose commits were found.
    pub groups: usize,
    /// The groups' file was damaged, so no commits were found.
    pub groups_damaged: bool,
    /// The time it took.
    pub duration: Duration,
}

/// What was found of one topic.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TopicRecovery {
    /// Its name.
    pub name: String,
    /// The topic's small file was missing or damaged: its name and partitions were found in its
    /// other files, and its settings are the default ones.
    pub settings_lost: bool,
    /// Each partition.
    pub partitions: Vec<PartitionRecovery>,
}

/// What was found of one partition.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionRecovery {
    /// Its number.
    pub partition: u32,
    /// The first offset.
    pub log_start: u64,
    /// The offset after the last one, which the next record will get.
    pub log_end: u64,
    /// Files.
    pub files: u64,
    /// Bytes of files that had to be read whole, because they were not sealed.
    pub scanned_bytes: u64,
    /// Bytes that were cut off because they were not written completely.
    pub cut_bytes: u64,
    /// How many offsets were overwritten before they were copied
    /// ([`DropOldest`](crate::Overflow::DropOldest)), of those that are kept.
    pub gaps: u64,
    /// What is not served, and was kept under another name.
    pub set_aside: Vec<SetAside>,
}

/// A file, or a part of one, that is not served because it does not fit what is before it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SetAside {
    /// Where it is now.
    pub path: PathBuf,
    /// Its first offset, if that is known.
    pub from: Option<u64>,
    /// Whether it may have had records that were reported durable. A power cut may leave files
    /// behind that were not.
    pub was_durable: bool,
    /// What is wrong.
    pub reason: String,
}

impl RecoveryReport {
    /// Whether anything may be lost that had been reported durable. (What was cut off was not written
    /// completely, so it had not been.)
    pub fn has_damage(&self) -> bool {
        let damaged = |topic: &TopicRecovery| {
            let aside = |one: &PartitionRecovery| one.set_aside.iter().any(|one| one.was_durable);
            topic.settings_lost || topic.partitions.iter().any(aside)
        };
        self.groups_damaged || !self.not_served.is_empty() || self.topics.iter().any(damaged)
    }

    /// How many offsets were found, of all topics.
    pub fn records(&self) -> u64 {
        let partitions = self.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(PartitionRecovery::records).sum()
    }
}

impl From<UnservedTopic> for SetAside {
    fn from(topic: UnservedTopic) -> SetAside {
        SetAside {
            path: topic.dir,
            from: None,
            was_durable: true,
            reason: topic.reason,
        }
    }
}

impl PartitionRecovery {
    /// How many offsets were found.
    pub fn records(&self) -> u64 {
        self.log_end - self.log_start
    }
}

impl TopicRecovery {
    pub(super) fn new(name: &str, settings_lost: bool) -> TopicRecovery {
        TopicRecovery {
            name: name.to_owned(),
            settings_lost,
            partitions: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, partition: u32, found: Recovery) {
        let aside = found.set_aside.into_iter().map(|one| SetAside {
            path: one.path,
            from: one.from,
            was_durable: one.was_durable,
            reason: one.reason,
        });
        self.partitions.push(PartitionRecovery {
            partition,
            log_start: found.start,
            log_end: found.end,
            files: found.files,
            scanned_bytes: found.scanned_bytes,
            cut_bytes: found.cut_bytes,
            gaps: found.gaps,
            set_aside: aside.collect(),
        });
    }
}
