//! Event count: the list of waiters for a condition, and the notification that wakes them all.
//!
//! Each partition has three event counts: consumers wait for records that are sent, or stored in
//! files, and producers for a gate to move.
//! Each consumer has one for what concerns it alone (its [`WakeupHandle`](super::WakeupHandle), its
//! group, topics that it follows). Each topic has one, on which group members wait for changes of the topic. A waiter is a
//! [`Waker`]: a thread's, which unparks it, or a task's.
//!
//! # No wake-up is lost (row P15)
//!
//! Waiter and notifier run a store-buffering (Dekker) handshake:
//!
//! ```text
//! waiter                          notifier
//! enrol: store `state`            make the condition true
//! heavy fence                     light fence
//! check the condition             load `state`
//! sleep if it is not true         wake all waiters, if there are any
//! ```
//!
//! At least one of the two sees the other's store: a waiter that misses the change is found by the
//! notifier.
//!
//! A producer would need a StoreLoad fence between publishing and checking for waiters. Instead the
//! waiter calls `membarrier(2)` before it sleeps (`asymmetric_fence.rs`), so the send path has no
//! fence. It costs one load of a cache line that is not written while the list stays empty.
//!
//! Without an asymmetric fence, the fence at the end of enrolling stands for the heavy one, and
//! `state` is never zero. So every notifier takes the slow path, which fences and loads `state`
//! again.
//!
//! Waking removes a waiter from the list; to sleep again it must enrol again. A wake-up may be
//! spurious, so a woken waiter checks its condition.
//!
//! # A notifier never blocks (row P16)
//!
//! The list is behind a lock that is held for a few instructions, but its holder may be stopped
//! there. So a notifier only tries the lock, in another handshake:
//!
//! ```text
//! notifier                        lock holder
//! set `notify_pending`            unlock
//! fence                           fence
//! try the lock                    check `notify_pending`
//! ```
//!
//! At least one of the two sees the other: a notifier that finds the lock taken leaves the wake-up
//! to the holder. So a thread stopped inside the lock stops the waiters of this event count, and
//! threads that want to enrol, but no producer that has room.
//!
//! # Wakers are the user's code
//!
//! They are woken and dropped outside the lock. A thread that notifies under another of ringlog's
//! locks [defers the wakes](super::defer_wakes). The panic of a waker is contained: the notifier
//! has no part in it, and may be inside a protocol step or a drop.

use super::asymmetric_fence;
use super::deferred_wakes::{contain_panic, wake_or_defer};
use crate::sync::{AtomicU64, Mutex, MutexGuard, fence, lock, ord};
use crossbeam_utils::CachePadded;
use std::sync::TryLockError;
use std::task::Waker;

/// Bit of `state`: there is no asymmetric fence, so a notifier must fence before it can conclude
/// that the list is empty.
const MUST_FENCE: u64 = 1;

/// Bit of `state`: the list is not empty.
const HAS_WAITERS: u64 = 2;

/// A list of waiters; see the head of this file.
pub(crate) struct EventCount(CachePadded<Inner>);

struct Inner {
    /// [`MUST_FENCE`] and [`HAS_WAITERS`]. Written at creation, and then only under the lock.
    state: AtomicU64,
    /// 1 while a notifier's wake-up is outstanding: it has set this and not yet got the lock.
    notify_pending: AtomicU64,
    list: Mutex<List>,
    /// The value of `state` while the list is empty.
    empty_state: u64,
    /// Notifiers fence where they have to, so no wake-up is missed.
    always_wakes: bool,
}

#[derive(Default)]
struct List {
    next_id: u64,
    waiters: Vec<(u64, Waker)>,
    /// An empty list, whose memory replaces that of `waiters` while those are woken.
    spare: Vec<(u64, Waker)>,
}

impl EventCount {
    /// With `may_fence`, notifiers fence where the system has no asymmetric fence. Without it, a
    /// waiter cannot rely on being woken there; see [`always_wakes`](Self::always_wakes).
    pub(crate) fn new(may_fence: bool) -> EventCount {
        let always_wakes = may_fence || asymmetric_fence::is_asymmetric();
        let empty_state = if always_wakes && !asymmetric_fence::is_asymmetric() {
            MUST_FENCE
        } else {
            0
        };
        EventCount(CachePadded::new(Inner {
            state: AtomicU64::new(empty_state),
            notify_pending: AtomicU64::new(0),
            list: Mutex::new(List::default()),
            empty_state,
            always_wakes,
        }))
    }

    /// Whether an enrolled waiter is certain to be woken.
    pub(super) fn always_wakes(&self) -> bool {
        self.0.always_wakes
    }

    /// Wakes all waiters, if there are any. The caller has made their condition true before.
    #[inline(always)]
    pub(crate) fn notify(&self) {
        // Spares the models the steps of notifications that have no waiter.
        #[cfg(loom)]
        if !self.0.always_wakes {
            return;
        }
        asymmetric_fence::light();
        if self.0.state.load(ord!(Relaxed)) != 0 {
            self.notify_slow();
        }
    }

    #[cold]
    #[inline(never)]
    fn notify_slow(&self) {
        if self.0.empty_state == MUST_FENCE {
            // Between making the condition true and loading `state`.
            fence!("event_count.notify", P15);
            if self.0.state.load(ord!(Relaxed)) == MUST_FENCE {
                return;
            }
        }
        self.wake_all();
    }

