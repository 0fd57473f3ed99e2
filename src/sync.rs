//! The only file that names atomics, fences, spin hints and memory orderings.
//!
//! Two builds of one source: the plain build uses `std`, the model-checked build
//! (`cfg(loom)`, set by the `loom-tests` package alone) uses loom (`sync_loom.rs`, and
//! `sites_loom.rs` for the sites), so that the models run the code that ships. Those two are this
//! file's other half, and name orderings as it does; nothing of them is in the plain build.
//!
//! # Orderings
//!
//! Every ordering that is stronger than `Relaxed` is written
//! `ord!("site", Row, Release)`: `site` names the place, once in the whole source, and
//! `Row` the row of the ordering table in `docs/design.md` that says what the ordering
//! makes visible to whom. In the plain build this is the constant. In the model-checked
//! build one site may be weakened from outside (`RINGLOG_WEAKEN="site=Relaxed"`), which is
//! how the models are shown to need it. `ord!(Relaxed)` has nothing to weaken and no row.
//! A fence is `fence!("site", Row)`, always sequentially consistent; weakened, it is left
//! out.

#[cfg(not(loom))]
pub(crate) use plain::*;

#[cfg(loom)]
pub(crate) use crate::sync_loom::*;

/// The memory ordering of one site: see the head of this file.
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
            $crate::sites_loom::ordering(
                $site,
                stringify!($row),
                ::core::sync::atomic::Ordering::$ordering,
            )
        }
    }};
}

/// A sequentially consistent fence at one site: see the head of this file.
macro_rules! fence {
    ($site:literal, $row:ident) => {{
        #[cfg(not(loom))]
        ::core::sync::atomic::fence(::core::sync::atomic::Ordering::SeqCst);
        #[cfg(loom)]
        $crate::sync_loom::fence($site, stringify!($row));
    }};
}

pub(crate) use {fence, ord};

/// A number that is only shown. No protocol looks at it, so all is `Relaxed`, and in the models it
/// is no step and takes no part.
#[derive(Default)]
pub(crate) struct Count(core::sync::atomic::AtomicU64);

impl Count {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(ord!(Relaxed))
    }

    /// For numbers that one thread alone writes.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, ord!(Relaxed));
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, ord!(Relaxed));
    }

    /// Raises it to `value`; `false` if it was there already.
    pub(crate) fn raise(&self, value: u64) -> bool {
        self.get() < value && self.0.fetch_max(value, ord!(Relaxed)) < value
    }
}

/// Takes a lock of std's. That somebody panicked while holding it does not matter: nobody leaves
/// anything half done under a lock of ringlog's.
#[inline]
pub(crate) fn lock_std<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // ThreadSanitizer does not see into std, where a lock that is taken is waited for
    // (`.ci/thread-sanitizer`); this is the part that is compiled here.
    #[cfg(ringlog_tsan)]
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(std::sync::TryLockError::Poisoned(e)) => return e.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
    #[cfg(not(ringlog_tsan))]
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(not(loom))]
mod plain {
    pub(crate) use super::lock_std as lock;
    pub(crate) use core::hint::spin_loop;
    pub(crate) use core::sync::atomic::{AtomicU64, Ordering};
    pub(crate) use std::sync::{Mutex, MutexGuard};
    pub(crate) use std::thread::{
        Thread, current as current_thread, park_timeout as park, yield_now,
    };

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
    pub(crate) fn store_alone(word: &AtomicU64, value: u64, order: Ordering) {
        word.store(value, order);
    }

    /// A shared value that is read often and replaced seldom, as a whole.
    pub(crate) type Snapshot<T> = arc_swap::ArcSwap<T>;

    /// An immutable value that is replaced as a whole while others read it, reclaimed with
    /// crossbeam-epoch once nobody can be reading the old one.
    pub(crate) mod epoch {
        use super::Ordering;
        use crossbeam_epoch as ce;
        use crossbeam_epoch::{Atomic, Owned};

        pub(crate) struct Cell<T>(Atomic<T>);

        impl<T: Send + Sync + 'static> Cell<T> {
            pub(crate) fn new(value: T) -> Self {
                Cell(Atomic::new(value))
            }

            /// Runs `look` on the current value.
            pub(crate) fn read<R>(&self, load: Ordering, look: impl FnOnce(&T) -> R) -> R {
                let guard = ce::pin();
                let shared = self.0.load(load, &guard);
                // SAFETY: the cell is never null, and the guard, taken before the load,
                // keeps what was loaded from being freed until `look` returns.
                #[allow(unsafe_code)]
                let value = unsafe { shared.deref() };
                look(value)
            }

            /// Replaces the value by `next(current)`, again and again until no other
            /// replacement came between.
            pub(crate) fn replace(
                &self,
                load: Ordering,
                success: Ordering,
                next: impl Fn(&T) -> T,
            ) {
                let guard = ce::pin();
                loop {
                    let shared = self.0.load(load, &guard);
                    // SAFETY: as in `read`.
                    #[allow(unsafe_code)]
                    let owned = Owned::new(next(unsafe { shared.deref() }));
                    if self
                        .0
                        .compare_exchange(shared, owned, success, Ordering::Relaxed, &guard)
                        .is_ok()
                    {
                        // SAFETY: the exchange took the old value out of the cell, so no
                        // later guard can reach it; earlier ones delay the destruction.
                        #[allow(unsafe_code)]
                        unsafe {
                            guard.defer_destroy(shared);
                        }
                        return;
                    }
                    super::spin_loop();
                }
            }
        }

        impl<T> Drop for Cell<T> {
            fn drop(&mut self) {
                let value = core::mem::replace(&mut self.0, Atomic::null());
                // SAFETY: `&mut self`: nobody else can reach the cell, and it is never null
                // before this.
                #[allow(unsafe_code)]
                drop(unsafe { value.into_owned() });
            }
        }
    }
}
