mod config;
mod directory;
mod handle;
mod inbox;
mod name;
mod partitioner;
mod producer_count;
mod shared;
mod state;
mod subscription;
mod topic_partition;

pub use config::{Timestamps, TopicConfig};
pub use handle::Topic;
pub use partitioner::{Murmur2, PartitionChoice, Partitioner, RoundRobin, Xxh3};
pub use topic_partition::TopicPartition;

pub(crate) use directory::Directory;
pub(crate) use name::name_fault;
pub(crate) use shared::TopicShared;
pub(crate) use state::TopicState;
pub(crate) use subscription::TopicSubscription;

pub(crate) use partitioner::xxh3;
