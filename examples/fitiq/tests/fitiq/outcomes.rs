//! The meaning of the service's responses for a change.

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use backend::{ErrorCodes, Fault, FaultRule, Idempotency, Settings};
use chrono::TimeDelta;
use fitiq::entities::{ProgressEntry, Workout};
use fitiq::{App, repository};
use fitiq_core::LocalId;
use fitiq_core::cli::{self, SyncArguments, Synced};
use outbox_runtime::{OutboxRepository, OutboxStatus};
use serde_json::json;
use tokio::net::TcpListener;

use crate::delivery::{meal, night, profile};
use crate::scene::{EMAIL, PASSWORD, Scene, noon, soon, until};

/// Failure 10.
#[tokio::test]
async fn an_error_with_a_code_means_what_its_status_means() {
    for codes in [ErrorCodes::Absent, ErrorCodes::Present] {
        let scene = Scene::with(Settings::new().error_codes(codes)).await;
        let workout = scene.workout();
        scene.app.save(workout.clone()).await.unwrap();
        scene.deliver().await;
        // 401 with and without a code: refreshed, and no attempt lost.
        scene.backend.expire_tokens();
        let edited = Workout {
            intensity: Some(9),
            ..workout.clone()
        };
        scene.app.edit(edited).await.unwrap();
        scene.deliver().await;
        let event = scene.event(workout.id).await;
        assert_eq!(
            (event.status, event.attempt_count),
            (OutboxStatus::Completed, 1),
            "{codes:?}"
        );
        // 400 with and without a code: refused for good.
        scene.app.save(scene.steps(-1.0, 1)).await.unwrap();
        assert!(matches!(scene.sync().await, Synced::Left(_)));
        assert_eq!(scene.statistics().await.dead_count, 1, "{codes:?}");
    }
}

/// Failure 11: an update of what the service does not have counted as done, and was lost.
#[tokio::test]
async fn an_edit_of_an_entity_that_the_service_lost_creates_it_again() {
    let scene = Scene::new().await;
    let workout = scene.workout();
    scene.app.save(workout.clone()).await.unwrap();
    scene.deliver().await;
    // An id that the service does not know, as if the entity had been deleted there.
    let id = workout.id;
    let gone = fitiq_core::RemoteId::recorded("00000000-0000-4000-8000-000000000000").unwrap();
    let forget = scene
        .app
        .write(move |conn| Ok(repository::accepted(conn, id, Some(&gone))?));
    forget.await.unwrap();
    scene
        .app
        .edit(Workout {
            intensity: Some(9),
            ..workout.clone()
        })
        .await
        .unwrap();
    scene.deliver().await;
    let newest = scene.held("workouts").pop().unwrap();
    assert_eq!(newest.entity["intensity"], 9.0);
    assert_eq!(scene.remote_id(id).await, Some(newest.id));
}

/// Failure 11: what the service has already is no success without its id.
#[tokio::test]
async fn a_night_that_the_service_knows_succeeds_under_its_existing_id() {
    let scene = Scene::new().await;
    let night = night(&scene);
    scene.app.save(night.clone()).await.unwrap();
    scene.deliver().await;
    let known = scene.remote_id(night.id).await.unwrap();
    // The app forgets the delivery; the service answers 200 with the existing entity.
    let id = night.id;
    let forget = scene
        .app
        .write(move |conn| Ok(repository::unknown_there(conn, id)?));
    forget.await.unwrap();
    scene
        .app
        .save(fitiq::entities::SleepSession {
            notes: Some("late".to_owned()),
            ..night
        })
        .await
        .unwrap();
    scene.deliver().await;
    assert_eq!(scene.calls().last().unwrap().status, 200);
    assert_eq!(scene.held("sleep").len(), 1);
    assert_eq!(scene.remote_id(id).await, Some(known));
}

/// Failure 11: a 409 counted as done, and the id that the service has was never learnt.
#[tokio::test]
async fn a_conflict_that_names_the_existing_entity_succeeds_under_its_id() {
    let login = json!({"data": {"access_token": "a", "refresh_token": "r", "user_id": "user-1"}});
    let conflict = json!({"error": {"code": "EXISTS", "message": "there is one", "details": {"existing_id": "w-7"}}});
    let service = Router::new()
        .route("/api/v1/auth/login", post(async || Json(login)))
        .route(
            "/api/v1/workouts",
            post(async || (StatusCode::CONFLICT, Json(conflict))),
        );
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });

    let folder = tempfile::tempdir().unwrap();
    let settings = cli::Settings::new(folder.path().join("fitiq.db"), url.parse().unwrap());
    let app = App::open(settings.open().await.unwrap()).await.unwrap();
    let session = app.ground().session();
    let user = session.sign_in(EMAIL, PASSWORD).await.unwrap();
    let workout = Workout {
        id: LocalId::new(),
        user,
        activity_type: "running".to_owned(),
        title: None,
        started_at: noon(17),
        duration_minutes: None,
        calories_burned: None,
        intensity: None,
        template: None,
    };
    app.save(workout.clone()).await.unwrap();
    let (processor, once) = (app.processor().unwrap(), SyncArguments::once());
    let ended = soon(cli::sync(app.ground(), &processor, &once))
        .await
        .unwrap();
    assert_eq!(ended, Synced::Delivered);
    let id = workout.id;
    let standing = app.write(move |conn| Ok(repository::standing(conn, id)?));
    let remote = standing.await.unwrap().unwrap().remote_id.unwrap();
    assert_eq!(remote.as_str(), "w-7");
    serving.abort();
}

