//! Progress on standard error, for work that takes longer than a second.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;

/// The time before the first line, and between two.
const PATIENCE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(200);

/// Counts, and shows the count on a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    verb: &'static str,
    count: u64,
    next: Duration,
    is_shown: bool,
    is_terminal: bool,
}

impl Progress {
    /// `verb` is what was done with each event: `exported`.
    pub(crate) fn new(verb: &'static str) -> Self {
        Self {
            verb,
            count: 0,
            next: SystemClock.uptime() + PATIENCE,
            is_shown: false,
            is_terminal: std::io::stderr().is_terminal(),
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Like [`add`](Self::add), with the whole count.
    pub(crate) fn reach(&mut self, count: u64) {
        self.add(count.saturating_sub(self.count));
    }

    pub(crate) fn add(&mut self, count: u64) {
        self.count += count;
        if !self.is_terminal {
            return;
        }
        let now = SystemClock.uptime();
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        self.is_shown = true;
        // Progress is not worth a failure.
        let _ = write!(std::io::stderr(), "\r{} events {}", self.count, self.verb);
    }
}

/// Shows how long some work takes that counts nothing.
pub(crate) async fn waiting<T>(verb: &'static str, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let is_terminal = std::io::stderr().is_terminal();
    let began = SystemClock.uptime();
    loop {
        tokio::select! {
            done = &mut work => {
                if is_terminal && SystemClock.uptime().saturating_sub(began) >= PATIENCE {
                    let _ = write!(std::io::stderr(), "\r\u{1b}[K");
                }
                return done;
            }
            () = SystemClock.sleep(PATIENCE) => {
                if is_terminal {
                    let seconds = SystemClock.uptime().saturating_sub(began).as_secs();
                    let _ = write!(std::io::stderr(), "\r{verb} for {seconds} s");
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}
