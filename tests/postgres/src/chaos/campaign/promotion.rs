//! A standby takes over from a server that crashed.

use std::sync::Arc;

use super::servers::blocking;
use super::{Report, Settings};
use crate::chaos::arena::{Arena, Worker};
use crate::chaos::ledger::Record;
use crate::chaos::pause;
use crate::chaos::producers::Load;
use crate::{Server, Stop};

/// Whether the first server waits for the standby with each commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// It does: what was acknowledged is on both.
    Synchronous,
    /// It does not, and the standby falls behind before the crash.
    Asynchronous,
}

/// Promotes a standby under load. `count` is not used: each promotion is a campaign of its own.
pub async fn promotion(replication: Replication, settings: &Settings) -> Report {
    let mut report = Report::begin("promotion", settings);
    let first = Arc::new(blocking(Server::required).await);
    let copied = Arc::clone(&first);
    let second = Arc::new(blocking(move || copied.standby()).await);
    let is_synchronous = replication == Replication::Synchronous;
    if is_synchronous {
        first.set("synchronous_standby_names", "*");
    }
    let address = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=tester dbname=postgres target_session_attrs=read-write",
        first.port(),
        second.port()
    );
    let mut arena = Arena::new(settings.program.clone(), first.config(), address).await;
    let _workers: Vec<Worker> = (0..2).map(|_| arena.start_worker()).collect();
    let producing = arena.produce(Load::default(), settings.seed);
    pause(800).await;
    if is_synchronous {
        let client = arena.connect().await;
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        let row = client.query_one(sql, &[]).await.expect("the server is up");
        report.fire("synchronous standbys", row.get::<_, i64>(0).unsigned_abs());
    } else {
        // It is cut off, so that what is acknowledged from now on is on the first server only.
        let client = second.connect().await;
        for alone in [
            "ALTER SYSTEM SET primary_conninfo = ''",
            "SELECT pg_reload_conf()",
        ] {
            let done = client.batch_execute(alone).await;
            done.expect("a standby takes settings");
        }
        pause(600).await;
    }
    let tally = producing.tally();
    let before = tally.of("acknowledged");
    let harm = Record::Harmed {
        what: "crash of the first server".to_owned(),
    };
    arena.ledger.write(&harm);
    let crashing = Arc::clone(&first);
    let crashed = blocking(move || crashing.stop(Stop::Immediate)).await;
    let promoting = Arc::clone(&second);
    let promoted = blocking(move || promoting.promote()).await;
    report.fire("crashes", u64::from(crashed));
    report.fire("promotions", u64::from(promoted));
    arena.direct = second.config();
    for _ in 0..200 {
        pause(50).await;
        if tally.of("acknowledged") > before + 100 {
            break;
        }
    }
    report.fire("events acknowledged before", before);
    report.fire(
        "events acknowledged after",
        tally.of("acknowledged") - before,
    );
    let tally = producing.stop().await;
    let verdict = arena.judge().await;
    report.fire("calls of workers failed", arena.failures(None) as u64);
    report.fire("attempts of producers failed", tally.failed());
    report.end(tally, verdict)
}
