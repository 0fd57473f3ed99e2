//! One member's ownership of one partition: what it has committed, and how it ends.
//!
//! An **ownership** begins when the coordinator grants a partition to a member. It ends when the
//! member releases the partition, or when the member is **fenced off**. The next owner begins at
//! the last commit of the old ownership. Whatever a fenced-off member stores after the end lands in
//! an object that is no longer read. `coordinator/mod.rs` has a table of the access rules.
//!
//! # Commit and end (row P14)
//!
//! A store-buffering (Dekker) handshake between a commit and the fencing off of its member:
//!
//! ```text
//!  owner:     store `committed`;  fence(SeqCst);  load `signal`
//!  fencer:    store `signal`;     fence(SeqCst);  load `committed` -> `final_commit`
//! ```
//!
//! One of the two sees the other's store. So:
//!
//! - If the owner does not find itself fenced off, the next owner begins at this commit, or at a
//!   later one of the same kind.
//! - If the owner finds itself fenced off, it takes the group's lock once and looks at
//!   `final_commit`, which says whether this commit was in time.
//!
//! A release by the owner itself, at its own poll, needs no handshake.
//!
//! The owner makes the same check before it moves its gate forward, after it has loaded the commit
//! that the gate moves to: with a batch that threads share, another of them may have stored it. If
//! the gate has moved past a committed offset, then the fencing thread has seen that commit. So
//! everything from `final_commit` on is still held by the old gate when the fencing thread sets up
//! a new gate there. The old gate then leaves the list of readers. If the fenced-off member moves
//! it later, that holds nothing back and releases nothing.
//!
//! # Readers that follow the group (row P18)
//!
//! Dependent readers may read what the group has committed (`log/published_position.rs`). Each
//! partition of a group has one published position, which only rises. It is written only once the
//! partition is **watched**:
//!
//! - The owner publishes a commit after it was found valid. So no dependent reads what the next
//!   owner would read first.
//! - The thread that ends an ownership publishes its last commit, under the group's lock. So does
//!   the thread that begins to watch, in a handshake as above:
//!
//! ```text
//!  owner:     store `committed`;  fence(SeqCst);  load `watched`
//!  watcher:   store `watched`;    fence(SeqCst);  load `committed`
//! ```
//!
//! The commit at each poll has no fence between the two. If it misses the watcher, and the watcher
//! the commit, the member's next poll publishes it; a poll that waits tries again after a fence.
//!
//! `committed` is stored with Release and loaded with Acquire, so a thread that publishes for the
//! owner passes on what the owner did before.
//!
//! A commit of several partitions takes the group's lock, so that all of it is valid or none. The
//! commit at each poll is a plain store without the check: it reports no success to the caller.
//!
//! # Alive or dead
//!
//! A member that has not polled for its `max_poll_interval` is taken for dead, but one that waits
//! in a poll is alive, however long that takes: the interval is the time *between* two polls. Two
//! words say so. Only the member writes them, and other members read them under the lock.
//!
//! ```text
//!  count        +1 at each poll, at each attempt of a waiting poll, and at the end of a wait
//!  waiting_at   the count at which the last wait began
//!  equal        the member waits in a poll
//! ```
//!
//! The next poll ends a wait by counting itself, which it does anyway. So a poll that finds records
//! has nothing to clear, and the end of a wait is a sign of life from which the interval runs. A
//! future that is dropped ends its wait in the same way. One that is leaked leaves its member
//! waiting until the next poll, or until the consumer is dropped.
//!
//! Both words are `Relaxed`. They bring nothing with them, and no decision needs more than a recent
//! value of each: a member is only ever fenced off under the lock, by the handshake above. An
//! observer that reads an old `count` with an old `waiting_at` takes the member for waiting, and
//! finds out at its next check. One that reads an old `waiting_at` sees no wait, and expires a
//! member only if that value is older than the interval.
//!
//! # What a member may read
//!
//! The cursors of a member have pins, not gates, also under `Backpressure`. A fenced-off member
//! does not know yet that nothing is held back for it, and a pin checks the log start whenever it
//! moves to another segment. Each pin brings its spare segment. So does each gate, for the time in
//! which it is set but not yet in force (`segment_pool.rs`).

