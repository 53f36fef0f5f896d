//! Conversations and dependencies.

use backend::{Fault, FaultRule, Settings};
use fitiq_core::LocalId;
use lume::db::Changed;
use lume::entities::{JournalEntry, MoodEntry};
use outbox_runtime::{OutboxRepository, OutboxStatus};
use serde_json::json;

use crate::scene::Scene;

/// Failure 11.
#[tokio::test]
async fn a_consultation_that_exists_is_continued() {
    let scene = Scene::new().await;
    let first = scene.begin(None).await;
    scene.say(first, "Hello").await;
    scene.deliver().await;
    // Another conversation with the same adviser: the service has only one.
    let second = scene.begin(None).await;
    for text in ["Me again", "And again"] {
        scene.say(second, text).await;
    }
    scene.deliver().await;
    assert_eq!(
        (scene.held("consultations"), scene.held("messages")),
        (1, 3)
    );
    assert_eq!(scene.calls("POST /api/v1/consultations"), 1);
    assert_eq!(scene.events(OutboxStatus::Dead).await, []);
}

/// Failure 45.
#[tokio::test]
async fn a_goal_chat_waits_for_the_goal() {
    let rule = FaultRule::calls(Fault::Unavailable, 1..=2).on("POST /api/v1/goals");
    let scene = Scene::with(Settings::new().fault(rule)).await;
    let goal = scene.add_goal().await;
    let chat = scene.begin(Some(goal)).await;
    scene.say(chat, "How do I begin?").await;
    scene.deliver().await;
    let audit = scene.audit();
    let id = audit.held("goals").next().unwrap().id.clone();
    assert_eq!(
        audit.held("consultations").next().unwrap().entity["goal_id"],
        json!(id)
    );
    let refused = audit
        .calls_of("POST /api/v1/consultations")
        .filter(|call| call.status >= 400);
    assert_eq!(refused.count(), 0, "it was not even tried before");
    let event = store_event(&scene, chat).await;
    assert_eq!(event.attempt_count, 1, "waiting is no attempt");
}

/// Failure 45: a journal entry and its mood.
#[tokio::test]
async fn a_journal_entry_waits_for_its_mood() {
    let rule =
        FaultRule::calls(Fault::InternalError, 1..=2).on("POST /api/v1/wellness/mood-entries");
    let scene = Scene::with(Settings::new().fault(rule)).await;
    let mood = scene.add_mood(0.5).await;
    let entry = scene.add_page(mood).await;
    scene.deliver().await;
    let audit = scene.audit();
    let id = audit.held("mood-entries").next().unwrap().id.clone();
    assert_eq!(
        audit.held("journal").next().unwrap().entity["linked_mood_id"],
        json!(id)
    );
    assert_eq!(store_event(&scene, entry).await.attempt_count, 1);

    // Nothing waits for a deleted mood.
    let mood = scene.add_mood(0.6).await;
    scene.delete::<MoodEntry>(mood).await;
    let entry = scene
        .app
        .repository
        .add(scene.journal("Another", Some(mood)))
        .await
        .unwrap();
    scene.deliver().await;
    assert_eq!(scene.held("journal"), 2);
    assert!(scene.load::<JournalEntry>(entry).await.is_some());
}

async fn store_event(scene: &Scene, id: LocalId) -> outbox_runtime::OutboxEvent {
    let id = id.into();
    let events = scene
        .store()
        .fetch_events_for_entity(&id, None, None)
        .await
        .unwrap();
    events.into_iter().next().unwrap()
}

/// Failure 16.
#[tokio::test]
async fn a_message_without_a_conversation_enqueues_nothing() {
    let scene = Scene::new().await;
    let sent = scene
        .app
        .repository
        .send(LocalId::new(), "Anybody?", scene.now())
        .await;
    assert_eq!(sent.unwrap(), Changed::NoSuchEntity);
    assert_eq!(scene.statistics().await.total_events, 0);
}

/// Failure 55.
#[tokio::test]
async fn archiving_a_conversation_is_local() {
    let scene = Scene::new().await;
    let chat = scene.begin(None).await;
    scene.say(chat, "Hello").await;
    scene.deliver().await;
    let before = scene.statistics().await.total_events;
    assert_eq!(
        scene.app.repository.archive(chat).await.unwrap(),
        Changed::Yes
    );
    assert_eq!(scene.statistics().await.total_events, before);
}

/// The service allows ten; the eleventh delays nothing else.
#[tokio::test]
async fn a_conversation_without_capacity_delays_nothing_else() {
    let scene = Scene::new().await;
    let mut chats = Vec::new();
    for _ in 0..11 {
        let goal = scene.add_goal().await;
        let chat = scene.begin(Some(goal)).await;
        scene.say(chat, "Hello").await;
        chats.push(chat);
    }
    let running = scene.start();
    scene
        .until(&running, |statistics| statistics.undelivered() == 1)
        .await;
    scene.add_mood(0.5).await;
    scene
        .until(&running, |statistics| statistics.undelivered() == 1)
        .await;
    assert_eq!(
        (scene.held("consultations"), scene.held("mood-entries")),
        (10, 1)
    );
    let waiting = scene.events(OutboxStatus::Pending).await;
    let ended = *chats
        .iter()
        .find(|chat| waiting[0].entity_id != (**chat).into())
        .unwrap();
    scene.end(ended).await;
    scene
        .until(&running, |statistics| statistics.undelivered() == 0)
        .await;
    assert_eq!(scene.held("consultations"), 10);
}
