//! Tests with threads, which Miri repeats with other seeds: other schedules, and other old values
//! of atomics.
#![allow(clippy::unwrap_used, clippy::panic)]

mod groups;
mod records;
mod waiting;
