//! The plain build's half of `sync`: atomics, locks and parking from `std`.

pub(crate) use super::lock_std as lock;
pub(crate) use core::hint::spin_loop;
pub(crate) use core::sync::atomic::{AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};
pub(crate) use std::thread::{Thread, current as current_thread, park_timeout as park, yield_now};

/// A compiler fence: the compiler moves no memory access across it. It emits no instruction.
#[inline(always)]
pub(crate) fn keep_order() {
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// A plain store to a word that other threads access by read-modify-write, but never at the same
/// time: the caller is its only writer until it hands the word on.
#[inline(always)]
pub(crate) fn store_exclusive(word: &AtomicU64, value: u64, order: Ordering) {
    word.store(value, order);
}

/// A shared value that is read often, and rarely replaced as a whole.
pub(crate) type Snapshot<T> = arc_swap::ArcSwap<T>;
