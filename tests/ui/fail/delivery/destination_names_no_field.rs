use std::fmt;

use outbox_runtime::prelude::*;

#[derive(Debug, DeliveryError)]
enum SyncError {
    #[outbox(offline(destination = hots))]
    Misspelt { host: String },
    #[outbox(unavailable(destination = host))]
    Fieldless,
    #[outbox(offline(destination = "api.example.com"))]
    Literal,
    #[outbox(offline(destination))]
    Valueless(String),
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
