#![doc = include_str!("../../docs/kafka.md")]

/// Runs the examples of that page.
#[cfg(doctest)]
#[doc = include_str!("../../docs/kafka-for-tests.md")]
mod for_tests {}

pub mod batch;
mod server;

pub use server::{
    AckLevel, AdvertisedAddress, ApiMetrics, AuthenticationMetrics, BindError, GroupTimes,
    Listener, MetricsReader, NewTopic, SaslMechanism, Security, Server, ServerBuilder,
    ServerLimits, ServerMetrics, StoreError, TopicConfigError, UnknownMechanism, UserError,
    default_topic_config, is_valid_topic_name,
};
#[cfg(feature = "tls")]
pub use server::{ClientCertificates, Tls, TlsError};
