//! A partition whose topic has been looked up by name.

use super::Consumer;
use super::assigned_partition::AssignedPartition;
use crate::error::ConsumeError;
use crate::log::partition::Partition;
use crate::topic::{TopicPartition, TopicShared};
use std::sync::Arc;

/// A partition of a topic that exists. The number has been checked against the topic's count.
pub(super) struct ResolvedPartition {
    pub(super) topic: Arc<TopicShared>,
    pub(super) partition: u32,
}

impl ResolvedPartition {
    pub(super) fn log(&self) -> &Arc<Partition> {
        self.topic.partition(self.partition)
    }

    /// Whether `assigned` reads this partition. A deleted topic differs from its successor of the
    /// same name.
    pub(super) fn is_read_by(&self, assigned: &AssignedPartition) -> bool {
        self.partition == assigned.partition && Arc::ptr_eq(&self.topic, &assigned.topic)
    }
}

impl Consumer {
    pub(super) fn find_topic(&self, name: &str) -> Result<Arc<TopicShared>, ConsumeError> {
        match self.directory.find(name) {
            Some(topic) => Ok(topic.inner().clone()),
            None => Err(ConsumeError::UnknownTopic {
                name: name.to_owned(),
            }),
        }
    }

    pub(super) fn find_partition(
        &self,
        wanted: &TopicPartition,
    ) -> Result<ResolvedPartition, ConsumeError> {
        let topic = self.find_topic(&wanted.topic)?;
        let (partition, partitions) = (wanted.partition, topic.partitions());
        if partition >= partitions {
            return Err(ConsumeError::PartitionOutOfRange {
                topic: topic.name().clone(),
                partition,
                partitions,
            });
        }
        Ok(ResolvedPartition { topic, partition })
    }
}
