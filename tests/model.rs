//! Random operations in one thread, against a plain model of the log.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "model/appends.rs"]
mod appends;
#[path = "model/ops.rs"]
mod ops;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/run.rs"]
mod run;

use proptest::prelude::*;
use run::Run;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_what_a_plain_model_of_it_says(
        setup in ops::setup(),
        ops in proptest::collection::vec(ops::op(), 1..120),
    ) {
        let mut run = Run::new(setup);
        // Most runs have a consumer from the start: operations without one say little.
        run.join(0, false);
        for op in &ops {
            run.step(op);
        }
        // Whatever is retained is what the model has.
        run.join(1, false);
        while run.consumers[1].as_ref().is_some_and(|(_, reader)| {
            reader.places.iter().zip(&run.log).any(|(place, log)| place.position < log.end())
        }) {
            run.poll(1, false);
            run.check();
        }
    }
}
