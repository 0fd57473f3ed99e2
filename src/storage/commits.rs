//! The groups' commits, in one small file that is replaced when they have changed.
//!
//! A commit is one store of a word, as in every topic; it does not wait for the disk, nor does it
//! wake a thread. The copier looks at all groups ten times a second while records or commits come,
//! once a second when none have come for two seconds, and has the syncer store what has changed. So
//! after a crash a group may read again what it had committed in the last moments before. Closing a
//! storage stores the last commits.

use super::text::{self, Contents};
use super::{StorageError, StorageShared};
use crate::sync::lock_std;
use std::sync::Mutex;

/// The first line of the file, with the version of its format.
const TITLE: &str = "ringlog-groups 1";

/// One group's commit in one partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StoredCommit {
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
}

/// Returns all commits now; `None` once the broker is gone.
pub(crate) type CommitSource = Box<dyn Fn() -> Option<Vec<StoredCommit>> + Send + Sync>;

/// The groups of the brokers that use a storage, and what was stored of them last.
#[derive(Default)]
pub(super) struct Commits {
    sources: Mutex<Vec<CommitSource>>,
    /// Of brokers that are gone.
    kept: Mutex<Vec<StoredCommit>>,
    stored: Mutex<Vec<StoredCommit>>,
}

fn to_lines(commits: &[StoredCommit]) -> String {
    let mut lines = format!("{TITLE}\n");
    let mut group = None;
    for commit in commits {
        if group != Some(&commit.group) {
            lines += &format!("group {}\n", commit.group);
            group = Some(&commit.group);
        }
        let (partition, offset) = (commit.partition, commit.offset);
        lines += &format!("offset {partition} {offset} {}\n", commit.topic);
    }
    lines
}

fn from_lines(lines: &str) -> Option<Vec<StoredCommit>> {
    let (mut commits, mut group) = (Vec::new(), None);
    let mut lines = lines.lines();
    if lines.next() != Some(TITLE) {
        return None;
    }
    for line in lines {
        if let Some(name) = text::value_of(line, "group") {
            group = Some(name);
        } else if let Some(commit) = text::value_of(line, "offset") {
            let (partition, rest) = commit.split_once(' ')?;
            let (offset, topic) = rest.split_once(' ')?;
            commits.push(StoredCommit {
                group: group?.to_owned(),
                topic: topic.to_owned(),
                partition: partition.parse().ok()?,
                offset: offset.parse().ok()?,
            });
        }
    }
    Some(commits)
}

/// `value` with its checksum before it.
pub(super) fn with_crc(value: &[u8]) -> Vec<u8> {
    let mut bytes = crc32c::crc32c(value).to_le_bytes().to_vec();
    bytes.extend_from_slice(value);
    bytes
}

/// The value of [`with_crc`]; `None` if the checksum is wrong.
pub(super) fn without_crc(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (crc, value) = bytes.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*crc) == crc32c::crc32c(value)).then(|| value.to_vec())
}

impl StorageShared {
    /// Stores the commits that this returns too, from now on.
    pub(crate) fn add_commit_source(&self, source: CommitSource) {
        lock_std(&self.commits.sources).push(source);
    }

    /// The last commits of a broker that ends.
    pub(crate) fn keep_commits(&self, commits: Vec<StoredCommit>) {
        lock_std(&self.commits.kept).extend(commits);
    }

    /// All commits, if any has changed since they were stored.
    pub(super) fn changed_commits(&self) -> Option<Vec<StoredCommit>> {
        let sources = lock_std(&self.commits.sources);
        if sources.is_empty() {
            return None;
        }
        let live = sources.iter().filter_map(|source| source()).flatten();
        let mut commits: Vec<_> = live.collect();
        drop(sources);
        commits.extend_from_slice(&lock_std(&self.commits.kept));
        commits.sort();
        commits.dedup();
        (*lock_std(&self.commits.stored) != commits).then_some(commits)
    }

    pub(super) fn store_commits(&self, commits: Vec<StoredCommit>) {
        let path = self.config.dir.join("groups");
        match text::replace(&*self.config.disk, &path, &to_lines(&commits)) {
            Ok(()) => *lock_std(&self.commits.stored) = commits,
            Err(error) => self.report(error),
        }
    }

    /// The commits that were stored; `None` if their file is damaged.
    pub(crate) fn read_commits(&self) -> Result<Option<Vec<StoredCommit>>, StorageError> {
        let path = self.config.dir.join("groups");
        let commits = match text::read(&*self.config.disk, &path)? {
            Contents::Missing => Some(Vec::new()),
            Contents::Lines(lines) => from_lines(&lines),
            Contents::Damaged => None,
        };
        if let Some(commits) = &commits {
            (*lock_std(&self.commits.stored)).clone_from(commits);
        }
        Ok(commits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_read_back_as_they_were_stored() {
        let commit = |group: &str, topic: &str, partition, offset| StoredCommit {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partition,
            offset,
        };
        let commits = vec![
            commit("a group", "orders of the day", 0, u64::MAX),
            commit("a group", "orders of the day", 7, 0),
            commit("b", "x", 1, 2),
        ];
        assert_eq!(from_lines(&to_lines(&commits)), Some(commits));
        assert_eq!(from_lines("ringlog-groups 2\n"), None);
        assert_eq!(from_lines("ringlog-groups 1\noffset 0 1 t\n"), None);
    }
}
