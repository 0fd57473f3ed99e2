//! The atomic steps of the model-checked build: which ordering sites ran, which one is
//! weakened, and where a thread is stopped.
//!
//! A **site** is the name of an ordering (`sync.rs`). A **step** is one atomic operation,
//! whether it has a site or is `Relaxed`. Every operation of `sync_loom.rs` passes through
//! [`step`], so that a model can stop a thread before any of them.

use core::cell::RefCell;
use core::panic::Location;
use core::sync::atomic::Ordering;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Mutex, OnceLock};

// ---- which sites ran, and which is weakened ---------------------------------------------

struct Weaken {
    site: String,
    /// `None`: leave the fence out.
    to: Option<Ordering>,
}

/// What `RINGLOG_WEAKEN` says: `site=Relaxed`, or `site=none` for a fence. What cannot be read ends
/// the process, so that no test can be taken to fail for it.
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
                "AcqRel" => Some(Ordering::AcqRel),
                "none" => None,
                other => {
                    eprintln!("RINGLOG_WEAKEN: {other} is not an ordering");
                    std::process::exit(2);
                }
            };
            Some(Weaken {
                site: site.to_owned(),
                to,
            })
        })
        .as_ref()
}

/// The sites that ran in this process so far.
pub fn reached() -> Vec<&'static str> {
    let reached = REACHED.lock().unwrap_or_else(|e| e.into_inner());
    reached.iter().copied().collect()
}

static REACHED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

fn reach(site: &'static str) {
    thread_local! {
        // So that the common case, of a site seen before, takes no lock.
        static SEEN: RefCell<HashSet<*const u8>> = RefCell::default();
    }
    if SEEN.with_borrow_mut(|seen| seen.insert(site.as_ptr())) {
        let mut reached = REACHED.lock().unwrap_or_else(|e| e.into_inner());
        reached.insert(site);
    }
    if HOOKS.with_borrow(|hooks| !hooks.watches.is_empty()) {
        let thread = loom::thread::current().id();
        HOOKS.with_borrow_mut(|hooks| hooks.sites.push_back((thread, site)));
    }
}

/// The ordering of a site: its own, or what it is weakened to.
pub(crate) fn ordering(site: &'static str, _row: &'static str, original: Ordering) -> Ordering {
    reach(site);
    match weaken() {
        Some(w) if w.site == site => w.to.unwrap_or(Ordering::Relaxed),
        _ => original,
    }
}

/// The ordering of a fence, unless it is to be left out.
pub(crate) fn fence_ordering(site: &'static str, _row: &'static str) -> Option<Ordering> {
    reach(site);
    match weaken() {
        Some(w) if w.site == site => w.to,
        _ => Some(Ordering::SeqCst),
    }
}

// ---- steps, and stopping before one -----------------------------------------------------

/// One atomic operation of the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// `load`, `compare_exchange`, `fence`, ...
    pub operation: &'static str,
    /// The site of its ordering, unless it is `Relaxed`.
    pub site: Option<&'static str>,
    /// Where it is.
    pub file: &'static str,
    /// Its line there.
    pub line: u32,
}

/// Where a thread is to be stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// Before this step of its work, counted from 0.
    Step(usize),
    /// Before the first step at this site.
    Site(&'static str),
}

thread_local! {
    // The threads of a model are coroutines of one thread of the system, so these are the
    // model's, and each entry says whose it is.
    static HOOKS: RefCell<Hooks> = RefCell::default();
}

#[derive(Default)]
struct Hooks {
    /// The sites whose orderings a thread asked for, for its steps that come now.
    sites: VecDeque<(loom::thread::ThreadId, &'static str)>,
    watches: Vec<Watch>,
}

/// A thread whose steps are counted.
struct Watch {
    thread: loom::thread::ThreadId,
    steps: Vec<Step>,
    /// Not too many, for work that may wait for somebody.
    most: usize,
    stop: Option<(At, Box<dyn FnOnce()>)>,
}

/// Called before each atomic operation.
#[track_caller]
#[allow(clippy::panic)] // a model that waits for ever fails here
pub(crate) fn step(operation: &'static str) {
    let at = Location::caller();
    if HOOKS.with_borrow(|hooks| hooks.watches.is_empty()) {
        return;
    }
    let thread = loom::thread::current().id();
    let meanwhile = HOOKS.with_borrow_mut(|hooks| {
        let mine = hooks.sites.iter().position(|(t, _)| *t == thread);
        let site = mine.and_then(|i| hooks.sites.remove(i)).map(|(_, s)| s);
        // The innermost: what runs while a thread is stopped may be watched itself.
        let watch = hooks.watches.iter_mut().rfind(|w| w.thread == thread)?;
        let step = Step {
            operation,
            site,
            file: at.file().rsplit('/').next().unwrap_or_default(),
            line: at.line(),
        };
        let number = watch.steps.len();
        watch.steps.push(step);
        if number > watch.most {
            panic!("no end after {number} steps: this thread waits for another, at {step:?}");
        }
        let here = |at: &At| match *at {
            At::Step(wanted) => wanted == number,
            At::Site(wanted) => site == Some(wanted),
        };
        let stop = watch.stop.take_if(|(at, _)| here(at))?;
        Some(stop.1)
    });
    if let Some(meanwhile) = meanwhile {
        meanwhile();
    }
}

/// Runs `work` and answers its steps. More than `most` of them are a failure: it waits.
pub fn trace<R>(most: usize, work: impl FnOnce() -> R) -> (R, Vec<Step>) {
    watch(most, None, work)
}

/// Runs `work`, but before one of its steps runs `meanwhile`, as if its thread had stopped
/// there and others had gone on. `false` if it did not come there.
pub fn stop<R>(at: At, meanwhile: impl FnOnce() + 'static, work: impl FnOnce() -> R) -> (R, bool) {
    let came = std::rc::Rc::new(core::cell::Cell::new(false));
    let there = came.clone();
    let meanwhile = move || {
        there.set(true);
        meanwhile();
    };
    let (result, _) = watch(usize::MAX, Some((at, Box::new(meanwhile))), work);
    (result, came.get())
}

fn watch<R>(
    most: usize,
    stop: Option<(At, Box<dyn FnOnce()>)>,
    work: impl FnOnce() -> R,
) -> (R, Vec<Step>) {
    let thread = loom::thread::current().id();
    HOOKS.with_borrow_mut(|hooks| {
        hooks.watches.push(Watch {
            thread,
            steps: Vec::new(),
            most,
            stop,
        });
    });
    /// Takes the watch away, also when the work panics: the next model is not to find it.
    struct Unwatch(loom::thread::ThreadId);
    impl Unwatch {
        fn take(&self) -> Vec<Step> {
            let mine = HOOKS.with_borrow_mut(|hooks| {
                let mine = hooks.watches.iter().rposition(|w| w.thread == self.0);
                mine.map(|i| hooks.watches.remove(i))
            });
            // Dropped only here, with all that a stop that was not reached holds.
            mine.map(|watch| watch.steps).unwrap_or_default()
        }
    }
    impl Drop for Unwatch {
        fn drop(&mut self) {
            self.take();
        }
    }
    let unwatch = Unwatch(thread);
    let result = work();
    let steps = unwatch.take();
    core::mem::forget(unwatch);
    (result, steps)
}
