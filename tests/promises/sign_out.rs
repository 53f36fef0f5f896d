//! Sign-out: no event of a departed user is sent, and the remaining ones are kept, exported or
//! deleted, as requested.

use std::time::Duration;

use outbox_runtime::{Clock, ExportError, NewEvent, SignOut, StoreErrorKind, WaitsFor, prelude::*};
use outbox_testing::{Fault, FaultStore, StoreCall};
use outbox_tests::{
    Temporary, enqueue, note, note_of, on_each_store, start, start_all_users, within,
};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_drain_delivers_the_backlog_and_then_nothing_until_the_user_returns() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        enqueue(&*store, note(1).enqueue_sync()).await;
        enqueue(&*store, note(2).enqueue_sync()).await;
        let sign_out = running.sign_out("u1", SignOut::Drain { deadline: SOON });
        let answering = async {
            remote.next().await.ok();
            remote.next().await.ok();
        };
        let (left, ()) = tokio::join!(sign_out, answering);
        let left = left.unwrap();
        assert_eq!((left.undelivered, left.dead, left.deleted), (0, 0, 0));

        enqueue(&*store, note(3).enqueue_sync()).await;
        let explanation = running.explain(3).await.unwrap();
        assert_eq!(explanation.waits_for, WaitsFor::SignIn);
        assert!(remote.is_quiet());
        running.sign_in("u1").await;
        let call = remote.next().await;
        assert_eq!(call.id(), 3);
        call.ok();
        assert!(running.flush(3, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn events_that_a_drain_does_not_deliver_in_time_are_given_back_and_kept() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        let event = enqueue(&*store, note(1).enqueue_sync()).await;
        let mut call = remote.next().await;
        let deadline = clock.now() + Duration::from_secs(3);
        let how = SignOut::Drain {
            deadline: Duration::from_secs(3),
        };
        let waiting = async {
            within(clock.until_asleep(deadline)).await;
            clock.set(deadline);
            call.abandoned().await;
        };
        let (left, ()) = tokio::join!(running.sign_out("u1", how), waiting);
        assert_eq!(left.unwrap().undelivered, 1);
        let event = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(
            (event.status, event.attempt_count),
            (OutboxStatus::Pending, 0)
        );
        running.stop().await.unwrap();
    });
}

#[test]
fn abandoning_deletes_everything_of_the_user_and_nothing_of_another() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start_all_users(&store, |builder| builder);
        enqueue(&*store, note(1).enqueue_sync()).await;
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        enqueue(&*store, note(2).enqueue_sync()).await;
        enqueue(&*store, note(2).enqueue_update()).await;
        let mut under_way = remote.next().await;
        enqueue(&*store, note_of("u2", 3).enqueue_sync()).await;
        let other = remote.next().await;

        let left = running.sign_out("u1", SignOut::Abandon).await.unwrap();
        assert_eq!((left.undelivered, left.deleted), (0, 3));
        under_way.abandoned().await;
        assert_eq!(store.statistics(Some("u1")).await.unwrap().total_events, 0);
        assert_eq!(other.event.user_id, "u2");
        other.ok();
        assert!(running.flush(3, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[test]
fn an_export_writes_undelivered_events_before_it_deletes_them() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start(&store);
        let dead = enqueue(&*store, note(1).enqueue_sync()).await;
        remote
            .next()
            .await
            .fail(HandlerError::permanent("HTTP 400"));
        assert!(!running.flush(1, SOON).await.unwrap().is_delivered());
        enqueue(&*store, note(2).enqueue_sync()).await;
        remote.next().await.ok();
        assert!(running.flush(2, SOON).await.unwrap().is_delivered());
        let behind = enqueue(&*store, note(1).enqueue_update()).await;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u1.jsonl");
        let left = running
            .sign_out("u1", SignOut::Export(path.clone()))
            .await
            .unwrap();
        assert_eq!(
            (left.undelivered, left.dead, left.exported, left.deleted),
            (0, 0, 2, 3)
        );
        let file = std::fs::read_to_string(path).unwrap();
        let read = file.lines().map(|line| serde_json::from_str(line).unwrap());
        let ids: Vec<_> = read.map(|event: OutboxEvent| event.id).collect();
        assert_eq!(ids, [dead.id, behind.id]);
        running.stop().await.unwrap();
    });
}

