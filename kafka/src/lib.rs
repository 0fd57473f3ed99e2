#![doc = include_str!("../../docs/kafka.md")]

/// Runs the examples of that page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/kafka-for-tests.md")]
mod for_tests {}

pub mod batch;
mod server;

pub use server::{
    AdvertisedAddress, BindError, GroupTimes, Server, ServerBuilder, ServerLimits,
    default_topic_config, is_valid_topic_name,
};
