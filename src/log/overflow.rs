//! The overflow policy: whether a full partition waits for its consumers or overwrites.

/// What happens when all segments of a partition are full.
///
/// ```
/// # use ringlog::{Broker, ConsumerConfig, Overflow, Record, TopicConfig};
/// # let broker = Broker::new();
/// let config = TopicConfig::new().overflow(Overflow::DropOldest);
/// let topic = broker.create_topic("ticks", config.segments(2).segment_records(1))?;
/// let mut consumer = broker.consumer(ConsumerConfig::new())?;
/// consumer.subscribe(["ticks"])?;
/// for tick in ["first", "second", "third"] {
///     topic.producer().send(Record::new(tick))?;
/// }
/// // Two segments of one record each: the third record evicted the first one.
/// let batch = consumer.try_poll()?;
/// assert_eq!((batch.lost(), batch.iter().next().map(|r| r.offset())), (1, Some(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum Overflow {
    /// A subscribed consumer loses nothing: producers wait until every consumer of the
    /// partition has left the oldest segment. A consumer that may be lapped all the same is
    /// configured with [`HoldBack::Nothing`](crate::HoldBack::Nothing). Without consumers, the oldest segment is evicted: a
    /// topic that no consumer and no group has read yet holds nothing back. For one that is read
    /// seldom, such as a dead-letter topic, create the group before the first record is sent
    /// ([`Broker::create_group`](crate::Broker::create_group)).
    ///
    /// A thread that sends while it holds a batch of the topic, or while it is the topic's only
    /// reader, waits for itself once the ring is full. The send then fails after
    /// [`max_block`](crate::TopicConfig::max_block). Poll before such a send, or use a `try_` call.
    #[default]
    Backpressure,
    /// Producers never wait for a consumer: the oldest segment is evicted. A consumer that had
    /// not read it yet loses those records, and its next batch reports how many
    /// ([`Batch::lost`](crate::Batch::lost)).
    DropOldest,
}
