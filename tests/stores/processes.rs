//! Promises 3, 4 and 5 across processes: several work on one file, one is killed, and nothing is
//! lost or out of order.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_tests::{Note, enqueue, note};

const DATABASE: &str = "OUTBOX_TEST_PROCESSES_DB";
const NAME: &str = "three_processes_deliver_everything_in_order_although_one_is_killed";
const ENTITIES: i64 = 20;

/// Delivers to a ledger: a separate file, with one write per record.
fn start(store: &SqliteStore, ledger: &Path) -> Running {
    let ledger = OpenOptions::new()
        .append(true)
        .create(true)
        .open(ledger)
        .unwrap();
    let ledger = Arc::new(ledger);
    Processor::builder(store.clone())
        .handle::<Note>(move |event| {
            let ledger = Arc::clone(&ledger);
            async move {
                let process = std::process::id();
                let record = format!("{} {} {process}\n", event.entity_id, event.seq);
                ledger.as_ref().write_all(record.as_bytes()).or_retry()
            }
        })
        // Short, so that the killed worker's events are rescued soon.
        .lease(Duration::from_secs(2))
        .timeout(Duration::from_secs(1))
        .build()
        .unwrap()
        .start_all_users()
}

/// A worker that runs until its standard input ends.
fn work(database: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(database).await.unwrap();
        let running = start(&store, &database.with_extension("ledger"));
        let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        end.await.unwrap().unwrap();
        running.stop().await.unwrap();
    });
}

fn spawn(database: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env(DATABASE, database)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn three_processes_deliver_everything_in_order_although_one_is_killed() {
    if let Some(database) = std::env::var_os(DATABASE) {
        return work(Path::new(&database));
    }
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("app.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ledger = database.with_extension("ledger");
    let has_delivered = |process: &Child| {
        let ending = format!(" {}", process.id());
        let ledger = std::fs::read_to_string(&ledger).unwrap_or_default();
        ledger.lines().any(|record| record.ends_with(&ending))
    };
    let mut enqueued = HashMap::<i64, Vec<i64>>::new();
    let statistics = runtime.block_on(async {
        let store = SqliteStore::open(&database).await.unwrap();
        let (mut killed, mut other) = (spawn(&database), spawn(&database));
        let running = start(&store, &ledger);
        let mut last = None;
        for count in 0.. {
            let entity = count % ENTITIES;
            let event = enqueue(&store, note(entity).enqueue_update()).await;
            enqueued.entry(entity).or_default().push(event.seq);
            if last.is_none() && has_delivered(&killed) && has_delivered(&other) {
                // While it and the others are working.
                killed.kill().unwrap();
                last = Some(count + 300);
            }
            assert!(count < 100_000, "a process delivers nothing");
            if last == Some(count) {
                break;
            }
        }
        for entity in 0..ENTITIES {
            let flushed = running
                .flush(entity, Duration::from_secs(60))
                .await
                .unwrap();
            assert!(flushed.is_delivered(), "{flushed:?}");
        }
        running.stop().await.unwrap();
        assert!(
            !killed.wait().unwrap().success(),
            "the worker exited before its kill"
        );
        drop(other.stdin.take());
        assert!(other.wait().unwrap().success());
        store.statistics(None).await.unwrap()
    });
    let count: usize = enqueued.values().map(Vec::len).sum();
    assert_eq!(statistics.completed_count, count as u64);

    let ledger = std::fs::read_to_string(&ledger).unwrap();
    let mut delivered = HashMap::<i64, Vec<i64>>::new();
    for record in ledger.lines() {
        let mut fields = record.split(' ');
        let mut number = || fields.next().unwrap().parse::<i64>().unwrap();
        let (entity, seq) = (number(), number());
        let seqs = delivered.entry(entity).or_default();
        // Events in flight in the killed process may be repeated, but never after their successors.
        if seqs.last() != Some(&seq) {
            seqs.push(seq);
        }
    }
    assert_eq!(
        delivered, enqueued,
        "exactly the enqueued events, each entity in order"
    );
    let conn = outbox_runtime::rusqlite::Connection::open(&database).unwrap();
    let sound: String = conn
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}
