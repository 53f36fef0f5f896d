//! The future of an attempt moves between threads.

use std::rc::Rc;

use outbox_runtime::Answer;
use outbox_runtime::prelude::*;

struct Measure;

#[async_trait]
impl Layer for Measure {
    async fn attempt(&self, _: &OutboxEvent, next: Next<'_>) -> Answer {
        let local = Rc::new(());
        let answer = next.run().await;
        drop(local);
        answer
    }
}

fn main() {}
