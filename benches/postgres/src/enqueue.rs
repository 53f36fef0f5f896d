//! Enqueueing in the caller's transaction, one event per commit, from several sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outbox_bench_kit::report::{Baseline, Report, Target, Unit};
use outbox_bench_kit::rounds::interleaved;
use outbox_contest::Stopwatch;
use outbox_postgres::PostgresStore;
use outbox_postgres::tokio_postgres::Client;
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
    /// The same in an outbox that wakes nobody.
    Silent,
    /// A plain insert into the floor's table.
    Floor,
}

/// Replaces the function that wakes workers, in one database, by one that does nothing.
const SILENCE: &str =
    "CREATE OR REPLACE FUNCTION outbox.wake() RETURNS void LANGUAGE plpgsql AS 'BEGIN END'";

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

/// A database to enqueue in.
async fn place(scenes: &Scenes, way: Way) -> anyhow::Result<Database> {
    if way == Way::Floor {
        return scenes.floor().await;
    }
    let database = scenes.outbox().await?;
    if way == Way::Silent {
        database.connect().await?.batch_execute(SILENCE).await?;
    }
    Ok(database)
}

/// Commits a second, and the seconds of the server's processor time for one, with nobody who
/// delivers.
async fn alone(
    scenes: &Scenes,
    way: Way,
    sessions: usize,
    time: Duration,
) -> anyhow::Result<(f64, f64)> {
    let database = place(scenes, way).await?;
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
                if let Some(insert) = &insert {
                    let row = Row::of(&mood)?;
                    let (id, lane) = (row.id, row.lane);
                    let (user, entity) = (row.user_id, row.entity_id);
                    tx.execute(insert, &[&id, &lane, &user, &entity, &row.metadata])
                        .await?;
                } else {
                    mood.enqueue_update().on(&tx).await?;
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

/// The same while a worker delivers what is committed: one that wake-ups reach, and one that looks
/// for itself.
async fn beside_a_worker(
    scale: &Scale,
    scenes: &Scenes,
    report: &mut Report,
    sessions: usize,
) -> anyhow::Result<()> {
    let samples = interleaved(scale.rounds, &[Way::Silent, Way::Ours], async |way| {
        let database = place(scenes, way).await?;
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
