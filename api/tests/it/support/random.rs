//! How proptest is run here: so many cases of a seed that a failure names, and `TEST_SEED` repeats.

use latchkey_testing::variable;
use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};

/// Tries so many values of a strategy, and reduces what fails. A case fails when it panics.
#[track_caller]
pub(crate) fn try_many<S: Strategy>(cases: u32, strategy: &S, case: impl Fn(S::Value)) {
    let seed = variable("TEST_SEED").map_or_else(rand::random, |seed| seed.parse().unwrap());
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(strategy, |value| {
        case(value);
        Ok::<_, TestCaseError>(())
    });
    if let Err(failure) = result {
        panic!("{failure}\nTEST_SEED={seed} repeats it");
    }
}
