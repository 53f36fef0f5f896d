//! Findings, and their repair.

use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::{Announcement, OutboxQueue as _};
use outbox_runtime::{Clock as _, OutboxRepository as _, SqliteStore};
use serde_json::Value;

use crate::scene::{Scene, claim_one, event};

fn subjects(answer: &Value) -> Vec<&str> {
    let findings = answer["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|it| it["subject"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_outbox_has_no_findings() {
    let scene = Scene::with_each_state().await;
    for args in [&["doctor"][..], &["doctor", "--quick"]] {
        let answer = scene.expect(0, args);
        assert_eq!(answer.stdout, "nothing is wrong\n");
    }
    let repaired = scene.json(0, &["doctor", "--repair"]);
    let expected = serde_json::json!({"lanes": 0, "blocks": 0, "rescued": 0});
    assert_eq!(repaired["repaired"], expected);
}

/// Asks for statistics until the blocks are counted, which the store does when its writer is idle.
async fn count_blocks(scene: &Scene, store: &SqliteStore) {
    let conn = Connection::open(scene.path()).unwrap();
    let counted = || -> i64 {
        let sql = "SELECT count(*) FROM outbox_tally";
        conn.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    for _ in 0..100_000 {
        if counted() > 0 {
            return;
        }
        store.statistics(None).await.unwrap();
    }
    panic!("the blocks are never counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn stuck_lanes_wrong_counts_and_ended_leases_are_found_and_mended() {
    let scene = Scene::with_each_state().await;
    crate::many::fill_with_completed(&scene.path(), 3_000);
    let store = scene.store().await;
    count_blocks(&scene, &store).await;
    for entity in [50, 51] {
        store
            .create_event(event(entity, "meal", "dan"))
            .await
            .unwrap();
    }
    let leased = claim_one(&store).await;
    store.close().await;
    let conn = Connection::open(scene.path()).unwrap();
    let stuck = conn
        .execute(
            "UPDATE outbox_events SET slot = 3 WHERE user_id = 'dan' AND entity_id = '51'",
            [],
        )
        .unwrap();
    assert_eq!(stuck, 1);
    conn.execute(
        "UPDATE outbox_tally SET completed = completed + 7 WHERE block = 0",
        [],
    )
    .unwrap();
    conn.execute("DROP TRIGGER outbox_forget", []).unwrap();
    conn.execute("DROP INDEX outbox_aside", []).unwrap();
    let later = "UPDATE outbox_events SET created_at = 4000000000000000 WHERE entity_id = '51'";
    conn.execute(later, []).unwrap();
    conn.close().unwrap();

    let found = scene.json(1, &["doctor"]);
    let mut names = subjects(&found);
    names.sort_unstable();
    assert_eq!(
        names,
        ["clock", "lanes", "leases", "schema", "schema", "statistics"]
    );
    let text = scene.expect(1, &["doctor"]).stdout;
    assert!(text.contains("→ outbox doctor --repair"), "{text}");
    assert!(text.contains("CREATE INDEX outbox_aside"), "{text}");
    let conn = Connection::open(scene.path()).unwrap();
    // Each finding names the command that mends it: those of SQL are run here as they stand.
    for finding in found["findings"].as_array().unwrap() {
        let command = finding["command"].as_str().unwrap_or_default();
        if let Some((_, sql)) = command.split_once("' '") {
            let sql = sql.trim_end_matches('\'').replace(r"'\''", "'");
            conn.execute_batch(&sql).unwrap();
        }
    }
    conn.close().unwrap();
    let mended = scene.json(1, &["doctor", "--repair"]);
    let expected = serde_json::json!({"lanes": 1, "blocks": 1, "rescued": 1});
    assert_eq!(mended["repaired"], expected);
    assert_eq!(
        subjects(&mended),
        ["clock"],
        "only the clock is left to people"
    );
    let explained = scene.expect(0, &["explain", "51"]).stdout;
    assert!(explained.contains("a worker to claim it"), "{explained}");
    let show = scene.json(0, &["show", &leased.event.id.to_string()]);
    assert_eq!(
        (show["status"].as_str(), show["crashes"].as_u64()),
        (Some("pending"), Some(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_found() {
    let scene = Scene::with_each_state().await;
    crate::many::fill_with_completed(&scene.path(), 3_000);
    let conn = Connection::open(scene.path()).unwrap();
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let root: i64 = conn
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_outbox_events_1'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    conn.close().unwrap();
    let mut bytes = std::fs::read(scene.path()).unwrap();
    let page = usize::try_from(root - 1).unwrap() * 4_096;
    bytes[page + 8..page + 40].fill(0xa5);
    std::fs::write(scene.path(), bytes).unwrap();
    scene.expect(0, &["doctor", "--quick"]);
    let found = scene.json(1, &["doctor"]);
    assert!(subjects(&found).contains(&"integrity"), "{found}");
    assert!(
        found.to_string().contains("recover from a backup"),
        "{found}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_type_is_told_as_held_and_an_alias_as_handled() {
    let scene = Scene::empty();
    let store = scene.store().await;
    for (entity, event_type) in [(1, "meal"), (2, "chat"), (3, "gone")] {
        let event = event(entity, event_type, "dan");
        store.create_event(event).await.unwrap();
    }
    let types = ["mealLog", "meal"].map(str::to_owned).to_vec();
    let run = Announcement::new(store.clock().now())
        .with_event_types(types)
        .with_held_types(vec!["chat".to_owned()]);
    store.announce(&run).await.unwrap();
    store.close().await;

    let found = scene.expect(1, &["doctor"]).stdout;
    assert!(found.contains("no run has a handler for gone"), "{found}");
    assert!(
        found.contains("events of retired types are held: chat"),
        "{found}"
    );
    let explained = scene.expect(0, &["explain", "2"]).stdout;
    assert!(
        explained.contains("\"chat\" is retired and its events are held"),
        "{explained}"
    );
    let explained = scene.json(0, &["explain", "2"]);
    assert_eq!(explained["waitsFor"], "retired");
    let handled = scene.expect(0, &["explain", "1"]).stdout;
    assert!(handled.contains("a worker to claim it"), "{handled}");
    let processes = scene.expect(0, &["processes"]).stdout;
    assert!(
        processes.contains("run of meal, mealLog, holding chat, for all users"),
        "{processes}"
    );
    let processes = scene.json(0, &["processes"]);
    assert_eq!(
        processes["runs"][0]["heldTypes"],
        serde_json::json!(["chat"])
    );
}
