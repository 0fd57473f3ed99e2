//! Models of ringlog's protocols, one file per subject. A model's name is its claim, and its
//! comment names the rows of the ordering table (`docs/architecture.md`) that it supports.
//!
//! The models run ringlog's own source on loom: broker, topic, producer and consumer as shipped, on
//! segments of one or two records.
#![allow(clippy::unwrap_used, clippy::panic)]

mod append;
mod common;
mod crash;
mod dependent;
mod following;
mod gathering;
mod group;
mod lookup;
mod partitions;
mod retention;
mod reuse;
mod roll;
mod shared;
mod sleep;
mod source;
mod stale;
mod stops;
mod wakeup;
