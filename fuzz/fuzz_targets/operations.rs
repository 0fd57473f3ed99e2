//! Fuzz target: operations decoded from bytes, applied to the library and to the model of
//! `tests/model.rs`.
//!
//! ```sh
//! cargo install cargo-fuzz --locked
//! cargo +nightly fuzz run operations -- -detect_leaks=0 -max_len=1024 -max_total_time=600
//! cargo +nightly fuzz fmt operations fuzz/artifacts/operations/crash-...   # shows the operations
//! ```
//!
//! Without `-detect_leaks=0`, libFuzzer mistakes the arrays that crossbeam-epoch frees later for
//! leaks and examines each, at an eighth of the speed. `.ci/address-sanitizer` looks for leaks
//! instead.
//!
//! The seeds are a minimal set of inputs that reaches all code that a long run has reached,
//! obtained by
//!
//! ```sh
//! cargo +nightly fuzz run operations SEEDS fuzz/corpus/operations -- \
//!     -detect_leaks=0 -set_cover_merge=1 -use_counters=0 -max_len=1024
//! ```
//!
//! into an empty folder `SEEDS`, and kept as `fuzz/corpus/operations/seed-*`. Other inputs that a
//! run finds are not committed.
#![no_main]

mod decode;
#[path = "../../tests/model/mod.rs"]
mod model;

use arbitrary::{Arbitrary, Result, Unstructured};

/// One run, as `cargo fuzz fmt` shows it.
#[derive(Debug)]
struct Case {
    setup: model::ops::Setup,
    ops: Vec<model::ops::Op>,
}

impl<'a> Arbitrary<'a> for Case {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Case {
            setup: decode::setup(u)?,
            ops: decode::ops(u)?,
        })
    }
}

libfuzzer_sys::fuzz_target!(|case: Case| model::run(case.setup, &case.ops));
