//! The public error of dependent readers.

use std::sync::Arc;

/// Why a consumer cannot read after its [upstreams](crate::ConsumerConfig::read_after).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The consumer would wait for itself.
    #[error("the consumer would wait for itself: {circle}")]
    Circle {
        /// The consumers and groups of the circle, in words.
        circle: String,
    },
    /// The upstream is of another broker.
    #[error("{upstream} is of another broker")]
    OtherBroker {
        /// The upstream.
        upstream: String,
    },
    /// The upstream does not read this partition, so nothing of it would ever be returned.
    #[error("{upstream} does not read partition {partition} of topic {topic:?}")]
    NotRead {
        /// The upstream.
        upstream: String,
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
    },
    /// The upstream has stopped reading this partition: it was closed or dropped, reads other
    /// partitions now, or is a group that was deleted. The consumer has returned all that it has
    /// read.
    #[error(
        "{upstream} has stopped reading partition {partition} of topic {topic:?} at offset \
         {position}"
    )]
    Ended {
        /// The upstream.
        upstream: String,
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The first offset that the upstream has not read.
        position: u64,
    },
}
