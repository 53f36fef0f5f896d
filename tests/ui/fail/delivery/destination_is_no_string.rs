use std::fmt;

use outbox_runtime::prelude::*;

#[derive(Debug, DeliveryError)]
enum SyncError {
    #[outbox(offline(destination = host))]
    NoRoute { host: Option<String> },
    #[outbox(unavailable(destination = 0))]
    Down(u16),
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
