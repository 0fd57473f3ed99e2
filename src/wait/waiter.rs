//! A producer's or consumer's enrolment in event counts, for its thread or for a task.

use super::asymmetric_fence;
use super::event_count::EventCount;
use crate::sync::{AtomicU64, Thread, current_thread, ord, park};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

/// The waker of a thread: it unparks the thread.
struct Parker {
    thread: Thread,
    woken: AtomicU64,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(1, ord!(Relaxed));
        self.thread.unpark();
    }
}

/// One waiter: the event counts in which it is enrolled, and the parker of its thread.
#[derive(Default)]
pub(crate) struct Waiter {
    parker: Option<Arc<Parker>>,
    /// Each event count with this waiter's id there.
    enrolled: Vec<(Arc<EventCount>, u64)>,
    pub(super) may_miss_wakeups: bool,
}

/// The longest sleep of a waiter that may miss its wake-up.
const RECHECK_INTERVAL: Duration = Duration::from_millis(1);

impl Waiter {
    /// Enrols `waker` in these event counts, and in no others. Afterwards the caller must check
    /// its condition once more before it sleeps.
    pub(crate) fn enrol<'s>(
        &mut self,
        waker: &Waker,
        event_counts: impl Iterator<Item = &'s Arc<EventCount>>,
    ) {
        self.withdraw();
        self.may_miss_wakeups = false;
        for event_count in event_counts {
            self.may_miss_wakeups |= !event_count.always_wakes();
            let id = event_count.enrol(waker.clone());
            self.enrolled.push((event_count.clone(), id));
        }
        // Between enrolling and checking the condition (P15).
        self.may_miss_wakeups |= !asymmetric_fence::heavy();
    }

    /// Enrols the current thread, which may then [`sleep`](Self::sleep).
    pub(crate) fn enrol_thread<'s>(
        &mut self,
        event_counts: impl Iterator<Item = &'s Arc<EventCount>>,
    ) {
        let thread = current_thread();
        let parker = match self.parker.take() {
            Some(parker) if parker.thread.id() == thread.id() => parker,
            _ => Arc::new(Parker {
                thread,
                woken: AtomicU64::new(0),
            }),
        };
        parker.woken.store(0, ord!(Relaxed));
        let waker = Waker::from(parker.clone());
        self.parker = Some(parker);
        self.enrol(&waker, event_counts);
    }

    /// Whether the waiter has enrolled in exactly these event counts and not withdrawn since. It
    /// may have been woken meanwhile.
    pub(crate) fn is_enrolled<'s>(
        &self,
        event_counts: impl Iterator<Item = &'s Arc<EventCount>>,
    ) -> bool {
        let enrolled = self.enrolled.iter().map(|(list, _)| Arc::as_ptr(list));
        !self.enrolled.is_empty() && enrolled.eq(event_counts.map(Arc::as_ptr))
    }

    /// Whether the condition may change without a wake-up: some notifiers do not fence, or the
    /// system refused `membarrier`.
    pub(crate) fn may_miss_wakeups(&self) -> bool {
        self.may_miss_wakeups
    }

    /// Sleeps until woken or until `limit` has passed, then withdraws. `notified` says whether
    /// every change of the condition notifies; if not, or if wake-ups may be missed, the sleep ends
    /// after [`RECHECK_INTERVAL`].
    pub(crate) fn sleep(&mut self, limit: Duration, notified: bool) {
        let limit = if self.may_miss_wakeups || !notified {
            limit.min(RECHECK_INTERVAL)
        } else {
            limit
        };
        if let Some(parker) = &self.parker {
            let start = Instant::now();
            let mut foreign_unpark = false;
            while parker.woken.load(ord!(Relaxed)) == 0 {
                let Some(left) = limit.checked_sub(start.elapsed()) else {
                    break;
                };
                if left.is_zero() {
                    break;
                }
                park(left);
                foreign_unpark |= parker.woken.load(ord!(Relaxed)) == 0 && start.elapsed() < limit;
            }
            if foreign_unpark {
                // An unpark that was possibly meant for the caller's own `park`: restore its token.
                parker.thread.unpark();
            }
        }
        self.withdraw();
    }

    /// Withdraws from all event counts.
    pub(crate) fn withdraw(&mut self) {
        for (event_count, id) in self.enrolled.drain(..) {
            event_count.withdraw(id);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.withdraw();
    }
}
