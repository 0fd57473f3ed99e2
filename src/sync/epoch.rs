//! A cell with an immutable value that is replaced as a whole while other threads read it.
//!
//! Reads are lock-free. Epoch reclamation (crossbeam-epoch) frees a replaced value once no reader
//! can still use it.
#![allow(unsafe_code)]

use super::{Ordering, spin_loop};
use crossbeam_epoch as ce;
use crossbeam_epoch::{Atomic, Owned};

pub(crate) struct Cell<T>(Atomic<T>);

impl<T: Send + Sync + 'static> Cell<T> {
    pub(crate) fn new(value: T) -> Self {
        Cell(Atomic::new(value))
    }

    /// Calls `f` with the current value.
    pub(crate) fn read<R>(&self, load: Ordering, f: impl FnOnce(&T) -> R) -> R {
        let guard = ce::pin();
        let shared = self.0.load(load, &guard);
        // SAFETY: the cell is never null, and the guard, taken before the load,
        // keeps the loaded value from being freed until `f` returns.
        let value = unsafe { shared.deref() };
        f(value)
    }

    /// Replaces the value by `next(current)`. If another replacement intervenes, it retries with
    /// the new current value.
    pub(crate) fn replace(&self, load: Ordering, success: Ordering, next: impl Fn(&T) -> T) {
        let guard = ce::pin();
        loop {
            let shared = self.0.load(load, &guard);
            // SAFETY: as in `read`.
            let owned = Owned::new(next(unsafe { shared.deref() }));
            if self
                .0
                .compare_exchange(shared, owned, success, Ordering::Relaxed, &guard)
                .is_ok()
            {
                // SAFETY: the exchange took the old value out of the cell, so no guard taken
                // later can reach it; guards taken earlier delay its destruction.
                unsafe {
                    guard.defer_destroy(shared);
                }
                return;
            }
            spin_loop();
        }
    }
}

impl<T> Drop for Cell<T> {
    fn drop(&mut self) {
        let value = core::mem::replace(&mut self.0, Atomic::null());
        // SAFETY: `&mut self`: no other thread can reach the cell, which was never null before.
        drop(unsafe { value.into_owned() });
    }
}
