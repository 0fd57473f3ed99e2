//! The outside of the protocol: frames, the APIs with their versions, the layout of requests.
//!
//! Nothing in here knows of topics or groups.

pub(crate) mod apis;
pub(crate) mod frame;
pub(crate) mod layout;
