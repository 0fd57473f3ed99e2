//! Topics: their configuration, the state that all their handles share, and the public handle.
//!
//! | file | its one job |
//! |---|---|
//! | `config.rs`, `name.rs` | `TopicConfig`, `Timestamps`; which names are valid |
//! | `clock.rs` | `Clock` and `ManualClock`: where timestamps come from |
//! | `shared.rs` | what all handles of a topic share: partitions, segments, closing, changes |
//! | `state.rs` | the bits of the state word |
//! | `stored.rs` | the storage of a durable topic; which settings are stored |
//! | `producer_count.rs` | admits shared producers or one exclusive producer |
//! | `subscription.rs`, `inbox.rs` | a consumer's registration; partitions added since |
//! | `handle.rs`, `durability.rs` | `Topic`, the public handle; its calls about files |
//! | `partitioner.rs` | `Partitioner`, and the three that are built in |
//! | `directory.rs` | topics by name |
//! | `follower.rs`, `pattern.rs` | a subscription that takes in topics created later; by pattern |

mod clock;
mod config;
mod directory;
mod durability;
mod follower;
mod handle;
mod inbox;
mod partitioner;
mod pattern;
mod producer_count;
mod shared;
mod state;
mod stored;
mod subscription;

pub use crate::topic_partition::TopicPartition;
pub use clock::{Clock, ManualClock};
pub use config::{Timestamps, TopicConfig};
pub use handle::Topic;
pub use partitioner::{Murmur2, PartitionChoice, Partitioner, RoundRobin, Xxh3};

pub(crate) use clock::TopicClock;
pub(crate) use config::StorageChoice;
pub(crate) use directory::Directory;
pub(crate) use follower::{Following, TopicFilter};
pub(crate) use inbox::AddedPartition;
pub(crate) use partitioner::xxh3;
pub(crate) use pattern::Pattern;
pub(crate) use shared::TopicShared;
pub(crate) use state::TopicState;
pub(crate) use subscription::{OpenInbox, TopicSubscription};
