//! `bench`: what this machine, and a server, can do, on an outbox that exists for nothing else.

use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::store::SystemClock;
use outbox_runtime::{
    Clock as _, HandlerError, NewEvent, Operation, OutboxEvent, OutboxEventHandler, Processor,
    RawMetadata, SqliteStore, async_trait,
};
use serde::Serialize;
use tokio::sync::Notify;

use crate::args::{self, Target};
use crate::database::{Access, Database, Place};
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::Out;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    store: &'static str,
    events: u32,
    producers: u32,
    /// Each event in a call of its own, answered after its commit.
    enqueued_per_second: f64,
    /// By one processor, with a handler that does nothing.
    delivered_per_second: f64,
}

pub(crate) async fn run(args: &args::Bench, target: &Target, out: &mut Out) -> Outcome {
    let place = match &target.db {
        Some(_) => Place::of(target)?,
        None => Place::File(std::env::temp_dir().join("outbox.db")),
    };
    let answer = match place {
        Place::File(path) => on_file(args, &path).await?,
        Place::Server { config, .. } => on_server(args, config).await?,
    };
    if out.is_json {
        out.json(&answer)?;
    } else {
        let (events, producers) = (answer.events, answer.producers);
        out.line(format!(
            "{}, {events} events, {producers} producers",
            answer.store
        ))?;
        out.line(format!(
            "enqueued   {:>10.0} a second",
            answer.enqueued_per_second
        ))?;
        out.line(format!(
            "delivered  {:>10.0} a second",
            answer.delivered_per_second
        ))?;
    }
    Ok(Verdict::Fine)
}

/// Measures in a temporary folder beside the file, which is on the same disk.
async fn on_file(args: &args::Bench, path: &std::path::Path) -> Result<Answer, Failure> {
    let beside = path.parent().filter(|folder| folder.is_dir());
    let folder = match beside {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir_in("."),
    };
    let folder = folder
        .map_err(|error| Failure::new(format!("cannot make a folder beside the file: {error}")))?;
    let store = SqliteStore::open(folder.path().join("bench.db")).await?;
    let database = Database::Sqlite(store);
    let answer = measure(args, "SQLite", &database).await;
    database.close().await;
    answer
}

/// Measures in a schema of its own, which is dropped afterward.
async fn on_server(
    args: &args::Bench,
    config: Box<outbox_postgres::tokio_postgres::Config>,
) -> Result<Answer, Failure> {
    let schema = format!("outbox_bench_{}", std::process::id());
    let place = Place::Server {
        config,
        schema: schema.clone(),
    };
    let database = place.open(Access::Migrate).await?;
    let answer = measure(args, "PostgreSQL", &database).await;
    if let Database::Postgres(store) = &database {
        let failed =
            |error: String| Failure::new(format!("drop the schema {schema} yourself: {error}"));
        let client = store.pool().get().await;
        let client = client.map_err(|error| failed(error.to_string()))?;
        let drop = format!("DROP SCHEMA {schema} CASCADE");
        let dropped = client.batch_execute(&drop).await;
        dropped.map_err(|error| failed(error.to_string()))?;
    }
    answer
}

async fn measure(
    args: &args::Bench,
    name: &'static str,
    database: &Database,
) -> Result<Answer, Failure> {
    let store = database.store();
    let began = SystemClock.uptime();
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..args.producers {
        let database = database.clone();
        let (events, step) = (args.events, args.producers);
        producers.spawn(async move {
            for nth in (producer..events).step_by(step as usize) {
                database.enqueue(vec![event(nth)]).await?;
            }
            Ok::<(), outbox_runtime::EnqueueError>(())
        });
    }
    while let Some(done) = producers.join_next().await {
        done.map_err(|error| Failure::new(error.to_string()))??;
    }
    let enqueued = per_second(args.events, began);
    let done = Arc::new(Done {
        left: (args.events as usize).into(),
        all: Notify::new(),
    });
    let processor = Processor::builder(store)
        .handler(Counting(Arc::clone(&done)))
        .batch_size(100)
        .max_concurrency(16)
        .build()
        .map_err(|error| Failure::new(error.to_string()))?;
    let began = SystemClock.uptime();
    let running = processor.start_all_users();
    done.all.notified().await;
    let delivered = per_second(args.events, began);
    // The last outcomes are recorded; whether the run ended well does not matter to the figures.
    let _ = running.stop().await;
    Ok(Answer {
        store: name,
        events: args.events,
        producers: args.producers,
        enqueued_per_second: enqueued,
        delivered_per_second: delivered,
    })
}

fn per_second(events: u32, began: Duration) -> f64 {
    let took = SystemClock.uptime().saturating_sub(began);
    f64::from(events) / took.as_secs_f64().max(f64::EPSILON)
}

fn event(nth: u32) -> NewEvent {
    let metadata = RawMetadata::from_bytes(format!(r#"{{"title":"event {nth}","done":false}}"#));
    let user = format!("user-{}", nth % 50);
    NewEvent::new("bench", i64::from(nth), user, Operation::Update).with_metadata(metadata)
}

/// Counts down, and notifies at zero.
struct Done {
    left: std::sync::atomic::AtomicUsize,
    all: Notify,
}

struct Counting(Arc<Done>);

#[async_trait]
impl OutboxEventHandler for Counting {
    fn can_handle(&self, event_type: &str) -> bool {
        event_type == "bench"
    }

    async fn handle(&self, _: &OutboxEvent) -> Result<(), HandlerError> {
        if self
            .0
            .left
            .fetch_sub(1, std::sync::atomic::Ordering::SeqCst)
            == 1
        {
            self.0.all.notify_one();
        }
        Ok(())
    }
}
