//! Beside an application at work: the command disturbs nothing, and what it changes is taken up.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::SystemClock;
use outbox_runtime::{
    Clock as _, Durability, HandlerError, NewEvent, Operation, OutboxEvent, OutboxEventHandler,
    OutboxRepository as _, Processor, RawMetadata, SqliteStore, async_trait,
};

use crate::many::fill_with_completed;
use crate::scene::{Scene, run};

/// A service that refuses the meals of one user until it is mended.
struct Service {
    is_mended: Arc<AtomicBool>,
    delivered: Arc<AtomicU64>,
}

#[async_trait]
impl OutboxEventHandler for Service {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type == "meal"
    }

    async fn handle(&self, event: &OutboxEvent) -> Result<(), HandlerError> {
        if event.user_id == "ann" && !self.is_mended.load(Ordering::SeqCst) {
            return Err(HandlerError::permanent("HTTP 422: unknown unit"));
        }
        self.delivered.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn meal(entity: i64, user: &str) -> NewEvent {
    NewEvent::new("meal", entity, user, Operation::Update)
        .with_metadata(RawMetadata::from_bytes(r#"{"kcal":250}"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_under_load_is_looked_into_and_mended() {
    let scene = Scene::empty();
    let builder = SqliteStore::builder(scene.path()).durability(Durability::Normal);
    let store = builder.open().await.unwrap();
    let (is_mended, delivered) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let service = Service {
        is_mended: Arc::clone(&is_mended),
        delivered: Arc::clone(&delivered),
    };
    let processor = Processor::builder(store.clone()).handler(service);
    let running = processor.build().unwrap().start_all_users();
    let is_over = Arc::new(AtomicBool::new(false));
    let producer = tokio::spawn({
        let (store, is_over) = (store.clone(), Arc::clone(&is_over));
        async move {
            let mut count = 0_i64;
            while !is_over.load(Ordering::SeqCst) {
                // No enqueue fails or waits for the command.
                store.create_event(meal(count, "bob")).await.unwrap();
                count += 1;
            }
            count
        }
    });
    store.create_event(meal(-1, "ann")).await.unwrap();

    let path = scene.path().to_str().unwrap().to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            for args in [
                &["status"][..],
                &["list", "--limit", "0"],
                &["export"],
                &["doctor"],
                &["explain", "-1"],
                &["watch", "--count", "2", "--interval", "50ms"],
            ] {
                let args = args.to_vec();
                let args: Vec<&str> = match args.as_slice() {
                    ["explain", entity] => vec!["explain", "--", entity],
                    args => args.to_vec(),
                };
                let answer = run(&path, &args);
                assert!(answer.code < 2, "{args:?}: {answer:?}");
            }
        }
        let why = run(&path, &["explain", "--user", "ann", "--", "-1"]);
        assert!(why.stdout.contains("HTTP 422: unknown unit"), "{why:?}");
        let doctor = run(&path, &["doctor", "--json"]);
        assert!(doctor.stdout.contains(r#""findings":[]"#), "{doctor:?}");
        is_mended.store(true, Ordering::SeqCst);
        let retried = run(&path, &["retry", "--user", "ann", "--yes", "--json"]);
        assert!(retried.stdout.contains(r#""done":1"#), "{retried:?}");
    });
    looked.await.unwrap();
    is_over.store(true, Ordering::SeqCst);
    let count = producer.await.unwrap();
    assert!(
        count > 50,
        "only {count} events: the application was held up"
    );
    // The retry of another process is noticed, and everything drains.
    for entity in [-1, count - 1] {
        let flushed = running
            .flush(entity, Duration::from_secs(30))
            .await
            .unwrap();
        assert!(flushed.is_delivered(), "{entity}: {flushed:?}");
    }
    running.stop().await.unwrap();
    store.close().await;
    assert_eq!(delivered.load(Ordering::SeqCst), count.unsigned_abs() + 1);
    assert_eq!(scene.json(0, &["status"])["undelivered"], 0);
}

/// The length of the `-wal` after the application wrote this many events.
async fn log_after(scene: &Scene, store: &SqliteStore, count: i64) -> u64 {
    for entity in 0..count {
        store.create_event(meal(entity, "bob")).await.unwrap();
    }
    let log = scene.folder().join("app.db-wal");
    std::fs::metadata(log).unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_nobody_reads_does_not_keep_the_log_from_shrinking() {
    const WRITTEN: i64 = 1_500;
    /// Twice what the store lets the log become.
    const LONG: u64 = 32 << 20;
    let scene = Scene::empty();
    let builder = SqliteStore::builder(scene.path()).durability(Durability::Normal);
    let store = builder.open().await.unwrap();
    fill_with_completed(&scene.path(), 20_000);
    for args in [&["list", "--limit", "0"][..], &["export"]] {
        let mut reader = Command::new(assert_cmd::cargo::cargo_bin!("outbox"))
            .env("OUTBOX_DB", scene.path())
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 1];
        let mut stdout = reader.stdout.take().unwrap();
        stdout.read_exact(&mut first).unwrap();
        let log = log_after(&scene, &store, WRITTEN).await;
        assert!(log < LONG, "{args:?}: {} MiB", log >> 20);
        assert!(
            reader.try_wait().unwrap().is_none(),
            "the listing has ended"
        );
        drop(stdout);
        assert!(reader.wait().unwrap().success());
    }
    // The control: one open statement keeps all of it.
    let other = Connection::open(scene.path()).unwrap();
    let mut open = other.prepare("SELECT * FROM outbox_events").unwrap();
    let mut rows = open.query([]).unwrap();
    rows.next().unwrap();
    let mut log = 0;
    for _ in 0..20 {
        log = log_after(&scene, &store, WRITTEN).await;
        if log > LONG {
            break;
        }
    }
    assert!(log > LONG, "{} MiB", log >> 20);
    drop(rows);
    drop(open);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_goes_on_when_the_application_opens_the_file() {
    let scene = Scene::with_each_state().await;
    let mut watch = Command::new(assert_cmd::cargo::cargo_bin!("outbox"))
        .env("OUTBOX_DB", scene.path())
        .args(["watch", "--plain", "--interval", "50ms"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = std::io::BufReader::new(watch.stdout.take().unwrap());
    let mut line = String::new();
    let mut next = || {
        line.clear();
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        line.clone()
    };
    assert!(next().contains("pending 3"));
    let store = SqliteStore::open(scene.path()).await.unwrap();
    store.create_event(meal(70, "bob")).await.unwrap();
    let began = SystemClock.uptime();
    while !next().contains("pending 4") {
        assert!(SystemClock.uptime().saturating_sub(began) < Duration::from_secs(30));
    }
    store.close().await;
    watch.kill().unwrap();
    watch.wait().unwrap();
}
