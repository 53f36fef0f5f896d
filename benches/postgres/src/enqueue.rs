//! Enqueueing in the caller's transaction, one event per commit, from several sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_bench_kit::report::{Baseline, Report, Target, Unit};
use outbox_bench_kit::rounds::interleaved;
use outbox_contest::Stopwatch;
use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::types::Type;
use outbox_postgres::tokio_postgres::{Client, Transaction};
use outbox_runtime::{Processor, Running};
use tokio::task::JoinSet;

use crate::database::Database;
use crate::entity::{MoodEntry, Row};
use crate::floor;
use crate::scale::Scale;
use crate::scene::{Scenes, count};

/// How a session writes an event between `BEGIN` and `COMMIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `entity.enqueue_update().on(&tx)`.
    Ours,
    /// The same statement without its wake-up.
    Silent,
    /// A plain insert into the floor's table.
    Floor,
}

/// The store's insert of one event without the part that wakes workers.
const SILENT: &str = "WITH t AS MATERIALIZED (SELECT coalesce($16::timestamptz, statement_timestamp()) AS now),
i AS (INSERT INTO outbox.events (id, lane, entity_lane, lane_order, event_type, operation, user_id, entity_id,
        priority, max_attempts, metadata, metadata_version, on_dead, destination, created_at, due, slot)
    SELECT $1, $2, CASE WHEN $4 <> 'e' THEN $3 END, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
        t.now, t.now + $15 * interval '1 microsecond', CASE WHEN $15 > 0 THEN 'w'::\"char\" ELSE 'r' END
    FROM t WHERE NOT EXISTS (SELECT 1 FROM outbox.folded f WHERE f.id = $1)
    ON CONFLICT (id) DO NOTHING RETURNING 1)
SELECT (SELECT count(*) FROM i)";

/// Least ratio to the same without the wake-up.
const TARGET: Target = Target::AtLeast(0.90);

pub(crate) async fn measure(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
) -> anyhow::Result<()> {
    for sessions in [1, 8, 64] {
        let sides = [Way::Silent, Way::Floor, Way::Ours];
        let mut cpu = sides.map(|_| Vec::with_capacity(scale.rounds));
        let samples = interleaved(scale.rounds, &[0, 1, 2], async |nth| {
            let (rate, time) = alone(scenes, sides[nth], sessions, scale.time).await?;
            cpu[nth].push(time * 1e6);
            Ok(rate)
        })
        .await?;
        let [silent, floor, ours] = &samples[..] else {
            anyhow::bail!("there are three sides");
        };
        let what = format!(
            "enqueue in the caller's transaction, {}",
            in_words(sessions)
        );
        for (name, samples, target) in [
            ("without wake-up", silent, Some(TARGET)),
            ("floor", floor, None),
        ] {
            let baseline = Baseline { name, samples };
            report.add(&what, Unit::EventsPerSecond, ours, Some(baseline), target);
        }
        let what = format!("{what}: the server's processor time for 1,000");
        for (name, nth) in [("without wake-up", 0), ("floor", 1)] {
            let baseline = Baseline {
                name,
                samples: &cpu[nth],
            };
            let unit = Unit::Milliseconds;
            report.add(&what, unit, &cpu[2], Some(baseline), None);
        }
    }
    beside_a_worker(scale, scenes, report, 8).await
}

fn in_words(sessions: usize) -> String {
    match sessions {
        1 => "1 session".to_owned(),
        many => format!("{many} sessions"),
    }
}

/// Commits a second, and the seconds of the server's processor time for one, with nobody who
/// delivers.
async fn alone(
    scenes: &Scenes,
    way: Way,
    sessions: usize,
    time: Duration,
) -> anyhow::Result<(f64, f64)> {
    let database = match way {
        Way::Floor => scenes.floor().await?,
        Way::Silent | Way::Ours => scenes.outbox().await?,
    };
    let (enqueued, rate, time) = produce(&database, way, sessions, time).await?;
    let written = match way {
        Way::Floor => floor::count(&database.connect().await?, false).await?,
        Way::Silent | Way::Ours => count(&database, false).await?,
    };
    anyhow::ensure!(written == enqueued, "events are missing");
    scenes.drop(database).await?;
    Ok((rate, time.as_secs_f64() / enqueued as f64))
}

