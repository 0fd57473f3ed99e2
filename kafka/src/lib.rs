#![doc = include_str!("../../docs/kafka.md")]

pub mod batch;
mod server;

pub use server::{
    AdvertisedAddress, BindError, GroupTimes, Server, ServerBuilder, ServerLimits,
    default_topic_config, is_valid_topic_name,
};
