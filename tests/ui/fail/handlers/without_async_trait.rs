//! An untyped handler needs `#[async_trait]`, which the prelude has.

use outbox_runtime::prelude::*;

struct Relay;

impl OutboxEventHandler for Relay {
    fn can_handle(&self, _: &str) -> bool {
        true
    }

    async fn handle(&self, _: &OutboxEvent) -> Result<(), HandlerError> {
        Ok(())
    }
}

fn main() {}
