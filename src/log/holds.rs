//! Who reads a partition: a list of words, each saying which segment its reader holds.
//!
//! A reader holds one segment at a time. Under `DropOldest` that is a **pin**: it keeps the
//! segment from being recycled, and nothing else. Under `Backpressure` it is a **gate**: it
//! also keeps the log start from moving past the segment. A lookup that reads (`times.rs`) has
//! a pin under both, and so has a member of a group: what holds back the log start for it is the
//! group's own gate (`group/tenure.rs`).
//!
//! The list is an immutable array, replaced as a whole when a reader joins or leaves, so
//! that a producer scans it without a lock while readers come and go; crossbeam-epoch frees
//! the old array once no producer can be scanning it.
//!
//! # Holding (rows P4 and P5)
//!
//! Reader: store the word; `fence(SeqCst)`; look at the log start. Producer: see or make the
//! log start's move; `fence(SeqCst)`; look at the words. One of the two sees the other: a
//! reader that still finds the log start at or below its segment is seen by every later
//! scan, and may read the segment until it moves its word on.
//!
//! # Sleeping
//!
//! Readers may sleep until something is published, and producers until a gate moves on: there is a
//! list for each. Every word that is stored, and every reader that leaves, is told to the second.

use crate::sync::{AtomicU64, Count, epoch, ord};
use crate::wait::EventCount;
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// The word of a reader that holds nothing.
pub(crate) const NO_SEGMENT: u64 = u64::MAX;

/// Set in the word of a reader whose hold is a pin whatever the policy: above every segment
/// number, so that it is never the lowest.
const PIN: u64 = 1 << 63;

/// What one reader of one partition holds.
pub(crate) struct Hold {
    line: CachePadded<Line>,
    /// Who waits for it to move on.
    waiting_for_room: Arc<EventCount>,
}

struct Line {
    word: AtomicU64,
    /// Where the reader was when it last told: to be shown, and for nothing else.
    position: Count,
}

impl Hold {
    /// Holds segment `number`, or [`NO_SEGMENT`], instead of what was held before.
    #[inline]
    pub(crate) fn set(&self, number: u64) {
        // Release: the reads from the segment held before happened before its reuse.
        self.line
            .word
            .store(number, ord!("readers.set", P4, Release));
        self.waiting_for_room.notify();
    }

    /// Where the reader was when it last told. It tells where it goes to another segment, seeks,
    /// or waits.
    pub(crate) fn reported_position(&self) -> &Count {
        &self.line.position
    }

    /// Pins segment `number`, also where other holds are gates.
    pub(crate) fn pin(&self, number: u64) {
        self.set(number | PIN);
    }
}

/// The readers of one partition.
pub(crate) struct ReaderHolds {
    list: epoch::Cell<Box<[Arc<Hold>]>>,
    waiting_for_records: Arc<EventCount>,
    waiting_for_room: Arc<EventCount>,
}

impl ReaderHolds {
    /// Those of one partition. `fence`: see [`EventCount::new`].
    pub(crate) fn new(fence: bool) -> ReaderHolds {
        ReaderHolds {
            list: epoch::Cell::new(Box::default()),
            waiting_for_records: Arc::new(EventCount::new(fence)),
            waiting_for_room: Arc::new(EventCount::new(fence)),
        }
    }

    /// Who sleeps until something is published.
    pub(crate) fn waiting_for_records(&self) -> &Arc<EventCount> {
        &self.waiting_for_records
    }

    /// Who sleeps until a gate moves on.
    pub(crate) fn waiting_for_room(&self) -> &Arc<EventCount> {
        &self.waiting_for_room
    }

    /// Adds a reader that holds segment `number`, or [`NO_SEGMENT`].
    pub(crate) fn join(&self, number: u64) -> Arc<Hold> {
        let hold = Arc::new(Hold {
            line: CachePadded::new(Line {
                word: AtomicU64::new(number),
                position: Count::default(),
            }),
            waiting_for_room: self.waiting_for_room.clone(),
        });
        self.replace(|list| list.iter().chain([&hold]).cloned().collect());
        hold
    }

    /// Takes a reader off the list; it holds nothing any more.
    pub(crate) fn leave(&self, hold: &Arc<Hold>) {
        self.replace(|list| {
            list.iter()
                .filter(|other| !Arc::ptr_eq(other, hold))
                .cloned()
                .collect()
        });
        self.waiting_for_room.notify();
    }

    fn replace(&self, next: impl Fn(&Box<[Arc<Hold>]>) -> Box<[Arc<Hold>]>) {
        self.list.replace(
            ord!("readers.list", P10, Acquire),
            // Release: a reader that leaves has read its last, and one that joins is complete.
            ord!("readers.replace", P10, Release),
            next,
        );
    }

    /// The lowest segment that any reader holds. As a hint: what moves the log start on the
    /// strength of it has fenced before, and recycling looks again with [`holds`](Self::holds).
    pub(crate) fn lowest(&self) -> u64 {
        self.list
            .read(ord!("readers.lowest", P10, Acquire), |list| {
                list.iter()
                    .map(|hold| hold.line.word.load(ord!(Relaxed)))
                    .min()
                    .unwrap_or(NO_SEGMENT)
            })
    }

    /// Whether any reader holds this segment, which is below the log start.
    pub(crate) fn holds(&self, number: u64) -> bool {
        self.list
            .read(ord!("readers.holds_list", P10, Acquire), |list| {
                list.iter()
                    // Acquire: what the reader read before it moved on happened before.
                    .any(|hold| {
                        let word = hold.line.word.load(ord!("readers.holds", P4, Acquire));
                        word & !PIN == number
                    })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_hold_is_found_while_readers_come_and_go() {
        let readers = ReaderHolds::new(true);
        assert_eq!(readers.lowest(), NO_SEGMENT);
        let (a, b) = (readers.join(5), readers.join(3));
        assert_eq!(readers.lowest(), 3);
        assert!(readers.holds(5) && readers.holds(3) && !readers.holds(4));
        b.set(9);
        assert_eq!(readers.lowest(), 5);
        readers.leave(&a);
        assert_eq!(readers.lowest(), 9);
        assert!(!readers.holds(5));
        let c = readers.join(NO_SEGMENT);
        c.pin(4);
        assert_eq!(readers.lowest(), 9, "a pin is no gate");
        assert!(readers.holds(4));
        readers.leave(&c);
        assert!(!readers.holds(4));
        readers.leave(&b);
        assert_eq!(readers.lowest(), NO_SEGMENT);
    }
}
