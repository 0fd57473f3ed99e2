//! The producing threads of a round.

pub(crate) mod calls;
mod gathered;
mod handle;
mod sender;
pub(crate) mod turns;
