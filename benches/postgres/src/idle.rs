//! Statements of worker processes that have nothing to do, counted by the server.

use std::time::Duration;

use outbox_bench_kit::report::{Report, Target, Unit};
use outbox_contest::pause;

use crate::database::{Database, Databases};
use crate::scale::Scale;
use crate::scene::open;
use crate::wide::Workers;

/// Long enough for a worker to look once and fall asleep.
const SETTLING: Duration = Duration::from_secs(3);

/// Statements in this database since the last reset, but for those that ask.
const STATEMENTS: &str = "SELECT coalesce(sum(s.calls), 0)::bigint
    FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database()
        AND s.query NOT LIKE '%pg_stat_statements%'";

pub(crate) async fn measure(scale: &Scale, report: &mut Report) -> anyhow::Result<()> {
    // A server of its own, because counting costs.
    let databases = Databases::start(&["shared_preload_libraries=pg_stat_statements"]).await?;
    let Some(databases) = databases else {
        return Ok(());
    };
    for processes in [1, 8] {
        let database = databases.create().await?;
        drop(open(&database).await?);
        let statements = while_idle(&database, processes, scale.idle).await?;
        databases.drop(database).await?;
        let seconds = scale.idle.as_secs();
        let name = match processes {
            1 => "1 idle process".to_owned(),
            many => format!("{many} idle processes"),
        };
        report.add(
            format!("statements of {name} in {seconds} s"),
            Unit::Statements,
            &[statements as f64],
            None,
            Some(Target::Absolute(0.0)),
        );
    }
    Ok(())
}

async fn while_idle(database: &Database, processes: usize, time: Duration) -> anyhow::Result<i64> {
    let client = database.connect().await?;
    client
        .batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .await?;
    let mut workers = Workers::start(database, processes).await?;
    workers.go().await?;
    pause(SETTLING).await;
    client
        .batch_execute("SELECT pg_stat_statements_reset()")
        .await?;
    pause(time).await;
    let statements = client.query_one(STATEMENTS, &[]).await?.try_get(0)?;
    workers.stop().await?;
    Ok(statements)
}
