//! Creates, updates and deletes, depending on what the service knows.

use backend::{ErrorCodes, Fault, FaultRule, Idempotency, Settings};
use lume::db::Changed;
use lume::entities::{Goal, GoalStatus, JournalEntry, MoodEntry};
use lume::sync::restore;
use outbox_runtime::OutboxStatus;
use serde_json::json;

use crate::scene::Scene;

const MOODS: &str = "/api/v1/wellness/mood-entries";

fn moods(method: &str, rest: &str) -> String {
    format!("{method} {MOODS}{rest}")
}

#[tokio::test]
async fn every_type_is_created_changed_and_deleted() {
    let scene = Scene::new().await;
    let mood = scene.add_mood(0.5).await;
    let entry = scene.add_page(mood).await;
    let goal = scene.add_goal().await;
    let chat = scene.begin(Some(goal)).await;
    scene.say(chat, "Hello").await;
    scene.say(chat, "Again").await;
    scene.deliver().await;
    let audit = scene.audit();
    assert_eq!(audit.held("messages").count(), 2);
    let of_goal = &audit.held("consultations").next().unwrap().entity["goal_id"];
    assert_eq!(*of_goal, json!(audit.held("goals").next().unwrap().id));
    let of_mood = &audit.held("journal").next().unwrap().entity["linked_mood_id"];
    assert_eq!(
        *of_mood,
        json!(audit.held("mood-entries").next().unwrap().id)
    );

    scene.edit_mood(mood, -0.5).await;
    scene.edit_goal(goal, |goal| goal.current_value = 4.0).await;
    scene.deliver().await;
    let audit = scene.audit();
    assert_eq!(
        audit.held("mood-entries").next().unwrap().entity["valence"],
        json!(-0.5)
    );
    assert_eq!(
        audit.held("goals").next().unwrap().entity["current_value"],
        json!(4.0)
    );

    scene.end(chat).await;
    scene.delete::<JournalEntry>(entry).await;
    scene.delete::<MoodEntry>(mood).await;
    scene.delete::<Goal>(goal).await;
    scene.deliver().await;
    for collection in [
        "mood-entries",
        "journal",
        "goals",
        "consultations",
        "messages",
    ] {
        assert_eq!(scene.held(collection), 0, "{collection}");
    }
    assert_eq!(scene.events(OutboxStatus::Dead).await, []);
}

/// Failure 42.
#[tokio::test]
async fn an_edit_is_a_put_of_the_same_entry() {
    let scene = Scene::new().await;
    let id = scene.add_mood(0.5).await;
    scene.deliver().await;
    for valence in [0.1, 0.2] {
        scene.edit_mood(id, valence).await;
        scene.deliver().await;
    }
    assert_eq!(scene.calls(&moods("POST", "")), 1);
    assert_eq!(scene.calls(&moods("PUT", "/{id}")), 2);
    assert_eq!(scene.held("mood-entries"), 1);
}

/// Failure 12.
#[tokio::test]
async fn an_entity_that_was_never_synced_is_never_deleted_at_the_service() {
    let scene = Scene::new().await;
    let id = scene.add_mood(0.5).await;
    scene.edit_mood(id, 0.6).await;
    scene.delete::<MoodEntry>(id).await;
    assert_eq!(
        scene.statistics().await.undelivered(),
        0,
        "create and delete cancel out"
    );
    let chat = scene.begin(None).await;
    scene.say(chat, "Hello?").await;
    scene.end(chat).await;
    scene.deliver().await;
    assert!(
        scene
            .audit()
            .calls
            .iter()
            .all(|call| call.method != "DELETE")
    );
    assert_eq!(scene.held("consultations"), 0);
}

/// Failure 13.
#[tokio::test]
async fn a_delete_never_overtakes_its_create() {
    let rule = FaultRule::calls(Fault::Drop, 1..=2).on(moods("POST", ""));
    let settings = Settings::new()
        .idempotency(Idempotency::Honored)
        .fault(rule);
    let scene = Scene::with(settings).await;
    let id = scene.add_mood(0.5).await;
    let running = scene.start();
    scene.until_called(&moods("POST", "")).await;
    // It arrived without this device knowing, and is now deleted with a higher priority.
    scene.delete::<MoodEntry>(id).await;
    scene
        .until(&running, |statistics| statistics.undelivered() == 0)
        .await;
    assert_eq!(scene.held("mood-entries"), 0);
}

