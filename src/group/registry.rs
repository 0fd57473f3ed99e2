//! The groups of a broker by name, and the lock around each group's coordinator.

use crate::error::{ConsumeError, GroupError};
use crate::group::coordinator::Coordinator;
use crate::storage::{StorageShared, StoredCommit};
use crate::sync::{Mutex, MutexGuard, lock, lock_std};
use crate::topic::TopicShared;
use crate::wait::{DeferredWakes, defer_wakes};
use core::ops::{Deref, DerefMut};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One group. It stays in its broker until it is deleted.
pub(crate) struct Group {
    name: Arc<str>,
    coordinator: Mutex<Coordinator>,
}

impl Group {
    fn new(name: Arc<str>) -> Group {
        Group {
            coordinator: Mutex::new(Coordinator::new(name.clone())),
            name,
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Locks the coordinator. No code of the user runs under this lock, so a panic under it is a
    /// bug of this library.
    pub(crate) fn lock(&self) -> LockedGroup<'_> {
        let deferred = defer_wakes();
        LockedGroup {
            coordinator: lock(&self.coordinator),
            _deferred: deferred,
        }
    }
}

/// The locked coordinator. Waiters that are notified meanwhile are woken once it is unlocked:
/// fields are dropped in this order.
pub(crate) struct LockedGroup<'g> {
    coordinator: MutexGuard<'g, Coordinator>,
    _deferred: DeferredWakes,
}

impl Deref for LockedGroup<'_> {
    type Target = Coordinator;

    fn deref(&self) -> &Coordinator {
        &self.coordinator
    }
}

impl DerefMut for LockedGroup<'_> {
    fn deref_mut(&mut self) -> &mut Coordinator {
        &mut self.coordinator
    }
}

/// The groups of a broker, by name.
///
/// Lock order: this lock, then a group's. It is held while a consumer joins a group and while a
/// group is deleted, so no consumer joins a group that is being deleted.
pub(crate) struct Groups {
    groups: Mutex<BTreeMap<Arc<str>, Arc<Group>>>,
    /// Where the commits are kept.
    storages: std::sync::Mutex<Vec<Arc<StorageShared>>>,
}

impl Groups {
    pub(crate) fn new() -> Groups {
        Groups {
            groups: Mutex::new(BTreeMap::new()),
            storages: std::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Group>>> {
        lock(&self.groups)
    }

    /// The commits are kept in this storage.
    pub(crate) fn add_storage(&self, storage: Arc<StorageShared>) {
        lock_std(&self.storages).push(storage);
    }

    /// What all groups have committed.
    pub(crate) fn all_commits(&self) -> Vec<StoredCommit> {
        let groups: Vec<_> = self.lock().clone().into_iter().collect();
        let commits = groups.into_iter().flat_map(|(name, group)| {
            let offsets = group.lock().committed_offsets();
            offsets
                .into_iter()
                .map(move |(partition, offset)| StoredCommit {
                    group: name.to_string(),
                    topic: partition.topic.to_string(),
                    partition: partition.partition,
                    offset,
                })
        });
        commits.collect()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Group>> {
        self.lock().get(name).cloned()
    }

    /// The group of this name.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`].
    pub(crate) fn get(&self, name: &str) -> Result<Arc<Group>, GroupError> {
        self.find(name).ok_or_else(|| unknown_group(name))
    }

    /// Runs `work` on the group of this name. Creates the group if there is none, and keeps it even
    /// if `work` fails.
    pub(crate) fn with_group<R>(
        &self,
        name: &Arc<str>,
        work: impl FnOnce(&mut Coordinator) -> Result<R, ConsumeError>,
    ) -> Result<(Arc<Group>, R), ConsumeError> {
        let _deferred = defer_wakes(); // until this lock is released, too
        let mut groups = self.lock();
        let group = groups
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Group::new(name.clone())));
        let result = work(&mut group.lock())?;
        Ok((group.clone(), result))
    }

    /// Runs `work` on the group of this name, for a call from outside the group. Creates the group
    /// if there is none, but only if `work` succeeds.
    pub(crate) fn alter(
        &self,
        name: &Arc<str>,
        work: impl FnOnce(&mut Coordinator) -> Result<(), GroupError>,
    ) -> Result<(), GroupError> {
        let _deferred = defer_wakes(); // until this lock is released, too
        let mut groups = self.lock();
        if let Some(group) = groups.get(name) {
            return work(&mut group.lock());
        }
        insert_new(&mut groups, name, work)
    }

    /// Creates a group, if `work` succeeds on it.
    ///
    /// Errors: `GroupExists`, and those of `work`.
    pub(crate) fn create(
        &self,
        name: &Arc<str>,
        work: impl FnOnce(&mut Coordinator) -> Result<(), GroupError>,
    ) -> Result<(), GroupError> {
        let _deferred = defer_wakes(); // until this lock is released, too
        let mut groups = self.lock();
        if groups.contains_key(name) {
            return Err(GroupError::GroupExists {
                name: name.as_ref().to_owned(),
            });
        }
        insert_new(&mut groups, name, work)
    }

    /// All groups, sorted by name.
    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().keys().map(|name| name.to_string()).collect()
    }

    pub(crate) fn delete(&self, name: &str) -> Result<(), GroupError> {
        let mut groups = self.lock();
        let Some(group) = groups.get(name) else {
            return Err(unknown_group(name));
        };
        let members = group.lock().live_members();
        if members > 0 {
            return Err(GroupError::NotEmpty {
                name: name.to_owned(),
                members,
            });
        }
        let deleted = groups.remove(name);
        // Its gates notify producers, which is not done under this lock.
        drop(groups);
        drop(deleted);
        Ok(())
    }

    /// Makes every group forget this topic.
    pub(crate) fn forget_topic(&self, topic: &Arc<TopicShared>) {
        for group in self.all() {
            group.lock().forget_topic(topic);
        }
    }
}

/// The lock on `groups` is held throughout. So a topic that `work` has found to exist is forgotten
/// by the new group, too, if it is deleted meanwhile.
fn insert_new(
    groups: &mut BTreeMap<Arc<str>, Arc<Group>>,
    name: &Arc<str>,
    work: impl FnOnce(&mut Coordinator) -> Result<(), GroupError>,
) -> Result<(), GroupError> {
    let group = Group::new(name.clone());
    work(&mut group.lock())?;
    groups.insert(name.clone(), Arc::new(group));
    Ok(())
}

fn unknown_group(name: &str) -> GroupError {
    GroupError::UnknownGroup {
        name: name.to_owned(),
    }
}

/// The storages keep the last commits, as long as they are open.
impl Drop for Groups {
    fn drop(&mut self) {
        let storages = core::mem::take(&mut *lock_std(&self.storages));
        if storages.is_empty() {
            return;
        }
        let commits = self.all_commits();
        for storage in storages {
            storage.keep_commits(commits.clone());
        }
    }
}
