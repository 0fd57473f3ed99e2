//! The server, through requests as Kafka's clients send them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests are tests, too"
)]

mod admin;
mod admin_versions;
mod alter;
mod broker_configs;
mod broker_defaults;
mod client;
mod connections;
mod consumer_groups;
mod counted;
mod durable;
mod fetch;
mod group_requests;
mod groups;
mod in_process;
mod log;
mod metrics;
mod produce;
mod produce_limits;
#[cfg(unix)]
mod program;
mod protocol;
mod reported;
mod requests;
mod rust_client;
mod sasl;
mod scram;
mod server;
mod static_members;
#[cfg(feature = "tls")]
mod tls;
mod users;
mod versions;
