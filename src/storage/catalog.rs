//! The topics of a storage: a directory each, with a small file that names it.
//!
//! ```text
//! DIR/LOCK                                   the lock of the directory
//! DIR/topics/orders-3f..9c/topic             name, id, partitions, settings (`text.rs`)
//! DIR/topics/orders-3f..9c/p00000/           the files of partition 0 (`log/files/`)
//! DIR/groups                                 the groups' commits
//! DIR/values/NAME                            what programs have stored beside them
//! ```
//!
//! A topic's directory is named by what its name has of letters and digits, and by its id. A topic
//! that is deleted and created again has another id, so nothing of the old one can be taken for the
//! new one's. Deleting a topic renames its directory to `deleted-ID` first.

use super::text::{self, Contents};
use crate::disk::{Disk, Entry};
use crate::error::StorageError;
use crate::log::files::{is_file_of_records, topic_name_in};
use crate::log::partition_id::MAX_PARTITIONS;
use crate::name::name_fault;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The first line of a topic's file, with the version of its format.
const TITLE: &str = "ringlog-topic 1";

/// What the directory of a topic that is being deleted begins with.
const DELETED: &str = "deleted-";

/// What is stored of a topic, besides its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicRecord {
    pub(crate) name: String,
    pub(crate) id: [u8; 16],
    pub(crate) partitions: u32,
    pub(crate) closed: bool,
    /// Settings, as words: the topic's configuration reads them (`topic/stored.rs`).
    pub(crate) settings: Vec<(String, String)>,
}

fn hex(id: [u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = (0..16)
        .map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok())
        .collect::<Option<_>>()?;
    (text.len() == 32).then(|| digits.try_into().ok())?
}

impl TopicRecord {
    /// The name of the topic's directory.
    pub(super) fn dir_name(&self) -> String {
        let plain = self.name.chars().filter(char::is_ascii_alphanumeric);
        let plain: String = plain.take(40).collect();
        format!("{plain}-{}", hex(self.id))
    }

    fn to_lines(&self) -> String {
        let mut lines = format!(
            "{TITLE}\nid {}\npartitions {}\nclosed {}\n",
            hex(self.id),
            self.partitions,
            self.closed
        );
        for (setting, value) in &self.settings {
            lines += &format!("set {setting} {value}\n");
        }
        lines += &format!("name {}\n", self.name);
        lines
    }

    fn from_lines(lines: &str) -> Option<TopicRecord> {
        let mut record = TopicRecord {
            name: String::new(),
            id: [0; 16],
            partitions: 0,
            closed: false,
            settings: Vec::new(),
        };
        let mut lines = lines.lines();
        if lines.next() != Some(TITLE) {
            return None;
        }
        for line in lines {
            if let Some(id) = text::value_of(line, "id") {
                record.id = from_hex(id)?;
            } else if let Some(partitions) = text::value_of(line, "partitions") {
                record.partitions = partitions.parse().ok()?;
            } else if let Some(closed) = text::value_of(line, "closed") {
                record.closed = closed.parse().ok()?;
            } else if let Some(setting) = text::value_of(line, "set") {
                let (setting, value) = setting.split_once(' ')?;
                record.settings.push((setting.to_owned(), value.to_owned()));
            } else if let Some(name) = text::value_of(line, "name") {
                record.name = name.to_owned();
            }
            // Other keys are a newer version's, which this one can do without.
        }
        record.is_valid().then_some(record)
    }

    /// Whether a topic can be as the record says.
    fn is_valid(&self) -> bool {
        name_fault(&self.name).is_none() && (1..=MAX_PARTITIONS).contains(&self.partitions)
    }

    /// Stores the record in the topic's directory, durably.
    pub(super) fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
        text::replace(disk, &dir.join("topic"), &self.to_lines())
    }
}

/// A topic's directory, as it was found.
pub(super) struct FoundTopic {
    pub(super) dir: PathBuf,
    pub(super) record: TopicRecord,
    /// The topic's file was missing or damaged: the record is what its files and directories say.
    pub(super) was_damaged: bool,
}

/// A directory that is not served, and left as it is.
pub(super) struct UnservedTopic {
    pub(super) dir: PathBuf,
    pub(super) reason: String,
}

/// The topics of a storage.
pub(super) struct Catalog {
    /// By directory. No two have one name or one id.
    pub(super) topics: Vec<FoundTopic>,
    pub(super) unserved: Vec<UnservedTopic>,
}

/// The directory of a partition.
pub(super) fn partition_dir(topic: &Path, partition: u32) -> PathBuf {
    topic.join(partition_dir_name(partition))
}

fn partition_dir_name(partition: u32) -> String {
    format!("p{partition:05}")
}