/// Failure 11.
#[tokio::test]
async fn an_edit_of_an_entity_that_was_deleted_elsewhere_is_not_lost() {
    let scene = Scene::new().await;
    let id = scene.add_mood(0.5).await;
    scene.deliver().await;
    let remote = scene
        .audit()
        .held("mood-entries")
        .next()
        .unwrap()
        .id
        .clone();
    delete_elsewhere(&scene, &format!("{MOODS}/{remote}")).await;
    scene.edit_mood(id, 0.9).await;
    scene.deliver().await;
    let audit = scene.audit();
    let held: Vec<_> = audit.held("mood-entries").collect();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].entity["valence"], json!(0.9));
    scene.edit_mood(id, 0.8).await;
    scene.deliver().await;
    assert_eq!(scene.held("mood-entries"), 1);
}

async fn delete_elsewhere(scene: &Scene, path: &str) {
    let other = scene.other_device().await;
    let restored = restore(other.ground.api(), other.ground.store(), &scene.user())
        .await
        .unwrap();
    assert!(restored.added > 0, "{path}");
    let user = scene.user();
    let all = other.ground.store().transaction(move |tx| {
        use lume::db::Stored;
        Ok(MoodEntry::list(tx, user.as_str())?)
    });
    for mood in all.await.unwrap() {
        let deleted = other.repository.delete::<MoodEntry>(mood.id).await.unwrap();
        assert_eq!(deleted, Changed::Yes);
    }
    let running = other.processor().unwrap().start(scene.user());
    scene
        .until(&running, |statistics| statistics.undelivered() == 0)
        .await;
}

/// Failure 15.
#[tokio::test]
async fn every_way_to_change_something_reaches_the_service() {
    let scene = Scene::new().await;
    let (kept, gone) = (scene.add_goal().await, scene.add_goal().await);
    for page in ["one", "two"] {
        let entry = scene.journal(page, None);
        scene.app.repository.add(entry).await.unwrap();
    }
    scene.deliver().await;
    scene
        .edit_goal(kept, |goal| goal.status = GoalStatus::Archived)
        .await;
    scene.delete::<Goal>(gone).await;
    let user = scene.user();
    assert_eq!(
        scene
            .app
            .repository
            .delete_all::<JournalEntry>(user.as_str())
            .await
            .unwrap(),
        2
    );
    scene.deliver().await;
    let audit = scene.audit();
    let goals: Vec<_> = audit.held("goals").collect();
    assert_eq!(goals.len(), 1);
    assert_eq!(goals[0].entity["status"], json!("abandoned"));
    assert_eq!(audit.held("journal").count(), 0);
}

/// Failure 37: the service accepted it with an unreadable response.
#[tokio::test]
async fn an_unreadable_response_is_no_reason_to_send_again() {
    let rule = FaultRule::nth(Fault::Garble, 1);
    let scene = Scene::with(
        Settings::new()
            .fault(rule.clone().on("POST /api/v1/goals"))
            .fault(rule),
    )
    .await;
    let (goal, mood) = (scene.add_goal().await, scene.add_mood(0.5).await);
    scene.deliver().await;
    scene
        .edit_goal(goal, |goal| goal.title = "Swim far".to_owned())
        .await;
    scene.edit_mood(mood, 0.7).await;
    scene.deliver().await;
    assert_eq!((scene.held("goals"), scene.held("mood-entries")), (1, 1));
    assert_eq!(
        scene.audit().held("goals").next().unwrap().entity["title"],
        json!("Swim far")
    );
}

