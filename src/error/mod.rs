//! Every public error: enums whose variants carry the facts as fields.
//!
//! Every sending call borrows its records, so a refused record is still the caller's. A refused
//! call has appended nothing; only [`BatchError`] can report a partial append.
//!
//! | file | its errors |
//! |---|---|
//! | `storage.rs` | `StorageError`: durable topics and their files |
//! | `topic.rs` | `TopicError`: a broker's or a topic's calls |
//! | `send.rs` | `SendError`, `BatchError`, `FlushError` and `CloseError`: a producer's calls |
//! | `consume.rs` | `ConsumeError` and `FenceReason`: a consumer's calls |
//! | `upstream.rs` | `UpstreamError`: a consumer that reads after others |
//! | `group.rs` | `GroupError`: a broker's calls about groups |
//! | `view.rs` | `ViewError`: a batch's values as a type |

mod consume;
mod group;
mod send;
mod storage;
mod topic;
mod upstream;
mod view;

pub use consume::{ConsumeError, FenceReason};
pub use group::GroupError;
pub use send::{BatchError, CloseError, FlushError, SendError};
pub use storage::StorageError;
pub use topic::TopicError;
pub use upstream::UpstreamError;
pub use view::ViewError;

use std::sync::Arc;

/// A public error that can report that a topic is closed.
pub(crate) trait ClosedError {
    fn closed(topic: Arc<str>) -> Self;
}

/// A public error that can report that a timestamp is below zero.
pub(crate) trait TimestampError {
    fn invalid_timestamp(timestamp: i64) -> Self;
}

macro_rules! common_errors {
    ($($error:ident),*) => {$(
        impl ClosedError for $error {
            fn closed(topic: Arc<str>) -> Self {
                $error::Closed { topic }
            }
        }

        impl TimestampError for $error {
            fn invalid_timestamp(timestamp: i64) -> Self {
                $error::InvalidTimestamp { timestamp }
            }
        }
    )*};
}

common_errors!(TopicError, SendError, ConsumeError);
