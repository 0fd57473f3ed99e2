//! The readers of a partition and what each one holds: hazard pointers over segments.
//!
//! Each reader publishes one word, its hazard pointer, with the number of the segment that it
//! holds; it holds one segment at a time. (The technique is Michael's, "Hazard Pointers: Safe
//! Memory Reclamation for Lock-Free Objects", 2004.) There are two kinds of hold:
//!
//! - a **pin** keeps the segment from being recycled, and nothing else;
//! - a **gate** also keeps the log start from moving past the segment.
//!
//! A consumer's hold is a pin under `DropOldest` and a gate under `Backpressure`. A lookup by
//! time (`time_lookup.rs`) has a pin under both. So has a member of a group: the group's own gate
//! holds back the log start for it (`group/ownership.rs`).
//!
//! The list of holds is an immutable array, replaced as a whole when a reader joins or leaves.
//! So a producer scans it without a lock while readers come and go. Epoch reclamation
//! (crossbeam-epoch) frees the old array once no producer can be scanning it.
//!
//! # Holding: a store-buffering (Dekker) handshake (rows P4 and P5)
//!
//! ```text
//!   reader                             producer
//!   store the word                     see or make the log start's move
//!   fence(SeqCst)                      fence(SeqCst)
//!   load the log start                 load the words
//! ```
//!
//! At least one of the two sees the other's store. So every later scan sees a reader that still
//! found the log start at or below its segment, and that reader may read the segment until it
//! moves its word on. (`Partition::confirm_hold` has the reader's half.)
//!
//! # Waiting
//!
//! Readers may sleep until something is published, and producers until a gate moves on. There is
//! one event count for each. Every store of a word, and every reader that leaves, notifies the
//! second one.

use super::waiting_readers::WaitingReaders;
use crate::sync::{AtomicU64, Count, epoch, ord};
use crate::wait::EventCount;
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// The word of a reader that holds nothing.
pub(crate) const NO_SEGMENT: u64 = u64::MAX;

/// Set in the word of every pin, whatever the policy. It lies above every segment number, so such a
/// word is never the lowest.
const PIN: u64 = 1 << 63;

/// The hazard pointer of one reader of one partition.
pub(crate) struct Hold {
    line: CachePadded<Line>,
    /// Producers that wait for the hold to move on.
    waiting_for_room: Arc<EventCount>,
}

struct Line {
    word: AtomicU64,
    /// The position that the reader last reported: for statistics only.
    reported_position: Count,
}

impl Hold {
    /// Holds segment `number`, or [`NO_SEGMENT`], in place of the segment held before.
    #[inline]
    pub(super) fn set(&self, number: u64) {
        // Release: the reads from the segment held before happened before its reuse.
        self.line.word.store(number, ord!("holds.set", P4, Release));
        self.waiting_for_room.notify();
    }

    /// The position that the reader last reported. It reports when it moves to another segment,
    /// seeks, or is about to wait.
    pub(crate) fn reported_position(&self) -> &Count {
        &self.line.reported_position
    }

    /// Pins segment `number`, whether other holds are gates or not.
    pub(super) fn pin(&self, number: u64) {
        self.set(number | PIN);
    }
}

/// The holds of all readers of one partition, and the event counts of its waiting threads and
/// tasks.
pub(crate) struct ReaderHolds {
    list: epoch::Cell<Box<[Arc<Hold>]>>,
    waiting: WaitingReaders,
    waiting_for_room: Arc<EventCount>,
}

impl ReaderHolds {
    /// No readers yet. For `fence` see [`EventCount::new`].
    pub(crate) fn new(fence: bool) -> ReaderHolds {
        ReaderHolds {
            list: epoch::Cell::new(Box::default()),
            waiting: WaitingReaders::new(fence),
            waiting_for_room: Arc::new(EventCount::new(fence)),
        }
    }

    /// Readers that sleep until there is more for them.
    pub(crate) fn waiting(&self) -> &WaitingReaders {
        &self.waiting
    }

    /// Producers that sleep until a gate moves on.
    pub(crate) fn waiting_for_room(&self) -> &Arc<EventCount> {
        &self.waiting_for_room
    }

    /// Adds a reader that holds segment `number`, or [`NO_SEGMENT`].
    pub(crate) fn join(&self, number: u64) -> Arc<Hold> {
        let hold = Arc::new(Hold {
            line: CachePadded::new(Line {
                word: AtomicU64::new(number),
                reported_position: Count::default(),
            }),
            waiting_for_room: self.waiting_for_room.clone(),
        });
        self.replace(|list| list.iter().chain([&hold]).cloned().collect());
        hold
    }

    /// Removes a reader from the list; it holds nothing from then on.
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
            // Acquire, from the `holds.replace` that made this list: its holds are complete.
            ord!("holds.list", P10, Acquire),
            // Release, to every load of the list: a reader that leaves has done its last read, and
            // one that joins is complete.
            ord!("holds.replace", P10, Release),
            next,
        );
    }

    /// The lowest segment that a gate holds; pins do not count. A hint: a thread that
    /// moves the log start because of it has fenced before, and recycling checks again with
    /// [`is_held`](Self::is_held).
    pub(super) fn lowest_gate(&self) -> u64 {
        self.with_holds(|list| {
            let words = list.iter().map(|hold| hold.line.word.load(ord!(Relaxed)));
            words.min().unwrap_or(NO_SEGMENT)
        })
    }

    /// How many holds there are: of readers, and of groups.
    pub(crate) fn count(&self) -> usize {
        self.with_holds(|list| list.len())
    }

    fn with_holds<R>(&self, with: impl FnOnce(&[Arc<Hold>]) -> R) -> R {
        self.list
            .read(ord!("holds.lowest_gate", P10, Acquire), |list| with(list))
    }

    /// Whether any reader holds segment `number`, which is below the log start.
    pub(super) fn is_held(&self, number: u64) -> bool {
        self.list
            .read(ord!("holds.is_held_list", P10, Acquire), |list| {
                list.iter()
                    // Acquire: the reads that the reader did before it moved on happened before.
                    .any(|hold| {
                        let word = hold.line.word.load(ord!("holds.is_held", P4, Acquire));
                        word & !PIN == number
                    })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_gate_is_found_while_readers_come_and_go() {
        let readers = ReaderHolds::new(true);
        assert_eq!(readers.lowest_gate(), NO_SEGMENT);
        let (a, b) = (readers.join(5), readers.join(3));
        assert_eq!(readers.lowest_gate(), 3);
        assert!(readers.is_held(5) && readers.is_held(3) && !readers.is_held(4));
        b.set(9);
        assert_eq!(readers.lowest_gate(), 5);
        readers.leave(&a);
        assert_eq!(readers.lowest_gate(), 9);
        assert!(!readers.is_held(5));
        let c = readers.join(NO_SEGMENT);
        c.pin(4);
        assert_eq!(readers.lowest_gate(), 9, "a pin is no gate");
        assert!(readers.is_held(4));
        readers.leave(&c);
        assert!(!readers.is_held(4));
        readers.leave(&b);
        assert_eq!(readers.lowest_gate(), NO_SEGMENT);
    }
}
