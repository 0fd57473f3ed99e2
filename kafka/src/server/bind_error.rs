//! Why a server could not be bound.

use super::security::UserError;
use super::store::StoreError;
use std::io;

/// Why a server could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// The number of partitions of topics that clients create is not valid.
    #[error("topics with {partitions} partitions cannot be created")]
    DefaultPartitions {
        /// The configured number.
        partitions: u32,
    },
    /// A topic cannot be created.
    #[error("the topic {name:?} cannot be created: {reason}")]
    Topic {
        /// The topic.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What outlives the process cannot be read or written, or another server has it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory of what outlives the process cannot have this name.
    #[error(
        "the server's state cannot be in {name:?}: a name of letters, digits, - and _, not one of \
         the broker's own"
    )]
    StateDir {
        /// The configured name.
        name: String,
    },
    /// The runtime is being shut down.
    #[error("the runtime is being shut down")]
    Stopped,
    /// A user cannot be added.
    #[error(transparent)]
    User(#[from] UserError),
    /// Clients are to authenticate themselves, but by no mechanism.
    #[error("the clients of {address} are to authenticate themselves, but by no SASL mechanism")]
    NoMechanism {
        /// The configured address.
        address: String,
    },
}
