//! An attempt is made at an entity or at a change of one.

use outbox_runtime::HandlerSet;
use outbox_testing::perform;

async fn check() {
    let _ = perform(HandlerSet::new(), "moodEntry").await;
}

fn main() {}
