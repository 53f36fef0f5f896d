//! The import of the older version's outbox: one to one, and delivered.

use fitiq::entities::Kind;
use outbox_runtime::{DeadReason, OutboxStatus};
use serde_json::json;

use crate::old_store::{self, OldEvent, metadata_of};
use crate::scene::Scene;

#[tokio::test]
async fn rows_are_imported_one_to_one_and_delivered() {
    let scene = Scene::new().await;
    let events = one_of_each(&scene);
    let store = old_store::write(scene.folder(), &events);
    let report = scene.app.migrate(&store, false).await.unwrap();
    assert_eq!(
        (report.read(), report.migrated(), report.rejected()),
        (9, 9, 0),
        "{report}"
    );
    for old in &events {
        let event = scene.event_of(old).await;
        assert_eq!(event.event_type, old.event_type);
        assert_eq!(event.entity_id, old.entity_id.into());
        assert_eq!(event.user_id, scene.user.as_str());
        assert_eq!(event.created_at, old.created_at);
        assert_eq!(event.priority, 3);
        assert!(event.is_new_record());
    }
    scene.deliver().await;
    let statistics = scene.statistics().await;
    assert_eq!((statistics.completed_count, statistics.dead_count), (9, 0));
    let steps = scene
        .held("progress")
        .into_iter()
        .find(|held| held.entity["type"] == "steps")
        .unwrap();
    assert_eq!(steps.entity["quantity"], 3422.0);
    assert_eq!(scene.held("workouts")[0].entity["activity_type"], "running");
    assert_eq!(scene.held("workouts")[0].entity["duration_minutes"], 30.0);
    assert_eq!(scene.held("sleep")[0].entity["time_in_bed_minutes"], 450);
    assert_eq!(
        scene.held("meal-logs")[0].entity["raw_input"],
        "640 kcal, 30 g protein"
    );
    assert_eq!(
        scene.held("profiles")[0].entity["physical"]["height_cm"],
        171.0
    );
}

#[tokio::test]
async fn states_and_attempts_are_kept_and_processing_events_are_claimable() {
    let scene = Scene::new().await;
    let old = |number, status: &str, attempts| OldEvent {
        status: status.to_owned(),
        attempts,
        error: (attempts > 0).then(|| "HTTP 503".to_owned()),
        ..OldEvent::new(
            "progressEntry",
            scene.user.as_str(),
            number,
            &metadata_of("progressEntry"),
        )
    };
    let events = [
        old(1, "pending", 0),
        old(2, "processing", 1),
        old(3, "failed", 2),
        old(4, "failed", 5),
        old(5, "completed", 1),
        old(6, "processing", 5),
    ];
    let store = old_store::write(scene.folder(), &events);
    let report = scene.app.migrate(&store, false).await.unwrap();
    assert_eq!((report.migrated(), report.rejected()), (6, 0), "{report}");
    for (old, status, attempts) in [
        (&events[0], OutboxStatus::Pending, 0),
        (&events[1], OutboxStatus::Failed, 1),
        (&events[2], OutboxStatus::Failed, 2),
        (&events[3], OutboxStatus::Dead, 5),
        (&events[4], OutboxStatus::Completed, 1),
        (&events[5], OutboxStatus::Failed, 4),
    ] {
        let event = scene.event_of(old).await;
        assert_eq!(
            (event.status, event.attempt_count),
            (status, attempts),
            "{}",
            old.status
        );
        if status == OutboxStatus::Dead {
            assert_eq!(event.dead_reason, Some(DeadReason::AttemptsExhausted));
            assert_eq!(event.error_message.as_deref(), Some("HTTP 503"));
        }
    }
    scene.sync().await;
    let statistics = scene.statistics().await;
    assert_eq!((statistics.completed_count, statistics.dead_count), (5, 1));
}

/// Failure 17: the flat form, in which the kind of a workout was written over the tag.
#[tokio::test]
async fn metadata_of_both_forms_is_delivered() {
    let scene = Scene::new().await;
    let user = scene.user.as_str();
    let flat = [
        ("workout", json!({"type": "running", "duration": 1_800.0})),
        (
            "progressEntry",
            json!({"type": "progressEntry", "metricType": "restingHeartRate", "value": 61.0, "unit": "bpm"}),
        ),
        (
            "workoutTemplate",
            json!({"type": "generic", "data": {"name": "Pull"}}),
        ),
    ];
    let mut events: Vec<OldEvent> = (1..)
        .zip(flat)
        .map(|(n, (kind, value))| OldEvent::new(kind, user, n, &value))
        .collect();
    events.push(OldEvent::new("workout", user, 9, &metadata_of("workout")));
    let store = old_store::write(scene.folder(), &events);
    assert_eq!(
        scene.app.migrate(&store, false).await.unwrap().migrated(),
        4
    );
    scene.deliver().await;
    assert!(
        scene
            .held("workouts")
            .iter()
            .all(|held| held.entity["activity_type"] == "running")
    );
    assert_eq!(scene.held("workouts").len(), 2);
    assert_eq!(
        scene.held("progress")[0].entity["type"],
        "resting_heart_rate"
    );
    assert_eq!(scene.held("workout-templates")[0].entity["name"], "Pull");
}

