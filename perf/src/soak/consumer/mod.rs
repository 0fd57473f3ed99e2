//! The consuming threads of a round.

mod reader;
mod seeks;
pub(crate) mod steady;
pub(crate) mod transient;
