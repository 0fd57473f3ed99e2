//! The model-checked build's half of `sync`: loom's types. Each operation is one step, reported to
//! `ordering_sites.rs`.
#![allow(unsafe_code)]

use super::ordering_sites;
pub(crate) use core::sync::atomic::Ordering;
use loom::cell::UnsafeCell;
pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::{Mutex, MutexGuard};
pub(crate) use loom::thread::{Thread, current as current_thread, yield_now};

/// Locks a mutex and ignores poisoning, for the reason given at `lock_std`.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// Parks without a limit, so that a lost wake-up is a deadlock, which loom reports.
pub(crate) fn park(_limit: std::time::Duration) {
    ordering_sites::step("park");
    loom::thread::park();
}

/// A sequentially consistent fence, unless its site is weakened.
#[track_caller]
pub(crate) fn fence_site(site: &'static str, row: &'static str) {
    let ordering = ordering_sites::fence_ordering(site, row);
    ordering_sites::step("fence");
    if let Some(ordering) = ordering {
        loom::sync::atomic::fence(ordering);
    }
}

/// Shadow state: an empty cell whose accesses loom checks for data races. It stands in for memory
/// that loom does not track.
pub(crate) struct Shadow(UnsafeCell<()>);

// SAFETY: the cell is empty; loom tracks its accesses for every thread.
unsafe impl Sync for Shadow {}

impl Shadow {
    /// A cell that is not written yet.
    pub(crate) fn new() -> Self {
        Shadow(UnsafeCell::new(()))
    }

    /// A cell written by this thread.
    pub(crate) fn written() -> Self {
        let shadow = Shadow::new();
        shadow.write();
        shadow
    }

    /// Asserts that every write happened before.
    #[track_caller]
    pub(crate) fn read(&self) {
        self.0.with(|_| ());
    }

    /// Asserts that every read and write happened before.
    #[track_caller]
    pub(crate) fn write(&self) {
        self.0.with_mut(|_| ());
    }
}

/// loom's atomic word, with the operations that the source uses.
#[allow(unreachable_pub)] // `ClaimMode` names it and is `pub`
pub struct AtomicU64 {
    word: loom::sync::atomic::AtomicU64,
    /// Written by [`store_exclusive`], read before every read-modify-write.
    exclusive: Shadow,
}

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> Self {
        AtomicU64 {
            word: loom::sync::atomic::AtomicU64::new(value),
            exclusive: Shadow::new(),
        }
    }

    #[track_caller]
    pub(crate) fn load(&self, order: Ordering) -> u64 {
        ordering_sites::step("load");
        self.word.load(order)
    }

    /// A plain load of a word that no other thread writes meanwhile.
    ///
    /// # Safety
    /// Every store to it happened before, and the next one happens after this thread hands it on.
    #[track_caller]
    pub(crate) unsafe fn unsync_load(&self) -> u64 {
        // SAFETY: guaranteed by the caller, and checked by loom.
        unsafe { self.word.unsync_load() }
    }

    #[track_caller]
    pub(crate) fn store(&self, value: u64, order: Ordering) {
        ordering_sites::step("store");
        self.word.store(value, order);
        ordering_sites::stored();
    }

    #[track_caller]
    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.read_modify_write("swap", |word| word.swap(value, order))
    }

    #[track_caller]
    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.read_modify_write("fetch_add", |word| word.fetch_add(value, order))
    }

    #[track_caller]
    pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        self.read_modify_write("fetch_sub", |word| word.fetch_sub(value, order))
    }

    #[track_caller]
    pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
        self.read_modify_write("fetch_max", |word| word.fetch_max(value, order))
    }

    #[track_caller]
    pub(crate) fn fetch_and(&self, value: u64, order: Ordering) -> u64 {
        self.read_modify_write("fetch_and", |word| word.fetch_and(value, order))
    }

    #[track_caller]
    pub(crate) fn fetch_or(&self, value: u64, order: Ordering) -> u64 {
        self.read_modify_write("fetch_or", |word| word.fetch_or(value, order))
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
        self.exclusive.read();
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
    fn read_modify_write(
        &self,
        operation: &'static str,
        apply: impl FnOnce(&loom::sync::atomic::AtomicU64) -> u64,
    ) -> u64 {
        ordering_sites::step(operation);
        self.exclusive.read();
        apply(&self.word)
    }
}

/// A plain store to a word that other threads access by read-modify-write, but never at the same
/// time. Loom orders stores and read-modify-writes as they ran; the language orders them only if
/// one happens before the other. The shadow makes loom check that.
#[track_caller]
pub(crate) fn store_exclusive(word: &AtomicU64, value: u64, order: Ordering) {
    word.exclusive.write();
    word.store(value, order);
}

/// A stand-in for arc-swap, which raises false alarms in a model: a lock that loom does not see.
/// The published value is in an `Arc`, complete before publication and immutable afterwards.
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

/// `epoch.rs` on a loom pointer. Only the reclamation is not modelled: here old values live until
/// the cell is dropped.
pub(crate) mod epoch {
    use super::{Ordering, Shadow, ordering_sites};
    use loom::sync::atomic::AtomicPtr;
    use std::sync::Mutex as Garbage;

    pub(crate) struct Cell<T> {
        value: AtomicPtr<Node<T>>,
        old: Garbage<Vec<Box<Node<T>>>>,
    }

    /// A value with shadow state, written when the value is created and read at each read. So loom
    /// checks that a reader sees the value complete.
    struct Node<T> {
        value: T,
        created: Shadow,
    }

    impl<T> Node<T> {
        fn create(value: T) -> *mut Node<T> {
            let created = Shadow::written();
            Box::into_raw(Box::new(Node { value, created }))
        }

        fn value(&self) -> &T {
            self.created.read();
            &self.value
        }
    }

    impl<T: Send + Sync + 'static> Cell<T> {
        pub(crate) fn new(value: T) -> Self {
            Cell {
                value: AtomicPtr::new(Node::create(value)),
                old: Garbage::new(Vec::new()),
            }
        }

        #[track_caller]
        pub(crate) fn read<R>(&self, load: Ordering, f: impl FnOnce(&T) -> R) -> R {
            ordering_sites::step("load");
            // SAFETY: never null; replaced values live as long as the cell.
            let node = unsafe { &*self.value.load(load) };
            f(node.value())
        }

        #[track_caller]
        pub(crate) fn replace(&self, load: Ordering, success: Ordering, next: impl Fn(&T) -> T) {
            loop {
                ordering_sites::step("load");
                let old = self.value.load(load);
                // SAFETY: as in `read`.
                let new = Node::create(next(unsafe { &*old }.value()));
                ordering_sites::step("compare_exchange");
                match self
                    .value
                    .compare_exchange(old, new, success, Ordering::Relaxed)
                {
                    Ok(_) => {
                        // SAFETY: from `Box::into_raw`, taken out of the cell by the exchange.
                        let old = unsafe { Box::from_raw(old) };
                        self.old.lock().unwrap_or_else(|e| e.into_inner()).push(old);
                        return;
                    }
                    Err(_) => {
                        // SAFETY: created just above, and never shared.
                        drop(unsafe { Box::from_raw(new) });
                        super::spin_loop();
                    }
                }
            }
        }
    }

    impl<T> Drop for Cell<T> {
        fn drop(&mut self) {
            // SAFETY: `&mut self`; from `Box::into_raw`, never null.
            self.value
                .with_mut(|value| drop(unsafe { Box::from_raw(*value) }));
        }
    }
}
