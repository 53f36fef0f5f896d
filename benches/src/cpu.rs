//! CPU time.

use std::time::Duration;

/// CPU time of this thread so far; other load on the machine does not count.
#[cfg(unix)]
pub(crate) fn thread_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Fallback for other systems: elapsed time.
#[cfg(not(unix))]
pub(crate) fn thread_time() -> Duration {
    static FIRST: std::sync::OnceLock<outbox_contest::Stopwatch> = std::sync::OnceLock::new();
    FIRST
        .get_or_init(outbox_contest::Stopwatch::start)
        .elapsed()
}
