//! Operations decoded from bytes, done to the library and to the model of `tests/model.rs`.
//!
//! ```sh
//! cargo install cargo-fuzz --locked
//! cargo +nightly fuzz run operations -- -detect_leaks=0 -max_len=1024 -max_total_time=600
//! cargo +nightly fuzz fmt operations fuzz/artifacts/operations/crash-...   # what it was
//! ```
//!
//! Without `-detect_leaks=0` libFuzzer takes the arrays that crossbeam-epoch frees later for
//! leaks and looks into each, at an eighth of the speed; leaks are for `.ci/address-sanitizer`.
//!
//! The seeds are the fewest inputs that reach all that a long run has reached, got by
//!
//! ```sh
//! cargo +nightly fuzz run operations SEEDS fuzz/corpus/operations -- \
//!     -detect_leaks=0 -set_cover_merge=1 -use_counters=0 -max_len=1024
//! ```
//!
//! into an empty folder `SEEDS`, and kept as `fuzz/corpus/operations/seed-*`; what else a run
//! finds is not committed.
#![no_main]

mod decode;
#[path = "../../tests/model/mod.rs"]
mod model;

use arbitrary::{Arbitrary, Result, Unstructured};

/// One run: what `cargo fuzz fmt` shows of an input.
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