#[tokio::test]
async fn unreadable_rows_are_rejected_and_the_rest_arrives() {
    let scene = Scene::new().await;
    let user = scene.user.as_str();
    let good = |number| OldEvent::new("progressEntry", user, number, &metadata_of("progressEntry"));
    let events = [
        good(1),
        OldEvent {
            event_type: "mood.created".to_owned(),
            ..good(2)
        },
        OldEvent {
            metadata: None,
            ..good(3)
        },
        OldEvent {
            metadata: Some(r#"{"progressEntry":{"metricTy"#.to_owned()),
            ..good(4)
        },
        OldEvent {
            id: None,
            ..good(5)
        },
        OldEvent {
            status: "paused".to_owned(),
            ..good(6)
        },
        OldEvent {
            user_id: " ".to_owned(),
            ..good(7)
        },
        good(8),
    ];
    let store = old_store::write(scene.folder(), &events);
    let report = scene.app.migrate(&store, false).await.unwrap();
    assert_eq!(
        (report.read(), report.migrated(), report.rejected()),
        (8, 2, 6),
        "{report}"
    );
    scene.deliver().await;
    assert_eq!(scene.held("progress").len(), 2);
}

/// Failure 12: the sentinel `none` was taken for an id.
#[tokio::test]
async fn deletes_of_the_older_app_are_sent_if_the_service_knows_the_entity() {
    let scene = Scene::new().await;
    scene.app.save(scene.steps(1.0, 10)).await.unwrap();
    scene.deliver().await;
    let remote = scene.held("progress")[0].id.clone();
    let delete = |number, backend: &str| OldEvent {
        is_new: false,
        ..OldEvent::new(
            "progressEntry",
            scene.user.as_str(),
            number,
            &json!({"generic": {"_0": {"operation": "delete", "backendID": backend}}}),
        )
    };
    let store = old_store::write(
        scene.folder(),
        &[delete(1, &remote.to_uppercase()), delete(2, "none")],
    );
    assert_eq!(
        scene.app.migrate(&store, false).await.unwrap().migrated(),
        2
    );
    scene.deliver().await;
    assert!(scene.held("progress").is_empty());
    let deletes: Vec<_> = scene
        .calls()
        .into_iter()
        .filter(|call| call.method == "DELETE")
        .collect();
    assert_eq!(deletes.len(), 1);
    assert!(deletes[0].path.ends_with(&remote));
}

/// An update of an existing entity is not a second creation.
#[tokio::test]
async fn remote_ids_of_the_older_app_are_imported() {
    let scene = Scene::new().await;
    scene.app.save(scene.steps(1.0, 10)).await.unwrap();
    scene.deliver().await;
    let remote = scene.held("progress")[0].id.clone();
    let update = OldEvent {
        is_new: false,
        ..OldEvent::new(
            "progressEntry",
            scene.user.as_str(),
            1,
            &metadata_of("progressEntry"),
        )
    };
    let store = old_store::write(scene.folder(), std::slice::from_ref(&update));
    old_store::know(&store, update.entity_id, &remote);
    assert_eq!(
        scene.app.migrate(&store, false).await.unwrap().migrated(),
        1
    );
    scene.deliver().await;
    let held = scene.held("progress");
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].entity["quantity"], 3422.0);
}

/// Failure 51: a migration that failed cost the user all that was not synced.
#[tokio::test]
async fn a_migration_can_be_rehearsed_and_repeated_and_leaves_the_old_store_alone() {
    let scene = Scene::new().await;
    let store = old_store::write(scene.folder(), &one_of_each(&scene));
    let before = std::fs::read(&store).unwrap();
    let rehearsed = scene.app.migrate(&store, true).await.unwrap();
    assert_eq!(rehearsed.migrated(), 9);
    assert_eq!(scene.statistics().await.total_events, 0);
    let done = scene.app.migrate(&store, false).await.unwrap();
    let again = scene.app.migrate(&store, false).await.unwrap();
    assert_eq!(
        (done.migrated(), again.migrated(), again.already_there()),
        (9, 0, 9)
    );
    assert_eq!(scene.statistics().await.total_events, 9);
    assert_eq!(std::fs::read(&store).unwrap(), before);
    let missing = scene
        .app
        .migrate(&scene.folder().join("other.store"), false)
        .await;
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("there is no such file")
    );
}

fn one_of_each(scene: &Scene) -> Vec<OldEvent> {
    let kinds = (1..).zip(Kind::ALL.iter().map(|kind| kind.event_type()));
    kinds
        .map(|(number, kind)| OldEvent {
            priority: 3,
            ..OldEvent::new(kind, scene.user.as_str(), number, &metadata_of(kind))
        })
        .collect()
}