use super::gate::GroupGate;
use crate::error::FenceReason;
use crate::log::holds::Hold;
use crate::log::partition::{NO_OFFSET, Partition};
use crate::log::published_position::PublishedPosition;
use crate::sync::{AtomicU64, Count, fence, ord};
use crate::wait::EventCount;
use crossbeam_utils::CachePadded;
use std::sync::{Arc, OnceLock};

/// Bit of the signal: the group has changed, and the member has something to do.
const CHANGED: u64 = 1;

/// Bit of the signal: the member was fenced off because it had not polled.
const EXPIRED: u64 = 2;

/// Bit of the signal: the member was fenced off because another consumer has its instance id.
const REPLACED: u64 = 4;

/// The words through which a member and the other threads communicate without a lock.
pub(crate) struct MemberSignals {
    /// Written under the group's lock, and loaded by the member at each poll. A hint: its cause is
    /// looked up under the lock.
    signal: CachePadded<AtomicU64>,
    /// On a line of its own, because the member writes it at each poll.
    polls: CachePadded<Polls>,
    /// The event count on which the member waits.
    event_count: Arc<EventCount>,
}

/// The member's signs of life; see the head of this file.
struct Polls {
    count: AtomicU64,
    /// The count at which the last wait began; [`NEVER`] before the first.
    waiting_at: Count,
}

/// A count of polls that is never reached.
const NEVER: u64 = u64::MAX;

/// What other members see of a member's polls.
#[derive(Clone, Copy)]
pub(super) struct SignOfLife {
    /// How many polls there were so far.
    pub(super) polls: u64,
    /// Whether the member waits in a poll.
    pub(super) is_waiting: bool,
}

impl MemberSignals {
    pub(crate) fn new(event_count: &Arc<EventCount>) -> MemberSignals {
        MemberSignals {
            signal: CachePadded::new(AtomicU64::new(CHANGED)),
            polls: CachePadded::new(Polls {
                count: AtomicU64::new(0),
                waiting_at: Count::new(NEVER),
            }),
            event_count: event_count.clone(),
        }
    }

    /// Whether there is nothing to look up under the lock. The only question about its group that
    /// a poll asks if nothing has changed.
    #[inline(always)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.signal.load(ord!(Relaxed)) == 0
    }

    /// Counts a poll. Only the member calls it, so a load and a store suffice.
    #[inline(always)]
    pub(crate) fn count_poll(&self) {
        let polls = self.poll_count();
        let count = &self.polls.count;
        count.store(polls.wrapping_add(1), ord!(Relaxed));
    }

    #[inline(always)]
    fn poll_count(&self) -> u64 {
        self.polls.count.load(ord!(Relaxed))
    }

    /// From now on the member waits in a poll, until its next poll or [`end_wait`](Self::end_wait).
    /// Only the member calls it.
    pub(crate) fn begin_wait(&self) {
        self.polls.waiting_at.set(self.poll_count());
    }

    /// Ends a wait, if the member waits: that counts as a poll. Only the member calls it.
    pub(crate) fn end_wait(&self) {
        if self.sign_of_life().is_waiting {
            self.count_poll();
        }
    }

    pub(super) fn sign_of_life(&self) -> SignOfLife {
        let polls = self.poll_count();
        SignOfLife {
            polls,
            is_waiting: self.polls.waiting_at.get() == polls,
        }
    }

    /// Under the lock: signals that the member has something to look up.
    pub(super) fn signal(&self) {
        let signal = self.signal.load(ord!(Relaxed));
        self.signal.store(signal | CHANGED, ord!(Relaxed));
        self.event_count.notify();
    }

    /// Under the lock, by the member: clears the signal, once nothing is left to do.
    pub(super) fn clear(&self) {
        let signal = self.signal.load(ord!(Relaxed));
        self.signal.store(signal & !CHANGED, ord!(Relaxed));
    }

    /// Under the lock: fences the member off. Its ownerships are ended after this.
    pub(super) fn fence_off(&self, reason: FenceReason) {
        let word = match reason {
            FenceReason::MaxPollInterval => EXPIRED,
            FenceReason::InstanceId => REPLACED,
        };
        self.signal.store(word, ord!(Relaxed));
        // P14: between the store of the signal and the load of `committed`.
        fence!("ownership.end", P14);
    }

    /// Wakes the member once everything that it is to find has been written.
    pub(super) fn wake(&self) {
        self.event_count.notify();
    }

    /// Why the member was fenced off, if it was. Exact under the lock, otherwise a hint.
    pub(crate) fn fence_reason(&self) -> Option<FenceReason> {
        match self.signal.load(ord!(Relaxed)) {
            word if word & REPLACED != 0 => Some(FenceReason::InstanceId),
            word if word & EXPIRED != 0 => Some(FenceReason::MaxPollInterval),
            _ => None,
        }
    }

    /// Whether a thread that fences the member off, now or later, sees what the member has just
    /// committed.
    pub(crate) fn is_commit_valid(&self) -> bool {
        // P14: between the store of `committed` and the load of the signal.
        fence!("ownership.commit", P14);
        self.fence_reason().is_none()
    }
}

