/// What happens when a partition's segments are all full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Overflow {
    /// A subscribed consumer loses nothing: producers wait until every consumer of the
    /// partition has left the oldest segment. Without consumers the oldest segment goes.
    #[default]
    Backpressure,
    /// Producers never wait for a consumer: the oldest segment goes, and a consumer that had
    /// not read it is told how many records it lost ([`Batch::lost`](crate::Batch::lost)).
    DropOldest,
}
