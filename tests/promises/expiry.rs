//! An expired event is neither sent nor retried, and the application is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::{
    Clock, DeadReason, EnqueueError, Expiry, HandlerError, NewEvent, OnExpiry, OutboxStatus,
    Processor, RunOutcome, WaitsFor, prelude::*,
};
use outbox_testing::{FaultRates, Invariant, Simulation, simulate};
use outbox_tests::simulated::{first_violation, on_sqlite, with_flaw};
use outbox_tests::{
    Flaw, Temporary, enqueue, foreign_statement, note, on_each_store, start, start_with, within,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Dropped after a minute.
#[derive(OutboxEntity)]
#[outbox(event_type = "typing", expires_after = "1m", on_expiry = "drop")]
struct Typing {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

fn typing(id: i64) -> Typing {
    let user_id = "u1".to_owned();
    Typing { id, user_id }
}

#[test]
fn an_expired_event_is_not_sent_and_every_hook_is_told() {
    on_each_store(|store, clock| async move {
        let ends = clock.now() + MINUTE;
        let late = enqueue(&store, note(1).enqueue_sync().expires_at(ends)).await;
        enqueue(&store, note(1).enqueue_update()).await;
        clock.advance(MINUTE);
        let told: Arc<Mutex<Vec<OutboxEvent>>> = Arc::default();
        let hook = Arc::clone(&told);
        let (mut remote, running) = start_with(&store, |builder| {
            builder.on_dead(move |event| hook.lock().unwrap().push(event.clone()))
        });
        let mut outcomes = running.outcomes();
        // The first that a handler gets is the one behind it.
        let call = remote.next().await;
        assert_eq!(call.event.operation, Operation::Update);
        call.ok();
        let mut dead = None;
        for _ in 0..2 {
            match within(outcomes.next()).await {
                Some(RunOutcome::Dead { event, reason, .. }) => dead = Some((event, reason)),
                Some(RunOutcome::Delivered { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        let (event, reason) = dead.unwrap();
        assert_eq!((reason, event.id), (DeadReason::Expired, late.id));
        let stored = store.fetch_event(late.id).await.unwrap().unwrap();
        assert_eq!(*event, stored, "it is shown as it is stored");
        assert_eq!(stored.dead_reason, Some(DeadReason::Expired));
        assert_eq!(
            told.lock().unwrap().as_slice(),
            std::slice::from_ref(&stored)
        );
        running.stop().await.unwrap();
    });
}

#[test]
fn a_run_wakes_to_end_an_event_that_expires_before_it_is_due() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        let mut outcomes = running.outcomes();
        let ends = clock.now() + MINUTE;
        let change = note(1).enqueue_sync().delay(MINUTE * 10).expires_at(ends);
        let event = enqueue(&store, change).await;
        within(clock.until_asleep(ends)).await;
        let found = running.explain(1).await.unwrap();
        assert!(found.to_string().contains("it expires at"), "{found}");
        clock.set(ends);
        let outcome = within(outcomes.next()).await.unwrap();
        assert!(matches!(outcome, RunOutcome::Dead { .. }), "{outcome:?}");
        assert_eq!(outcome.event().unwrap().id, event.id);
        assert!(remote.is_quiet());
        running.stop().await.unwrap();
    });
}

#[test]
fn an_entity_may_drop_what_expired() {
    on_each_store(|store, clock| async move {
        assert_eq!(Typing::OPTIONS.on_expiry(), OnExpiry::Drop);
        let processor = Processor::builder(store.clone())
            .handle::<Typing>(|_| async { Err(HandlerError::permanent("it was handled")) })
            .build()
            .unwrap();
        let event = enqueue(&store, typing(1).enqueue_sync()).await;
        assert_eq!(event.expires_at, Some(clock.now() + MINUTE));
        let lasting = enqueue(&store, typing(2).enqueue_sync().expires_at(None)).await;
        assert_eq!(lasting.expires_at, None);
        store.delete_event(lasting.id).await.unwrap();
        clock.advance(MINUTE);
        let running = processor.start("u1");
        let mut outcomes = running.outcomes();
        let outcome = within(outcomes.next()).await.unwrap();
        assert!(matches!(outcome, RunOutcome::Dropped { .. }), "{outcome:?}");
        assert_eq!(outcome.event().unwrap().id, event.id);
        assert_eq!(store.fetch_event(event.id).await.unwrap(), None);
        running.stop().await.unwrap();
    });
}

#[test]
fn no_retry_and_no_snooze_is_put_off_beyond_the_expiry() {
    on_each_store(|store, clock| async move {
        for (id, error) in [
            (1, HandlerError::snooze(MINUTE * 60)),
            (2, HandlerError::retry("busy").with_retry_after(MINUTE * 60)),
        ] {
            let (mut remote, running) = start(&store);
            let mut outcomes = running.outcomes();
            let ends = clock.now() + MINUTE;
            let change = note(id).enqueue_sync().max_attempts(9).expires_at(ends);
            let event = enqueue(&store, change).await;
            remote.next().await.fail(error);
            // A neighbor gets through, so that the refusal counts.
            enqueue(&store, note(90 + id).enqueue_sync()).await;
            remote.next().await.ok();
            within(clock.until_asleep(ends)).await;
            clock.set(ends);
            let dead = loop {
                let outcome = within(outcomes.next()).await.unwrap();
                if let RunOutcome::Dead { event, reason, .. } = outcome {
                    break (event.id, reason);
                }
            };
            assert_eq!(dead, (event.id, DeadReason::Expired));
            assert!(remote.is_quiet());
            running.stop().await.unwrap();
        }
    });
}

#[test]
fn an_attempt_that_began_before_the_expiry_ends_normally() {
    on_each_store(|store, clock| async move {
        let (mut remote, running) = start(&store);
        let ends = clock.now() + Duration::from_secs(5);
        let event = enqueue(&store, note(1).enqueue_sync().expires_at(ends)).await;
        let call = remote.next().await;
        clock.advance(Duration::from_secs(10));
        call.ok();
        assert!(running.flush(1, MINUTE).await.unwrap().is_delivered());
        let stored = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(stored.status, OutboxStatus::Completed);
        running.stop().await.unwrap();
    });
}

#[test]
fn a_clock_that_is_set_back_revives_no_expired_event() {
    on_each_store(|store, clock| async move {
        let ends = clock.now() + MINUTE;
        let event = enqueue(&store, note(1).enqueue_sync().expires_at(ends)).await;
        clock.advance(MINUTE * 2);
        let (mut remote, running) = start(&store);
        let mut outcomes = running.outcomes();
        within(outcomes.next()).await.unwrap();
        clock.set(ends - MINUTE);
        enqueue(&store, note(2).enqueue_sync()).await;
        let call = remote.next().await;
        assert_eq!(call.id(), 2);
        call.ok();
        let stored = store.fetch_event(event.id).await.unwrap().unwrap();
        assert_eq!(stored.status, OutboxStatus::Dead);
        running.stop().await.unwrap();
    });
}

#[test]
fn an_expired_event_in_a_pause_waits_and_is_explained() {
    on_each_store(|store, clock| async move {
        let ends = clock.now() + MINUTE;
        enqueue(&store, note(1).enqueue_sync().expires_at(ends)).await;
        clock.advance(MINUTE);
        let found = store.explain(&1.into(), None).await.unwrap();
        assert_eq!(found.waits_for, WaitsFor::Expiry { at: ends });
        let pause = outbox_runtime::Pause::new(outbox_runtime::PauseScope::Everything);
        store.pause(&pause).await.unwrap();
        let found = store.explain(&1.into(), None).await.unwrap();
        assert!(matches!(found.waits_for, WaitsFor::Pause(_)), "{found}");
    });
}

#[tokio::test]
async fn an_event_that_will_expire_costs_an_idle_run_no_statement() {
    let clock = outbox_testing::ManualClock::new();
    let made = Temporary::open_alone(&clock).await;
    let ends = clock.now() + MINUTE * 4;
    let change = note(1).enqueue_sync().delay(MINUTE * 9).expires_at(ends);
    let event = enqueue(&made.store, change).await;
    let (_remote, running) = start(&made.store);
    within(clock.until_asleep(ends)).await;
    within(made.writer_rests(&event)).await;
    let before = made.store.statements().get();
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(made.store.statements().get(), before, "the run is idle");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_event_that_another_driver_enqueues_expires() {
    let made = Temporary::open().await;
    let ends = chrono::DateTime::UNIX_EPOCH + MINUTE;
    let event = NewEvent::new("note", 1, "u1", Operation::Create).with_expiry(Expiry::At(ends));
    let (sql, values) = foreign_statement(&event);
    let driver = made.connect();
    driver
        .execute(sql, outbox_runtime::rusqlite::params_from_iter(values))
        .unwrap();
    let stored = made.store.fetch_event(event.id()).await.unwrap().unwrap();
    assert_eq!(stored.expires_at, Some(ends));
    let (mut remote, running) = start(&made.store);
    let mut outcomes = running.outcomes();
    running.trigger();
    let outcome = within(outcomes.next()).await.unwrap();
    assert!(matches!(outcome, RunOutcome::Dead { .. }), "{outcome:?}");
    assert!(remote.is_quiet());
    running.stop().await.unwrap();
}

#[test]
fn a_time_that_not_every_store_can_hold_is_refused() {
    on_each_store(|store, _| async move {
        let far = chrono::DateTime::<chrono::Utc>::MAX_UTC;
        let refused = note(1).enqueue_sync().expires_at(far).into_event();
        let named = |error: &EnqueueError| {
            matches!(
                error,
                EnqueueError::Invalid {
                    field: "expires_at",
                    ..
                }
            )
        };
        assert!(named(&refused.unwrap_err()));
        assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    });
}

/// Changes of which half expire within a minute, and some have a key.
fn special_changes(simulation: Simulation, epoch: chrono::DateTime<chrono::Utc>) -> Simulation {
    simulation.changes(move |draw, user| {
        let note = outbox_tests::note_of(user, draw.below(4) as i64);
        let mut change = note.enqueue_update().max_attempts(1 + draw.below(5) as u32);
        if draw.chance(500) {
            change = change.expires_at(epoch + Duration::from_secs(draw.below(3_600)));
        }
        if draw.chance(500) {
            change = change.key(format!("key-{}", draw.below(2)));
            if draw.chance(200) {
                change = change.on_same_key(outbox_runtime::OnSameKey::Keep);
            }
        }
        change.into_event()
    })
}

#[test]
fn no_event_is_sent_after_it_expired_or_was_replaced_whatever_fails() {
    let epoch = outbox_testing::ManualClock::new().now();
    let report = simulate(0..300, |simulation| special_changes(simulation, epoch));
    println!("{report}");
    assert!(report.dead > 0 && report.delivered > 0 && report.crashes > 0);
    let on_sqlite = simulate(0..30, |simulation| {
        on_sqlite(special_changes(simulation, epoch))
    });
    assert!(on_sqlite.delivered > 0);
}

#[test]
fn a_store_that_forgets_keys_or_expiries_is_caught() {
    let epoch = outbox_testing::ManualClock::new().now();
    for (flaw, expected) in [
        (Flaw::IgnoresKeys, Some(Invariant::OnePerKey)),
        (Flaw::ForgetsExpiry, Some(Invariant::NotAfterExpiry)),
        (Flaw::None, None),
    ] {
        let found = first_violation(60, |simulation| {
            with_flaw(
                special_changes(simulation, epoch).faults(FaultRates::default()),
                flaw,
            )
        });
        assert_eq!(found, expected, "{flaw:?}");
    }
}
