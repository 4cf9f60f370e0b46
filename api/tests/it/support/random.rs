//! Property tests with proptest. A failure prints its seed; `TEST_SEED` repeats the run.

use latchkey_testing::variable;
use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};

/// Runs `case` with `cases` values of a strategy and shrinks a failing value. A case fails by a panic.
#[track_caller]
pub(crate) fn check_property<S: Strategy>(cases: u32, strategy: &S, case: impl Fn(S::Value)) {
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
        panic!("{failure}\nRepeat with TEST_SEED={seed}");
    }
}
