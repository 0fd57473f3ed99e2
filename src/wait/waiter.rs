use super::asymmetric_fence;
use super::event_count::EventCount;
use crate::sync::{AtomicU64, Thread, current_thread, ord, park};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

/// A thread that sleeps, as a waker.
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

/// What a producer or consumer has to sleep with.
#[derive(Default)]
pub(crate) struct Waiter {
    parker: Option<Arc<Parker>>,
    /// The lists that it is on, with its number there.
    enrolled: Vec<(Arc<EventCount>, u64)>,
    /// Something may happen without its being woken.
    pub(super) unsure: bool,
}

/// A sleeper that may not be woken looks so often.
const UNSURE: Duration = Duration::from_millis(1);

impl Waiter {
    /// Has this waker woken when any of these is notified. What it waits for has to be looked for
    /// once more afterwards.
    pub(crate) fn enrol<'s>(
        &mut self,
        waker: &Waker,
        lists: impl Iterator<Item = &'s Arc<EventCount>>,
    ) {
        self.withdraw();
        self.unsure = false;
        for list in lists {
            self.unsure |= !list.wakes();
            self.enrolled
                .push((list.clone(), list.enrol(waker.clone())));
        }
        // Between the lists and the look (P15).
        self.unsure |= !asymmetric_fence::heavy();
    }

    /// The same for this thread, which is then to [`sleep`](Self::sleep).
    pub(crate) fn enrol_thread<'s>(&mut self, lists: impl Iterator<Item = &'s Arc<EventCount>>) {
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
        self.enrol(&waker, lists);
    }

    /// Whether it is on exactly these lists, or has been woken from them.
    pub(crate) fn is_enrolled<'s>(&self, lists: impl Iterator<Item = &'s Arc<EventCount>>) -> bool {
        let here = self.enrolled.iter().map(|(list, _)| Arc::as_ptr(list));
        !self.enrolled.is_empty() && here.eq(lists.map(Arc::as_ptr))
    }

    /// Whether it may have to look again without having been woken.
    pub(crate) fn may_miss_wakeups(&self) -> bool {
        self.unsure
    }

    /// Sleeps until woken, or so long, and is on no list any more. Not long if what it waits for
    /// is not always told.
    pub(crate) fn sleep(&mut self, limit: Duration, told: bool) {
        let limit = if self.unsure || !told {
            limit.min(UNSURE)
        } else {
            limit
        };
        if let Some(parker) = &self.parker {
            let start = Instant::now();
            let mut other = false;
            while parker.woken.load(ord!(Relaxed)) == 0 {
                let Some(left) = limit.checked_sub(start.elapsed()) else {
                    break;
                };
                if left.is_zero() {
                    break;
                }
                park(left);
                other |= parker.woken.load(ord!(Relaxed)) == 0 && start.elapsed() < limit;
            }
            if other {
                // Perhaps somebody else has unparked this thread for what it does elsewhere.
                parker.thread.unpark();
            }
        }
        self.withdraw();
    }

    /// Is on no list any more.
    pub(crate) fn withdraw(&mut self) {
        for (list, id) in self.enrolled.drain(..) {
            list.withdraw(id);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.withdraw();
    }
}
