//! Who sleeps until something happens, and how it is woken: an event count.
//!
//! Each partition has two: consumers sleep until something is published, producers until a gate
//! moves on. Each consumer has one, for what is said to it alone ([`wakeup`](crate::wakeup), its
//! group), and each topic one, on which members sleep until it is changed. A sleeper is a [`Waker`]: a thread's, which unparks it, or that of a task.
//!
//! # No wake-up is lost (row P15)
//!
//! Sleeper: enrol; heavy fence; look for what it waits for; sleep only if that is not there.
//! Notifier: make it so; light fence; look at `asleep`. One of the two sees the other
//! (`barrier.rs`): a sleeper that did not find what was published is found by who published it.
//! Where there is no asymmetric fence, the one with which enrolling ends stands for the heavy one,
//! and `asleep` is never zero, so that a notifier comes to the slow way, which fences and looks
//! again. So the usual way costs one load of a line that nobody writes
//! while nobody sleeps, in either case, and where the fence is asymmetric that is all.
//!
//! Who is woken is off the list, and has to enrol again to sleep again. A sleeper may be woken for
//! nothing, and looks then.
//!
//! # A notifier never waits (row P16)
//!
//! The list is behind a lock, which is held for a few instructions, but by threads that may be
//! stopped there. A notifier only tries it: it sets `rung`, fences, and tries. Whoever has the lock
//! lets go of it, fences, and looks at `rung`. One of the two sees the other: a notifier that finds
//! the lock taken leaves its work to who has it, and that does it. So a thread that is stopped in
//! the lock stops those who sleep here, or want to, and no producer that has room.
//!
//! Wakers are woken and dropped outside the lock: what they do is not ringlog's. Who holds another
//! lock of ringlog's while it notifies has them woken [`defer_wakes`](super::defer_wakes). One that panics does so alone: who
//! publishes or reads has no part in it, and may be in the middle of a step or of a drop.

use super::asymmetric_fence;
use super::deferred_wakes::{run_isolated, wake_each};
use crate::sync::{AtomicU64, Mutex, MutexGuard, fence, lock, ord};
use crossbeam_utils::CachePadded;
use std::sync::TryLockError;
use std::task::Waker;

/// There is no asymmetric fence: a notifier has to fence before it can say that nobody sleeps.
const FENCED: u64 = 1;

/// Somebody is on the list.
const SOMEBODY: u64 = 2;

/// Whose thread or task is to be woken when something happens.
pub(crate) struct EventCount(CachePadded<Inner>);

struct Inner {
    /// [`FENCED`], [`SOMEBODY`]. Written under the lock, and before anybody else has it.
    asleep: AtomicU64,
    /// Somebody wanted all woken, and found the lock taken.
    rung: AtomicU64,
    list: Mutex<List>,
    /// What `asleep` is when nobody is on the list.
    nobody: u64,
    /// Notifiers fence, if they have to.
    ordered: bool,
}

#[derive(Default)]
struct List {
    next: u64,
    waiting: Vec<(u64, Waker)>,
    /// An empty one to go on with while those of the other are woken.
    spare: Vec<(u64, Waker)>,
}

impl EventCount {
    /// With `fence`, notifiers fence where the system's asymmetric fence is missing. Without, nobody
    /// may rely on being woken there: see [`wakes`](Self::wakes).
    pub(crate) fn new(fence: bool) -> EventCount {
        let ordered = fence || asymmetric_fence::is_asymmetric();
        let nobody = if ordered && !asymmetric_fence::is_asymmetric() {
            FENCED
        } else {
            0
        };
        EventCount(CachePadded::new(Inner {
            asleep: AtomicU64::new(nobody),
            rung: AtomicU64::new(0),
            list: Mutex::new(List::default()),
            nobody,
            ordered,
        }))
    }

    /// Whether a sleeper is sure to be woken.
    pub(crate) fn wakes(&self) -> bool {
        self.0.ordered
    }

    /// Wakes who sleeps, if anybody does: after what they sleep for has been made so.
    #[inline(always)]
    pub(crate) fn notify(&self) {
        // A model in which nobody sleeps is not to be charged for it.
        #[cfg(loom)]
        if !self.0.ordered {
            return;
        }
        asymmetric_fence::light();
        if self.0.asleep.load(ord!(Relaxed)) != 0 {
            self.notify_slowly();
        }
    }

    #[cold]
    #[inline(never)]
    fn notify_slowly(&self) {
        if self.0.nobody == FENCED {
            // Between what was made so and the look at who sleeps.
            fence!("sleepers.notify", P15);
            if self.0.asleep.load(ord!(Relaxed)) == FENCED {
                return;
            }
        }
        self.wake_all();
    }

