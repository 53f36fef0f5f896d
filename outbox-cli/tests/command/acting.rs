//! Commands that change events, each only when it is told to.

use std::time::Duration;

use outbox_runtime::{Expiry, NewEvent, Operation, OutboxRepository as _, TraceContext};
use serde_json::json;

use crate::scene::{Scene, claim_one, event, id};

#[tokio::test(flavor = "multi_thread")]
async fn retry_and_discard_count_first_and_act_only_when_told_to() {
    let scene = Scene::with_each_state().await;
    for verb in ["retry", "discard"] {
        let counted = scene.json(1, &[verb, "--all"]);
        assert_eq!(counted["matched"], 1);
        assert_eq!(counted["byReason"], json!({"rejected": 1}));
        assert_eq!(
            (&counted["done"], &counted["isDryRun"]),
            (&json!(0), &json!(true))
        );
    }
    let dry = scene.expect(1, &["retry", "--all"]);
    insta::assert_snapshot!("retry_dry", dry.stdout);
    assert_eq!(scene.json(1, &["status"])["statistics"]["deadCount"], 1);
    let done = scene.expect(0, &["retry", "--reason", "rejected", "--yes"]);
    insta::assert_snapshot!("retry_done", done.stdout);
    let event = scene.json(0, &["show", &id(3).to_string()]);
    assert_eq!(
        (&event["status"], &event["attemptCount"]),
        (&json!("pending"), &json!(0))
    );
    let none = scene.json(0, &["discard", "--all", "--yes"]);
    assert_eq!(none["done"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_acts_on_its_events_alone() {
    let scene = Scene::with_each_state().await;
    let others = scene.json(0, &["retry", "--user", "ann", "--yes"]);
    assert_eq!(
        others["matched"], 0,
        "her event failed, and is tried again anyway"
    );
    let failed = scene.json(0, &["retry", "--user", "ann", "--state", "failed", "--yes"]);
    assert_eq!(failed["done"], 1);
    let text = scene.json(0, &["discard", "--error", "no such MEAL", "--yes"]);
    assert_eq!(text["done"], 1);
    let unblocked = scene.expect(0, &["explain", "3"]);
    assert!(unblocked.stdout.contains("1 undelivered"), "{unblocked:?}");
    let refused = scene.expect(2, &["discard", "--state", "pending", "--yes"]);
    assert!(
        refused.stderr.contains("only one that is dead"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_cannot_be_acted_on_are_named() {
    let scene = Scene::with_each_state().await;
    let (dead, completed) = (id(3).to_string(), id(1).to_string());
    let answer = scene.json(1, &["discard", &dead, &completed, "--yes"]);
    assert_eq!(
        (&answer["done"], &answer["skipped"]),
        (&json!(1), &json!([completed]))
    );
    for args in [&["retry"][..], &["retry", &dead, "--user", "ann"]] {
        let refused = scene.expect(2, args);
        assert!(refused.stderr.contains("filter"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_changes_waiting_events_and_no_others() {
    let scene = Scene::with_each_state().await;
    let (waiting, completed) = (id(6).to_string(), id(1).to_string());
    let args = [
        "edit",
        &waiting,
        "--priority",
        "-3",
        "--due",
        "now",
        "--attempts",
        "9",
    ];
    scene.expect(0, &args);
    let event = scene.json(0, &["show", &waiting]);
    assert_eq!(
        (&event["priority"], &event["maxAttempts"]),
        (&json!(-3), &json!(9))
    );
    let due = scene.expect(0, &["explain", "6"]);
    assert!(due.stdout.contains("a worker to claim it"), "{due:?}");
    let refused = scene.json(1, &["edit", &completed, "--priority", "1"]);
    assert_eq!(refused["isEdited"], false);
    assert!(
        refused["reason"].as_str().unwrap().contains("is completed"),
        "{refused}"
    );
    let unknown = scene.json(1, &["edit", &id(99).to_string(), "--due", "+1h"]);
    assert!(
        unknown["reason"]
            .as_str()
            .unwrap()
            .contains("no such event")
    );
    let store = scene.store().await;
    let leased = claim_one(&store).await.event.id.to_string();
    store.close().await;
    let refused = scene.json(1, &["edit", &leased, "--priority", "1"]);
    assert!(
        refused["reason"].as_str().unwrap().contains("processing"),
        "{refused}"
    );
    scene.expect(2, &["edit", &waiting]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cleanup_deletes_old_completed_events_when_told_to() {
    let scene = Scene::with_each_state().await;
    let young = scene.json(0, &["cleanup"]);
    assert_eq!(young["matched"], 0, "seven days by default");
    let counted = scene.json(1, &["cleanup", "--older-than", "30m"]);
    assert_eq!(
        (&counted["matched"], &counted["done"]),
        (&json!(1), &json!(0))
    );
    let done = scene.json(0, &["cleanup", "--older-than", "30m", "--yes"]);
    assert_eq!(done["done"], 1);
    let counts = scene.json(1, &["status"])["statistics"].clone();
    assert_eq!(
        (&counts["completedCount"], &counts["completedTotal"]),
        (&json!(0), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_keeps_the_trace_that_enqueued_an_event() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let context = TraceContext::new(parent).unwrap();
    let context = context.with_tracestate("vendor=a").unwrap();
    let scene = Scene::empty();
    let store = scene.store().await;
    let traced = event(1, "meal", "ann").with_trace_context(context);
    store.create_event(traced).await.unwrap();
    store.create_event(event(2, "meal", "ann")).await.unwrap();
    store.close().await;
    let file = scene.folder().join("events.jsonl");
    let file = file.to_str().unwrap();
    scene.expect(0, &["export", file]);

    let other = Scene::empty();
    other.expect(0, &["migrate", "up", "--yes"]);
    other.expect(0, &["import", file, "--yes"]);
    let id_of_traced = id(1).to_string();
    let shown = other.json(0, &["show", &id_of_traced]);
    assert_eq!(shown["traceparent"], parent);
    assert_eq!(shown["tracestate"], "vendor=a");
    let told = other.expect(0, &["show", &id_of_traced]).stdout;
    assert!(told.contains(&format!("trace      {parent}\n")), "{told}");
    let without = other.json(0, &["show", &id(2).to_string()]);
    assert!(without.get("traceparent").is_none(), "{without}");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_shown_exported_and_imported_and_sensitive_ones_only_exported() {
    let scene = Scene::empty();
    let store = scene.store().await;
    let headed = event(1, "meal", "ann").with_header("x-tenant", "7\u{202e}");
    let headed = headed.with_sensitive_header("x-key", "CANARY");
    store.create_event(headed.clone()).await.unwrap();
    store.close().await;
    let file = scene.folder().join("events.jsonl");
    let file = file.to_str().unwrap();
    scene.expect(0, &["export", file]);

    let other = Scene::empty();
    other.expect(0, &["migrate", "up", "--yes"]);
    other.expect(0, &["import", file, "--yes"]);
    let stored = other.store().await;
    let imported = stored.fetch_event(id(1)).await.unwrap().unwrap();
    assert_eq!(imported.headers(), headed.headers());
    stored.close().await;
    let id = id(1).to_string();
    let shown = other.json(0, &["show", &id]);
    let hidden = json!({"x-key": {"sensitive": "[redacted]"}, "x-tenant": "7\u{202e}"});
    assert_eq!(shown["headers"], hidden);
    let told = other.expect(0, &["show", &id]).stdout;
    assert!(told.contains("header     x-key: [redacted]\n"), "{told}");
    assert!(told.contains("header     x-tenant: 7"), "{told}");
    assert!(!told.contains('\u{202e}'), "{told}");
    for args in [
        &["show", &id, "--payload"][..],
        &["list", "--json"],
        &["export", "--without-payload"],
        &["explain", "--json", "1"],
    ] {
        let told = other.run(args).stdout;
        assert!(!told.contains("CANARY"), "{args:?}: {told}");
    }
    let exported = other.expect(0, &["export"]).stdout;
    assert!(exported.contains("CANARY"), "it may be a backup");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_imported_once_in_its_order() {
    let scene = Scene::with_each_state().await;
    let file = scene.folder().join("events.jsonl");
    let file = file.to_str().unwrap();
    assert_eq!(scene.json(0, &["export", file])["exported"], 6);
    let bare = scene.expect(0, &["export", "--without-payload", "--state", "dead"]);
    assert_eq!(bare.stdout.lines().count(), 1);
    assert!(!bare.stdout.contains("kcal"), "{bare:?}");

    let other = Scene::empty();
    other.expect(1, &["migrate", "up"]);
    other.expect(0, &["migrate", "up", "--yes"]);
    let counted = other.json(1, &["import", file]);
    assert_eq!(
        (&counted["read"], &counted["imported"]),
        (&json!(6), &json!(4))
    );
    assert_eq!(other.json(0, &["status"])["statistics"]["totalEvents"], 0);
    let done = other.json(0, &["import", file, "--yes"]);
    assert_eq!((&done["completed"], &done["dead"]), (&json!(1), &json!(1)));
    assert_eq!(done["imported"], 4);
    let again = other.json(0, &["import", file, "--dead", "--yes"]);
    assert_eq!(
        (&again["alreadyThere"], &again["imported"]),
        (&json!(4), &json!(1))
    );
    let event = other.json(
        0,
        &["show", &id(2).to_string(), "--payload", "--sensitive", ""],
    );
    assert_eq!(event["payload"]["kcal"], 250);
    assert_eq!(event["attemptCount"], 0);

    let broken = scene.folder().join("broken.jsonl");
    std::fs::write(&broken, "{\"id\": 1}\n").unwrap();
    let refused = other.expect(2, &["import", broken.to_str().unwrap(), "--yes"]);
    assert!(
        refused.stderr.contains("broken.jsonl, line 1"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_an_expiry_are_shown_listed_edited_and_exported() {
    let scene = Scene::empty();
    let store = scene.store().await;
    let event = NewEvent::new("mood", 1, "ann", Operation::Create)
        .with_id(id(1))
        .with_key("av\u{202e}atar")
        .with_expiry(Expiry::After(Duration::from_secs(7 * 86_400)));
    store.create_event(event).await.unwrap();
    store.close().await;
    let of = id(1).to_string();
    let shown = scene.expect(0, &["show", &of]).stdout;
    assert!(
        shown.contains("key        av") && !shown.contains('\u{202e}'),
        "{shown}"
    );
    assert!(shown.contains("expires    "), "{shown}");
    let listed = scene.expect(0, &["list"]).stdout;
    assert!(listed.contains("[expires in 6d"), "{listed}");
    let refused = scene.json(1, &["edit", &of, "--due", "+2400h"]);
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("expires"), "{reason}");
    scene.expect(0, &["edit", &of, "--expires", "+1h"]);
    let edited = scene.json(0, &["show", &of]);
    assert_eq!(edited["dedupKey"], "av\u{202e}atar");
    let exported = scene.expect(0, &["export"]).stdout;
    let copy = Scene::empty();
    copy.store().await.close().await;
    std::fs::write(copy.folder().join("events.jsonl"), exported).unwrap();
    let file = copy.folder().join("events.jsonl");
    copy.expect(0, &["import", file.to_str().unwrap(), "--yes"]);
    let imported = copy.json(0, &["show", &of]);
    assert_eq!(imported["expiresAt"], edited["expiresAt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_replaces_no_event_by_its_key() {
    let (old, new) = (Scene::empty(), Scene::empty());
    for (scene, number) in [(&old, 1), (&new, 2)] {
        let store = scene.store().await;
        let event = NewEvent::new("avatar", 1, "ann", Operation::Update);
        let event = event.with_id(id(number)).with_key("avatar");
        store.create_event(event).await.unwrap();
        store.close().await;
    }
    let file = new.folder().join("events.jsonl");
    std::fs::write(&file, old.expect(0, &["export"]).stdout).unwrap();
    new.expect(0, &["import", file.to_str().unwrap(), "--yes"]);
    // The newer change is still there, with its key.
    assert_eq!(
        new.json(0, &["show", &id(2).to_string()])["dedupKey"],
        "avatar"
    );
    assert!(
        new.json(0, &["show", &id(1).to_string()])
            .get("dedupKey")
            .is_none_or(serde_json::Value::is_null)
    );
}
