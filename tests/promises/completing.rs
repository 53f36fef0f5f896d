//! Promises 1, 3 and 4 for a handler that completes its event in a transaction of its own: the
//! remote id that it saves and the completion exist together or not at all, and the delivery is
//! told once.

use std::time::Duration;

use outbox_runtime::rusqlite::{self, Connection, TransactionBehavior};
use outbox_runtime::store::{
    CheckDepth, ClaimRequest, Disposition, Settled, Settlement, SqliteStoreBuilder,
};
use outbox_runtime::{
    AttemptOutcome, Charge, Clock, CompleteError, Delivery, Flushed, Outcomes, ProcessorBuilder,
    Rejections, RetryPolicy, RunOutcome, TransactionError, prelude::*,
};
use outbox_testing::ManualClock;
use outbox_tests::{
    Any, Call, Remote, Temporary, enqueue, note, on_each_store, start_with, within,
};

const SOON: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// Retries at once, so that no test waits, and takes each answer as it is.
fn at_once(builder: ProcessorBuilder) -> ProcessorBuilder {
    builder
        .retry(RetryPolicy::new([Duration::from_millis(1)]))
        .charge(Charge::Always)
        .rejections(Rejections::Always)
}

async fn delivered(outcomes: &mut Outcomes) -> OutboxEvent {
    match within(outcomes.next()).await {
        Some(RunOutcome::Delivered { event }) => (*event).clone(),
        other => panic!("not delivered: {other:?}"),
    }
}

/// The outcomes that are left once the run has ended.
async fn rest(running: Running, mut outcomes: Outcomes) -> Vec<RunOutcome> {
    running.stop().await.unwrap();
    drop(running);
    let mut rest = Vec::new();
    while let Some(outcome) = within(outcomes.next()).await {
        rest.push(outcome);
    }
    rest
}

#[test]
fn a_delivery_completed_by_its_handler_is_recorded_and_told_once() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start_with(&store, at_once);
        let mut outcomes = running.outcomes();
        let event = enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        call.event.complete_on(Any(&store)).await.unwrap();
        // A wait for the delivery ends with the commit.
        let flushed = within(running.flush(1, SOON)).await.unwrap();
        assert_eq!(flushed, Flushed::Delivered);
        call.ok();
        let told = delivered(&mut outcomes).await;
        assert_eq!((told.id, told.attempt_count), (event.id, 1));
        assert_eq!(told.status, OutboxStatus::Completed);
        let stored = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(stored.status, OutboxStatus::Completed);
        assert_eq!(stored.attempt_count, 1);
        let statistics = running.statistics().await.unwrap();
        assert_eq!(
            (statistics.completed_count, statistics.total_events),
            (1, 1)
        );
        assert!(remote.is_quiet());
        assert!(rest(running, outcomes).await.is_empty());
    });
}

#[test]
fn an_event_completed_by_its_handler_stays_completed_whatever_is_answered() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start_with(&store, |builder| {
            at_once(builder).on_dead(|event| panic!("{} is no dead letter", event.id))
        });
        let mut outcomes = running.outcomes();
        let answers = [
            HandlerError::retry("too late"),
            HandlerError::permanent("too late"),
            HandlerError::snooze(SOON),
            HandlerError::obsolete(),
        ];
        for (id, answer) in (1..).zip(answers) {
            enqueue(&store, note(id).enqueue_sync().max_attempts(1)).await;
            let call = remote.next().await;
            assert_eq!(call.id(), id);
            call.event.complete_on(Any(&store)).await.unwrap();
            call.fail(answer);
            let told = delivered(&mut outcomes).await;
            assert_eq!(told.entity_id, EntityId::from(id));
        }
        assert!(remote.is_quiet());
        assert!(rest(running, outcomes).await.is_empty());
        let statistics = store.statistics(None).await.unwrap();
        assert_eq!(
            (statistics.completed_count, statistics.total_events),
            (4, 4)
        );
    });
}

