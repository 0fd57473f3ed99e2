//! The scenarios: which systems are measured against each other, at which work.

mod alone;
mod asleep;
mod contended;
mod fan_out;
mod idle;
mod keyed;
pub(crate) mod list;
pub(crate) mod one_to_one;
mod original;
mod paced;
mod ping_pong;
mod read;
mod replay;
mod run_series;
mod scale;
pub(crate) mod scenario;
#[cfg(test)]
mod tests;
mod wake_up;
