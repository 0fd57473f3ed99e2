//! The overflow policy: whether a full partition waits for its consumers or overwrites.

/// What happens when all segments of a partition are full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Overflow {
    /// A subscribed consumer loses nothing: producers wait until every consumer of the
    /// partition has left the oldest segment. Without consumers, the oldest segment is evicted.
    #[default]
    Backpressure,
    /// Producers never wait for a consumer: the oldest segment is evicted. A consumer that had
    /// not read it yet loses those records, and its next batch reports how many
    /// ([`Batch::lost`](crate::Batch::lost)).
    DropOldest,
}