#[test]
fn without_retention_the_event_is_deleted_and_still_counted() {
    on_each_store(|store, _| async move {
        let (mut remote, running) =
            start_with(&store, |builder| builder.keep_completed(Duration::ZERO));
        let mut outcomes = running.outcomes();
        for id in [1, 1, 2] {
            enqueue(&store, note(id).enqueue_sync()).await;
        }
        for _ in 0..3 {
            let call = remote.next().await;
            call.event.complete_on(Any(&store)).await.unwrap();
            call.ok();
            delivered(&mut outcomes).await;
        }
        assert!(rest(running, outcomes).await.is_empty());
        let statistics = store.statistics(Some("u1")).await.unwrap();
        assert_eq!(
            (statistics.total_events, statistics.completed_total),
            (0, 3)
        );
    });
}

#[test]
fn the_next_event_of_the_lane_starts_at_the_commit() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start_with(&store, at_once);
        let first = enqueue(&store, note(1).enqueue_create()).await;
        let second = enqueue(&store, note(1).enqueue_update()).await;
        let call = remote.next().await;
        assert_eq!(call.event.id, first.id);
        call.event.complete_on(Any(&store)).await.unwrap();
        let next = remote.next().await;
        assert_eq!(next.event.id, second.id, "the first has not answered yet");
        next.ok();
        call.ok();
        let flushed = running.flush(1, SOON).await.unwrap();
        assert_eq!(flushed, Flushed::Delivered);
        assert!(remote.is_quiet());
        running.stop().await.unwrap();
    });
}

#[test]
fn an_event_supersedes_its_own_in_the_same_step() {
    on_each_store(|store, _| async move {
        let (mut remote, running) = start_with(&store, at_once);
        enqueue(&store, note(1).enqueue_create()).await;
        let waiting = enqueue(&store, note(1).enqueue_update()).await;
        let call = remote.next().await;
        let next = note(1).enqueue_update().priority(9);
        let next_id = next.event_id();
        let superseded = call.event.supersede_on(Any(&store), next).await.unwrap();
        assert_eq!(superseded.unwrap().event_id(), next_id);
        call.ok();
        for expected in [waiting.id, next_id] {
            let call = remote.next().await;
            assert_eq!(call.event.id, expected, "it joins the end of its lane");
            call.ok();
        }
        let flushed = running.flush(1, SOON).await.unwrap();
        assert_eq!(flushed, Flushed::Delivered);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_lease_outlives_a_handler_that_is_slow_after_its_commit() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start_with(&store, |builder| {
            at_once(builder).timeout(LEASE - SECOND).lease(LEASE)
        });
        let mut outcomes = running.outcomes();
        enqueue(&store, note(1).enqueue_sync()).await;
        let call = remote.next().await;
        call.event.complete_on(Any(&store)).await.unwrap();
        // Two renewals, and none finds the lease lost.
        let began = clock.now();
        for renewal in 1..=2 {
            clock.until_asleep(began + LEASE / 3 * renewal).await;
            clock.advance(LEASE / 3);
        }
        clock.until_asleep(began + LEASE - SECOND).await;
        assert!(!call.is_abandoned());
        call.ok();
        delivered(&mut outcomes).await;
        assert!(rest(running, outcomes).await.is_empty());
    });
}

/// The app's table: the ids that the service gave to notes.
const REMOTE_IDS: &str = "CREATE TABLE remote_ids (note INTEGER PRIMARY KEY, remote_id TEXT)";

fn saved(connection: &Connection) -> Vec<String> {
    let mut ids = connection
        .prepare("SELECT remote_id FROM remote_ids ORDER BY note")
        .unwrap();
    let ids = ids.query_map([], |row| row.get(0)).unwrap();
    ids.collect::<rusqlite::Result<_>>().unwrap()
}

/// A store with the app's table, a connection of the app's, and a run.
async fn app() -> (Temporary, Connection, Remote, Running) {
    let temporary = Temporary::open().await;
    let connection = temporary.connect();
    connection.execute_batch(REMOTE_IDS).unwrap();
    let (remote, running) = start_with(&temporary.store, at_once);
    (temporary, connection, remote, running)
}

