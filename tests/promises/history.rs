//! The history of an event costs a success nothing, unless deliveries are to be kept.

use std::time::Duration;

use outbox_runtime::store::SqliteStoreBuilder;
use outbox_runtime::{AttemptOutcome, HandlerError, prelude::*};
use outbox_tests::{Temporary, enqueue, note, start, start_with};

const SOON: Duration = Duration::from_secs(30);

/// Delivers one event, and one that fails first. Returns the outcomes in their histories.
async fn deliver(
    store: &(impl OutboxRepository + Clone),
    keep_completed: Duration,
) -> [Vec<AttemptOutcome>; 2] {
    let (mut remote, running) = start_with(store, |builder| builder.keep_completed(keep_completed));
    let mut outcomes = [Vec::new(), Vec::new()];
    for (id, outcomes) in (1..).zip(&mut outcomes) {
        let event = enqueue(store, note(id).enqueue_sync()).await;
        if id == 2 {
            remote
                .next()
                .await
                .fail(HandlerError::permanent("no such note"));
            assert!(!running.flush(id, SOON).await.unwrap().is_delivered());
            store.reset_for_retry(&[event.id]).await.unwrap();
        }
        remote.next().await.ok();
        let flushed = running.flush(id, SOON).await.unwrap();
        assert_eq!(flushed.is_delivered(), !keep_completed.is_zero());
        let attempts = store.attempts(event.id).await.unwrap();
        outcomes.extend(attempts.iter().map(|attempt| attempt.outcome));
    }
    running.stop().await.unwrap();
    outcomes
}

#[tokio::test]
async fn deliveries_are_in_the_history_only_if_the_store_keeps_them() {
    use AttemptOutcome::{Dead, Delivered};
    let day = Duration::from_secs(86_400);
    let plain = Temporary::open().await;
    let usual = [vec![], vec![Dead]];
    assert_eq!(deliver(&plain.store, day).await, usual);
    assert_eq!(deliver(&MemoryStore::new(), day).await, usual);

    let keeping = Temporary::open_with(SqliteStoreBuilder::history_of_deliveries).await;
    let with_deliveries = [vec![Delivered], vec![Dead, Delivered]];
    assert_eq!(deliver(&keeping.store, day).await, with_deliveries);
    let memory = MemoryStore::new().history_of_deliveries();
    assert_eq!(deliver(&memory, day).await, with_deliveries);
    // An event that is not kept has no history.
    let none = [vec![], vec![]];
    let removing = Temporary::open_with(SqliteStoreBuilder::history_of_deliveries).await;
    assert_eq!(deliver(&removing.store, Duration::ZERO).await, none);
}

#[tokio::test]
async fn a_delivery_runs_no_statement_for_the_history() {
    let temporary = Temporary::open_with(SqliteStoreBuilder::count_statements).await;
    let store = &temporary.store;
    let (mut remote, running) = start(store);
    // Alone in its lane, and with another behind it.
    for id in [1, 2, 2] {
        enqueue(store, note(id).enqueue_sync()).await;
    }
    for _ in 0..3 {
        remote.next().await.ok();
    }
    for id in [1, 2] {
        assert!(running.flush(id, SOON).await.unwrap().is_delivered());
    }
    let texts = store.statements().texts();
    let of_history =
        |sql: &&String| sql.contains("attempts = ?") || sql.contains("SELECT attempts");
    assert_eq!(texts.iter().find(of_history), None);
    // A control: a failure does.
    enqueue(store, note(3).enqueue_sync()).await;
    remote.next().await.fail(HandlerError::permanent("no"));
    assert!(!running.flush(3, SOON).await.unwrap().is_delivered());
    let texts = store.statements().texts();
    assert_eq!(texts.iter().filter(of_history).count(), 2, "{texts:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_damaged_history_harms_nothing() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let event = enqueue(store, note(1).enqueue_sync()).await;
    let conn = temporary.connect();
    for damage in ["'nonsense'", "'1 2 3 4' || char(10) || '5'", "x'ff00'"] {
        let sql = format!("UPDATE outbox_events SET attempts = {damage}");
        let is_text = conn.execute_batch(&sql);
        if is_text.is_err() {
            // A STRICT table takes no blob here.
            continue;
        }
        assert_eq!(store.attempts(event.id).await.unwrap(), [], "{damage}");
    }
    let (mut remote, running) = start(store);
    remote.next().await.fail(HandlerError::permanent("no"));
    assert!(!running.flush(1, SOON).await.unwrap().is_delivered());
    let attempts = store.attempts(event.id).await.unwrap();
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert_eq!(attempts[0].outcome, AttemptOutcome::Dead);
    running.stop().await.unwrap();
}
