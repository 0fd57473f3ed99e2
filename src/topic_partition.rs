//! The public name of a partition.

/// A partition, named by its topic and its number.
///
/// ```
/// use ringlog::TopicPartition;
///
/// let partition = TopicPartition::new("orders", 2);
/// assert_eq!((&*partition.topic, partition.partition), ("orders", 2));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number, from 0.
    pub partition: u32,
}

impl TopicPartition {
    /// Names a partition of a topic.
    pub fn new(topic: impl Into<String>, partition: u32) -> Self {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}
