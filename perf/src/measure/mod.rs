//! One run of one system: pinned threads, one clock, and a tally that checks every message.

pub(crate) mod backoff;
pub(crate) mod job;
pub(crate) mod latency;
pub(crate) mod threads;
pub(crate) mod throughput;
