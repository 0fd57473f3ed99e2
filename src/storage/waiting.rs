//! Waits until records are written or durable, for threads and for tasks.
//!
//! A call that waits wakes the copier, which then copies what is published. For durable records it
//! counts itself among the calls that a sync is wanted for, and the copier has that begin at once,
//! whatever the policy. All that wait share one sync (group commit).

use super::{Durable, StorageShared};
use crate::error::StorageError;
use crate::log::files::StoredEnds;
use crate::sync::lock_std;
use crate::topic_partition::TopicPartition;
use crate::wait::{Attempt, EventCount, Patience, WaitFor, WaitStrategy, Waited, Waiter, wait};
use core::fmt;
use core::future::Future;
use core::iter;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::time::Duration;

/// A call among those that wait for a sync.
struct SyncWanted(Arc<StorageShared>);

impl SyncWanted {
    fn new(storage: &Arc<StorageShared>) -> SyncWanted {
        storage.change(|inbox| inbox.waiting += 1);
        SyncWanted(storage.clone())
    }
}

impl Drop for SyncWanted {
    fn drop(&mut self) {
        lock_std(&self.0.inbox).waiting -= 1;
    }
}

/// How records are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// In their file.
    Written,
    /// In their file, which is synced.
    Durable,
}

/// What one partition is waited for.
pub(crate) struct Wanted {
    pub(crate) partition: TopicPartition,
    pub(crate) durable: Arc<Durable>,
    /// Everything before this offset.
    pub(crate) end: u64,
}

/// A wait for one storage.
struct Wait {
    wanted: Vec<Wanted>,
    level: Level,
    waiter: Waiter,
    _sync: Option<SyncWanted>,
}

impl Wait {
    /// `None` if everything is stored.
    fn new(mut wanted: Vec<Wanted>, level: Level) -> Option<Wait> {
        wanted.retain(|one| !one.is_stored(level));
        let storage = wanted.first()?.durable.storage.clone();
        let sync = match level {
            Level::Durable => Some(SyncWanted::new(&storage)),
            Level::Written => {
                storage.wake_copier();
                None
            }
        };
        Some(Wait {
            wanted,
            level,
            waiter: Waiter::default(),
            _sync: sync,
        })
    }

    fn timed_out(&self) -> StorageError {
        let (wanted, partition, ends) = match self.wanted.first() {
            Some(one) => (one.end, one.partition.clone(), one.durable.files.ends()),
            None => (0, TopicPartition::new("", 0), StoredEnds::default()),
        };
        StorageError::TimedOut {
            topic: partition.topic,
            partition: partition.partition,
            wanted,
            written_end: ends.written,
            durable_end: ends.durable,
        }
    }
}

impl Wanted {
    fn is_stored(&self, level: Level) -> bool {
        self.end <= level.end_of(&self.durable.files.ends())
    }
}

impl Level {
    fn end_of(self, ends: &StoredEnds) -> u64 {
        match self {
            Level::Written => ends.written,
            Level::Durable => ends.durable,
        }
    }
}

impl WaitFor for Wait {
    type Output = Result<(), StorageError>;

    fn attempt(&mut self) -> Attempt<Self::Output> {
        let (mut fault, level) = (None, self.level);
        self.wanted.retain(|one| {
            let ends = one.durable.files.ends();
            let is_stored = one.end <= level.end_of(&ends);
            if !is_stored && fault.is_none() {
                fault = ends.fault;
            }
            !is_stored
        });
        match fault {
            Some(fault) => Attempt::Ready(Err(fault)),
            None if self.wanted.is_empty() => Attempt::Ready(Ok(())),
            None => Attempt::Pending { notified: true },
        }
    }

    fn waiter(&mut self) -> &mut Waiter {
        &mut self.waiter
    }

    fn enrolment(&mut self) -> (&mut Waiter, impl Iterator<Item = &Arc<EventCount>>) {
        let storage = self.wanted.first().map(|one| &one.durable.storage);
        let progress = storage.map(|storage| match self.level {
            Level::Written => &storage.written,
            Level::Durable => &storage.progress,
        });
        (&mut self.waiter, progress.into_iter().chain(iter::empty()))
    }

    /// A sync takes far longer than a wake-up.
    fn strategy(&self) -> WaitStrategy {
        WaitStrategy::Block
    }
}

/// Waits until everything wanted is stored, at most for `timeout`.
pub(crate) fn wait_stored(
    wanted: Vec<Wanted>,
    level: Level,
    timeout: Duration,
) -> Result<(), StorageError> {
    let Some(mut waiting) = Wait::new(wanted, level) else {
        return Ok(());
    };
    match wait(&mut waiting, Patience::UpTo(timeout)) {
        Waited::Ready(result) => result,
        Waited::TimedOut(_) | Waited::Pending => Err(waiting.timed_out()),
    }
}

/// The future of [`Topic::wait_written_async`](crate::Topic::wait_written_async),
/// [`wait_durable_async`](crate::Topic::wait_durable_async) and
/// [`flush_async`](crate::Topic::flush_async). Dropping it ends the wait, and changes nothing else.
#[must_use = "a future does nothing unless it is polled"]
pub struct WaitStoredAsync {
    waiting: Option<Wait>,
    refused: Option<StorageError>,
}

impl WaitStoredAsync {
    pub(crate) fn new(wanted: Result<Vec<Wanted>, StorageError>, level: Level) -> WaitStoredAsync {
        match wanted {
            Ok(wanted) => WaitStoredAsync {
                waiting: Wait::new(wanted, level),
                refused: None,
            },
            Err(error) => WaitStoredAsync {
                waiting: None,
                refused: Some(error),
            },
        }
    }
}

impl Future for WaitStoredAsync {
    type Output = Result<(), StorageError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(error) = self.refused.take() {
            return Poll::Ready(Err(error));
        }
        let Some(waiting) = &mut self.waiting else {
            return Poll::Ready(Ok(()));
        };
        match wait(waiting, Patience::Task(context.waker())) {
            Waited::Ready(result) => {
                self.waiting = None;
                Poll::Ready(result)
            }
            Waited::TimedOut(_) | Waited::Pending => Poll::Pending,
        }
    }
}

impl fmt::Debug for WaitStoredAsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitStoredAsync")
            .field("ended", &self.waiting.is_none())
            .finish()
    }
}
