//! The measured systems: what each must provide, and an adapter for each.

pub(crate) mod atomics;
pub(crate) mod channels;
pub(crate) mod combined;
pub(crate) mod disruptor;
pub(crate) mod fetch_add;
pub(crate) mod lmax;
pub(crate) mod original;
pub(crate) mod ringlog;
pub(crate) mod ringlog_default;
pub(crate) mod ringlog_routed;
pub(crate) mod rtrb;
pub(crate) mod system;
