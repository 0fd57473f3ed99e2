//! Random operations in one thread, compared with a plain model of the log.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "model/mod.rs"]
mod model;
#[path = "model/strategies.rs"]
mod strategies;

use model::ops::OPERATIONS;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1), // others: .ci/random-schedules
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_log_agrees_with_a_plain_model(
        setup in strategies::setup(),
        ops in proptest::collection::vec(strategies::op(), 1..OPERATIONS),
    ) {
        model::run(setup, &ops);
    }
}
