use std::fmt;
use std::time::Duration;

use outbox_runtime::prelude::*;

#[derive(Debug, DeliveryError)]
#[outbox(crate = outbox_runtime)]
enum SyncError {
    #[outbox(retri)]
    Server(u16),
    #[outbox(rate_limited(after = wiat), offline)]
    Throttled { wait: Duration },
    Rejected,
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
