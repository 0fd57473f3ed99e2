//! Checks a tree of Rust source against the rules of ringlog's layout.
//!
//! A [`Tree`] is a folder with `src/` and `docs/architecture.md`. Each rule is a function from a
//! tree to its [`Fault`]s.

mod imports;
mod layers;
mod map;
mod modules;
mod names;
mod tokens;
mod tree;
mod unsafe_code;

pub(crate) use imports::imports;
pub(crate) use map::map;
pub(crate) use names::names;
pub(crate) use tree::{Fault, Tree};
pub(crate) use unsafe_code::unsafe_code;