/// Saves the remote id and completes the event; whether to commit is up to the caller.
fn save<'c>(connection: &'c mut Connection, call: &Call) -> rusqlite::Transaction<'c> {
    let behavior = TransactionBehavior::Immediate;
    let tx = connection.transaction_with_behavior(behavior).unwrap();
    tx.execute("INSERT INTO remote_ids VALUES (?1, 'r-1')", [call.id()])
        .unwrap();
    call.event.complete_on(&tx).unwrap();
    call.event.complete_on(&tx).unwrap();
    tx
}

#[tokio::test]
async fn the_remote_id_and_the_completion_are_one_commit_on_the_apps_connection() {
    let (temporary, mut connection, mut remote, running) = app().await;
    let mut outcomes = running.outcomes();
    let event = enqueue(&temporary.store, note(1).enqueue_sync()).await;
    let call = remote.next().await;
    let tx = save(&mut connection, &call);
    let seen = temporary.store.fetch_event(event.id).await.unwrap();
    let seen = seen.unwrap().status;
    assert_eq!(seen, OutboxStatus::Processing, "nothing is committed yet");
    tx.commit().unwrap();
    call.ok();
    delivered(&mut outcomes).await;
    assert_eq!(saved(&connection), ["r-1"]);
    assert!(rest(running, outcomes).await.is_empty());
    let findings = temporary.store.check(CheckDepth::Full).await.unwrap();
    assert!(findings.is_empty(), "{findings:?}");
}

