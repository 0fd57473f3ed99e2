//! The server, through requests as Kafka's clients send them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests, too"
)]

mod admin;
mod admin_versions;
mod client;
mod consumer_groups;
mod fetch;
mod groups;
mod in_process;
mod produce;
mod protocol;
mod requests;
mod server;
mod versions;
