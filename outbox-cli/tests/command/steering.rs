//! Pauses, and the processes that obey them.

use std::time::Duration;

use outbox_runtime::OutboxRepository;
use outbox_runtime::store::{Announcement, ClaimRequest, OutboxQueue, SystemClock};
use outbox_runtime::{Clock, Expiry, NewEvent, Operation, SqliteStore};
use serde_json::json;

use crate::scene::{Scene, id};

#[tokio::test(flavor = "multi_thread")]
async fn a_child_of_an_event_that_is_held_or_paused_is_explained_by_it() {
    let scene = Scene::empty();
    let store = SqliteStore::open(scene.path()).await.unwrap();
    let journal = NewEvent::new("journal", 7, "ann", Operation::Create);
    let page = NewEvent::new("page", 1, "ann", Operation::Create).with_after("journal", 7);
    store.create_event(journal).await.unwrap();
    store.create_event(page).await.unwrap();
    scene.expect(0, &["pause", "--type", "journal", "--because", "bug 4711"]);
    let explained = scene.json(0, &["explain", "1"]);
    assert_eq!(explained["waitsFor"], "parent");
    let text = explained["text"].as_str().unwrap();
    assert!(text.contains("bug 4711"), "{text}");
    scene.expect(0, &["resume", "--type", "journal"]);
    let run = Announcement::new(SystemClock.now())
        .with_event_types(vec!["page".to_owned()])
        .with_held_types(vec!["journal".to_owned()]);
    store.announce(&run).await.unwrap();
    let explained = scene.json(0, &["explain", "1"]);
    let text = explained["text"].as_str().unwrap();
    assert!(text.contains("\"journal\" is retired"), "{text}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_event_is_explained_by_its_expiry() {
    let scene = Scene::empty();
    let store = scene.store().await;
    let expired = SystemClock.now() - chrono::TimeDelta::minutes(1);
    let event = NewEvent::new("note", 1, "ann", Operation::Update).with_expiry(Expiry::At(expired));
    let event = store.create_event(event).await.unwrap();
    store.close().await;
    let explained = scene.json(0, &["explain", "1"]);
    assert_eq!(explained["waitsFor"], "expiry");
    assert_eq!(explained["until"], explained["first"]["expiresAt"]);
    assert!(event.expires_at.is_some() && explained["until"].is_string());
}

/// An outbox with a waiting event of two users each, as an application has it open.
async fn application(scene: &Scene) -> SqliteStore {
    let store = SqliteStore::open(scene.path()).await.unwrap();
    for (number, user) in [(1, "ann"), (2, "bob")] {
        let event = NewEvent::new("note", number, user, Operation::Update);
        store.create_event(event).await.unwrap();
    }
    store
}

async fn claimable(store: &SqliteStore) -> usize {
    let request = ClaimRequest::new(10, Duration::from_secs(60));
    store.claim(&request).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_expired_is_explained() {
    let scene = Scene::empty();
    let store = application(&scene).await;
    let event = NewEvent::new("note", 7, "ann", Operation::Update);
    let event = store.create_event(event).await.unwrap();
    let id = event.id.to_string();
    scene.expect(0, &["edit", &id, "--expires", "now"]);
    let explained = scene.json(0, &["explain", "7"]);
    assert_eq!(explained["waitsFor"], "expiry");
    assert!(explained["until"].is_string(), "{explained}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_in_a_running_application_until_it_is_resumed() {
    let scene = Scene::empty();
    let store = application(&scene).await;
    let args = ["--because", "the account is being merged", "--by", "ada"];
    let paused = scene.json(0, &[&["pause", "--user", "ann"][..], &args].concat());
    assert_eq!(
        (&paused["scope"], &paused["name"]),
        (&json!("user"), &json!("ann"))
    );
    let explained = scene.json(0, &["explain", "1"]);
    assert_eq!(explained["waitsFor"], "pause");
    let status = scene.expect(0, &["status"]);
    let line = "by ada: the account is being merged";
    assert!(status.stdout.contains(line), "{status:?}");
    let listed = scene.expect(0, &["pause"]);
    assert!(listed.stdout.contains(line), "{listed:?}");
    assert_eq!(claimable(&store).await, 1, "only that of the other user");

    let resumed = scene.json(0, &["resume", "--user", "ann"]);
    assert_eq!(resumed["wasPaused"], true);
    assert_eq!(claimable(&store).await, 1);
    scene.expect(0, &["pause", "--type", "note"]);
    let left = scene.expect(1, &["resume", "--all"]);
    assert!(
        left.stdout.contains("event type \"note\": paused"),
        "{left:?}"
    );
    scene.expect(0, &["resume", "--type", "note"]);
    let again = scene.json(1, &["resume", "--user", "ann"]);
    assert_eq!(again["wasPaused"], false);
    let none = scene.expect(0, &["pause"]);
    assert_eq!(none.stdout.trim(), "nothing is paused");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_names_nothing_or_a_past_end_is_refused() {
    let scene = Scene::with_each_state().await;
    for args in [
        &["pause", "--because", "why"][..],
        &["resume"],
        &["pause", "--user", "ann", "--type", "note"],
        &["pause", "--all", "--until", "-1h"],
    ] {
        scene.expect(2, args);
    }
    assert_eq!(scene.json(1, &["status"])["pauses"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_listed_with_their_runs_and_types_nobody_handles_are_found() {
    let scene = Scene::empty();
    let store = application(&scene).await;
    let none = scene.expect(0, &["processes"]);
    assert!(none.stdout.contains("no process"), "{none:?}");
    let run = Announcement::new(SystemClock.now()).with_event_types(vec!["meal".to_owned()]);
    store.announce(&run).await.unwrap();
    let process = scene.json(0, &["processes"]);
    assert_eq!(process["processID"], std::process::id());
    assert_eq!(process["state"], "alive");
    assert_eq!(process["runs"][0]["eventTypes"], json!(["meal"]));
    let doctor = scene.expect(1, &["doctor"]);
    assert!(
        doctor.stdout.contains("no run has a handler for note"),
        "{doctor:?}"
    );
    let advice = "give the renamed entity an alias";
    assert!(doctor.stdout.contains(advice), "{doctor:?}");
    store.withdraw(run.run_id).await.unwrap();
    scene.expect(0, &["doctor"]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn show_tells_the_attempts_of_an_event() {
    let scene = Scene::with_each_state().await;
    let dead = scene.json(1, &["show", &id(3).to_string()]);
    assert_eq!(dead["attempts"][0]["outcome"], "dead");
}
