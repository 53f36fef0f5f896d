//! How long each screen takes over a large SQLite file, and what many visitors at once cost the
//! application that serves them.
//!
//! `cargo bench -p outbox-console --bench screens -- --rows 1000000`
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a measurement that fails panics"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::HOST;
use axum::http::{Request, StatusCode};
use outbox_console::router;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::{BatchSink as _, SystemClock};
use outbox_runtime::{
    Clock as _, Durability, NewEvent, Operation, OutboxRepository as _, SqliteStore,
};
use tower::ServiceExt as _;

/// The requests of each screen.
const TIMES: usize = 21;
/// The visitors at once.
const VISITORS: usize = 1_000;
/// The commits of the application whose times are taken, beside visitors and alone.
const COMMITS: i64 = 2_000;

const PAGES: [&str; 12] = [
    "/",
    "/events",
    "/events?state=dead",
    "/events?user=user-77",
    "/events?state=completed&text=nowhere",
    "/events?state=dead&text=nowhere",
    "/dead",
    "/types",
    "/users",
    "/processes",
    "/pauses",
    "/maintenance",
];

fn rows() -> u32 {
    let args: Vec<String> = std::env::args().collect();
    let at = args.iter().position(|arg| arg == "--rows");
    let rows = at.and_then(|at| args.get(at + 1));
    rows.map_or(1_000_000, |rows| rows.parse().unwrap())
}

/// Delivered events, a tenth of them dead, such as an outbox has after a while.
fn fill(path: &Path, rows: u32) {
    let conn = Connection::open(path).unwrap();
    conn.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO outbox_events (status, slot, lane, operation, max_attempts, created_at, next_attempt_at,
             completed_at, dead_reason, error_message, id, user_id, entity_id, event_type, metadata)
         SELECT CASE i % 10 WHEN 0 THEN 3 ELSE 2 END, NULL, NULL, 1, 5, 1700000000000000 + i, 1700000000000000,
             CASE WHEN i % 10 > 0 THEN 1700000001000000 END, CASE i % 10 WHEN 0 THEN 2 END,
             CASE i % 10 WHEN 0 THEN 'HTTP 422: meal ' || i || ' has no unit of kind ' || (i % 7) END,
             randomblob(16), 'user-' || (i % 997), i, 'meal', '{\"kcal\":' || i || '}' FROM n",
        [rows],
    )
    .unwrap();
    conn.close().unwrap();
}

/// A backlog, which no worker takes.
async fn enqueue(store: &SqliteStore, count: i64) {
    let event = |number: i64| {
        let user = format!("user-{}", number % 997);
        NewEvent::new("mood", -number, user, Operation::Update)
    };
    let events = (1..=count).map(|number| Ok(event(number)));
    store.enqueue_all(events).await.unwrap();
}

async fn get(router: &Router, path: &str) -> Duration {
    let request = Request::get(path).header(HOST, "localhost");
    let request = request.body(Body::empty()).unwrap();
    let began = SystemClock.uptime();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    to_bytes(response.into_body(), 8 << 20).await.unwrap();
    SystemClock.uptime().saturating_sub(began)
}

/// The time at this share of the sorted ones.
fn at(times: &mut [Duration], share: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * share / 100).min(times.len() - 1)]
}

/// The times of the application's commits, each after a pause.
async fn commit(store: &SqliteStore, first: i64) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0..COMMITS {
        let event = NewEvent::new("meal", first + number, "app", Operation::Update);
        let event = event.with_delay(Duration::from_secs(86_400));
        let began = SystemClock.uptime();
        store.create_event(event).await.unwrap();
        times.push(SystemClock.uptime().saturating_sub(began));
        SystemClock.sleep(Duration::from_millis(1)).await;
    }
    times
}

#[tokio::main]
async fn main() {
    let rows = rows();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let open = || {
        SqliteStore::builder(&path)
            .durability(Durability::Normal)
            .open()
    };
    open().await.unwrap().close().await;
    fill(&path, rows);
    let store = open().await.unwrap();
    enqueue(&store, 20_000).await;
    store.statistics(None).await.unwrap();
    let router = router(store.clone()).allow_if(|_| true).into_router();

    // The screens with counts take as long as the statistics, of which the store has counted some
    // blocks for good.
    let began = SystemClock.uptime();
    store.statistics(None).await.unwrap();
    let took = SystemClock.uptime().saturating_sub(began);
    let conn = Connection::open(&path).unwrap();
    let sql = "SELECT count(*) FROM outbox_tally";
    let counted: u32 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    conn.close().unwrap();
    println!("{rows} events; statistics with {counted} counted blocks: {took:.1?}");
    for page in PAGES {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            times.push(get(&router, page).await);
        }
        let (median, longest) = (at(&mut times, 50), at(&mut times, 100));
        println!("{page:<40} median {median:>9.1?}  longest {longest:>9.1?}");
    }

    let mut alone = commit(&store, 1_000_000_000).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let visitors: Vec<_> = (0..VISITORS)
        .map(|number| {
            let (router, is_over) = (router.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut count = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    get(&router, PAGES[(number + 1) % PAGES.len()]).await;
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut beside = commit(&store, 2_000_000_000).await;
    is_over.store(true, Ordering::Relaxed);
    let mut pages = 0;
    for visitor in visitors {
        pages += visitor.await.unwrap();
    }
    for (name, times) in [
        ("alone", &mut alone),
        ("beside 1,000 visitors", &mut beside),
    ] {
        let (median, late) = (at(times, 50), at(times, 99));
        println!("commits {name:<24} median {median:>9.1?}  99 % {late:>9.1?}");
    }
    println!("{pages} pages meanwhile");
    store.close().await;
}
