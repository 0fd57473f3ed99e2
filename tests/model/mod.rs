//! The library beside a plain model of it, in one thread. Proptest (`tests/model.rs`) or the fuzzer
//! (`fuzz/`) passes a setup and operations to `run`.

mod appends;
mod group;
mod members;
pub(crate) mod ops;
mod polls;
mod reader;
mod reads;
pub(crate) mod reference;
mod run;

pub(crate) use run::run;
