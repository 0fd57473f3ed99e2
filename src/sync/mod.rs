//! The facade over `std` and loom: only this folder names atomics, fences, spin hints and memory
//! orderings.
//!
//! One source has two builds. The plain build uses `std` (`std.rs`, `epoch.rs`). The model-checked
//! build (`cfg(loom)`, set only by the `loom-tests` package) uses loom (`loom.rs`,
//! `ordering_sites.rs`), so that the models run the code that ships. The plain build contains
//! nothing of the loom half.
//!
//! # Orderings
//!
//! Every ordering stronger than `Relaxed` is written `ord!("site", Row, Release)`. The **site** is
//! a name that is unique in the source. The **row** is a row of the ordering table in
//! `docs/architecture.md`; it says what the ordering makes visible, and to which other site.
//! A fence is written `fence!("site", Row)` and is always sequentially consistent.
//!
//! In the plain build `ord!` is a constant. The model-checked build can weaken one site from
//! outside (`RINGLOG_WEAKEN="site=Relaxed"`); a fence is weakened to `AcqRel`, or left out. A model
//! that then fails shows that the ordering is needed. `ord!(Relaxed)` has no site and no row: it
//! cannot be weakened.

mod append_vec;
#[cfg(not(loom))]
pub(crate) mod epoch;
#[cfg(loom)]
mod loom;
#[cfg(loom)]
pub mod ordering_sites;
#[cfg(not(loom))]
mod std;

#[cfg(loom)]
pub(crate) use self::loom::*;
#[cfg(not(loom))]
pub(crate) use self::std::*;
pub(crate) use append_vec::{AppendVec, bucket_len, bucket_of};

/// The memory ordering of one site; see the head of this file.
macro_rules! ord {
    (Relaxed) => {
        ::core::sync::atomic::Ordering::Relaxed
    };
    ($site:literal, $row:ident, $ordering:ident) => {{
        #[cfg(not(loom))]
        {
            ::core::sync::atomic::Ordering::$ordering
        }
        #[cfg(loom)]
        {
            $crate::sync::ordering_sites::ordering(
                $site,
                stringify!($row),
                ::core::sync::atomic::Ordering::$ordering,
            )
        }
    }};
}

/// A sequentially consistent fence at one site; see the head of this file.
macro_rules! fence {
    ($site:literal, $row:ident) => {{
        #[cfg(not(loom))]
        ::core::sync::atomic::fence(::core::sync::atomic::Ordering::SeqCst);
        #[cfg(loom)]
        $crate::sync::fence_site($site, stringify!($row));
    }};
}

pub(crate) use {fence, ord};

/// A statistics counter, a time, or a hint that may be read late. No protocol relies on it, so every access
/// is `Relaxed`, and the models do not count its accesses as steps.
#[derive(Default)]
pub(crate) struct Count(core::sync::atomic::AtomicU64);

impl Count {
    pub(crate) fn new(value: u64) -> Count {
        Count(core::sync::atomic::AtomicU64::new(value))
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(ord!(Relaxed))
    }

    /// Only for a counter with a single writing thread.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, ord!(Relaxed));
    }

    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, ord!(Relaxed));
    }

    /// Raises the counter to `value`; `false` if it was at least that already.
    pub(crate) fn raise(&self, value: u64) -> bool {
        self.get() < value && self.0.fetch_max(value, ord!(Relaxed)) < value
    }
}

/// Locks a `std` mutex and ignores poisoning: no code leaves data half-updated under one of
/// ringlog's locks, so a panic of another holder does no harm.
#[inline]
pub(crate) fn lock_std<T>(mutex: &::std::sync::Mutex<T>) -> ::std::sync::MutexGuard<'_, T> {
    // ThreadSanitizer (`.ci/thread-sanitizer`) does not instrument std, where a contended `lock`
    // waits. `try_lock` is inlined here, and so is instrumented.
    #[cfg(ringlog_tsan)]
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(::std::sync::TryLockError::Poisoned(e)) => return e.into_inner(),
            Err(::std::sync::TryLockError::WouldBlock) => ::std::thread::yield_now(),
        }
    }
    #[cfg(not(ringlog_tsan))]
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
