//! The answer of a layer has a class.

use outbox_runtime::prelude::*;

struct Measure;

#[async_trait]
impl Layer for Measure {
    async fn attempt(&self, _: &OutboxEvent, next: Next<'_>) -> Result<(), HandlerError> {
        next.run().await.into_result()
    }
}

fn main() {}
