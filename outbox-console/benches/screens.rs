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
use std::sync::atomic::{AtomicU64, Ordering};
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
/// The turns of the application, each alone and then beside the visitors.
const TURNS: i64 = 4;
/// The commits of a turn whose times are taken.
const COMMITS: i64 = 1_000;

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

/// Waits until the store has counted its blocks for good, a minute at most. Returns the time that
/// statistics take then, and the number of blocks.
async fn settle(store: &SqliteStore, path: &Path) -> (Duration, u32) {
    let conn = Connection::open(path).unwrap();
    let sql = "SELECT count(*) FROM outbox_tally";
    let mut before = None;
    for _ in 0..120 {
        let began = SystemClock.uptime();
        store.statistics(None).await.unwrap();
        let took = SystemClock.uptime().saturating_sub(began);
        let counted: u32 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        if before == Some(counted) {
            return (took, counted);
        }
        before = Some(counted);
        SystemClock.sleep(Duration::from_millis(500)).await;
    }
    panic!("the blocks are not counted");
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

/// Asks for one page after the other.
async fn visit(router: Router, number: usize, pages: Arc<AtomicU64>) {
    for page in PAGES.iter().cycle().skip(number % PAGES.len()) {
        get(&router, page).await;
        pages.fetch_add(1, Ordering::Relaxed);
    }
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
    // A console of an outbox that nobody has counted yet.
    let uncounted = router(store.clone()).allow_if(|_| true).into_router();
    for page in ["/", "/dead", "/pauses"] {
        let took = get(&uncounted, page).await;
        println!("{page:<40} nothing counted yet {took:>9.1?}");
    }
    let (took, counted) = settle(&store, &path).await;
    println!("{rows} events; statistics with {counted} counted blocks: {took:.1?}");
    let router = router(store.clone()).allow_if(|_| true).into_router();
    for page in PAGES {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            times.push(get(&router, page).await);
        }
        let (median, longest) = (at(&mut times, 50), at(&mut times, 100));
        println!("{page:<40} median {median:>9.1?}  longest {longest:>9.1?}");
    }

    let pages = Arc::new(AtomicU64::new(0));
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for turn in 1..=TURNS {
        alone.extend(commit(&store, turn * 2_000_000).await);
        let visitors: Vec<_> = (0..VISITORS)
            .map(|number| tokio::spawn(visit(router.clone(), number, Arc::clone(&pages))))
            .collect();
        beside.extend(commit(&store, turn * 2_000_000 + 1_000_000).await);
        for visitor in visitors {
            visitor.abort();
            assert!(visitor.await.unwrap_err().is_cancelled());
        }
    }
    let mut late = Vec::new();
    for (name, times) in [
        ("alone", &mut alone),
        ("beside 1,000 visitors", &mut beside),
    ] {
        let (median, of_100) = (at(times, 50), at(times, 99));
        println!("commits {name:<24} median {median:>9.1?}  99 % {of_100:>9.1?}");
        late.push(of_100.as_secs_f64());
    }
    println!("99 % beside / alone: {:.2}", late[1] / late[0]);
    println!("{} pages meanwhile", pages.load(Ordering::Relaxed));
    store.close().await;
}
