//! A layer is shared by all attempts, which run on any thread.

use std::cell::Cell;

use outbox_runtime::Answer;
use outbox_runtime::prelude::*;

struct Count(Cell<u32>);

#[async_trait]
impl Layer for Count {
    async fn attempt(&self, _: &OutboxEvent, next: Next<'_>) -> Answer {
        self.0.set(self.0.get() + 1);
        next.run().await
    }
}

fn main() {}
