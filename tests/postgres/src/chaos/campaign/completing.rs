//! Workers that are killed while their handlers save remote ids and complete events in transactions
//! of the application: a remote id is saved if and only if its event is completed.

use std::collections::HashSet;
use std::time::Duration;

use outbox_crash::plan::Completes;
use outbox_postgres::tokio_postgres::Client;
use outbox_runtime::Clock;
use outbox_runtime::store::SystemClock;
use outbox_testing::SeededRng;
use uuid::Uuid;

use super::{Report, Settings};
use crate::Server;
use crate::chaos::arena::Arena;
use crate::chaos::completing::table;
use crate::chaos::ledger::Record;
use crate::chaos::pause;
use crate::chaos::producers::Load;
use crate::chaos::worker::Plan;

/// How long a worker may do nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Kills one worker after the other, each in the middle of its work. Returns, beside the report,
/// what was wrong after a kill or at the end.
pub async fn kills(
    server: &Server,
    completes: Completes,
    settings: &Settings,
) -> (Report, Vec<String>) {
    let mut report = Report::begin("kills of workers that complete", settings);
    let mut rng = SeededRng::new(settings.seed);
    let address = server.address();
    let mut arena = Arena::new(settings.program.clone(), server.config(), address).await;
    // Enough that a handler is at work at any moment, and no more than one worker delivers.
    let load = Load {
        pause: 40,
        ..Load::default()
    };
    let client = arena.connect().await;
    let table = table(&arena.schema);
    let create = format!("CREATE TABLE {table} (event uuid PRIMARY KEY, saves bigint NOT NULL)");
    client.batch_execute(&create).await.unwrap();
    let plan = |arena: &Arena| Plan {
        completes,
        ..arena.plan()
    };
    let producing = arena.produce(load, settings.seed);
    let mut violations = Vec::new();
    let (mut in_transactions, mut at_commits, mut rolled_back) = (0, 0, 0);
    for nth in 1..=settings.count {
        let worker = arena.start_with(&plan(&arena));
        let process = worker.id();
        // In the middle of its work, however fast the machine is: a few transactions later, and
        // then at any moment of the next.
        let enough = 1 + rng.below(6);
        let since = SystemClock.uptime();
        while Work::of(process, &arena.records()).saved < enough {
            assert!(
                SystemClock.uptime() - since < PATIENCE,
                "worker {nth} idles"
            );
            pause(2).await;
        }
        pause(rng.below(9)).await;
        arena.kill(worker);
        end_of_sessions(&client, &arena.schema).await;
        let seen = Seen::read(&client, &arena.schema).await;
        let work = Work::of(process, &arena.records());
        in_transactions += u64::from(!work.open.is_empty());
        at_commits += u64::from(!work.at_commit.is_empty());
        rolled_back += work
            .begun()
            .filter(|event| !seen.saved.contains(event))
            .count() as u64;
        let wrong = seen.wrong.into_iter();
        violations.extend(wrong.map(|wrong| format!("after kill {nth}: {wrong}")));
    }
    let tally = producing.stop().await;
    let last = arena.start_with(&plan(&arena));
    let verdict = arena.judge().await;
    drop(last);
    end_of_sessions(&client, &arena.schema).await;
    let seen = Seen::read(&client, &arena.schema).await;
    let wrong = seen.wrong.into_iter();
    violations.extend(wrong.map(|wrong| format!("at the end: {wrong}")));
    report.fire("workers killed", settings.count);
    report.fire("of them within a transaction", in_transactions);
    report.fire("of them at a commit", at_commits);
    report.fire("transactions rolled back by a kill", rolled_back);
    report.fire("remote ids saved", seen.saved.len() as u64);
    (report.end(tally, verdict), violations)
}

/// Waits until the server has noticed the end of every worker: what a worker sent before its death
/// is done by then.
async fn end_of_sessions(client: &Client, schema: &str) {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    let name = format!("{schema}-worker");
    let since = SystemClock.uptime();
    while client
        .query_one(count, &[&name])
        .await
        .unwrap()
        .get::<_, i64>(0)
        > 0
    {
        assert!(SystemClock.uptime() - since < PATIENCE, "sessions stay");
        pause(2).await;
    }
}

/// What a worker's handlers have begun, according to the ledger.
#[derive(Debug, Default)]
struct Work {
    /// How often a remote id was saved in a transaction.
    saved: u64,
    /// Events whose transaction is open.
    open: HashSet<Uuid>,
    /// Events whose commit has begun, and whose handler has not answered.
    at_commit: HashSet<Uuid>,
}

impl Work {
    fn of(worker: u32, records: &[Record]) -> Self {
        let mut work = Self::default();
        for record in records {
            match record {
                Record::Saved { event, process } if *process == worker => {
                    work.saved += 1;
                    work.open.insert(*event);
                }
                Record::Committing { event, process } if *process == worker => {
                    work.open.remove(event);
                    work.at_commit.insert(*event);
                }
                Record::Answered {
                    event,
                    ok: false,
                    process,
                } if *process == worker => drop(work.open.remove(event)),
                Record::Settling { events, process } if *process == worker => {
                    work.at_commit.retain(|event| !events.contains(event));
                }
                _ => {}
            }
        }
        work
    }

    fn begun(&self) -> impl Iterator<Item = &Uuid> {
        self.open.union(&self.at_commit)
    }
}

/// The content of the database at one moment.
#[derive(Debug, Default)]
struct Seen {
    /// Events whose remote id is saved.
    saved: HashSet<Uuid>,
    /// Violations in words.
    wrong: Vec<String>,
}

impl Seen {
    async fn read(client: &Client, schema: &str) -> Self {
        // One statement has one snapshot.
        let sql = format!(
            "SELECT coalesce(e.id, r.event), coalesce(e.status::text = 'c', false), r.saves
            FROM {schema}.events e FULL JOIN {table} r ON r.event = e.id",
            table = table(schema)
        );
        let mut seen = Self::default();
        for row in client.query(&sql, &[]).await.unwrap() {
            let (event, is_completed): (Uuid, bool) = (row.get(0), row.get(1));
            let saves: Option<i64> = row.get(2);
            seen.saved.extend(saves.map(|_| event));
            let wrong = match (is_completed, saves) {
                (true, Some(1)) | (false, None) => continue,
                (true, None) => "is completed without its remote id".to_owned(),
                (false, Some(_)) => "is open, but its remote id is saved".to_owned(),
                (true, Some(saves)) => format!("has its remote id saved {saves} times"),
            };
            seen.wrong.push(format!("{event} {wrong}"));
        }
        seen
    }
}
