use std::fmt;
use std::time::Duration;

use outbox_runtime::prelude::*;

#[derive(Debug, DeliveryError)]
enum SyncError {
    #[outbox(rate_limited(aftr = wait))]
    Throttled { wait: Duration },
    #[outbox(snooze(seconds = 0))]
    Snoozed(Duration),
    #[outbox(rate_limited(after = "5s"))]
    Limited(Duration),
    #[outbox(retry(after = 0, 1))]
    Busy(Duration),
    #[outbox(rate_limited = 0)]
    Equals(Duration),
    #[outbox(snooze(5))]
    Number(Duration),
    #[outbox(permanent(after = 0))]
    Never(Duration),
}

impl fmt::Display for SyncError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl std::error::Error for SyncError {}

// The one mistake is the one error: `?` finds an impl.
fn send() -> Result<(), SyncError> {
    Ok(())
}

fn handler() -> Result<(), HandlerError> {
    Ok(send()?)
}

fn main() {
    let _ = handler();
}
