//! One member's time with one partition: what it has committed, and what that holds back.
//!
//! A **tenure** begins when the coordinator gives a partition to a member and ends when the
//! member gives it back, or when the coordinator takes it from a member that is **fenced**. The
//! next owner begins at what the old tenure has committed; whatever is stored in a tenure after
//! its end is in a dead object, and nobody looks.
//!
//! # Who may touch what
//!
//! - `MemberSignals::signal` is written under the coordinator's lock only, and read by its member at each
//!   poll. It is a hint: what it is about is looked up under the lock.
//! - `MemberSignals::polls` is written by its member alone, and looked at by others.
//! - `Ownership::committed` is written by the owner alone, without the lock, and read by others.
//! - `Ownership::taken` is written once, by who fences the owner, under the lock.
//! - The tenure's **gate** is the group's hold on the partition's log under `Backpressure`. It
//!   belongs to the owner while there is one, and otherwise rests in the coordinator.
//!
//! # Commit and end (row P14)
//!
//! Owner: store `committed`; `fence(SeqCst)`; look at `signal`. Who fences it: store `signal`;
//! `fence(SeqCst)`; read `committed`, which is then `taken`. One of the two sees the other: a
//! commit that finds its member not fenced is what the next owner begins at, or is followed by a
//! later one that is. A commit that finds it fenced asks under the lock what was taken, so that it
//! knows whether it counts. An end by the owner itself, at its own poll, needs none of this.
//!
//! The same look comes before the owner moves its gate forward: a gate that has moved past a
//! committed offset has moved for whoever ends the tenure as well. So what lies from the `taken`
//! offset on is still held by the old gate when the fencing thread puts up a new one there; then
//! the old one comes off the readers' list, and where the fenced member moves it after that holds
//! nothing back and gives nothing up.
//!
//! A commit of several partitions at once takes the lock, so that it counts for all or for none.
//! The commit at each poll is a plain store: it promises nothing to anybody who could find out.
//!
//! # What a member may read
//!
//! Its cursors have pins, not gates, under `Backpressure` too: a fenced member does not know yet
//! that nothing is held back for it any more, and a pin looks at the log start each time it moves
//! to another segment. Each pin brings its spare segment, and each gate one for the moment in which
//! it is set and not yet in force (`pool.rs`).

use super::gate::GroupGate;
use crate::error::FenceReason;
use crate::log::holds::Hold;
use crate::log::partition::{NO_OFFSET, Partition};
use crate::sync::{AtomicU64, Count, fence, ord};
use crate::wait::EventCount;
use crossbeam_utils::CachePadded;
use std::sync::{Arc, OnceLock};

/// Something in the group is other than this member knows.
const CHANGED: u64 = 1;

/// It was fenced because it did not poll.
const EXPIRED: u64 = 2;

/// It was fenced because another has its instance id.
const REPLACED: u64 = 4;

/// What a member and the others tell each other without a lock.
pub(crate) struct MemberSignals {
    signal: CachePadded<AtomicU64>,
    polls: CachePadded<AtomicU64>,
    /// On which the member sleeps.
    event_count: Arc<EventCount>,
}

impl MemberSignals {
    pub(crate) fn new(event_count: &Arc<EventCount>) -> MemberSignals {
        MemberSignals {
            signal: CachePadded::new(AtomicU64::new(CHANGED)),
            polls: CachePadded::new(AtomicU64::new(0)),
            event_count: event_count.clone(),
        }
    }

    /// Whether there is nothing to look up. All that a poll asks when nothing has changed.
    #[inline(always)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.signal.load(ord!(Relaxed)) == 0
    }

    /// Counts a poll. Only the member does.
    #[inline(always)]
    pub(crate) fn count_poll(&self) {
        let polls = self.polls.load(ord!(Relaxed));
        self.polls.store(polls.wrapping_add(1), ord!(Relaxed));
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(ord!(Relaxed))
    }

    /// Under the lock: the member has something to look up.
    pub(crate) fn signal(&self) {
        let signal = self.signal.load(ord!(Relaxed));
        self.signal.store(signal | CHANGED, ord!(Relaxed));
        self.event_count.notify();
    }

    /// Under the lock, by the member: it has looked everything up.
    pub(crate) fn seen(&self) {
        let signal = self.signal.load(ord!(Relaxed));
        self.signal.store(signal & !CHANGED, ord!(Relaxed));
    }

    /// Under the lock, before the member's tenures are ended.
    pub(crate) fn fence(&self, reason: FenceReason) {
        let word = match reason {
            FenceReason::MaxPollInterval => EXPIRED,
            FenceReason::InstanceId => REPLACED,
        };
        self.signal.store(word, ord!(Relaxed));
        // Between this and the look at what was committed.
        fence!("ownership.end", P14);
    }

    /// Wakes the member, to look: when what it is to find is there.
    pub(crate) fn wake(&self) {
        self.event_count.notify();
    }

    /// Whether the member is fenced. Under the lock it is the truth, and otherwise a hint.
    pub(crate) fn fenced(&self) -> Option<FenceReason> {
        match self.signal.load(ord!(Relaxed)) {
            word if word & REPLACED != 0 => Some(FenceReason::InstanceId),
            word if word & EXPIRED != 0 => Some(FenceReason::MaxPollInterval),
            _ => None,
        }
    }

    /// Whether what the member has just committed is seen by who fences it, if anybody has or
    /// will.
    pub(crate) fn commit_counts(&self) -> bool {
        // Between the commit and the look at the signal.
        fence!("ownership.commit", P14);
        self.fenced().is_none()
    }
}

/// What a tenure's owner and the coordinator both know.
pub(crate) struct Ownership {
    /// [`NO_OFFSET`]: nothing was committed in it.
    committed: AtomicU64,
    taken: OnceLock<Option<u64>>,
    gate: Option<Arc<Hold>>,
    /// The place's: what its owners lost.
    lost: Arc<Count>,
}

impl Ownership {
    pub(crate) fn new(gate: Option<&GroupGate>, lost: &Arc<Count>) -> Ownership {
        Ownership {
            lost: lost.clone(),
            committed: AtomicU64::new(NO_OFFSET),
            taken: OnceLock::new(),
            gate: gate.map(|gate| gate.cursor.hold().clone()),
        }
    }

    /// Only the owner does.
    #[inline(always)]
    pub(crate) fn commit(&self, offset: u64) {
        self.committed.store(offset, ord!(Relaxed));
    }

    /// So many offsets went by unread. (Also by a fenced owner that does not know it yet.)
    pub(crate) fn lose(&self, lost: u64) {
        self.lost.add(lost);
    }

    /// The last commit of this tenure.
    pub(crate) fn committed(&self) -> Option<u64> {
        let committed = self.committed.load(ord!(Relaxed));
        (committed != NO_OFFSET).then_some(committed)
    }

    /// Ends the tenure of a member that has been fenced: what counts is what is committed now.
    pub(crate) fn take(&self) -> Option<u64> {
        *self.taken.get_or_init(|| self.committed())
    }

    /// After the member was fenced, and with the lock taken once since: whether this commit
    /// counts.
    pub(crate) fn has_taken(&self, offset: u64) -> bool {
        self.taken.get() == Some(&Some(offset))
    }

    /// Takes the tenure's gate out of force, wherever its owner may move it.
    pub(crate) fn drop_gate(&self, log: &Partition) {
        if let Some(hold) = &self.gate {
            log.readers().leave(hold);
        }
    }
}