/// Failure 12: `DELETE .../none` was sent.
#[tokio::test]
async fn an_entity_that_is_created_and_deleted_before_the_first_sync_is_never_sent() {
    let scene = Scene::new().await;
    let entry = scene.steps(1.0, 10);
    scene.app.save(entry.clone()).await.unwrap();
    scene.app.delete::<ProgressEntry>(entry.id).await.unwrap();
    scene.deliver().await;
    assert!(scene.calls().is_empty());
    let id = entry.id;
    let left = scene
        .app
        .write(move |conn| Ok(repository::standing(conn, id)?))
        .await
        .unwrap();
    assert_eq!(left, None, "no tombstone stays of what nobody else knew");
}

/// Failure 14: both were answered with success and never sent.
#[tokio::test]
async fn both_halves_of_the_profile_are_sent() {
    let scene = Scene::new().await;
    let (about, physical) = profile(&scene);
    scene.app.save(about.clone()).await.unwrap();
    scene.app.save(physical.clone()).await.unwrap();
    scene.deliver().await;
    let held = scene.held("profiles").pop().unwrap().entity;
    assert_eq!(held["name"], "Ada");
    assert_eq!(held["physical"]["height_cm"], 171.0);
    assert_eq!(held["physical"]["biological_sex"], "female");
    let taller = fitiq::entities::ProfilePhysical {
        height_cm: Some(172.0),
        ..physical
    };
    scene.app.edit(taller).await.unwrap();
    scene.deliver().await;
    let held = scene.held("profiles").pop().unwrap().entity;
    assert_eq!(held["physical"]["height_cm"], 172.0);
    assert_eq!(held["name"], "Ada");
}

/// Failure 25: a local UUID was stored as the remote id, and everything was posted again at each
/// start.
#[tokio::test]
async fn the_remote_id_is_the_services_and_nothing_is_posted_twice() {
    let scene = Scene::new().await;
    let entry = scene.steps(1.0, 10);
    scene.app.save(entry.clone()).await.unwrap();
    scene.deliver().await;
    let held = scene.held("progress").pop().unwrap();
    assert_eq!(scene.remote_id(entry.id).await, Some(held.id.clone()));
    assert_ne!(held.id, entry.id.to_string());
    for _ in 0..3 {
        let restarted = scene.another().await;
        restarted.save(entry.clone()).await.unwrap();
        scene.deliver().await;
    }
    assert_eq!(scene.calls().len(), 1);
}

#[tokio::test]
async fn an_edited_value_replaces_the_old_one() {
    let scene = Scene::with(Settings::new().idempotency(Idempotency::Honored)).await;
    let entry = scene.steps(1.0, 10);
    scene.app.save(entry.clone()).await.unwrap();
    scene.deliver().await;
    scene.edit_value(&entry, 2.0).await;
    scene.deliver().await;
    let held = scene.held("progress");
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].entity["quantity"], 2.0);
    assert_eq!(scene.remote_id(entry.id).await, Some(held[0].id.clone()));
}

/// The old value is deleted and the new one unanswered: the next attempt continues from there.
#[tokio::test]
async fn an_edit_that_is_interrupted_half_way_ends_with_one_value() {
    let fault = FaultRule::nth(Fault::Drop, 2).on("POST /api/v1/progress");
    let service = Settings::new()
        .idempotency(Idempotency::Honored)
        .fault(fault);
    let scene = Scene::with(service).await;
    let entry = scene.steps(1.0, 10);
    scene.app.save(entry.clone()).await.unwrap();
    scene.deliver().await;
    scene.edit_value(&entry, 2.0).await;
    scene.deliver().await;
    let held = scene.held("progress");
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].entity["quantity"], 2.0);
    assert_eq!(scene.audit().replays, 1, "it was sent twice");
    let event = scene.event(entry.id).await;
    assert_eq!(event.attempt_count, 1, "a lost answer is no attempt");
}

#[tokio::test]
async fn a_delete_reaches_the_service_and_a_404_counts_as_deleted() {
    let scene = Scene::new().await;
    let (first, second) = (scene.steps(1.0, 10), scene.steps(1.0, 11));
    for entry in [&first, &second] {
        scene.app.save(entry.clone()).await.unwrap();
    }
    scene.deliver().await;
    // The service no longer knows one of them when it is deleted here.
    let id = second.id;
    let gone = fitiq_core::RemoteId::recorded("00000000-0000-4000-8000-000000000000").unwrap();
    scene
        .app
        .write(move |conn| Ok(repository::accepted(conn, id, Some(&gone))?))
        .await
        .unwrap();
    for entry in [&first, &second] {
        scene.app.delete::<ProgressEntry>(entry.id).await.unwrap();
    }
    scene.deliver().await;
    let statuses: Vec<u16> = scene
        .calls()
        .iter()
        .skip(1)
        .map(|call| call.status)
        .collect();
    assert!(
        statuses.contains(&204) && statuses.contains(&404),
        "{statuses:?}"
    );
    let statistics = scene.statistics().await;
    assert_eq!((statistics.completed_count, statistics.dead_count), (4, 0));
}

