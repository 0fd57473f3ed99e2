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
            $crate::sync::ordering_sites::ordering(
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
        $crate::sync::fence_site($site, stringify!($row));
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
pub(crate) fn lock_std<T>(mutex: &::std::sync::Mutex<T>) -> ::std::sync::MutexGuard<'_, T> {
    // ThreadSanitizer does not see into std, where a lock that is taken is waited for
    // (`.ci/thread-sanitizer`); this is the part that is compiled here.
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
