//! Suspension: no work and no open file while the operating system may freeze the process;
//! afterwards work continues.

use std::path::Path;
use std::time::Duration;

use outbox_runtime::{Clock, EnqueueError, StoreErrorKind, prelude::*};
use outbox_testing::{Fault, FaultStore, StoreCall};
use outbox_tests::{Temporary, enqueue, note, on_each_store, start, start_with, within};

const SOON: Duration = Duration::from_secs(30);

/// Number of open files of this process in a folder, according to the kernel.
fn open_files_in(folder: &Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    descriptors
        .filter_map(|descriptor| std::fs::read_link(descriptor.ok()?.path()).ok())
        .filter(|file| file.starts_with(folder))
        .count()
}

#[tokio::test]
async fn a_suspended_store_has_no_file_open_and_a_resumed_run_goes_on() {
    let temporary = Temporary::open().await;
    let folder = temporary.path.parent().unwrap();
    let (mut remote, running) = start(&temporary.store);
    enqueue(&temporary.store, note(1).enqueue_sync()).await;
    remote.next().await.ok();
    assert!(running.flush(1, SOON).await.unwrap().is_delivered());
    assert!(open_files_in(folder) >= 2, "the check must see open files");

    running.suspend(SOON).await.unwrap();
    assert_eq!(open_files_in(folder), 0);
    running.suspend(SOON).await.unwrap();

    running.resume().await.unwrap();
    running.resume().await.unwrap();
    assert!(open_files_in(folder) >= 2);
    enqueue(&temporary.store, note(2).enqueue_sync()).await;
    remote.next().await.ok();
    assert!(running.flush(2, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn requests_to_a_suspended_store_are_refused_and_nothing_is_lost() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let (mut remote, running) = start(store);
    running.suspend(SOON).await.unwrap();
    let refused = store.statistics(None).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Suspended);
    let refused = note(1).enqueue_sync().on(store).await.unwrap_err();
    let EnqueueError::Store(refused) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(refused.kind(), StoreErrorKind::Suspended);
    assert!(refused.to_string().contains("resume"), "{refused}");

    // The application's own connection is not affected.
    let conn = temporary.connect();
    note(2).enqueue_sync().on(&conn).unwrap();
    drop(conn);
    running.resume().await.unwrap();
    let call = remote.next().await;
    assert_eq!(call.id(), 2);
    call.ok();
    assert!(running.flush(2, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();
}

#[test]
fn a_suspension_waits_for_handlers_and_gives_back_unfinished_events() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        enqueue(&store, note(1).enqueue_sync()).await;
        let slow = enqueue(&*store, note(2).enqueue_sync()).await;
        let quick = remote.next().await;
        let mut call = remote.next().await;
        let deadline = clock.now() + Duration::from_secs(3);
        let suspend = running.suspend(Duration::from_secs(3));
        let ending = async {
            quick.ok();
            within(clock.until_asleep(deadline)).await;
            clock.set(deadline);
            call.abandoned().await;
        };
        let (suspended, ()) = tokio::join!(suspend, ending);
        assert_eq!(suspended.unwrap().given_back, 1);
        running.resume().await.unwrap();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        let call = remote.next().await;
        assert_eq!(call.event.id, slow.id);
        assert_eq!(
            call.event.attempt_count, 1,
            "the first attempt was given back"
        );
        call.ok();
        assert!(running.flush(2, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn a_suspended_run_can_be_stopped_but_a_closed_store_cannot_be_resumed() {
    let temporary = Temporary::open().await;
    let (_remote, running) = start(&temporary.store);
    running.suspend(SOON).await.unwrap();
    temporary.store.close().await;
    let refused = running.resume().await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Closed);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_relative_path_means_the_same_file_after_a_suspension() {
    // The test must not change the working directory of the process, so it checks that the reported
    // path is absolute.
    let folder = tempfile::tempdir_in(".").unwrap();
    let name = folder.path().file_name().unwrap();
    let store = SqliteStore::open(Path::new(name).join("app.db"))
        .await
        .unwrap();
    assert!(store.path().is_absolute(), "{:?}", store.path());
    store.close().await;
}

#[test]
fn a_run_is_not_suspended_while_an_outcome_cannot_be_recorded() {
    on_each_store(|store, clock| async move {
        let store = FaultStore::new(store);
        let (mut remote, running) = start_with(&store, |builder| builder);
        enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        let unavailable = Fault::Fail(StoreErrorKind::Unavailable);
        store.fail_next_times(2, StoreCall::Settle, unavailable);
        let (suspended, ()) = tokio::join!(running.suspend(SOON), async { call.ok() });
        assert_eq!(suspended.unwrap_err().kind(), StoreErrorKind::Unavailable);
        assert_eq!(store.injected().failures, 2);
        // The run continues, and records the answer after its back-off at the latest.
        clock.advance(SOON);
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.suspend(SOON).await.unwrap();
        running.stop().await.unwrap();
    });
}
