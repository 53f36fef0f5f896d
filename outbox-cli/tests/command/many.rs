//! A large outbox: listings in constant memory, and answers in a short time.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use outbox_runtime::rusqlite::{Connection, params};

use crate::scene::Scene;

/// Writes delivered events by SQL.
pub(crate) fn fill_with_completed(path: &Path, count: u32) {
    let conn = Connection::open(path).unwrap();
    conn.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO outbox_events (status, slot, lane, operation, max_attempts, created_at, next_attempt_at,
             completed_at, id, user_id, entity_id, event_type, metadata)
         SELECT 2, NULL, NULL, 1, 5, 1700000000000000 + i, 1700000000000000, 1700000001000000, randomblob(16),
             'user-' || (i % 97), i % 5000, 'meal', '{\"kcal\":' || i || '}' FROM n",
        params![count],
    )
    .unwrap();
    conn.close().unwrap();
}

/// The number of lines that a listing of everything has, and the most memory that it took, in KiB.
#[cfg(target_os = "linux")]
fn list_all(scene: &Scene, args: &[&str]) -> (u32, u64) {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("outbox"))
        .env("OUTBOX_DB", scene.path())
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (mut lines, mut peak) = (0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        assert!(line.unwrap().starts_with('{'));
        lines += 1;
        if lines % 1_000 != 0 {
            continue;
        }
        // The last lines may be read after the end of the process.
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let high = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let high = high.map(|high| high.trim().trim_end_matches(" kB").parse::<u64>());
        peak = peak.max(high.map_or(0, Result::unwrap));
    }
    assert!(child.wait().unwrap().success());
    (lines, peak)
}

/// More with `OUTBOX_CLI_ROWS`, such as a million.
fn rows() -> u32 {
    let rows = std::env::var("OUTBOX_CLI_ROWS");
    rows.map_or(200_000, |rows| rows.parse().unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_any_length_takes_constant_memory() {
    let small = Scene::empty();
    small.store().await.close().await;
    fill_with_completed(&small.path(), 20_000);
    let large = Scene::empty();
    large.store().await.close().await;
    fill_with_completed(&large.path(), rows());
    for args in [&["list", "--limit", "0", "--json"][..], &["export"]] {
        let (count, of_small) = list_all(&small, args);
        assert_eq!(count, 20_000);
        let (count, of_large) = list_all(&large, args);
        assert_eq!(count, rows());
        println!("{args:?}: {of_small} KiB for 20,000 events, {of_large} KiB for {count}");
        assert!(of_small > 1_000, "the peak was not read");
        assert!(
            of_large < of_small + 8_192,
            "{of_small} KiB, then {of_large} KiB"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_dead_letters_are_found_among_many_completed_events() {
    let scene = Scene::with_each_state().await;
    fill_with_completed(&scene.path(), rows());
    let store = scene.store().await;
    outbox_runtime::OutboxRepository::statistics(&store, None)
        .await
        .unwrap();
    let last = crate::scene::event(9_999, "late", "zoe");
    outbox_runtime::OutboxRepository::create_event(&store, last)
        .await
        .unwrap();
    store.close().await;
    let dead = scene.expect(0, &["list", "--state", "dead", "--json"]);
    assert_eq!(dead.stdout.lines().count(), 1);
    let late = scene.expect(0, &["list", "--type", "late", "--json"]);
    assert_eq!(late.stdout.lines().count(), 1);
    // Counts every block, whatever is deleted.
    scene.expect(0, &["cleanup", "--older-than", "10000d", "--yes"]);
    let status = scene.json(1, &["status"]);
    assert_eq!(status["statistics"]["totalEvents"], rows() + 7);
    assert_eq!(status["isComplete"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_ends_in_time_and_goes_on_to_each_event_once() {
    let scene = Scene::empty();
    scene.store().await.close().await;
    fill_with_completed(&scene.path(), 50_000);
    let search = ["list", "--json", "--limit", "0", "--entity", "7"];
    let whole = scene.expect(0, &search).stdout;
    assert_eq!(whole.lines().count(), 10);
    let (mut found, mut searches, mut after) = (String::new(), 0, None::<String>);
    loop {
        let mut args = [&search[..], &["--within", "0s"]].concat();
        if let Some(after) = &after {
            args.extend(["--after", after.as_str()]);
        }
        let output = scene.run(&args);
        searches += 1;
        let (events, key) = match output.code {
            0 => (output.stdout.as_str(), None),
            _ => {
                let lines = output.stdout.trim_end();
                let (events, last) = lines.rsplit_once('\n').unwrap_or(("", lines));
                let last: serde_json::Value = serde_json::from_str(last).unwrap();
                (events, Some(last["after"].as_str().unwrap().to_owned()))
            }
        };
        found.push_str(events.trim_end());
        found.push('\n');
        after = key;
        if after.is_none() {
            break;
        }
    }
    assert!(
        searches > 1,
        "each search looks at a bounded number of events"
    );
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    };
    assert_eq!(lines(&found), lines(&whole));
    let refused = scene.expect(2, &["list", "--after", "7"]);
    assert!(
        refused.stderr.contains("no key that a search has named"),
        "{}",
        refused.stderr
    );
}