    fn wake_all(&self) {
        loop {
            self.0.rung.store(1, ord!(Relaxed));
            // Between the bell and the try.
            fence!("sleepers.ring", P16);
            let mut list = match self.0.list.try_lock() {
                Ok(list) => list,
                Err(TryLockError::Poisoned(e)) => e.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            self.0.rung.store(0, ord!(Relaxed));
            let spare = core::mem::take(&mut list.spare);
            let woken = core::mem::replace(&mut list.waiting, spare);
            let rung = self.unlock(list);
            self.give_back(wake_each(woken));
            if !rung {
                return;
            }
        }
    }

    /// Keeps an empty list's memory for later, if nobody is just using the lock.
    fn give_back(&self, spare: Vec<(u64, Waker)>) {
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

    /// Lets go of the lock; answers whether somebody has left work behind.
    #[must_use]
    fn unlock(&self, list: MutexGuard<'_, List>) -> bool {
        let asleep = if list.waiting.is_empty() {
            self.0.nobody
        } else {
            self.0.nobody | SOMEBODY
        };
        self.0.asleep.store(asleep, ord!(Relaxed));
        drop(list);
        // Between letting go and the look at the bell; and, where `asymmetric_fence::heavy` does nothing,
        // between enrolling and the look for what is waited for.
        fence!("sleepers.unlock", P16);
        self.0.rung.load(ord!(Relaxed)) != 0
    }

    /// Puts a sleeper on the list, until it is woken or [withdrawn](Self::withdraw). It has to
    /// fence ([`asymmetric_fence::heavy`]) and look once more before it sleeps.
    pub(crate) fn enrol(&self, waker: Waker) -> u64 {
        let mut list = self.lock();
        let id = list.next;
        list.next += 1;
        list.waiting.push((id, waker));
        if self.unlock(list) {
            self.wake_all();
        }
        id
    }

    /// Takes a sleeper off the list, if it is still there.
    pub(crate) fn withdraw(&self, id: u64) {
        let mut list = self.lock();
        let found = list.waiting.iter().position(|(other, _)| *other == id);
        let gone = found.map(|at| list.waiting.swap_remove(at));
        if self.unlock(list) {
            self.wake_all();
        }
        run_isolated(|| drop(gone));
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
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

    fn times(count: &Count) -> usize {
        *count.0.lock().unwrap()
    }

    #[test]
    fn who_sleeps_is_woken_once_and_who_left_is_not() {
        let sleepers = EventCount::new(true);
        let (a, waker_a) = counter();
        let (b, waker_b) = counter();
        sleepers.notify();
        sleepers.enrol(waker_a);
        let id = sleepers.enrol(waker_b);
        sleepers.withdraw(id);
        sleepers.notify();
        sleepers.notify();
        sleepers.withdraw(id);
        assert_eq!((times(&a), times(&b), sleepers.len()), (1, 0, 0));
    }

    #[test]
    fn a_waker_may_enrol_again_and_all_are_woken_though_some_panic() {
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
        let sleepers = Arc::new(EventCount::new(true));
        let (count, waker) = counter();
        sleepers.enrol(waker.clone());
        sleepers.enrol(Arc::new(Panics).into());
        sleepers.enrol(Arc::new(Again(sleepers.clone(), waker)).into());
        sleepers.enrol(Arc::new(Panics).into());
        sleepers.notify();
        assert_eq!((times(&count), sleepers.len()), (1, 1));
        sleepers.notify();
        assert_eq!((times(&count), sleepers.len()), (2, 0));
    }

    #[test]
    fn who_is_put_off_is_woken_when_the_last_lock_is_gone() {
        let sleepers = EventCount::new(true);
        let (count, waker) = counter();
        sleepers.enrol(waker);
        let (outer, inner) = (defer_wakes(), defer_wakes());
        sleepers.notify();
        drop(inner);
        assert_eq!((times(&count), sleepers.len()), (0, 0));
        drop(outer);
        assert_eq!(times(&count), 1);
    }

    #[test]
    fn what_is_rung_while_the_lock_is_taken_is_done_by_who_has_it() {
        let sleepers = EventCount::new(true);
        let (count, waker) = counter();
        sleepers.enrol(waker);
        let list = sleepers.lock();
        sleepers.notify(); // does not wait
        assert_eq!(times(&count), 0);
        assert!(sleepers.unlock(list));
        let (_, waker) = counter();
        sleepers.enrol(waker);
        assert_eq!(times(&count), 1);
    }
}