/// What an owner and the coordinator both know of an ownership.
pub(crate) struct Ownership {
    /// The offset that the owner committed last; [`NO_OFFSET`] if it has committed none.
    committed: AtomicU64,
    /// Set when the owner is fenced off: the commit at which the next owner begins.
    final_commit: OnceLock<Option<u64>>,
    /// The hold of the gate that the owner has.
    gate: Option<Arc<Hold>>,
    /// The partition's count of offsets that its owners have not read in time.
    lost: Arc<Count>,
    /// 1 once the partition is watched.
    watched: AtomicU64,
    /// The group's published position in the partition.
    published: Arc<PublishedPosition>,
}

impl Ownership {
    pub(super) fn new(
        gate: Option<&GroupGate>,
        lost: &Arc<Count>,
        published: &Arc<PublishedPosition>,
        watched: bool,
    ) -> Ownership {
        Ownership {
            lost: lost.clone(),
            watched: AtomicU64::new(watched.into()),
            published: published.clone(),
            committed: AtomicU64::new(NO_OFFSET),
            final_commit: OnceLock::new(),
            gate: gate.map(|gate| gate.hold().clone()),
        }
    }

    /// Commits an offset. Only the owner calls it.
    #[inline(always)]
    pub(crate) fn commit(&self, offset: u64) {
        // Release: what the owner did with the records before `offset`.
        let release = ord!("ownership.store_committed", P18, Release);
        self.committed.store(offset, release);
    }

    /// Whether the owner has to publish its commits. Only the owner asks.
    #[inline(always)]
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(ord!(Relaxed)) != 0
    }

    /// Publishes a commit that was found valid, if the partition is watched.
    pub(crate) fn publish(&self, committed: u64) {
        if self.is_watched() {
            self.published.raise(committed);
        }
    }

    /// Publishes the last commit, if it is valid. Only the owner calls it.
    #[cold]
    #[inline(never)]
    pub(crate) fn publish_committed(&self, signals: &MemberSignals) {
        if let Some(committed) = self.committed() {
            if self.published.is_below(committed) && signals.is_commit_valid() {
                self.published.raise(committed);
            }
        }
    }

    /// Under the lock: has the owner publish its commits from now on. The caller then publishes the
    /// last one.
    pub(super) fn watch(&self) {
        self.watched.store(1, ord!(Relaxed));
        // P18: between the store of `watched` and the load of `committed`.
        fence!("ownership.watch", P18);
    }

    /// Counts offsets that the owner has not read in time. (A fenced-off owner that does not know
    /// it yet counts them as well.)
    pub(crate) fn add_lost(&self, lost: u64) {
        self.lost.add(lost);
    }

    /// The last commit of this ownership.
    pub(crate) fn committed(&self) -> Option<u64> {
        // Acquire: what the owner did with the records before the offset.
        let load = ord!("ownership.load_committed", P18, Acquire);
        let committed = self.committed.load(load);
        (committed != NO_OFFSET).then_some(committed)
    }

    /// Ends the ownership of a member that has been fenced off. The next owner begins at what is
    /// committed now, which is returned.
    pub(super) fn end_fenced_off(&self) -> Option<u64> {
        *self.final_commit.get_or_init(|| self.committed())
    }

    /// Whether the next owner begins at this commit. Known after the member was fenced off and has
    /// taken the group's lock once since.
    pub(crate) fn is_final_commit(&self, offset: u64) -> bool {
        self.final_commit.get() == Some(&Some(offset))
    }

    /// Takes the owner's gate off the list of readers. It holds nothing from then on, wherever its
    /// owner moves it.
    pub(super) fn remove_gate(&self, log: &Partition) {
        if let Some(hold) = &self.gate {
            log.readers().leave(hold);
        }
    }
}
