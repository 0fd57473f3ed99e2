//! Waits until records are durable, for threads and for tasks.
//!
//! A call that waits has the copier sync at once, whatever the policy: it counts itself among the
//! waiting calls, and wakes the copier. All that wait share one sync (group commit).

use super::{Durable, StorageShared};
use crate::error::StorageError;
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
    waiter: Waiter,
    _sync: SyncWanted,
}

impl Wait {
    /// `None` if everything is durable.
    fn new(mut wanted: Vec<Wanted>) -> Option<Wait> {
        wanted.retain(|one| !one.is_durable());
        let storage = wanted.first()?.durable.storage.clone();
        Some(Wait {
            wanted,
            waiter: Waiter::default(),
            _sync: SyncWanted::new(&storage),
        })
    }

    fn timed_out(&self) -> StorageError {
        let (wanted, partition, durable_end) = match self.wanted.first() {
            Some(one) => (
                one.end,
                one.partition.clone(),
                one.durable.files.durable_end(),
            ),
            None => (0, TopicPartition::new("", 0), 0),
        };
        StorageError::TimedOut {
            topic: partition.topic,
            partition: partition.partition,
            wanted,
            durable_end,
        }
    }
}

impl Wanted {
    fn is_durable(&self) -> bool {
        self.durable.files.durable_end() >= self.end
    }
}

impl WaitFor for Wait {
    type Output = Result<(), StorageError>;

    fn attempt(&mut self) -> Attempt<Self::Output> {
        let mut fault = None;
        self.wanted.retain(|one| {
            let (durable_end, stopped) = one.durable.files.durability();
            let is_durable = durable_end >= one.end;
            if !is_durable && fault.is_none() {
                fault = stopped;
            }
            !is_durable
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
        let first = self.wanted.first();
        let progress = first.map(|one| &one.durable.storage.progress);
        (&mut self.waiter, progress.into_iter().chain(iter::empty()))
    }

    /// A sync takes far longer than a wake-up.
    fn strategy(&self) -> WaitStrategy {
        WaitStrategy::Block
    }
}

/// Waits until everything wanted is durable, at most for `timeout`.
pub(crate) fn wait_durable(wanted: Vec<Wanted>, timeout: Duration) -> Result<(), StorageError> {
    let Some(mut waiting) = Wait::new(wanted) else {
        return Ok(());
    };
    match wait(&mut waiting, Patience::UpTo(timeout)) {
        Waited::Ready(result) => result,
        Waited::TimedOut(_) | Waited::Pending => Err(waiting.timed_out()),
    }
}

/// The future of [`Topic::wait_durable_async`](crate::Topic::wait_durable_async). Dropping it ends
/// the wait, and changes nothing else.
#[must_use = "a future does nothing unless it is polled"]
pub struct WaitDurableAsync {
    waiting: Option<Wait>,
    refused: Option<StorageError>,
}

impl WaitDurableAsync {
    pub(crate) fn new(wanted: Result<Vec<Wanted>, StorageError>) -> WaitDurableAsync {
        match wanted {
            Ok(wanted) => WaitDurableAsync {
                waiting: Wait::new(wanted),
                refused: None,
            },
            Err(error) => WaitDurableAsync {
                waiting: None,
                refused: Some(error),
            },
        }
    }
}

impl Future for WaitDurableAsync {
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

impl fmt::Debug for WaitDurableAsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitDurableAsync")
            .field("ended", &self.waiting.is_none())
            .finish()
    }
}
