//! A pause holds for every processor of every process, and ends by itself at its time.

use std::process::Command;
use std::time::Duration;

use chrono::TimeDelta;
use outbox_runtime::{Clock, Flushed, Pause, PauseScope, WaitsFor, prelude::*};
use outbox_testing::ManualClock;
use outbox_tests::{
    Temporary, enqueue, note, note_of, on_each_store, start, start_all_users, start_with, within,
};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_run_finishes_what_handlers_have_and_claims_nothing_that_is_paused() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start_all_users(&store, |builder| builder);
        enqueue(&store, note_of("u1", 1).enqueue_sync()).await;
        let in_flight = remote.next().await;
        store.pause(&Pause::user("u1").by("ada")).await.unwrap();
        for (user, id) in [("u1", 1), ("u1", 2), ("u2", 3)] {
            enqueue(&store, note_of(user, id).enqueue_update()).await;
        }
        let other = remote.next().await;
        assert_eq!(other.id(), 3, "other users are delivered");
        other.ok();
        in_flight.ok();
        let third = running.flush(3, SOON).await.unwrap();
        assert_eq!(third, Flushed::Delivered);
        // The events of the paused user wait, and the run says for what.
        for id in [1, 2] {
            let flushed = running.flush(id, SOON).await.unwrap();
            let Flushed::Blocked(why) = flushed else {
                panic!("{flushed:?}");
            };
            assert!(matches!(why.waits_for, WaitsFor::Pause(_)), "{why}");
            assert!(why.to_string().contains("by ada"), "{why}");
        }
        assert!(remote.is_quiet());
        store.unpause(&PauseScope::User("u1".into())).await.unwrap();
        for _ in 0..2 {
            remote.next().await.ok();
        }
        for id in [1, 2] {
            assert!(running.flush(id, SOON).await.unwrap().is_delivered());
        }
        running.stop().await.unwrap();
    });
}

#[test]
fn a_run_wakes_at_the_end_of_a_pause() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        let until = clock.now() + TimeDelta::seconds(20);
        let pause = Pause::event_type("note").until(until);
        store.pause(&pause).await.unwrap();
        enqueue(&store, note(1).enqueue_sync()).await;
        within(clock.until_asleep(until)).await;
        assert!(remote.is_quiet());
        let why = running.explain(1).await.unwrap().waits_for;
        assert_eq!(why, WaitsFor::Pause(Box::new(pause.begin(clock.now()))));
        clock.set(until);
        remote.next().await.ok();
        assert!(running.flush(1, SOON).await.unwrap().is_delivered());
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn a_run_with_paused_work_is_idle() {
    let clock = ManualClock::new();
    let temporary = Temporary::open_alone(&clock).await;
    let store = &temporary.store;
    store.pause(&Pause::everything()).await.unwrap();
    for id in 0..9 {
        enqueue(store, note(id).enqueue_sync()).await;
    }
    let last = enqueue(store, note(9).enqueue_sync()).await;
    let (mut remote, running) = start_with(store, |builder| builder);
    // Until the clean-up.
    within(clock.until_asleep(clock.now() + Duration::from_secs(300))).await;
    within(temporary.writer_rests(&last)).await;
    let before = store.statements().get();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.statements().get(), before, "no statement while idle");
    assert!(remote.is_quiet());
    running.stop().await.unwrap();
}

/// The path of the database, for the other process.
const DATABASE: &str = "OUTBOX_TEST_PAUSING";

/// Not a test of ours: `another_process_can_pause_and_resume_a_run` runs it in a process of its
/// own.
#[tokio::test]
#[ignore = "run by another test in a process of its own"]
async fn the_other_process() {
    let Ok(path) = std::env::var(DATABASE) else {
        return;
    };
    let store = SqliteStore::open(path).await.unwrap();
    let of_u1 = PauseScope::User("u1".into());
    if store.paused().await.unwrap().is_empty() {
        store.pause(&Pause::new(of_u1)).await.unwrap();
    } else {
        assert!(store.unpause(&of_u1).await.unwrap());
    }
    store.close().await;
}

async fn in_another_process(temporary: &Temporary) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "the_other_process"])
        .env(DATABASE, &temporary.path);
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap());
    let ended = within(ended).await.unwrap();
    let told = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(
        ended.status.success() && told.contains("1 passed"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_can_pause_and_resume_a_run() {
    let temporary = Temporary::open().await;
    let (mut remote, running) = start_all_users(&temporary.store, |builder| builder);
    enqueue(&temporary.store, note(1).enqueue_sync()).await;
    remote.next().await.ok();
    in_another_process(&temporary).await;
    enqueue(&temporary.store, note(2).enqueue_sync()).await;
    enqueue(&temporary.store, note_of("u2", 3).enqueue_sync()).await;
    // The claim that takes the event of u2 leaves out the earlier one of u1.
    let call = remote.next().await;
    assert_eq!(call.id(), 3);
    call.ok();
    assert!(running.flush(3, SOON).await.unwrap().is_delivered());
    assert!(remote.is_quiet());
    // Nothing but the other process tells the run that it may go on.
    in_another_process(&temporary).await;
    let call = remote.next().await;
    assert_eq!(call.id(), 2);
    call.ok();
    assert!(running.flush(2, SOON).await.unwrap().is_delivered());
    running.stop().await.unwrap();
}