#[test]
fn an_export_that_cannot_delete_keeps_every_event() {
    on_each_store(|store, _| async move {
        let faulty = FaultStore::new(store.clone());
        let (_remote, running) = start(&faulty);
        for operation in [Operation::Create, Operation::Update, Operation::Update] {
            let event = NewEvent::new("note", 1, "u2", operation);
            store.create_event(event).await.unwrap();
        }
        let before = store.fetch_pending_events(None, None).await.unwrap();
        faulty.fail_next(
            StoreCall::DeleteSeen,
            Fault::Fail(StoreErrorKind::Unavailable),
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u2.jsonl");
        let failed = running.sign_out("u2", SignOut::Export(path.clone())).await;
        assert!(matches!(failed, Err(ExportError::Store(_))), "{failed:?}");
        assert_eq!(
            store.fetch_pending_events(None, None).await.unwrap(),
            before
        );
        let file = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            file.lines().count(),
            3,
            "the file is complete, and the events still exist"
        );
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn a_failed_export_leaves_no_file_and_deletes_nothing() {
    let temporary = Temporary::open().await;
    let (_remote, running) = start(&temporary.store);
    enqueue(&temporary.store, note_of("u2", 1).enqueue_sync()).await;
    let path = temporary
        .path
        .with_file_name("no such folder")
        .join("u2.jsonl");
    let failed = running.sign_out("u2", SignOut::Export(path.clone())).await;
    let Err(ExportError::Write(error)) = failed else {
        panic!("{failed:?}");
    };
    assert!(error.to_string().contains("u2.jsonl"), "{error}");
    assert!(!path.exists());
    let statistics = temporary.store.statistics(Some("u2")).await.unwrap();
    assert_eq!(statistics.pending_count, 1);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_export_leaves_an_existing_file_alone_and_deletes_nothing() {
    let temporary = Temporary::open().await;
    let (_remote, running) = start(&temporary.store);
    enqueue(&temporary.store, note_of("u2", 1).enqueue_sync()).await;
    let path = temporary.path.with_file_name("there.jsonl");
    std::fs::write(&path, "something else").unwrap();
    let refused = running.sign_out("u2", SignOut::Export(path.clone())).await;
    let Err(ExportError::Write(error)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("there.jsonl"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "something else");
    let statistics = temporary.store.statistics(Some("u2")).await.unwrap();
    assert_eq!(statistics.pending_count, 1);
    running.stop().await.unwrap();
}

#[test]
fn a_sign_out_in_the_middle_of_a_probe_does_not_end_the_probing() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start_all_users(&store, |builder| builder.max_concurrency(1));
        enqueue(&*store, note(1).enqueue_sync().priority(9)).await;
        enqueue(&*store, note_of("u2", 2).enqueue_sync()).await;
        // Both are refused, so neither event is at fault.
        remote.next().await.fail(HandlerError::offline());
        remote.next().await.fail(HandlerError::offline());
        let probe_at = clock.now() + Duration::from_secs(1);
        within(clock.until_asleep(probe_at)).await;
        clock.set(probe_at);
        let mut probe = remote.next().await;
        assert_eq!(probe.event.user_id, "u1");
        running.sign_out("u1", SignOut::Abandon).await.unwrap();
        probe.abandoned().await;
        // Another event is the next probe, at once.
        let probe = remote.next().await;
        assert_eq!(probe.event.user_id, "u2");
        probe.ok();
        assert!(running.flush(2, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}
