//! Order, retries, offline, statistics.

use backend::{Fault, FaultRule, Settings};
use lume::entities::{JournalEntry, LumeEvent, MoodEntry};
use outbox_runtime::{
    DeadReason, NewEvent, Operation, OutboxEntity, OutboxRepository, OutboxStatus, RawMetadata,
};
use outbox_testing::assert_enqueued;

use crate::scene::Scene;

/// `outbox.lock` beside `Cargo.toml` has the shapes of events, including V6's payloads: a change
/// needs a new version.
#[test]
fn event_shapes_change_only_with_their_version() {
    outbox_testing::assert_wire_lock::<LumeEvent>();
}

#[test]
fn event_types_have_stable_names() {
    assert_eq!(
        LumeEvent::EVENT_TYPES,
        ["moodEntry", "journalEntry", "goal", "chatMessage"]
    );
    let names = [MoodEntry::OPTIONS, JournalEntry::OPTIONS].map(|options| options.display_name());
    assert_eq!(names, ["Mood Entry", "Journal Entry"]);
}

#[tokio::test]
async fn a_fresh_installation_sends_nothing() {
    let scene = Scene::new().await;
    let statistics = scene.statistics().await;
    assert_eq!(
        (statistics.total_events, statistics.success_rate()),
        (0, 100.0)
    );
    assert!(!statistics.has_issues());
    scene.deliver().await;
    assert_eq!(
        scene
            .audit()
            .calls
            .iter()
            .filter(|call| !call.path.contains("/auth/"))
            .count(),
        0
    );
}

#[tokio::test]
async fn a_change_becomes_an_event_and_is_delivered() {
    let scene = Scene::new().await;
    scene.add_mood(0.5).await;
    let store = scene.store();
    let event = assert_enqueued!(
        store,
        MoodEntry { valence: 0.5, .. },
        operation = Create,
        priority = 5
    );
    scene.deliver().await;
    let statistics = scene.statistics().await;
    assert_eq!(
        (statistics.completed_count, statistics.success_rate()),
        (1, 100.0)
    );
    let key = scene
        .audit()
        .held("mood-entries")
        .next()
        .unwrap()
        .key
        .clone();
    assert_eq!(key, Some(event.id.to_string()));
}

#[tokio::test]
async fn a_service_that_fails_is_probed_until_it_is_back_and_no_attempt_is_used_up() {
    let rule = FaultRule::calls(Fault::InternalError, 1..=3).on("POST /api/v1/goals");
    let scene = Scene::with(Settings::new().fault(rule)).await;
    scene.add_goal().await;
    let running = scene.start();
    scene
        .until(&running, |statistics| statistics.completed_count == 1)
        .await;
    assert_eq!(scene.held("goals"), 1);
    let completed = scene.events(OutboxStatus::Completed).await;
    assert_eq!(
        completed[0].attempt_count, 1,
        "there was nothing to compare it with"
    );
    let refusal = completed[0].last_refusal.as_ref().unwrap();
    assert!(refusal.message.contains("500"), "{refusal}");
}

#[tokio::test]
async fn higher_priorities_go_first() {
    let scene = Scene::new().await;
    let moods = [
        scene.add_mood(0.1).await,
        scene.add_mood(0.2).await,
        scene.add_mood(0.3).await,
    ];
    scene.deliver().await;
    scene.backend.reset_audit();
    for id in moods {
        scene.edit_mood(id, 0.9).await;
    }
    let gone = scene.add_mood(0.4).await;
    scene.deliver().await;
    for id in moods {
        scene.edit_mood(id, 0.8).await;
    }
    scene.delete::<MoodEntry>(gone).await;
    scene.backend.reset_audit();
    let running = scene
        .app
        .ground
        .processor_builder(LumeEvent::handled_by(scene.app.sync()));
    let running = running
        .max_concurrency(1)
        .build()
        .unwrap()
        .start(scene.user());
    scene
        .until(&running, |statistics| statistics.undelivered() == 0)
        .await;
    assert_eq!(scene.audit().calls[0].method, "DELETE");
}

#[tokio::test]
async fn offline_is_waited_out_without_using_up_an_attempt() {
    let scene = Scene::new().await;
    scene.backend.go_offline().await;
    let running = scene.start();
    for valence in [0.1, 0.2, 0.3] {
        scene.add_mood(valence).await;
    }
    scene.pass(10).await;
    assert_eq!(scene.statistics().await.undelivered(), 3);
    scene.backend.go_online().await.unwrap();
    running.online();
    scene
        .until(&running, |statistics| statistics.undelivered() == 0)
        .await;
    assert_eq!(scene.held("mood-entries"), 3);
    let events = scene.events(OutboxStatus::Completed).await;
    // Calls under way when the connection broke may have arrived, so they count as attempts; later
    // ones do not.
    assert!(events.iter().all(|event| event.attempt_count <= 2));
}

/// Failure 1.
#[tokio::test]
async fn a_row_of_an_unknown_type_stops_nothing_else() {
    let scene = Scene::new().await;
    let user: String = scene.user().into();
    let stray = NewEvent::new(
        "mood.created",
        uuid::Uuid::now_v7(),
        user.clone(),
        Operation::Create,
    );
    scene.store().create_event(stray).await.unwrap();
    let damaged = NewEvent::new("moodEntry", uuid::Uuid::now_v7(), user, Operation::Create)
        .with_metadata(RawMetadata::from_bytes("{\"valence\":"))
        .with_metadata_version(5);
    scene.store().create_event(damaged).await.unwrap();
    scene.add_mood(0.5).await;
    let running = scene.start();
    scene
        .until(&running, |statistics| {
            statistics.completed_count == 1 && statistics.dead_count == 1
        })
        .await;
    assert_eq!(scene.held("mood-entries"), 1);
    let dead = scene.events(OutboxStatus::Dead).await;
    assert_eq!(dead[0].dead_reason, Some(DeadReason::Undecodable));
    assert_eq!(
        scene.events(OutboxStatus::Pending).await[0].event_type,
        "mood.created"
    );
}

/// Failure 9.
#[tokio::test]
async fn a_rejected_event_becomes_a_dead_letter_and_stops_nothing_else() {
    let scene = Scene::new().await;
    let too_long = scene.journal(&"x".repeat(10_001), None);
    let id = scene.app.repository.add(too_long).await.unwrap();
    for valence in [0.1, 0.2] {
        scene.add_mood(valence).await;
    }
    scene.deliver().await;
    assert_eq!(scene.held("mood-entries"), 2);
    let dead = scene.events(OutboxStatus::Dead).await;
    assert_eq!(dead.len(), 1);
    assert_eq!((&dead[0].entity_id, dead[0].attempt_count), (&id.into(), 1));
    let said = dead[0].error_message.clone().unwrap();
    assert!(
        said.contains("content must have 1 to 10000 characters"),
        "{said}"
    );
}
