use std::fmt;
use std::time::Duration;

use outbox_runtime::prelude::*;

#[derive(Debug, DeliveryError)]
enum SyncError {
    #[outbox(rate_limited(after = wait))]
    Throttled { wait: u64 },
    #[outbox(snooze(after = 0))]
    Snoozed(Option<Duration>),
    #[outbox(retry(after = 0))]
    Busy(Option<u64>),
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
