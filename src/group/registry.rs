use crate::error::{ConsumeError, GroupError};
use crate::group::coordinator::Coordinator;
use crate::sync::{Mutex, MutexGuard, lock};
use crate::topic::TopicShared;
use crate::wait::{DeferredWakes, defer_wakes};
use core::ops::{Deref, DerefMut};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One group. It lives in its broker until it is deleted.
pub(crate) struct Group {
    pub(super) name: Arc<str>,
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

    /// A panic under the lock is a bug of ours alone: no user's code runs there.
    pub(crate) fn lock(&self) -> LockedGroup<'_> {
        let deferred = defer_wakes();
        LockedGroup {
            coordinator: lock(&self.coordinator),
            _deferred: deferred,
        }
    }
}

/// The coordinator, locked. Who was to be woken is woken after it is let go of.
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
/// Its lock is taken before a group's, and held while a group is joined or deleted, so that
/// nobody joins what is just being deleted.
pub(crate) struct Groups(Mutex<BTreeMap<Arc<str>, Arc<Group>>>);

impl Groups {
    pub(crate) fn new() -> Groups {
        Groups(Mutex::new(BTreeMap::new()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Group>>> {
        lock(&self.0)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Group>> {
        self.lock().get(name).cloned()
    }

    /// Works on the group of this name, which is made if there is none; also if the work fails.
    pub(crate) fn with<R>(
        &self,
        name: &Arc<str>,
        work: impl FnOnce(&mut Coordinator) -> Result<R, ConsumeError>,
    ) -> Result<(Arc<Group>, R), ConsumeError> {
        let _deferred = defer_wakes(); // until this lock is let go of as well
        let mut groups = self.lock();
        let group = groups
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Group::new(name.clone())));
        let result = work(&mut group.lock())?;
        Ok((group.clone(), result))
    }

    /// All of them, by name.
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
        let gone = groups.remove(name);
        drop(groups);
        drop(gone);
        Ok(())
    }

    /// No group remembers this topic any more.
    pub(crate) fn forget_topic(&self, topic: &Arc<TopicShared>) {
        for group in self.all() {
            group.lock().forget_topic(topic);
        }
    }
}

pub(crate) fn unknown_group(name: &str) -> GroupError {
    GroupError::UnknownGroup {
        name: name.to_owned(),
    }
}
