//! `sync/mod.rs` in the model-checked build: loom's types, each operation one step that
//! `sync/ordering_sites.rs` knows of.
#![allow(unsafe_code)]

use super::ordering_sites;
pub(crate) use core::sync::atomic::Ordering;
use loom::cell::UnsafeCell;
pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::{Mutex, MutexGuard};
pub(crate) use loom::thread::{Thread, current as current_thread, yield_now};

/// See `lock_std`.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// Without a limit: a wake-up that is lost is a deadlock, which loom reports.
pub(crate) fn park(_limit: std::time::Duration) {
    ordering_sites::step("park");
    loom::thread::park();
}

/// Nobody's turn: nothing is waited for.
pub(crate) fn pass_time(_hints: u32) {}

/// A sequentially consistent fence, unless its site is weakened.
#[track_caller]
pub(crate) fn fence_site(site: &'static str, row: &'static str) {
    let ordering = ordering_sites::fence_ordering(site, row);
    ordering_sites::step("fence");
    if let Some(ordering) = ordering {
        loom::sync::atomic::fence(ordering);
    }
}

/// Holds nothing: what loom checks is the order of accesses to it. A stand-in for what the
/// language orders and loom does not look at.
pub(crate) struct Shadow(UnsafeCell<()>);

// SAFETY: there is nothing in it; loom keeps its book of it for whichever thread asks.
unsafe impl Sync for Shadow {}

impl Shadow {
    /// Not written yet.
    pub(crate) fn new() -> Self {
        Shadow(UnsafeCell::new(()))
    }

    /// Written by this thread.
    pub(crate) fn written() -> Self {
        let shadow = Shadow::new();
        shadow.write();
        shadow
    }

    /// Every write happened before.
    #[track_caller]
    pub(crate) fn read(&self) {
        self.0.with(|_| ());
    }

    /// Every read and write happened before.
    #[track_caller]
    pub(crate) fn write(&self) {
        self.0.with_mut(|_| ());
    }
}

/// One of loom's words, with the operations that the source uses.
#[allow(unreachable_pub)] // as `ClaimMode`, which names it
pub struct AtomicU64 {
    word: loom::sync::atomic::AtomicU64,
    /// Written by [`store_exclusive`], read before every exchange.
    alone: Shadow,
}

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> Self {
        AtomicU64 {
            word: loom::sync::atomic::AtomicU64::new(value),
            alone: Shadow::new(),
        }
    }

    #[track_caller]
    pub(crate) fn load(&self, order: Ordering) -> u64 {
        ordering_sites::step("load");
        self.word.load(order)
    }

    /// A plain load, of a word that nobody writes meanwhile.
    ///
    /// # Safety
    /// Every store of it happened before, and none comes before this thread says so.
    #[track_caller]
    pub(crate) unsafe fn unsync_load(&self) -> u64 {
        // SAFETY: the caller's promise, and loom checks it.
        unsafe { self.word.unsync_load() }
    }

    #[track_caller]
    pub(crate) fn store(&self, value: u64, order: Ordering) {
        ordering_sites::step("store");
        self.word.store(value, order);
    }

    #[track_caller]
    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.exchange("swap", |word| word.swap(value, order))
    }

    #[track_caller]
    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.exchange("fetch_add", |word| word.fetch_add(value, order))
    }

    #[track_caller]
    pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        self.exchange("fetch_sub", |word| word.fetch_sub(value, order))
    }

    #[track_caller]
    pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        self.exchange("fetch_max", |word| word.fetch_max(value, order))
    }

    #[track_caller]
    pub(crate) fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
        self.exchange("fetch_and", |word| word.fetch_and(value, order))
    }

    #[track_caller]
    pub(crate) fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        self.exchange("fetch_or", |word| word.fetch_or(value, order))
    }

    #[track_caller]
    pub(crate) fn compare_exchange(
        &self,
        old: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        ordering_sites::step("compare_exchange");
        self.alone.read();
        self.word.compare_exchange(old, new, success, failure)
    }

    #[track_caller]
    pub(crate) fn compare_exchange_weak(
        &self,
        old: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.compare_exchange(old, new, success, failure)
    }

    #[track_caller]
    fn exchange(
        &self,
        operation: &'static str,
        exchange: impl FnOnce(&loom::sync::atomic::AtomicU64) -> u64,
    ) -> u64 {
        ordering_sites::step(operation);
        self.alone.read();
        exchange(&self.word)
    }
}

/// A plain store to a word that others exchange, at other times. Loom keeps the order in which
/// stores and exchanges ran, where the language has one only if they happen one before the
/// other: so that is what it is asked.
#[track_caller]
pub(crate) fn store_exclusive(word: &AtomicU64, value: u64, order: Ordering) {
    word.alone.write();
    word.store(value, order);
}

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

/// The cell of `sync/mod.rs` on a loom pointer. What loom does not see is the reclamation alone:
/// here old values are kept until the cell goes.
pub(crate) mod epoch {
    use super::{Ordering, Shadow, ordering_sites};
    use loom::sync::atomic::AtomicPtr;
    use std::sync::Mutex as Garbage;

    pub(crate) struct Cell<T> {
        value: AtomicPtr<Node<T>>,
        old: Garbage<Vec<Box<Node<T>>>>,
    }

    /// A value, and what has loom check that whoever looks at it sees it complete: the cell is
    /// written when the value is made and read at each look.
    struct Node<T> {
        value: T,
        made: Shadow,
    }

    impl<T> Node<T> {
        fn make(value: T) -> *mut Node<T> {
            let made = Shadow::written();
            Box::into_raw(Box::new(Node { value, made }))
        }

        fn value(&self) -> &T {
            self.made.read();
            &self.value
        }
    }

    impl<T: Send + Sync + 'static> Cell<T> {
        pub(crate) fn new(value: T) -> Self {
            Cell {
                value: AtomicPtr::new(Node::make(value)),
                old: Garbage::new(Vec::new()),
            }
        }

        #[track_caller]
        pub(crate) fn read<R>(&self, load: Ordering, look: impl FnOnce(&T) -> R) -> R {
            ordering_sites::step("load");
            // SAFETY: never null; old values live as long as the cell.
            let node = unsafe { &*self.value.load(load) };
            look(node.value())
        }

        #[track_caller]
        pub(crate) fn replace(&self, load: Ordering, success: Ordering, next: impl Fn(&T) -> T) {
            loop {
                ordering_sites::step("load");
                let old = self.value.load(load);
                // SAFETY: as in `read`.
                let new = Node::make(next(unsafe { &*old }.value()));
                ordering_sites::step("compare_exchange");
                match self
                    .value
                    .compare_exchange(old, new, success, Ordering::Relaxed)
                {
                    Ok(_) => {
                        // SAFETY: made by `Box::into_raw`, taken out by the exchange.
                        let old = unsafe { Box::from_raw(old) };
                        self.old.lock().unwrap_or_else(|e| e.into_inner()).push(old);
                        return;
                    }
                    Err(_) => {
                        // SAFETY: made just above, and never shared.
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
            self.value
                .with_mut(|value| drop(unsafe { Box::from_raw(*value) }));
        }
    }
}
