//! What `watch` and the console cost the application: its throughput on a file with and without the
//! command in a terminal, and `serve` with an open page, beside it, in turns of one run.
//!
//! `cargo bench -p outbox-cli --bench watch -- --turns 7 --events 40000 --rows 1000000`
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a measurement that fails panics"
)]

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_runtime::store::SystemClock;
use outbox_runtime::{
    Clock as _, Durability, HandlerError, NewEvent, Operation, OutboxEvent, OutboxEventHandler,
    OutboxRepository as _, Processor, RawMetadata, SqliteStore, async_trait,
};
use tokio::sync::Notify;

use self::console::Console;
use self::script::Script;

mod console; // `serve` with an open page
#[path = "../../tests/command/script.rs"]
mod script; // the command on a terminal

/// The arguments, each with its default.
struct Scale {
    turns: usize,
    events: usize,
    rows: u32,
}

fn scale() -> Scale {
    let args: Vec<String> = std::env::args().collect();
    let number = |name: &str, default: usize| {
        let at = args.iter().position(|arg| arg == name);
        let value = at.and_then(|at| args.get(at + 1));
        value.map_or(default, |value| value.parse().unwrap())
    };
    Scale {
        turns: number("--turns", 7),
        events: number("--events", 40_000),
        rows: u32::try_from(number("--rows", 1_000_000)).unwrap(),
    }
}

/// Delivered and dead events, such as an outbox has after a while.
fn fill(path: &Path, rows: u32) {
    let conn = outbox_runtime::rusqlite::Connection::open(path).unwrap();
    conn.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO outbox_events (status, slot, lane, operation, max_attempts, created_at, next_attempt_at,
             completed_at, dead_reason, id, user_id, entity_id, event_type, metadata)
         SELECT CASE i % 4 WHEN 0 THEN 3 ELSE 2 END, NULL, NULL, 1, 5, 1700000000000000 + i, 1700000000000000,
             CASE i % 4 WHEN 0 THEN NULL ELSE 1700000001000000 END, CASE i % 4 WHEN 0 THEN 2 END,
             randomblob(16), 'user-' || (i % 10000), i, 'meal', '{\"kcal\":' || i || '}' FROM n",
        [rows],
    )
    .unwrap();
    conn.close().unwrap();
}

/// `watch` on a terminal of its own.
struct Watch(Script);

impl Watch {
    fn open(db: &Path) -> Self {
        let script = Script::open(db, "watch");
        // The first picture is no part of the measurement.
        script.output.recv_timeout(Duration::from_secs(60)).unwrap();
        Self(script)
    }

    /// Ends it, and returns the bytes that it drew.
    fn close(mut self) -> usize {
        self.0.keys.write_all(b"q").unwrap();
        let ended = self.0.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
        self.0.output.try_iter().map(|drawn| drawn.len()).sum()
    }
}

struct Counting {
    left: AtomicUsize,
    all: Notify,
}

struct Handler(Arc<Counting>);

#[async_trait]
impl OutboxEventHandler for Handler {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type == "bench"
    }

    async fn handle(&self, _: &OutboxEvent) -> Result<(), HandlerError> {
        if self.0.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.all.notify_one();
        }
        Ok(())
    }
}

/// Enqueues events, each in a call of its own, while a processor delivers them. Returns events per
/// second.
async fn turn(store: &SqliteStore, turn: usize, events: usize) -> f64 {
    const PRODUCERS: usize = 8;
    let counting = Arc::new(Counting {
        left: events.into(),
        all: Notify::new(),
    });
    let processor = Processor::builder(store.clone())
        .handler(Handler(Arc::clone(&counting)))
        .batch_size(100)
        .max_concurrency(16);
    let running = processor.build().unwrap().start_all_users();
    let began = SystemClock.uptime();
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..PRODUCERS {
        let store = store.clone();
        producers.spawn(async move {
            for nth in (producer..events).step_by(PRODUCERS) {
                let entity = i64::try_from(turn * events + nth).unwrap();
                let user = format!("user-{}", nth % 50);
                let event = NewEvent::new("bench", entity, user, Operation::Update).with_metadata(
                    RawMetadata::from_bytes(r#"{"title":"an event","done":false}"#),
                );
                store.create_event(event).await.unwrap();
            }
        });
    }
    producers.join_all().await;
    counting.all.notified().await;
    let took = SystemClock.uptime().saturating_sub(began).as_secs_f64();
    running.stop().await.unwrap();
    events as f64 / took
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let Scale {
        turns,
        events,
        rows,
    } = scale();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let builder = SqliteStore::builder(&path).durability(Durability::Normal);
    let store = builder.open().await.unwrap();
    fill(&path, rows);
    // Counted once, as by any clean-up of an application.
    let counted = async || store.statistics(None).await.unwrap().total_events;
    for _ in 0..50 {
        counted().await;
        SystemClock.sleep(Duration::from_millis(100)).await;
    }
    turn(&store, turns * 2, events).await;
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    for nth in 0..turns {
        // The order alternates, so that a trend favors neither.
        for is_watched in [nth % 2 == 1, nth % 2 == 0] {
            let watch = is_watched.then(|| (Watch::open(&path), Console::open(&path)));
            let rate = turn(&store, nth * 2 + usize::from(is_watched), events).await;
            let drawn = watch.map(|(watch, console)| (watch.close(), console.close()));
            println!(
                "turn {nth}: {rate:>9.0} events a second {}",
                drawn.map_or("alone".to_owned(), |(bytes, pages)| format!(
                    "watched, {bytes} bytes drawn, {pages} pages read"
                ))
            );
            match is_watched {
                true => watched.push(rate),
                false => alone.push(rate),
            }
        }
    }
    store.close().await;
    let (alone, watched) = (median(alone), median(watched));
    println!("alone    {alone:>9.0} events a second (median)");
    println!("watched  {watched:>9.0} events a second (median)");
    println!("ratio    {:>9.3}", watched / alone);
}
