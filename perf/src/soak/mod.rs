//! The soak: producers and consumers use every call at once, for as long as wanted, and every
//! record read is checked.
//!
//! It runs in rounds of some seconds, each with topics of its own (`plan`). In a round, producers
//! come and go and send by every call (`producer`); some consumers stay for the whole round, and
//! others come and go (`consumer`). What a record must hold follows from its identity (`record`),
//! what a consumer must read from the rules of `checker`, and what there is to read from the
//! producers' accounts (`ledger`).

mod checker;
#[cfg(test)]
mod checker_tests;
pub(crate) mod command;
mod consumer;
mod counts;
mod fault;
mod ledger;
mod plan;
mod producer;
mod record;
mod rng;
mod round;
mod summary;
mod watchdog;
