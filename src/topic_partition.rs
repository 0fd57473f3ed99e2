//! The public name of a partition.

use std::fmt;
use std::sync::Arc;

/// A partition, named by its topic and its number.
///
/// Whatever takes a partition takes anything that converts into one: a topic's name with a number,
/// or a `TopicPartition`, also by reference.
///
/// ```
/// # use ringlog::{Broker, ConsumerConfig, TopicConfig};
/// use ringlog::TopicPartition;
///
/// let partition = TopicPartition::new("orders", 2);
/// assert_eq!((&*partition.topic, partition.partition), ("orders", 2));
/// assert_eq!(partition, ("orders", 2).into());
/// assert_eq!(partition.to_string(), "orders-2");
///
/// # let broker = Broker::new();
/// # broker.create_topic("orders", TopicConfig::new().partitions(3))?;
/// let mut consumer = broker.consumer(ConsumerConfig::new())?;
/// consumer.assign([&partition])?;
/// consumer.seek(("orders", 2), 0)?;
/// assert_eq!(consumer.position(partition)?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: u32,
}

impl TopicPartition {
    /// Names a partition of a topic.
    pub fn new(topic: impl AsRef<str>, partition: u32) -> Self {
        TopicPartition {
            topic: topic.as_ref().into(),
            partition,
        }
    }
}

impl<T: AsRef<str>> From<(T, u32)> for TopicPartition {
    fn from((topic, partition): (T, u32)) -> Self {
        TopicPartition::new(topic, partition)
    }
}

impl From<&TopicPartition> for TopicPartition {
    fn from(partition: &TopicPartition) -> Self {
        partition.clone()
    }
}

/// As Kafka writes it: `orders-2`.
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
