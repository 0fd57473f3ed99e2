//! The bits of a topic's state word.
//!
//! ```text
//!  63                    17 16                2     1        0
//! | changes (47 bits)      | partitions (15) | deleted | closed |
//! ```
//!
//! `changes` counts what a handle has to look at: partitions that were added, records that were
//! deleted. Any change of the topic therefore changes the word, and one comparison finds it.

/// The value of a topic's state word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TopicState(pub(super) u64);

impl TopicState {
    /// Sentinel: equal to the state of no topic.
    pub(crate) const NONE: TopicState = TopicState(u64::MAX);
    /// Nothing more is appended.
    pub(super) const CLOSED: u64 = 1;
    /// Nothing is read any more, either.
    pub(super) const DELETED: u64 = 1 << 1;
    const PARTITION: u64 = 1 << 2;
    pub(super) const CHANGE: u64 = 1 << 17;

    pub(super) fn with_partitions(partitions: u32) -> TopicState {
        TopicState(u64::from(partitions) * Self::PARTITION)
    }

    pub(crate) fn partitions(self) -> u32 {
        ((self.0 % Self::CHANGE) / Self::PARTITION) as u32
    }
}
