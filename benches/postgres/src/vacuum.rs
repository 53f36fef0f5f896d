//! Minutes of load under several settings of autovacuum: a delivery costs the server more the more
//! dead index entries its claim steps over.

use std::time::Duration;

use outbox_bench_kit::report::{Baseline, Report, Unit};
use outbox_contest::{Stopwatch, pause};
use outbox_runtime::enqueue_all;

use crate::entity::MoodEntry;
use crate::long::{Counter, start};
use crate::scale::Scale;
use crate::scene::{Scenes, open};

/// Settings of the table, each with its name.
const SETTINGS: [(&str, &str); 4] = [
    ("no vacuum", "SET (autovacuum_enabled = off)"),
    (
        "PostgreSQL's own settings",
        "RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor,
            autovacuum_analyze_scale_factor)",
    ),
    (
        "the table's settings",
        "RESET (autovacuum_vacuum_cost_delay)",
    ),
    (
        "the table's settings without a cost delay",
        "SET (autovacuum_vacuum_cost_delay = 0)",
    ),
];

/// Events that wait at most: enqueueing does not run ahead of deliveries.
const WAITING: usize = 5_000;
const BATCH: usize = 200;

/// Runs each setting for a fourth of the steady load's time, one after another, and compares what a
/// delivery costs the server in the last third with the same without any vacuum.
pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    let time = scale.steady / 4;
    let mut without = Vec::new();
    for (name, settings) in SETTINGS {
        let database = scenes.outbox().await?;
        let alter = format!("ALTER TABLE outbox.events {settings}");
        database.connect().await?.batch_execute(&alter).await?;
        let store = open(&database).await?;
        let counter = Counter::new(usize::MAX, usize::MAX);
        let running = start(&store, &counter)?;
        let watch = Stopwatch::start();
        let mut enqueued = 0;
        let mut third = None;
        while watch.elapsed() < time {
            if enqueued - counter.handled() >= WAITING {
                pause(Duration::from_millis(2)).await;
                continue;
            }
            let batch: Vec<MoodEntry> = (enqueued..enqueued + BATCH).map(MoodEntry::new).collect();
            enqueue_all(&batch).on(&store).await?;
            enqueued += BATCH;
            if third.is_none() && watch.elapsed() > time * 2 / 3 {
                third = Some((counter.handled(), database.cpu_time().await?));
            }
        }
        let (handled, cpu) = third.unwrap_or_default();
        let thousands = (counter.handled() - handled) as f64 / 1_000.0;
        let cost = (database.cpu_time().await? - cpu).as_secs_f64() * 1e3 / thousands;
        let delivered = counter.handled();
        running.stop().await?;
        drop(store);
        let seen = "SELECT autovacuum_count, n_dead_tup, pg_indexes_size(relid)
            FROM pg_stat_user_tables WHERE relname = 'events'";
        let row = database.connect().await?.query_one(seen, &[]).await?;
        let (vacuums, dead, indices): (i64, i64, i64) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        eprintln!(
            "{name}: {delivered} delivered, {vacuums} vacuums, {dead} dead rows, \
             {} MiB of indices",
            indices >> 20
        );
        scenes.drop(database).await?;
        if without.is_empty() {
            without.push(cost);
        }
        let baseline = Baseline {
            name: SETTINGS[0].0,
            samples: &without,
        };
        let what =
            format!("server's processor time for 1,000 events enqueued and delivered, {name}");
        report.add(what, Unit::Milliseconds, &[cost], Some(baseline), None);
    }
    Ok(())
}
