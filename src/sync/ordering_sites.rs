//! The ordering sites and atomic steps of the model-checked build: it records which sites ran,
//! weakens one site, stops a thread before a step, and reports the steps of a thread.
//!
//! A **site** is the name of an ordering (`sync/mod.rs`). A **step** is one atomic operation,
//! whether it has a site or is `Relaxed`. Every operation of `sync/loom.rs` calls [`step`], so a
//! model can stop a thread before any of them.

use core::cell::RefCell;
use core::panic::Location;
use core::sync::atomic::Ordering;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Mutex, OnceLock};

// ---- sites that ran, and the weakened site ----------------------------------------------

struct Weaken {
    site: String,
    /// `None`: leave the fence out.
    to: Option<Ordering>,
}

/// The site that `RINGLOG_WEAKEN` names: `site=Relaxed`, or `site=none` for a fence. An invalid
/// ordering ends the process, so that it cannot be mistaken for a failing test.
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

/// The sites that have run in this process so far.
pub fn reached() -> Vec<&'static str> {
    let reached = REACHED.lock().unwrap_or_else(|e| e.into_inner());
    reached.iter().copied().collect()
}

static REACHED: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

fn reach(site: &'static str) {
    thread_local! {
        // Spares the lock for a site that this thread has run before, the common case.
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

/// The ordering of a site: its own, or the one it is weakened to.
pub(crate) fn ordering(site: &'static str, _row: &'static str, original: Ordering) -> Ordering {
    reach(site);
    match weaken() {
        Some(w) if w.site == site => w.to.unwrap_or(Ordering::Relaxed),
        _ => original,
    }
}

/// The ordering of a fence; `None` if it is left out.
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
    /// The name of its source file.
    pub file: &'static str,
    /// Its line in that file.
    pub line: u32,
}

/// Where to stop a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// Before this step of the watched work, counted from 0.
    Step(usize),
    /// Before the first step at this site.
    Site(&'static str),
}

thread_local! {
    // The threads of a model are coroutines of one system thread. So all of them share these
    // hooks, and each entry names its thread.
    static HOOKS: RefCell<Hooks> = RefCell::default();
}

#[derive(Default)]
struct Hooks {
    /// Sites whose orderings a thread has evaluated, for its next steps.
    sites: VecDeque<(loom::thread::ThreadId, &'static str)>,
    watches: Vec<Watch>,
}

/// What is called with the steps of a thread.
type Each = Box<dyn FnMut(&Step, When)>;

/// When a step is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Before the step, and before other threads may run instead.
    Before,
    /// After the step, which was a store. No other thread has run since.
    Stored,
}

/// A thread whose steps are counted.
struct Watch {
    thread: loom::thread::ThreadId,
    steps: Vec<Step>,
    /// The step limit: work that exceeds it waits for another thread.
    max_steps: usize,
    stop: Option<(At, Box<dyn FnOnce()>)>,
    /// Called before each step, and after each store.
    each: Option<Each>,
}

/// Called before each atomic operation.
#[track_caller]
#[allow(clippy::panic)] // a model that would wait forever fails here
pub(crate) fn step(operation: &'static str) {
    let at = Location::caller();
    if HOOKS.with_borrow(|hooks| hooks.watches.is_empty()) {
        return;
    }
    let thread = loom::thread::current().id();
    let watched = HOOKS.with_borrow_mut(|hooks| {
        let mine = hooks.sites.iter().position(|(t, _)| *t == thread);
        let site = mine.and_then(|i| hooks.sites.remove(i)).map(|(_, s)| s);
        // The innermost: the work that runs while a thread is stopped may itself be watched.
        let watch = hooks.watches.iter_mut().rfind(|w| w.thread == thread)?;
        let step = Step {
            operation,
            site,
            file: at.file().rsplit('/').next().unwrap_or_default(),
            line: at.line(),
        };
        let number = watch.steps.len();
        watch.steps.push(step);
        if number > watch.max_steps {
            panic!("no end after {number} steps: this thread waits for another, at {step:?}");
        }
        let is_here = |at: &At| match *at {
            At::Step(wanted) => wanted == number,
            At::Site(wanted) => site == Some(wanted),
        };
        let stop = watch.stop.take_if(|(at, _)| is_here(at));
        // Taken out while it runs: its own steps are not reported to it.
        Some((step, stop, watch.each.take()))
    });
    let Some((step, stop, each)) = watched else {
        return;
    };
    report(each, &step, When::Before);
    if let Some((_, meanwhile)) = stop {
        meanwhile();
    }
}

/// Called after each store.
pub(crate) fn stored() {
    if HOOKS.with_borrow(|hooks| hooks.watches.is_empty()) {
        return;
    }
    let thread = loom::thread::current().id();
    let last = HOOKS.with_borrow_mut(|hooks| {
        let watch = hooks.watches.iter_mut().rfind(|w| w.thread == thread)?;
        Some((*watch.steps.last()?, watch.each.take()))
    });
    if let Some((step, each)) = last {
        report(each, &step, When::Stored);
    }
}

/// Calls what was taken from this thread's watch, and puts it back.
fn report(each: Option<Each>, step: &Step, when: When) {
    let Some(mut each) = each else {
        return;
    };
    each(step, when);
    let thread = loom::thread::current().id();
    HOOKS.with_borrow_mut(|hooks| {
        if let Some(watch) = hooks.watches.iter_mut().rfind(|w| w.thread == thread) {
            watch.each = Some(each);
        }
    });
}

/// Runs `work` and returns its steps. It panics after more than `max_steps`, because the work then
/// waits for another thread.
pub fn trace<R>(max_steps: usize, work: impl FnOnce() -> R) -> (R, Vec<Step>) {
    watch(max_steps, None, None, work)
}

/// Runs `work`, and calls `each` before each of its steps, and after each of its stores. Other
/// threads must not run in it.
pub fn report_each<R>(each: impl FnMut(&Step, When) + 'static, work: impl FnOnce() -> R) -> R {
    watch(usize::MAX, None, Some(Box::new(each)), work).0
}

/// Runs `work`, and runs `meanwhile` before one of its steps, as if the thread had stopped there
/// while others continued. Also returns whether the work reached that step.
pub fn stop<R>(at: At, meanwhile: impl FnOnce() + 'static, work: impl FnOnce() -> R) -> (R, bool) {
    let reached = std::rc::Rc::new(core::cell::Cell::new(false));
    let set_reached = reached.clone();
    let meanwhile = move || {
        set_reached.set(true);
        meanwhile();
    };
    let stop = Some((at, Box::new(meanwhile) as Box<dyn FnOnce()>));
    let (result, _) = watch(usize::MAX, stop, None, work);
    (result, reached.get())
}

fn watch<R>(
    max_steps: usize,
    stop: Option<(At, Box<dyn FnOnce()>)>,
    each: Option<Each>,
    work: impl FnOnce() -> R,
) -> (R, Vec<Step>) {
    let thread = loom::thread::current().id();
    HOOKS.with_borrow_mut(|hooks| {
        hooks.watches.push(Watch {
            thread,
            steps: Vec::new(),
            max_steps,
            stop,
            each,
        });
    });
    /// Removes the watch even when the work panics, so that the next model does not find it.
    struct Unwatch(loom::thread::ThreadId);
    impl Unwatch {
        fn take(&self) -> Vec<Step> {
            let mine = HOOKS.with_borrow_mut(|hooks| {
                let mine = hooks.watches.iter().rposition(|w| w.thread == self.0);
                mine.map(|i| hooks.watches.remove(i))
            });
            // An unreached stop holds a closure; it is dropped here, after the borrow has ended.
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