/// What the directory of topics has. What deletions have left behind is removed.
pub(super) fn list(disk: &dyn Disk, topics: &Path) -> Result<Catalog, StorageError> {
    let mut found = Vec::new();
    let mut unserved = Vec::new();
    for entry in list_dir(disk, topics)? {
        let dir = topics.join(&entry.name);
        if !entry.is_dir {
            continue;
        }
        if entry.name.starts_with(DELETED) {
            // What fails here is tried again at the next start.
            let _ = remove_all(disk, &dir);
            continue;
        }
        let (stored, is_missing) = match text::read(disk, &dir.join("topic"))? {
            Contents::Lines(lines) => (TopicRecord::from_lines(&lines), false),
            Contents::Missing => (None, true),
            Contents::Damaged => (None, false),
        };
        let was_damaged = stored.is_none();
        let record = match stored {
            Some(record) => Some(record),
            None => reconstruct(disk, &dir, &entry.name)?,
        };
        match record {
            Some(record) => found.push(FoundTopic {
                dir,
                record,
                was_damaged,
            }),
            None if !is_missing || has_records(disk, &dir)? => unserved.push(UnservedTopic {
                dir,
                reason: "its record is lost, and no file in it has the topic's name and id".into(),
            }),
            // Its creation was not completed: the record is stored before anything is appended.
            None => {}
        }
    }
    // A directory that was copied by hand has the name and the id of the one that it is a copy of.
    found.sort_by_key(|found| {
        let is_own = found.dir.ends_with(found.record.dir_name());
        (found.was_damaged, !is_own)
    });
    let (mut topics, mut by_name, mut by_id) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for found in found {
        let FoundTopic { dir, record, .. } = &found;
        let same = by_name.get(&record.name).or_else(|| by_id.get(&record.id));
        if let Some(other) = same {
            let other: &PathBuf = other;
            unserved.push(UnservedTopic {
                reason: format!("a topic of its name or id is in {}", other.display()),
                dir: found.dir,
            });
            continue;
        }
        by_name.insert(record.name.clone(), dir.clone());
        by_id.insert(record.id, dir.clone());
        topics.push(found);
    }
    topics.sort_by(|a: &FoundTopic, b| a.dir.cmp(&b.dir));
    Ok(Catalog { topics, unserved })
}

fn list_dir(disk: &dyn Disk, dir: &Path) -> Result<Vec<Entry>, StorageError> {
    let entries = disk.list(dir);
    entries.map_err(|error| StorageError::io("listing the directory", dir, &error))
}

/// The numbers of the partitions that have a directory.
fn partition_numbers(disk: &dyn Disk, topic: &Path) -> Result<Vec<u32>, StorageError> {
    let entries = list_dir(disk, topic)?.into_iter();
    let dirs = entries.filter(|entry| entry.is_dir);
    let numbers = dirs.filter_map(|entry| {
        let number = entry.name.strip_prefix('p')?.parse().ok()?;
        // Not `p7`: the partition's own directory would be another, or none.
        (number < MAX_PARTITIONS && entry.name == partition_dir_name(number)).then_some(number)
    });
    Ok(numbers.collect())
}

/// Whether a file with records is there.
fn has_records(disk: &dyn Disk, topic: &Path) -> Result<bool, StorageError> {
    for partition in partition_numbers(disk, topic)? {
        let entries = list_dir(disk, &partition_dir(topic, partition))?;
        if entries.iter().any(|entry| is_file_of_records(&entry.name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is known of a topic whose file is missing or damaged: from its directory's name, its
/// partitions' directories, and the name that each of its files has.
fn reconstruct(
    disk: &dyn Disk,
    dir: &Path,
    dir_name: &str,
) -> Result<Option<TopicRecord>, StorageError> {
    let Some(id) = dir_name.rsplit('-').next().and_then(from_hex) else {
        return Ok(None);
    };
    let numbers = partition_numbers(disk, dir)?;
    let name = numbers
        .iter()
        .find_map(|&partition| topic_name_in(disk, &partition_dir(dir, partition), id));
    let (Some(name), Some(last)) = (name, numbers.iter().max()) else {
        return Ok(None);
    };
    let record = TopicRecord {
        name,
        id,
        partitions: last + 1,
        closed: false,
        settings: Vec::new(),
    };
    Ok(record.is_valid().then_some(record))
}

/// Removes a topic's directory: durably gone when it returns, even if removing its files fails.
pub(super) fn remove(
    disk: &dyn Disk,
    topics: &Path,
    dir: &Path,
    id: [u8; 16],
) -> Result<(), StorageError> {
    let deleted = topics.join(format!("{DELETED}{}", hex(id)));
    disk.rename(dir, &deleted)
        .map_err(|error| StorageError::io("renaming the directory", dir, &error))?;
    disk.sync_dir(topics)
        .map_err(|error| StorageError::io("syncing the directory", topics, &error))?;
    remove_all(disk, &deleted)
}

fn remove_all(disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| StorageError::io(operation, path, &error)
    };
    let entries = disk.list(dir);
    for entry in entries.map_err(failed("listing the directory", dir))? {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            remove_all(disk, &path)?;
        } else {
            let removed = disk.remove_file(&path);
            removed.map_err(failed("removing the file", &path))?;
        }
    }
    let removed = disk.remove_dir(dir);
    removed.map_err(failed("removing the directory", dir))
}
