//! The answers of the commands that only look, in words and in JSON.

use outbox_runtime::store::Disposition;
use outbox_runtime::{OutboxRepository as _, Refusal, RefusalClass};

use crate::scene::{Scene, event, id, settle};

async fn shown(args: &[&str], code: i32) -> String {
    let scene = Scene::with_each_state().await;
    let answer = scene.expect(code, args);
    assert_eq!(answer.stderr, "");
    assert_eq!(scene.files(), ["app.db"], "nothing is left beside the file");
    scene.normal(&answer.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_counts_states_types_and_users() {
    insta::assert_snapshot!("status", shown(&["status"], 1).await);
    insta::assert_snapshot!("status_json", shown(&["status", "--json"], 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn list_shows_events_oldest_first_and_escapes_what_they_hold() {
    let listed = shown(&["list"], 0).await;
    assert!(!listed.contains('\u{1b}'), "{listed:?}");
    insta::assert_snapshot!("list", listed);
    insta::assert_snapshot!("list_json", shown(&["list", "--json"], 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_selects_what_it_names() {
    let scene = Scene::with_each_state().await;
    let listed = |args: &[&str]| -> Vec<u128> {
        let args = [&["list", "--json"], args].concat();
        let lines = scene.expect(0, &args).stdout;
        let number = |line: &str| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let text: uuid::Uuid = event["id"].as_str().unwrap().parse().unwrap();
            text.as_u128() - id(0).as_u128()
        };
        lines.lines().map(number).collect()
    };
    assert_eq!(listed(&[]), [1, 2, 3, 4, 5, 6]);
    assert_eq!(listed(&["--limit", "2"]), [1, 2]);
    assert_eq!(listed(&["--state", "dead,failed"]), [2, 3]);
    assert_eq!(listed(&["--state", "pending", "--user", "bob"]), [4, 5]);
    assert_eq!(listed(&["--type", "mood"]), [3, 4, 5]);
    assert_eq!(listed(&["--entity", "3"]), [3, 5]);
    assert_eq!(listed(&["--reason", "rejected"]), [3]);
    assert_eq!(listed(&["--reason", "crash_loop"]), []);
    assert_eq!(listed(&["--error", "http 5"]), [2]);
    assert_eq!(listed(&["--error", "offline: NO"]), [4]);
    assert_eq!(listed(&["--older-than", "30m"]), [1, 2, 3, 4, 5, 6]);
    assert_eq!(listed(&["--older-than", "2h"]), []);
    assert_eq!(listed(&["--newer-than", "30m"]), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn show_tells_everything_but_the_payload() {
    let (dead, given_back) = (id(3).to_string(), id(4).to_string());
    let text = shown(&["show", &dead], 1).await;
    assert!(!text.contains("kcal"), "{text}");
    insta::assert_snapshot!("show", text);
    insta::assert_snapshot!("show_json", shown(&["show", &dead, "--json"], 1).await);
    insta::assert_snapshot!("show_given_back", shown(&["show", &given_back], 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refusal_of_an_event_that_was_delivered_meanwhile_is_history_and_no_error() {
    let scene = Scene::empty();
    let store = scene.store().await;
    store.create_event(event(1, "meal", "ann")).await.unwrap();
    let refused = Disposition::GiveBack {
        next_attempt_at: None,
        refusal: Some(Refusal::new(RefusalClass::Offline, "no route to host")),
    };
    settle(&store, refused).await;
    let waiting = scene.expect(0, &["list"]).stdout;
    assert!(waiting.contains("offline: no route to host"), "{waiting}");
    settle(&store, Disposition::Complete).await;
    store.close().await;

    let listed = scene.expect(0, &["list", "--state", "completed"]).stdout;
    let line = listed.lines().last().unwrap();
    assert!(line.contains(&id(1).to_string()), "{listed}");
    assert!(line.ends_with(" 1h"), "nothing is behind the age: {line}");
    let shown = scene.expect(0, &["show", &id(1).to_string()]).stdout;
    let history = "refused    offline: no route to host (before it was delivered)\n";
    assert!(shown.contains(history), "{shown}");
    assert!(!shown.contains("\nerror "), "{shown}");
    let event = scene.json(0, &["show", &id(1).to_string()]);
    assert_eq!(event["lastRefusal"]["message"], "no route to host");
    assert_eq!(event.get("errorMessage"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_is_shown_only_without_its_sensitive_fields() {
    let scene = Scene::with_each_state().await;
    let id = id(2).to_string();
    let unnamed = scene.expect(0, &["show", &id, "--payload"]);
    assert!(
        unnamed.stdout.contains("\"notes\": \"(text of 12)\""),
        "{unnamed:?}"
    );
    assert!(!unnamed.stdout.contains("250") && !unnamed.stdout.contains("private"));
    assert!(unnamed.stderr.contains("OUTBOX_SENSITIVE"), "{unnamed:?}");
    let named = scene.json(0, &["show", &id, "--payload", "--sensitive", "notes"]);
    let expected = serde_json::json!({"notes": "(sensitive)", "kcal": 250});
    assert_eq!(named["payload"], expected);
    let none = scene.expect(0, &["show", &id, "--payload", "--sensitive", ""]);
    assert!(none.stdout.contains("private") && none.stdout.contains("250"));
    assert!(!none.stdout.contains('\u{1b}'), "{none:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_names_the_decision_that_an_entity_waits_for() {
    insta::assert_snapshot!("explain", shown(&["explain", "3"], 1).await);
    insta::assert_snapshot!("explain_json", shown(&["explain", "3", "--json"], 1).await);
    let later = shown(&["explain", "6", "--user", "cat"], 0).await;
    assert!(later.contains("waits for its due time"), "{later}");
    let nothing = shown(&["explain", "77", "--json"], 0).await;
    assert!(nothing.contains(r#""waitsFor":"nothing""#), "{nothing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_writes_a_line_per_look_where_there_is_no_terminal() {
    let args = ["watch", "--interval", "50ms", "--count", "3"];
    let lines = shown(&args, 0).await;
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(
        lines.contains("pending 3 processing 0 failed 1 dead 1"),
        "{lines}"
    );
    let args = ["watch", "--interval", "50ms", "--count", "2", "--json"];
    let lines = shown(&args, 0).await;
    for line in lines.lines() {
        let look: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(look["statistics"]["deadCount"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_measures_the_rate_on_request() {
    let scene = Scene::with_each_state().await;
    let status = scene.json(1, &["status", "--measure", "50ms"]);
    assert_eq!(status["deliveriesPerSecond"], 0.0);
    let of_user = scene.json(1, &["status", "--user", "cat"]);
    assert_eq!(of_user["undelivered"], 1);
    assert_eq!(of_user["types"].as_array().unwrap().len(), 1);
}

#[test]
fn the_help_names_every_command_and_prints_no_password() {
    let scene = Scene::empty();
    let secret = "postgres://app:hunter2@db/app";
    let help = crate::scene::run(secret, &["--help"]);
    assert_eq!(help.code, 0);
    assert!(!help.stdout.contains("hunter2"), "{help:?}");
    for name in [
        "status",
        "list",
        "show",
        "explain",
        "retry",
        "discard",
        "edit",
        "doctor",
        "cleanup",
        "export",
        "import",
        "migrate",
        "watch",
        "serve",
        "bench",
        "completions",
        "man",
    ] {
        assert!(help.stdout.contains(&format!("\n  {name} ")), "{name}");
        let page = scene.expect(0, &["man", name]).stdout;
        assert!(page.contains(&format!("outbox-{name}")), "{page}");
    }
    let overview = scene.expect(0, &["man"]).stdout;
    assert!(overview.contains(".TH outbox 1"), "{overview}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = scene.expect(0, &["completions", shell]).stdout;
        assert!(script.contains("doctor"), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bench_measures_and_leaves_nothing_behind() {
    let scene = Scene::with_each_state().await;
    let figures = scene.json(0, &["bench", "--events", "500", "--producers", "4"]);
    assert_eq!(figures["store"], "SQLite");
    assert!(figures["deliveredPerSecond"].as_f64().unwrap() > 0.0);
    assert_eq!(scene.files(), ["app.db"]);
    assert_eq!(scene.json(1, &["status"])["statistics"]["totalEvents"], 6);
}
