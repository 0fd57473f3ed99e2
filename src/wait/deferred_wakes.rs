use core::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakes all of them, now or [`defer_wakes`]; answers the empty list.
pub(super) fn wake_each(mut woken: Vec<(u64, Waker)>) -> Vec<(u64, Waker)> {
    deferred::put_off(&mut woken);
    for (_, waker) in woken.drain(..) {
        run_isolated(|| waker.wake());
    }
    woken
}

/// Runs what is not ours. A panic of its goes no further than to the panic hook: it is nothing to
/// who happens to be here.
pub(super) fn run_isolated(theirs: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(theirs)) else {
        return;
    };
    // What it says may panic as well when it is dropped; what that says is given up.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        core::mem::forget(panic);
    }
}

/// While this lives, whoever this thread notifies is put off, and is woken when it goes.
pub(crate) fn defer_wakes() -> DeferredWakes {
    deferred::begin();
    DeferredWakes(PhantomData)
}

/// See [`defer_wakes`]. It belongs to its thread.
pub(crate) struct DeferredWakes(PhantomData<*const ()>);

impl Drop for DeferredWakes {
    fn drop(&mut self) {
        wake_each(deferred::end());
    }
}

#[cfg(not(loom))]
mod deferred {
    use std::cell::RefCell;
    use std::task::Waker;

    thread_local! {
        /// How many [`DeferredWakes`](super::DeferredWakes)s this thread has, and who is put off.
        static LATER: RefCell<(usize, Vec<(u64, Waker)>)> = const { RefCell::new((0, Vec::new())) };
    }

    pub(super) fn begin() {
        let _ = LATER.try_with(|later| later.borrow_mut().0 += 1);
    }

    pub(super) fn put_off(woken: &mut Vec<(u64, Waker)>) {
        let _ = LATER.try_with(|later| {
            let (depth, waiting) = &mut *later.borrow_mut();
            if *depth > 0 {
                waiting.append(woken);
            }
        });
    }

    /// Who is to be woken now.
    pub(super) fn end() -> Vec<(u64, Waker)> {
        let ended = LATER.try_with(|later| {
            let (depth, waiting) = &mut *later.borrow_mut();
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

/// In a model nobody does anything when it is woken but to go on.
#[cfg(loom)]
mod deferred {
    use std::task::Waker;

    pub(super) fn begin() {}

    pub(super) fn put_off(_woken: &mut Vec<(u64, Waker)>) {}

    pub(super) fn end() -> Vec<(u64, Waker)> {
        Vec::new()
    }
}
