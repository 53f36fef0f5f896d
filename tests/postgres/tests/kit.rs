//! The test kit for applications on this store.

use std::time::Duration;

use outbox_postgres_tests::open;
use outbox_runtime::{DeadReason, prelude::*};
use outbox_testing::{Inline, assert_enqueued, drain, enqueued, refute_enqueued};

#[derive(OutboxEntity)]
#[outbox(event_type = "goal", priority = 5)]
struct Goal {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
    #[outbox(metadata)]
    title: String,
}

fn goal(id: i64, title: &str) -> Goal {
    Goal {
        id,
        user_id: "u1".to_owned(),
        title: title.to_owned(),
    }
}

fn handlers() -> outbox_runtime::HandlerSet {
    outbox_runtime::HandlerSet::new().with(|event: Event<Goal>| async move {
        match event.metadata().title.as_str() {
            "" => Err(HandlerError::permanent("a goal has a title")),
            _ => Ok(()),
        }
    })
}

#[tokio::test]
async fn what_is_enqueued_is_asserted_drained_and_delivered_inline() {
    let store = open(|builder| builder).await;
    goal(1, "Swim").enqueue_create().on(&store).await.unwrap();
    goal(2, "").enqueue_update().on(&store).await.unwrap();
    assert_enqueued!(
        store,
        Goal { title: "Swim", .. },
        operation = Create,
        priority = 5
    );
    refute_enqueued!(store, Goal { title: "Run", .. });
    let goals = enqueued::<Goal>(&store).await.unwrap();
    assert_eq!((goals.len(), goals[1].metadata().title.as_str()), (2, ""));

    let processor = Processor::builder(store.clone()).handlers(handlers());
    let processor = processor.build().unwrap();
    let report = drain(&processor, Duration::from_secs(30)).await.unwrap();
    assert_eq!((report.delivered.len(), report.waiting.len()), (1, 0));
    assert_eq!(report.dead[0].dead_reason, Some(DeadReason::Rejected));

    let inline = Inline::start(store.clone(), handlers()).unwrap();
    let event = goal(3, "Run").enqueue_create().on(&inline).await.unwrap();
    assert_eq!(event.status, OutboxStatus::Completed);
}
