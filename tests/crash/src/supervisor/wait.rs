//! Waiting in real time: the moment of a kill is what is tested, and another process has no clock of ours.

use std::time::{Duration, Instant};

/// However slow the machine is, what is waited for has come by then.
const LONG: Duration = Duration::from_secs(60);

/// Looks again and again until it is so.
///
/// # Panics
///
/// Where it is not so within a minute.
#[allow(
    clippy::disallowed_methods,
    reason = "the guard against a hanging test"
)]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(
            began.elapsed() < LONG,
            "it should have come long ago: {what}"
        );
        pause(Duration::from_millis(2));
    }
}

/// Lets the world go on for a while.
#[allow(
    clippy::disallowed_methods,
    reason = "a kill at a random moment needs a moment"
)]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// How long something took.
#[allow(clippy::disallowed_methods, reason = "told to people only")]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed())
}
