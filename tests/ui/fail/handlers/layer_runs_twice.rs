//! An attempt is one call.

use outbox_runtime::Answer;
use outbox_runtime::prelude::*;

struct Again;

#[async_trait]
impl Layer for Again {
    async fn attempt(&self, _: &OutboxEvent, next: Next<'_>) -> Answer {
        let answer = next.run().await;
        if answer.is_delivered() {
            return answer;
        }
        next.run().await
    }
}

fn main() {}
