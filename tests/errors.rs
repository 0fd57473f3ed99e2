//! Errors: every mistake of a caller is refused with the facts in the error, and changes nothing.
#![allow(missing_docs, missing_debug_implementations)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "errors/consumers.rs"]
mod consumers;
#[path = "errors/handles.rs"]
mod handles;
#[path = "errors/messages.rs"]
mod messages;
#[path = "errors/sends.rs"]
mod sends;
#[path = "errors/topics.rs"]
mod topics;

use ringlog::{Topic, TopicConfig};

/// Two segments of four records.
fn small() -> TopicConfig {
    TopicConfig::new().segments(2).segment_records(4)
}

/// Two segments of four records and 128 bytes.
fn tiny() -> TopicConfig {
    TopicConfig::new()
        .segments(2)
        .segment_records(4)
        .segment_bytes(128)
}

fn unchanged(topic: &Topic, end: u64) {
    assert_eq!(topic.log_end_offset(0), Ok(end));
}
