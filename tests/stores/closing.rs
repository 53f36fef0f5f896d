//! A store closes and suspends when told to, even if its futures are kept unpolled.

use std::future::Future;
use std::time::Duration;

use outbox_runtime::{StoreErrorKind, prelude::*};
use outbox_tests::{Temporary, enqueue, note, start, within};

const SOON: Duration = Duration::from_secs(30);

/// Polls a future once, like a `select!` that then continues with another branch.
async fn polled_once<F: Future>(future: F) -> std::pin::Pin<Box<F>> {
    let mut future = Box::pin(future);
    tokio::select! { biased; _ = &mut future => {}, () = std::future::ready(()) => {} }
    future
}

#[tokio::test]
async fn a_close_does_not_wait_for_unpolled_futures() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let one = note(1);
    let transaction = polled_once(store.transaction(|tx| {
        tx.execute_batch("CREATE TABLE mine (x)")?;
        Ok(())
    }))
    .await;
    let enqueueing = polled_once(one.enqueue_sync().on(store)).await;
    let listing = polled_once(store.fetch_pending_events(None, None)).await;
    let change = polled_once(store.changed(store.revision())).await;
    within(store.close()).await;
    drop((change, listing));
    // Requests from before the close were executed.
    transaction.await.unwrap();
    enqueueing.await.unwrap();
    let error = store.statistics(None).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Closed);
}

#[tokio::test]
async fn a_close_does_not_wait_for_unpolled_futures_in_a_full_queue() {
    let temporary = Temporary::open_with(|builder| builder.queue_bound(1)).await;
    let store = temporary.store.clone();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let (started, begun) = tokio::sync::oneshot::channel();
    let blocking = tokio::spawn({
        let store = store.clone();
        async move {
            let work = move |_: &outbox_runtime::rusqlite::Savepoint<'_>| {
                let _ = started.send(());
                Ok(gone.recv()?)
            };
            store.transaction(work).await
        }
    });
    within(begun).await.unwrap();
    let notes: Vec<_> = (0..10).map(note).collect();
    let mut kept = Vec::new();
    for note in &notes {
        kept.push(polled_once(note.enqueue_sync().on(&store)).await);
    }
    let close = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    within(blocking).await.unwrap().unwrap();
    within(close).await.unwrap();
    for kept in kept {
        // Either done, or refused because the store is closed; but answered.
        let answered = within(kept).await;
        assert!(
            answered.is_ok() || answered.is_err_and(|error| error.to_string().contains("closed"))
        );
    }
}

#[tokio::test]
async fn a_close_does_not_wait_for_an_unpolled_close_suspension_or_resumption() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let suspension = polled_once(OutboxRepository::suspend(store)).await;
    within(OutboxRepository::suspend(store)).await.unwrap();
    let resumption = polled_once(store.resume()).await;
    within(store.resume()).await.unwrap();
    enqueue(store, note(1).enqueue_sync()).await;
    let closing = polled_once(store.close()).await;
    within(store.close()).await;
    let error = store.statistics(None).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Closed);
    drop((suspension, resumption, closing));
}

#[tokio::test]
async fn suspensions_and_resumptions_happen_in_the_order_they_were_asked_for() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    for round in 0..50 {
        // Neither is polled again, so only the order in which they were asked for counts.
        let mut kept = Vec::new();
        for _ in 0..3 {
            kept.push(polled_once(OutboxRepository::suspend(store)).await);
            kept.push(polled_once(store.resume()).await);
        }
        within(store.resume()).await.unwrap();
        enqueue(store, note(round).enqueue_sync()).await;
        within(OutboxRepository::suspend(store)).await.unwrap();
        let error = store.statistics(None).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Suspended);
        within(store.resume()).await.unwrap();
    }
}

#[tokio::test]
async fn a_run_is_suspended_and_resumed_despite_unpolled_futures() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let (mut remote, running) = start(store);
    let one = note(1);
    let kept = polled_once(one.enqueue_sync().on(store)).await;
    let mut commands = Vec::new();
    for user in 0..100 {
        commands.push(polled_once(running.sign_in(format!("other-{user}"))).await);
    }
    let asked = polled_once(running.explain(1)).await;
    within(running.suspend(Duration::ZERO)).await.unwrap();
    within(running.resume()).await.unwrap();
    // Events in flight during the suspension are delivered again.
    tokio::spawn(async move {
        loop {
            remote.next().await.ok();
        }
    });
    let flushed = within(running.flush(1, SOON)).await.unwrap();
    assert!(flushed.is_delivered(), "{flushed:?}");
    within(running.stop()).await.unwrap();
    drop((kept, commands, asked));
}
