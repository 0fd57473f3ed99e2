//! Tests without threads: every call in every state, over rings that wrap.
#![allow(clippy::unwrap_used, clippy::panic)]

mod endings;
mod futures;
mod groups;
mod panics;
mod reading;
mod sending;
#[cfg(feature = "stream")]
mod stream;
