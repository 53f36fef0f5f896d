use std::fmt;
use std::time::Duration;

use outbox_runtime::prelude::*;

#[derive(Debug, DeliveryError)]
enum SyncError {
    #[outbox(rate_limited(after = 0, scop = "user"))]
    Misspelt(Duration),
    #[outbox(rate_limited(after = 0, scope = "usr"))]
    Misspelled(Duration),
    #[outbox(offline(scope = "device"))]
    Unknown,
    #[outbox(unavailable(scope = user))]
    WithoutQuotes,
    #[outbox(offline())]
    Empty,
    #[outbox(offline = "user")]
    Equals,
    #[outbox(offline(after = 0))]
    Later(Duration),
    #[outbox(rate_limited(scope = "user"))]
    NotSaying(Duration),
    #[outbox(retry(after = 0, scope = "user"))]
    Alone(Duration),
    #[outbox(snooze(destination = 0, after = 1))]
    AloneToo(String, Duration),
    #[outbox(unavailable(scope = "user", scope = "user"))]
    Twice,
    #[outbox(unavailable(scope = "user", destination = 0))]
    Both(String),
    #[outbox(unauthenticated(scope = "user"))]
    Always,
    #[outbox(unavailble)]
    ClassMisspelt,
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
