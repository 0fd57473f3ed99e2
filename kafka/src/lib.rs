#![doc = include_str!("../../docs/kafka.md")]

pub mod batch;
mod server;

pub use server::{
    AdvertisedAddress, BindError, GroupTimes, Listener, NewTopic, SaslMechanism, Security, Server,
    ServerBuilder, ServerLimits, TopicConfigError, UnknownMechanism, UserError,
    default_topic_config, is_valid_topic_name,
};
#[cfg(feature = "tls")]
pub use server::{ClientCertificates, Tls, TlsError};
