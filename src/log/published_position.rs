//! How far a reader has read one partition, published for the readers that must not pass it.
//!
//! A **dependent** reader reads only what its **upstreams** have read: the sequence barrier of the
//! LMAX Disruptor. An upstream publishes one word for each partition, its position: everything
//! before it counts as read. A dependent loads that word before it reads, and reads nothing at or
//! after it (`cursor/limit.rs`).
//!
//! | word | written by | loaded by |
//! |---|---|---|
//! | `position` of a consumer outside groups | that consumer alone ([`publish`](PublishedPosition::publish)) | dependents |
//! | `position` of a group | the partition's owner after a valid commit; any thread under the group's lock ([`raise`](PublishedPosition::raise)) | dependents |
//! | `ended` | the same, once, after its last position | dependents |
//!
//! The position never goes back: what has been read once counts as read, also after a seek back. So
//! a stale publisher of a group does no harm.
//!
//! # Orderings (row P18)
//!
//! The position is published with Release and loaded with Acquire. So whatever an upstream did with
//! a record before the record counted as read happened before a dependent gets that record. `ended`
//! is stored with Release after the last position, and loaded with Acquire before the position. So
//! a dependent that finds an end has all of what was read.
//!
//! # Waiting
//!
//! A dependent that sleeps is enrolled in the event count of its partition's records, and every
//! change of the words notifies that (row P15). There is no other event count to enrol in, and an
//! upstream without dependents has no such word.
//!
//! # A thread that stops
//!
//! Before it publishes: its dependents wait, as they must. After it has published, before it
//! notifies: dependents that sleep are not woken by this change, as with any notifier; the ones
//! that poll read on.

use super::holds::ReaderHolds;
use super::waiting_readers::WaitingReaders;
use crate::sync::{AtomicU64, ord};
use crossbeam_utils::CachePadded;

/// See the head of this file.
pub(crate) struct PublishedPosition {
    line: CachePadded<Line>,
    /// Where dependents wait.
    waiting: WaitingReaders,
}

struct Line {
    /// Everything before this offset counts as read.
    position: AtomicU64,
    /// 1 once nothing more will be published.
    ended: AtomicU64,
}

impl PublishedPosition {
    /// Nothing is read yet. `readers` are those of the partition.
    pub(crate) fn new(readers: &ReaderHolds) -> PublishedPosition {
        PublishedPosition {
            line: CachePadded::new(Line {
                position: AtomicU64::new(0),
                ended: AtomicU64::new(0),
            }),
            waiting: readers.waiting().clone(),
        }
    }

    /// Everything before this offset counts as read.
    #[inline]
    pub(crate) fn load(&self) -> u64 {
        // Acquire: what the upstream did with the records before this position.
        let load = ord!("published_position.load", P18, Acquire);
        self.line.position.load(load)
    }

    /// Whether nothing more will be published. A position that is loaded after this is the last one
    /// then.
    pub(crate) fn has_ended(&self) -> bool {
        // Acquire: the last position.
        let load = ord!("published_position.has_ended", P18, Acquire);
        self.line.ended.load(load) != 0
    }

    /// Whether the position is lower than this one. A hint, but for a single writer.
    pub(crate) fn is_below(&self, position: u64) -> bool {
        self.line.position.load(ord!(Relaxed)) < position
    }

    /// Publishes a position, unless it is lower than an earlier one. Only for a position with a
    /// single writer.
    pub(crate) fn publish(&self, position: u64) {
        if self.is_below(position) {
            // Release: what the caller did with the records before the position.
            let release = ord!("published_position.publish", P18, Release);
            self.line.position.store(position, release);
            self.waiting.notify();
        }
    }

    /// As [`publish`](Self::publish), for a position with several writers.
    pub(crate) fn raise(&self, position: u64) {
        if self.is_below(position) {
            // Release: what the caller did with the records before the position, or what it
            // acquired of another thread.
            let release = ord!("published_position.raise", P18, Release);
            self.line.position.fetch_max(position, release);
            self.waiting.notify();
        }
    }

    /// Nothing more will be published.
    pub(crate) fn end(&self) {
        // Release: the last position.
        let release = ord!("published_position.end", P18, Release);
        self.line.ended.store(1, release);
        self.waiting.notify();
    }
}
