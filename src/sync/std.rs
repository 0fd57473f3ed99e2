//! Atomics, fences and locks of the plain build: those of `std`.

pub(crate) use super::lock_std as lock;
pub(crate) use core::hint::spin_loop;
pub(crate) use core::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use std::thread::{Thread, current as current_thread, park_timeout as park, yield_now};

/// Has the compiler, and it alone, keep what comes before this before what comes after.
#[inline(always)]
pub(crate) fn keep_order() {
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// Lets some time pass, for nobody to do anything.
pub(crate) fn pass_time(hints: u32) {
    for _ in 0..hints {
        spin_loop();
    }
}

/// A plain store to a word that others exchange, at other times.
#[inline(always)]
pub(crate) fn store_exclusive(word: &AtomicU64, value: u64, order: Ordering) {
    word.store(value, order);
}

/// A shared value that is read often and replaced seldom, as a whole.
pub(crate) type Snapshot<T> = arc_swap::ArcSwap<T>;
