//! The library beside a plain model of it, in one thread: `run` is given a setup and operations,
//! by proptest (`tests/model.rs`) or by the fuzzer (`fuzz/`).

mod appends;
mod group;
mod members;
pub(crate) mod ops;
mod reader;
mod reads;
pub(crate) mod reference;
mod run;

pub(crate) use run::run;
