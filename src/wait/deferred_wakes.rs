//! Waking outside of locks: a thread that notifies under a lock defers its wakes until it has
//! released the lock.
//!
//! A waker is the user's code. It may take locks or call ringlog again, so it must not run under
//! one of ringlog's locks. A waker that panics does not disturb the notifier.
//!
//! # At thread exit
//!
//! A consumer or producer in a `thread_local!` is dropped while its thread's other thread-locals
//! are destroyed, and then notifies under the same locks as ever. So the list of deferred wakes
//! must outlive them all: it has no destructor ([`ManuallyDrop`]), and what has no destructor is
//! never destroyed. Nothing leaks, because the last guard takes the list out, with its memory.
//!
//! [`ManuallyDrop`]: core::mem::ManuallyDrop

use core::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakes all of `wakers`, or defers them if this thread has a [`DeferredWakes`]. Returns the empty
/// list, so that its memory can be used again.
pub(super) fn wake_or_defer(mut wakers: Vec<(u64, Waker)>) -> Vec<(u64, Waker)> {
    deferred::take_if_active(&mut wakers);
    for (_, waker) in wakers.drain(..) {
        contain_panic(|| waker.wake());
    }
    wakers
}

/// Runs the user's code. A panic of it reaches the panic hook but not the caller, which has no part
/// in it.
pub(crate) fn contain_panic(user_code: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(user_code)) else {
        return;
    };
    // The payload's drop may panic too. The payload of that second panic is leaked.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        core::mem::forget(panic);
    }
}

/// While the guard lives, this thread's notifications collect wakers instead of waking them. They
/// are woken when the thread's last guard is dropped.
pub(crate) fn defer_wakes() -> DeferredWakes {
    deferred::begin();
    DeferredWakes(PhantomData)
}

/// The guard of [`defer_wakes`]. It belongs to its thread, so it is not `Send`.
pub(crate) struct DeferredWakes(PhantomData<*const ()>);

impl Drop for DeferredWakes {
    fn drop(&mut self) {
        wake_or_defer(deferred::end());
    }
}

#[cfg(not(loom))]
mod deferred {
    use core::mem::ManuallyDrop;
    use std::cell::RefCell;
    use std::task::Waker;

    /// The number of a thread's [`DeferredWakes`](super::DeferredWakes) guards, and the wakers
    /// collected so far.
    type Deferred = (usize, Vec<(u64, Waker)>);

    thread_local! {
        /// Without a destructor, so that it can be used as long as the thread runs any code.
        static DEFERRED: ManuallyDrop<RefCell<Deferred>> =
            const { ManuallyDrop::new(RefCell::new((0, Vec::new()))) };
    }

    const _: () = assert!(!core::mem::needs_drop::<ManuallyDrop<RefCell<Deferred>>>());

    // `try_with` does not fail: see above. No call of the library may panic, all the same.

    pub(super) fn begin() {
        let _ = DEFERRED.try_with(|deferred| deferred.borrow_mut().0 += 1);
    }

    pub(super) fn take_if_active(wakers: &mut Vec<(u64, Waker)>) {
        let _ = DEFERRED.try_with(|deferred| {
            let (depth, waiting) = &mut *deferred.borrow_mut();
            if *depth > 0 {
                waiting.append(wakers);
            }
        });
    }

    /// Ends one guard. Returns the wakers to wake now: all of them after the last guard.
    pub(super) fn end() -> Vec<(u64, Waker)> {
        let ended = DEFERRED.try_with(|deferred| {
            let (depth, waiting) = &mut *deferred.borrow_mut();
            *depth = depth.saturating_sub(1);
            if *depth == 0 {
                core::mem::take(waiting)
            } else {
                Vec::new()
            }
        });
        ended.unwrap_or_default()
    }
}

/// In a model no waker does more than let its thread continue, so none is deferred.
#[cfg(loom)]
mod deferred {
    use std::task::Waker;

    pub(super) fn begin() {}

    pub(super) fn take_if_active(_wakers: &mut Vec<(u64, Waker)>) {}

    pub(super) fn end() -> Vec<(u64, Waker)> {
        Vec::new()
    }
}
