//! The only file that names atomics, fences, spin hints and memory orderings.
//!
//! Two builds of one source: the plain build uses `std`, the model-checked build
//! (`cfg(loom)`, set by the `loom-tests` package alone) uses loom, so that the models run
//! the code that ships.
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
pub(crate) use model::*;

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
            $crate::sync::sites::ordering(
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
        if $crate::sync::sites::keep_fence($site, stringify!($row)) {
            ::loom::sync::atomic::fence(::core::sync::atomic::Ordering::SeqCst);
        }
    }};
}

pub(crate) use {fence, ord};

#[cfg(not(loom))]
mod plain {
    pub(crate) use core::hint::spin_loop;
    pub(crate) use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    pub(crate) use std::sync::Mutex;
    pub(crate) use std::thread::yield_now;

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

#[cfg(loom)]
mod model {
    pub(crate) use core::sync::atomic::Ordering;
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::Mutex;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64};
    pub(crate) use loom::thread::yield_now;

    /// arc-swap gives false alarms in a model, so that here a lock that loom does not see
    /// stands in for it. What it publishes is in an `Arc`, complete before and immutable after.
    pub(crate) struct Snapshot<T>(std::sync::RwLock<std::sync::Arc<T>>);

    impl<T> Snapshot<T> {
        pub(crate) fn from_pointee(value: T) -> Self {
            Snapshot(std::sync::RwLock::new(std::sync::Arc::new(value)))
        }

        pub(crate) fn load(&self) -> std::sync::Arc<T> {
            self.0.read().unwrap_or_else(|e| e.into_inner()).clone()
        }

        pub(crate) fn rcu(&self, mut next: impl FnMut(&std::sync::Arc<T>) -> std::sync::Arc<T>) {
            let mut value = self.0.write().unwrap_or_else(|e| e.into_inner());
            *value = next(&value);
        }
    }

    /// The same cell on a loom pointer. What loom does not see is the reclamation alone:
    /// here old values are kept until the cell goes.
    pub(crate) mod epoch {
        use super::Ordering;
        use loom::sync::atomic::AtomicPtr;
        use std::sync::Mutex as Garbage;

        pub(crate) struct Cell<T> {
            value: AtomicPtr<T>,
            old: Garbage<Vec<Box<T>>>,
        }

        impl<T: Send + Sync + 'static> Cell<T> {
            pub(crate) fn new(value: T) -> Self {
                Cell {
                    value: AtomicPtr::new(Box::into_raw(Box::new(value))),
                    old: Garbage::new(Vec::new()),
                }
            }

            pub(crate) fn read<R>(&self, load: Ordering, look: impl FnOnce(&T) -> R) -> R {
                // SAFETY: never null; old values live as long as the cell.
                #[allow(unsafe_code)]
                let value = unsafe { &*self.value.load(load) };
                look(value)
            }

            pub(crate) fn replace(
                &self,
                load: Ordering,
                success: Ordering,
                next: impl Fn(&T) -> T,
            ) {
                loop {
                    let old = self.value.load(load);
                    // SAFETY: as in `read`.
                    #[allow(unsafe_code)]
                    let new = Box::into_raw(Box::new(next(unsafe { &*old })));
                    match self
                        .value
                        .compare_exchange(old, new, success, Ordering::Relaxed)
                    {
                        Ok(_) => {
                            // SAFETY: made by `Box::into_raw`, taken out by the exchange.
                            #[allow(unsafe_code)]
                            let old = unsafe { Box::from_raw(old) };
                            self.old.lock().unwrap_or_else(|e| e.into_inner()).push(old);
                            return;
                        }
                        Err(_) => {
                            // SAFETY: made just above, and never shared.
                            #[allow(unsafe_code)]
                            drop(unsafe { Box::from_raw(new) });
                            super::spin_loop();
                        }
                    }
                }
            }
        }

        impl<T> Drop for Cell<T> {
            fn drop(&mut self) {
                // SAFETY: `&mut self`; made by `Box::into_raw`, never null.
                #[allow(unsafe_code)]
                self.value
                    .with_mut(|value| drop(unsafe { Box::from_raw(*value) }));
            }
        }
    }
}

/// Which sites ran, and which one is weakened, in the model-checked build.
#[cfg(loom)]
pub mod sites {
    use core::sync::atomic::Ordering;
    use std::collections::BTreeSet;
    use std::sync::{Mutex, OnceLock};

    struct Weaken {
        site: String,
        /// `None`: leave the fence out.
        to: Option<Ordering>,
    }

    #[allow(clippy::panic)] // a mistake of whoever runs the models, told at once
    fn weaken() -> Option<&'static Weaken> {
        static WEAKEN: OnceLock<Option<Weaken>> = OnceLock::new();
        WEAKEN
            .get_or_init(|| {
                let text = std::env::var("RINGLOG_WEAKEN").ok()?;
                let (site, to) = text.split_once('=').unwrap_or((&text, "none"));
                let to = match to {
                    "Relaxed" => Some(Ordering::Relaxed),
                    "Acquire" => Some(Ordering::Acquire),
                    "Release" => Some(Ordering::Release),
                    "none" => None,
                    other => panic!("RINGLOG_WEAKEN: {other} is not an ordering"),
                };
                Some(Weaken {
                    site: site.to_owned(),
                    to,
                })
            })
            .as_ref()
    }

    static REACHED: Mutex<BTreeSet<(&'static str, &'static str)>> = Mutex::new(BTreeSet::new());

    fn reach(site: &'static str, row: &'static str) {
        let mut reached = REACHED.lock().unwrap_or_else(|e| e.into_inner());
        reached.insert((site, row));
    }

    /// The sites that ran in this process so far, each with its row.
    pub fn reached() -> Vec<(&'static str, &'static str)> {
        let reached = REACHED.lock().unwrap_or_else(|e| e.into_inner());
        reached.iter().copied().collect()
    }

    pub(crate) fn ordering(site: &'static str, row: &'static str, original: Ordering) -> Ordering {
        reach(site, row);
        match weaken() {
            Some(w) if w.site == site => w.to.unwrap_or(Ordering::Relaxed),
            _ => original,
        }
    }

    pub(crate) fn keep_fence(site: &'static str, row: &'static str) -> bool {
        reach(site, row);
        !matches!(weaken(), Some(w) if w.site == site)
    }
}
