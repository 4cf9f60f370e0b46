//! Waits for conditions by polling.

use std::{fmt::Debug, panic::Location, time::Duration};

use tokio::time::{Instant, sleep};

use crate::WAIT_TIMEOUT;

/// Polls a value until it is accepted, and returns it. Panics after [`WAIT_TIMEOUT`] with the caller's location, `what` was
/// expected and the last value.
#[track_caller]
pub fn wait_for<T: Debug>(
    what: &str,
    mut observe: impl AsyncFnMut() -> T,
    accept: impl Fn(&T) -> bool,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + WAIT_TIMEOUT;
        loop {
            let value = observe().await;
            if accept(&value) {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "{caller}: {what}: not within {WAIT_TIMEOUT:?}; last seen: {value:#?}"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits until a condition holds. Panics after [`WAIT_TIMEOUT`] with the caller's location.
#[track_caller]
pub fn wait_until(condition: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let waiting = wait_for("the condition holds", condition, |holds| *holds);
    async move {
        waiting.await;
    }
}
