//! Serves a ringlog [`Broker`](ringlog::Broker) to Kafka clients.

pub mod batch;