/// Failure 30: 365 calls in ten seconds were answered with 429.
#[tokio::test]
async fn a_paced_app_is_not_refused_twice_in_a_row_and_uses_up_no_attempt() {
    let service = Settings::new().rate(40.0, 1);
    let setting = crate::scene::Setting {
        pace: Some(40),
        ..Default::default()
    };
    let scene = Scene::set(service, setting).await;
    for workout in scene.workouts(20) {
        scene.app.save(workout).await.unwrap();
    }
    scene.deliver().await;
    let statuses: Vec<u16> = scene.calls().iter().map(|call| call.status).collect();
    assert!(
        !statuses.windows(2).any(|two| two == [429, 429]),
        "{statuses:?}"
    );
    let events = scene
        .app
        .store()
        .fetch_events(OutboxStatus::Completed, None, None)
        .await
        .unwrap();
    assert_eq!(events.len(), 20);
    assert!(events.iter().all(|event| event.attempt_count == 1));
}

/// Failure 37.
#[tokio::test]
async fn an_accepted_call_with_an_unreadable_response_is_not_sent_again() {
    let fault = FaultRule::nth(Fault::Garble, 1).on("POST /api/v1/progress");
    let scene = Scene::with(Settings::new().fault(fault)).await;
    let entry = scene.steps(1.0, 10);
    scene.app.save(entry.clone()).await.unwrap();
    scene.deliver().await;
    scene.deliver().await;
    assert_eq!(scene.calls().len(), 1);
    assert_eq!(scene.held("progress").len(), 1);
    assert_eq!(scene.event(entry.id).await.attempt_count, 1);
    // The id is unknown: the edit becomes a dead letter with that reason, and is not lost.
    scene.edit_value(&entry, 2.0).await;
    assert!(matches!(scene.sync().await, Synced::Left(_)));
    let event = scene.event(entry.id).await;
    assert_eq!(event.status, OutboxStatus::Dead);
    assert!(event.error_message.unwrap().contains("an unknown id"));
}

#[tokio::test]
async fn a_lost_response_is_requested_again_under_the_same_key() {
    let fault = FaultRule::nth(Fault::Drop, 1);
    let scene = Scene::with(
        Settings::new()
            .idempotency(Idempotency::Honored)
            .fault(fault),
    )
    .await;
    let entry = scene.steps(1.0, 10);
    scene.app.save(entry.clone()).await.unwrap();
    scene.deliver().await;
    assert_eq!(scene.held("progress").len(), 1);
    assert_eq!(scene.audit().replays, 1);
    assert!(scene.remote_id(entry.id).await.is_some());
}

/// Failure 41: fractions of seconds were refused with 400.
#[tokio::test]
async fn a_night_is_sent_without_fractions_of_seconds() {
    let scene = Scene::new().await;
    let mut night = night(&scene);
    night.start += TimeDelta::milliseconds(123);
    night.end += TimeDelta::nanoseconds(996_263_011);
    night.stages[0].start = night.start;
    night.stages[0].end = night.end;
    scene.app.save(night).await.unwrap();
    scene.deliver().await;
    let held = scene.held("sleep").pop().unwrap().entity;
    assert_eq!(held["start_time"], "2025-11-16T12:00:00Z");
}

/// Failures 46 and 53: a meal stayed pending until a push that never came.
#[tokio::test]
async fn a_meal_that_the_service_is_still_processing_is_delivered() {
    let scene = Scene::new().await;
    let meal = meal(&scene);
    let running = scene.run();
    scene.app.save(meal.clone()).await.unwrap();
    // The commit wakes the run; there is no poll and no push to wait for.
    until(|| async { scene.event(meal.id).await.status == OutboxStatus::Completed }).await;
    running.stop().await.unwrap();
    let held = scene.held("meal-logs").pop().unwrap();
    assert_eq!(held.entity["status"], "processing");
    assert_eq!(scene.remote_id(meal.id).await, Some(held.id));
    assert_eq!(scene.calls().len(), 1);
}

/// Failure 50.
#[tokio::test]
async fn an_event_whose_entity_is_gone_ends_and_does_not_retry() {
    let scene = Scene::new().await;
    let entry = scene.steps(1.0, 10);
    scene.app.save(entry.clone()).await.unwrap();
    let wipe = scene
        .app
        .write(|conn| Ok(conn.execute("DELETE FROM entities", [])?));
    assert_eq!(wipe.await.unwrap(), 1);
    scene.deliver().await;
    let event = scene.event(entry.id).await;
    assert_eq!(
        (event.status, event.attempt_count),
        (OutboxStatus::Completed, 1)
    );
    assert!(scene.calls().is_empty());
}