/// Runs sessions for a while, each of which commits one event after the other. Returns the number
/// of events, the commits a second, and the processor time of the server's sessions.
pub(crate) async fn produce(
    database: &Database,
    way: Way,
    sessions: usize,
    time: Duration,
) -> anyhow::Result<(usize, f64, Duration)> {
    let mut clients = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        clients.push(database.connect().await?);
    }
    let number = Arc::new(AtomicUsize::new(0));
    let mut tasks: JoinSet<anyhow::Result<(usize, Client)>> = JoinSet::new();
    let watch = Stopwatch::start();
    for mut client in clients {
        let number = Arc::clone(&number);
        tasks.spawn(async move {
            let insert = match way {
                Way::Floor => Some(client.prepare(floor::INSERT).await?),
                Way::Silent | Way::Ours => None,
            };
            let mut done = 0;
            while watch.elapsed() < time {
                let mood = MoodEntry::new(number.fetch_add(1, Ordering::Relaxed));
                let tx = client.transaction().await?;
                match (&insert, way) {
                    (Some(insert), _) => {
                        let row = Row::of(&mood)?;
                        let (id, lane) = (row.id, row.lane);
                        let (user, entity) = (row.user_id, row.entity_id);
                        tx.execute(insert, &[&id, &lane, &user, &entity, &row.metadata])
                            .await?;
                    }
                    (None, Way::Ours) => {
                        mood.enqueue_update().on(&tx).await?;
                    }
                    (None, _) => silently(&tx, &mood).await?,
                }
                tx.commit().await?;
                done += 1;
            }
            // Open until the end, because the server forgets the time of a session that ends.
            Ok((done, client))
        });
    }
    let (mut done, mut clients) = (0, Vec::with_capacity(sessions));
    while let Some(ended) = tasks.join_next().await {
        let (of_session, client) = ended??;
        done += of_session;
        clients.push(client);
    }
    let rate = watch.per_second(done);
    let time = database.cpu_time().await?;
    Ok((done, rate, time))
}

/// Writes an event as the store does, but for the wake-up.
async fn silently(tx: &Transaction<'_>, mood: &MoodEntry) -> anyhow::Result<()> {
    let row = Row::of(mood)?;
    let code = |code: u8| code.cast_signed();
    let (order, operation, on_dead) = (code(b'e'), code(b'u'), code(b'h'));
    let nowhere: Option<&str> = None;
    let by_the_server: Option<std::time::SystemTime> = None;
    tx.query_typed(
        SILENT,
        &[
            (&row.id, Type::UUID),
            (&row.lane, Type::INT8),
            (&row.lane, Type::INT8),
            (&order, Type::CHAR),
            (&"moodEntry", Type::TEXT),
            (&operation, Type::CHAR),
            (&row.user_id, Type::TEXT),
            (&row.entity_id, Type::TEXT),
            (&5_i32, Type::INT4),
            (&10_i64, Type::INT8),
            (&row.metadata, Type::TEXT),
            (&1_i64, Type::INT8),
            (&on_dead, Type::CHAR),
            (&nowhere, Type::TEXT),
            (&0_i64, Type::INT8),
            (&by_the_server, Type::TIMESTAMPTZ),
        ],
    )
    .await?;
    Ok(())
}

/// The same while a worker delivers what is committed: one that wake-ups reach, and one that looks
/// for itself.
async fn beside_a_worker(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
    sessions: usize,
) -> anyhow::Result<()> {
    let samples = interleaved(scale.rounds, &[Way::Silent, Way::Ours], async |way| {
        let database = scenes.outbox().await?;
        let builder = PostgresStore::builder().wake_ups(way == Way::Ours);
        let store = builder.connect_with(database.config()).await?;
        let running = start(&store)?;
        let (_, rate, _) = produce(&database, way, sessions, scale.time).await?;
        running.stop().await?;
        drop(store);
        scenes.drop(database).await?;
        Ok(rate)
    })
    .await?;
    let [silent, ours] = &samples[..] else {
        anyhow::bail!("there are two sides");
    };
    let what = format!(
        "enqueue in the caller's transaction beside a worker, {}",
        in_words(sessions)
    );
    let baseline = Baseline {
        name: "a worker that looks for itself",
        samples: silent,
    };
    report.add(what, Unit::EventsPerSecond, ours, Some(baseline), None);
    Ok(())
}

/// A worker whose handlers only read.
fn start(store: &PostgresStore) -> anyhow::Result<Running> {
    let processor = Processor::builder(store.clone())
        .handle::<MoodEntry>(|_| std::future::ready(Ok(())))
        .max_concurrency(16)
        .build()?;
    Ok(processor.start_all_users())
}