#[tokio::test]
async fn after_a_rollback_the_event_is_tried_again_although_the_handler_answered_ok() {
    let (temporary, mut connection, mut remote, running) = app().await;
    let mut outcomes = running.outcomes();
    let event = enqueue(&temporary.store, note(1).enqueue_sync()).await;
    let call = remote.next().await;
    // The commit is forgotten.
    drop(save(&mut connection, &call));
    call.ok();
    match within(outcomes.next()).await {
        Some(RunOutcome::Failed {
            event: failed,
            message,
        }) => {
            assert_eq!(failed.id, event.id);
            assert!(message.contains("was not committed"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert!(saved(&connection).is_empty());
    let call = remote.next().await;
    assert_eq!((call.event.id, call.event.attempt_count), (event.id, 2));
    save(&mut connection, &call).commit().unwrap();
    call.ok();
    delivered(&mut outcomes).await;
    assert_eq!(saved(&connection), ["r-1"]);
    assert!(rest(running, outcomes).await.is_empty());
}

#[tokio::test]
async fn after_a_rollback_other_answers_mean_what_they_always_mean() {
    let (temporary, mut connection, mut remote, running) = app().await;
    let mut outcomes = running.outcomes();
    enqueue(&temporary.store, note(1).enqueue_sync()).await;
    let call = remote.next().await;
    drop(save(&mut connection, &call));
    call.fail(HandlerError::retry("the disk is full"));
    let failed = within(outcomes.next()).await;
    assert!(
        matches!(&failed, Some(RunOutcome::Failed { message, .. }) if message == "the disk is full"),
        "{failed:?}"
    );
    let call = remote.next().await;
    drop(save(&mut connection, &call));
    // The handler wants the event completed, without its transaction.
    call.fail(HandlerError::obsolete());
    delivered(&mut outcomes).await;
    assert!(saved(&connection).is_empty());
    assert!(rest(running, outcomes).await.is_empty());
}

#[tokio::test]
async fn in_a_transaction_of_the_store_a_refused_completion_rolls_everything_back() {
    let clock = ManualClock::new();
    let temporary = Temporary::open_with(|builder| builder.clock(clock.clone())).await;
    let store = temporary.store.clone();
    let connection = temporary.connect();
    connection.execute_batch(REMOTE_IDS).unwrap();
    enqueue(&store, note(1).enqueue_sync()).await;
    let request = ClaimRequest::new(1, LEASE);
    let claim = store.claim(&request).await.unwrap().remove(0);
    clock.advance(LEASE);
    let late = claim.event.clone();
    let lost = store.transaction(move |tx| {
        tx.execute("INSERT INTO remote_ids VALUES (1, 'late')", [])?;
        late.complete_on(tx)?;
        Ok(())
    });
    let lost = lost.await.unwrap_err();
    let TransactionError::Aborted(error) = &lost else {
        panic!("{lost:?}");
    };
    assert!(matches!(
        error.downcast_ref(),
        Some(CompleteError::LeaseLost { .. })
    ));
    // Nor is the error lost without a `?`.
    let late = claim.event.clone();
    let ignored = store.transaction(move |tx| {
        tx.execute("INSERT INTO remote_ids VALUES (1, 'late')", [])?;
        Ok(late.complete_on(tx))
    });
    assert!(ignored.await.is_err());
    assert!(saved(&connection).is_empty());
    // The next holder succeeds.
    let _ = store.rescue().await.unwrap();
    let claim = store.claim(&request).await.unwrap().remove(0);
    let event = claim.event.clone();
    let superseded = store.transaction(move |tx| {
        tx.execute("INSERT INTO remote_ids VALUES (1, 'r-1')", [])?;
        Ok(event.supersede_on(tx, note(1).enqueue_update())?)
    });
    let next = superseded.await.unwrap().event_id();
    assert_eq!(saved(&connection), ["r-1"]);
    let settlement = Settlement {
        lease: claim.lease,
        disposition: Disposition::Complete,
    };
    let settled = store.settle(vec![settlement]).await.unwrap();
    assert_eq!(settled, [Settled::AlreadyCompleted]);
    let claim = store.claim(&request).await.unwrap().remove(0);
    assert_eq!(claim.event.id, next);
}

#[tokio::test]
async fn an_event_that_no_handler_received_cannot_be_completed() {
    let temporary = Temporary::open().await;
    let event = enqueue(&temporary.store, note(1).enqueue_sync()).await;
    let connection = temporary.connect();
    let refused = event.complete_on(&connection).unwrap_err();
    assert!(
        matches!(refused, CompleteError::NotClaimed { event_id } if event_id == event.id),
        "{refused:?}"
    );
    assert_eq!(
        HandlerError::from(refused).delivery(),
        Delivery::Retry { after: None }
    );
}

#[tokio::test]
async fn an_error_leaves_neither_the_completion_nor_the_next_event() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let event = enqueue(store, note(1).enqueue_sync()).await;
    let known = enqueue(store, note(2).enqueue_sync().priority(-1)).await;
    let request = ClaimRequest::new(1, LEASE);
    let claim = store.claim(&request).await.unwrap().remove(0);
    assert_eq!(claim.event.id, event.id);
    let mut connection = temporary.connect();
    let tx = connection.transaction().unwrap();
    let taken = note(3).enqueue_sync().with_event_id(known.id);
    let refused = claim.event.supersede_on(&tx, taken).unwrap_err();
    assert!(matches!(refused, CompleteError::Next { .. }), "{refused:?}");
    // A caller that commits nevertheless commits nothing of it.
    tx.commit().unwrap();
    let stored = store.fetch_event(event.id).await.unwrap().unwrap();
    assert_eq!(stored.status, OutboxStatus::Processing);
}

#[tokio::test]
async fn a_delivery_completed_by_its_handler_is_in_the_history_that_keeps_deliveries() {
    let temporary = Temporary::open_with(SqliteStoreBuilder::history_of_deliveries).await;
    let (mut remote, running) = start_with(&temporary.store, at_once);
    let event = enqueue(&temporary.store, note(1).enqueue_sync()).await;
    let call = remote.next().await;
    call.event.complete_on(&temporary.connect()).unwrap();
    call.ok();
    running.stop().await.unwrap();
    let attempts = temporary.store.attempts(event.id).await.unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Delivered]);
}

#[tokio::test]
async fn a_run_that_stops_gives_back_no_event_that_its_handler_completed() {
    let (temporary, mut connection, mut remote, running) = app().await;
    let event = enqueue(&temporary.store, note(1).enqueue_sync()).await;
    let call = remote.next().await;
    save(&mut connection, &call).commit().unwrap();
    let stopped = running.stop_unless(std::future::ready(()));
    assert_eq!(within(stopped).await.unwrap().given_back, 1);
    drop(call);
    let stored = temporary.store.fetch_event(event.id).await.unwrap();
    assert_eq!(stored.unwrap().status, OutboxStatus::Completed);
}