/// Failure 50.
#[tokio::test]
async fn an_event_without_its_entity_is_obsolete() {
    let scene = Scene::new().await;
    let id = scene.add_mood(0.5).await;
    // The state after a bulk delete of an older app.
    scene
        .store()
        .transaction(move |tx| Ok(tx.execute("DELETE FROM mood_entries WHERE id = ?1", [id])?))
        .await
        .unwrap();
    scene.deliver().await;
    assert_eq!(scene.held("mood-entries"), 0);
    assert_eq!(scene.events(OutboxStatus::Dead).await, []);
}

/// Failures 10 and 44: errors with and without a `code` in the body.
#[tokio::test]
async fn the_status_decides_whatever_the_form_of_the_error() {
    for codes in [ErrorCodes::Present, ErrorCodes::Absent] {
        let scene = Scene::with(Settings::new().error_codes(codes)).await;
        let (mood, chat) = (scene.add_mood(0.5).await, scene.begin(None).await);
        scene.say(chat, "Hello").await;
        scene.deliver().await;
        let other = scene.other_device().await;
        // Another device is faster.
        let _ = restore(other.ground.api(), other.ground.store(), &scene.user())
            .await
            .unwrap();
        let user = scene.user();
        let theirs = other.ground.store().transaction(move |tx| {
            use lume::db::Stored;
            let moods = MoodEntry::list(tx, user.as_str())?;
            Ok((
                moods,
                lume::entities::Conversation::list(tx, user.as_str())?,
            ))
        });
        let (moods, chats) = theirs.await.unwrap();
        let _ = other
            .repository
            .delete::<MoodEntry>(moods[0].id)
            .await
            .unwrap();
        let _ = other
            .repository
            .end(chats[0].id, scene.now())
            .await
            .unwrap();
        let running = other.processor().unwrap().start(scene.user());
        scene
            .until(&running, |statistics| statistics.undelivered() == 0)
            .await;
        running.stop().await.unwrap();

        scene.backend.expire_tokens();
        scene.delete::<MoodEntry>(mood).await;
        scene.end(chat).await;
        scene.deliver().await;
        let statistics = scene.statistics().await;
        assert_eq!((statistics.dead_count, statistics.failed_count), (0, 0));
        let gone = scene
            .audit()
            .calls
            .iter()
            .filter(|call| call.status == 404)
            .count();
        assert_eq!(gone, 2, "a delete of what is gone is a success");
    }
}

/// Words that the service does not know: each would be a 400.
#[tokio::test]
async fn the_apps_own_words_are_translated_to_the_services() {
    let scene = Scene::new().await;
    let mut mood = scene.mood(0.5);
    mood.labels = vec!["calm".to_owned(), "bemused".to_owned(), "Happy".to_owned()];
    mood.associations = vec!["social".to_owned(), "finances".to_owned()];
    let id = scene.app.repository.add(mood).await.unwrap();
    for entry_type in ["reflection", "daily_log"] {
        let mut entry = scene.journal(entry_type, None);
        entry.entry_type = entry_type.to_owned();
        scene.app.repository.add(entry).await.unwrap();
    }
    scene.add_goal().await;
    scene.deliver().await;
    assert_eq!(scene.events(OutboxStatus::Dead).await, []);
    let audit = scene.audit();
    let mood = &audit.held("mood-entries").next().unwrap().entity;
    assert_eq!(mood["labels"], json!(["peaceful", "happy"]));
    assert_eq!(mood["associations"], json!(["friends", "money"]));
    assert!(
        audit
            .held("journal")
            .all(|entry| entry.entity["entry_type"] == json!("freeform"))
    );
    assert_eq!(
        audit.held("goals").next().unwrap().entity["goal_type"],
        json!("custom")
    );

    let restored = restore(scene.app.ground.api(), scene.store(), &scene.user())
        .await
        .unwrap();
    assert_eq!(restored.updated, 4);
    let stored = scene.load::<MoodEntry>(id).await.unwrap();
    assert_eq!(
        stored.labels,
        ["calm", "bemused", "Happy"],
        "a restore leaves the app's own words"
    );
    assert_eq!(stored.associations, ["social", "finances"]);
    let entries = scene.list::<JournalEntry>().await;
    assert!(entries.iter().all(|entry| entry.entry_type != "freeform"));
}