    fn wake_all(&self) {
        loop {
            self.0.notify_pending.store(1, ord!(Relaxed));
            // Between setting `notify_pending` and trying the lock.
            fence!("event_count.try_lock", P16);
            let mut list = match self.0.list.try_lock() {
                Ok(list) => list,
                Err(TryLockError::Poisoned(e)) => e.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            self.0.notify_pending.store(0, ord!(Relaxed));
            let spare = core::mem::take(&mut list.spare);
            let woken = core::mem::replace(&mut list.waiters, spare);
            let notify_pending = self.unlock(list);
            self.keep_spare(wake_or_defer(woken));
            if !notify_pending {
                return;
            }
        }
    }

    /// Keeps an empty list's memory for later use, unless the lock is taken.
    fn keep_spare(&self, spare: Vec<(u64, Waker)>) {
        if let Ok(mut list) = self.0.list.try_lock() {
            if list.spare.capacity() < spare.capacity() {
                list.spare = spare;
            }
            if self.unlock(list) {
                self.wake_all();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        lock(&self.0.list)
    }

    /// Releases the lock. Returns whether a notifier has left its wake-up to the caller.
    #[must_use]
    fn unlock(&self, list: MutexGuard<'_, List>) -> bool {
        let state = if list.waiters.is_empty() {
            self.0.empty_state
        } else {
            self.0.empty_state | HAS_WAITERS
        };
        self.0.state.store(state, ord!(Relaxed));
        drop(list);
        // Between releasing the lock and loading `notify_pending`. Where `asymmetric_fence::heavy`
        // does nothing, also between enrolling and checking the condition (P15).
        fence!("event_count.unlock", P16);
        self.0.notify_pending.load(ord!(Relaxed)) != 0
    }

    /// Enrols a waiter, until it is woken or [withdrawn](Self::withdraw). Before it sleeps it must
    /// call [`asymmetric_fence::heavy`] and check its condition once more.
    pub(super) fn enrol(&self, waker: Waker) -> u64 {
        let mut list = self.lock();
        let id = list.next_id;
        list.next_id += 1;
        list.waiters.push((id, waker));
        if self.unlock(list) {
            self.wake_all();
        }
        id
    }

    /// Removes a waiter that is still enrolled.
    pub(super) fn withdraw(&self, id: u64) {
        let mut list = self.lock();
        let found = list.waiters.iter().position(|(other, _)| *other == id);
        let removed = found.map(|at| list.waiters.swap_remove(at));
        if self.unlock(list) {
            self.wake_all();
        }
        contain_panic(|| drop(removed));
    }

    /// The number of enrolled waiters.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().waiters.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::defer_wakes;
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(Mutex<usize>);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    fn counter() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), count.into())
    }

    fn wakes(count: &Count) -> usize {
        *count.0.lock().unwrap()
    }

    #[test]
    fn an_enrolled_waiter_is_woken_once_and_a_withdrawn_one_is_not() {
        let event_count = EventCount::new(true);
        let (a, waker_a) = counter();
        let (b, waker_b) = counter();
        event_count.notify();
        event_count.enrol(waker_a);
        let id = event_count.enrol(waker_b);
        event_count.withdraw(id);
        event_count.notify();
        event_count.notify();
        event_count.withdraw(id);
        assert_eq!((wakes(&a), wakes(&b), event_count.len()), (1, 0, 0));
    }

    #[test]
    fn a_waker_may_enrol_again_and_all_are_woken_even_if_some_panic() {
        struct Again(Arc<EventCount>, Waker);
        impl Wake for Again {
            fn wake(self: Arc<Self>) {
                self.0.enrol(self.1.clone());
            }
        }
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("a waker's own");
            }
        }
        let event_count = Arc::new(EventCount::new(true));
        let (count, waker) = counter();
        event_count.enrol(waker.clone());
        event_count.enrol(Arc::new(Panics).into());
        event_count.enrol(Arc::new(Again(event_count.clone(), waker)).into());
        event_count.enrol(Arc::new(Panics).into());
        event_count.notify();
        assert_eq!((wakes(&count), event_count.len()), (1, 1));
        event_count.notify();
        assert_eq!((wakes(&count), event_count.len()), (2, 0));
    }

    #[test]
    fn deferred_waiters_are_woken_when_the_last_guard_is_dropped() {
        let event_count = EventCount::new(true);
        let (count, waker) = counter();
        event_count.enrol(waker);
        let (outer, inner) = (defer_wakes(), defer_wakes());
        event_count.notify();
        drop(inner);
        assert_eq!((wakes(&count), event_count.len()), (0, 0));
        drop(outer);
        assert_eq!(wakes(&count), 1);
    }

    #[test]
    fn a_notification_while_the_lock_is_taken_is_left_to_the_holder() {
        let event_count = EventCount::new(true);
        let (count, waker) = counter();
        event_count.enrol(waker);
        let list = event_count.lock();
        event_count.notify(); // does not wait
        assert_eq!(wakes(&count), 0);
        assert!(event_count.unlock(list));
        let (_, waker) = counter();
        event_count.enrol(waker);
        assert_eq!(wakes(&count), 1);
    }
}
