use std::fmt;
use std::time::Duration;

use outbox_runtime::prelude::*;

#[derive(Debug, DeliveryError)]
enum SyncError {
    #[outbox(rate_limited(after = wiat))]
    Throttled { limit: u32, wait: Duration },
    #[outbox(snooze(after = 1))]
    Snoozed(Duration),
    #[outbox(retry(after = seconds))]
    Busy,
    #[outbox(rate_limited(after = secnd))]
    Limited { first: Duration, second: Duration },
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
