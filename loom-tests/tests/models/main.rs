//! The models of ringlog's protocols, one file a subject. Each is named by its claim and
//! names the rows of the ordering table (`docs/design.md`) that it holds up.
//!
//! They run ringlog's own source on loom: broker, topic, producer and consumer as shipped,
//! on segments of one or two records.
#![allow(clippy::unwrap_used, clippy::panic)]

mod append;
mod common;
mod group;
mod lookup;
mod partitions;
mod retention;
mod reuse;
mod roll;
mod sleep;
mod source;
mod stale;
mod stops;
mod wakeup;
