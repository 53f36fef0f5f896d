//! Waits in real time: the tests depend on the moment of a kill, and other processes have no manual
//! clock.

use std::time::{Duration, Instant};

/// A time limit that even a slow machine meets.
const LONG: Duration = Duration::from_secs(60);

/// Polls until the condition holds.
///
/// # Panics
///
/// If it does not hold within a minute.
#[allow(clippy::disallowed_methods, reason = "guards against a hanging test")]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "timed out waiting for: {what}");
        pause(Duration::from_millis(2));
    }
}

/// Sleeps.
#[allow(
    clippy::disallowed_methods,
    reason = "a kill at a random moment needs real time"
)]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Measures a duration.
#[allow(clippy::disallowed_methods, reason = "only printed")]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed())
}
