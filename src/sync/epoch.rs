//! An immutable value that is replaced as a whole while other threads read it: epoch reclamation,
//! by crossbeam-epoch, frees the old value once no reader can still use it.
#![allow(unsafe_code)]

use super::{Ordering, spin_loop};
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
        let value = unsafe { shared.deref() };
        look(value)
    }

    /// Replaces the value by `next(current)`, again and again until no other
    /// replacement came between.
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
                // SAFETY: the exchange took the old value out of the cell, so no
                // later guard can reach it; earlier ones delay the destruction.
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
        // SAFETY: `&mut self`: nobody else can reach the cell, and it is never null
        // before this.
        drop(unsafe { value.into_owned() });
    }
}
