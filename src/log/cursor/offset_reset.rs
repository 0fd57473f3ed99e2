//! The offset reset policy, and the cursor's step that follows it.

use super::Cursor;

/// Where a consumer begins to read a partition in which it has no position, or an invalid one
/// (Kafka's `auto.offset.reset`).
///
/// ```
/// # use ringlog::{Broker, ConsumerConfig, OffsetReset, Record, TopicConfig};
/// # let broker = Broker::new();
/// let topic = broker.create_topic("orders", TopicConfig::new())?;
/// topic.producer().send(Record::new("before the subscription"))?;
/// for (policy, position) in [(OffsetReset::Earliest, 0), (OffsetReset::Latest, 1)] {
///     let mut consumer = broker.consumer(ConsumerConfig::new().offset_reset(policy))?;
///     consumer.subscribe(["orders"])?;
///     assert_eq!(consumer.position(("orders", 0))?, position);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OffsetReset {
    /// At the first record retained.
    #[default]
    Earliest,
    /// Past the last record. For a consumer alone, as of the subscription or assignment. For a
    /// group, as of the first poll that is granted the partition: what is sent between the
    /// subscription of its first member and that poll is not read. From then on the group keeps
    /// that offset, even if no member commits. ([`Broker::create_group`](crate::Broker::create_group)
    /// sets it before there is a member.)
    ///
    /// Also as of the poll that finds the offset of a seek out of range. A consumer that is
    /// *overtaken* loses no more than it must: it continues at the first record retained.
    Latest,
    /// Nowhere: polling is an error until the consumer seeks, also after it was overtaken.
    None,
}

impl Cursor {
    /// Moves where the policy says, and returns `true`. Under [`OffsetReset::None`] that is
    /// nowhere: the cursor stays, and this returns `false`.
    pub(crate) fn reset(&mut self, policy: OffsetReset) -> bool {
        match policy {
            OffsetReset::Earliest => self.go_to_start(),
            OffsetReset::Latest => self.go_to_end(),
            OffsetReset::None => return false,
        }
        true
    }
}
