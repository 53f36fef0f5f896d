//! Sessions that are ended, statements that take too long, and transactions that cannot be
//! serialized.

use std::sync::Arc;

use outbox_postgres::tokio_postgres::IsolationLevel;
use outbox_testing::SeededRng;

use super::servers::blocking;
use super::{Report, Settings};
use crate::Server;
use crate::chaos::arena::{Arena, Worker};
use crate::chaos::pause;
use crate::chaos::producers::Load;

/// The statements that only the sessions of listeners run.
const LISTENS: &str = "LISTEN|advisory_lock_shared|advisory_unlock_all|RowExclusiveLock";

/// Ends sessions of workers, their listeners, and producers, one at a time.
pub async fn terminations(server: &Server, settings: &Settings) -> Report {
    let mut report = Report::begin("terminations", settings);
    let mut rng = SeededRng::new(settings.seed);
    let mut arena = Arena::new(settings.program.clone(), server.config(), server.address()).await;
    let _workers: Vec<Worker> = (0..3).map(|_| arena.start_worker()).collect();
    // Workers fall asleep in between, so that their listeners are at work.
    let load = Load {
        pause: 200,
        ..Load::default()
    };
    let producing = arena.produce(load, settings.seed);
    let tally = producing.tally();
    let client = arena.connect().await;
    // A session that has just begun has no state.
    let select = format!(
        "SELECT pg_terminate_backend(pid), is_busy
        FROM (SELECT pid, coalesce(state <> 'idle', true) AS is_busy FROM pg_stat_activity
            WHERE application_name = $1 AND (query ~ '{LISTENS}') = $2
            ORDER BY 2 DESC, hashint8extended(pid, $3) LIMIT 1) s"
    );
    pause(300).await;
    let kinds = [("worker", false), ("worker", true), ("producer", false)];
    let (mut ended, mut busy) = ([0; 3], 0);
    let mut misses = 0;
    // On until some session was ended in the middle of an attempt: most of them are idle.
    let most = settings.count * 20;
    while (ended.iter().sum::<u64>() < settings.count || tally.failed() == 0)
        && ended.iter().sum::<u64>() + misses < most
    {
        pause(rng.below(120)).await;
        let nth = usize::try_from(rng.below(3)).unwrap();
        let (name, listens) = kinds[nth];
        let name = format!("{}-{name}", arena.schema);
        let seed = rng.word().cast_signed();
        let row = client.query_opt(&select, &[&name, &listens, &seed]).await;
        match row.expect("this session is not ended") {
            Some(row) if row.get(0) => {
                ended[nth] += 1;
                busy += u64::from(row.get::<_, bool>(1));
            }
            _ => misses += 1,
        }
    }
    pause(500).await;
    let tally = producing.stop().await;
    let verdict = arena.judge().await;
    report.fire("sessions of workers ended", ended[0]);
    report.fire("listeners ended", ended[1]);
    report.fire("sessions of producers ended", ended[2]);
    report.fire("of all in a statement or transaction", busy);
    report.fire(
        "57P01 in calls of workers",
        arena.failures(Some("57P01")) as u64,
    );
    report.fire("calls of workers failed", arena.failures(None) as u64);
    report.fire("attempts of producers failed", tally.failed());
    report.end(tally, verdict)
}

/// Texts of the server's log.
const CANCELLED: &str = "canceling statement due to statement timeout";
const IDLE_IN_TRANSACTION: &str = "due to idle-in-transaction timeout";

/// Statements that wait too long, sessions that are idle too long, and transactions that are.
pub async fn timeouts(settings: &Settings) -> Report {
    let mut report = Report::begin("timeouts", settings);
    let mut rng = SeededRng::new(settings.seed);
    let server = Arc::new(blocking(Server::required).await);
    let mut arena = Arena::new(settings.program.clone(), server.config(), server.address()).await;
    let setting = "ALTER DATABASE postgres SET statement_timeout = '100ms';
        ALTER DATABASE postgres SET idle_in_transaction_session_timeout = '60ms';
        ALTER DATABASE postgres SET idle_session_timeout = '150ms'";
    let mut client = arena.connect().await;
    client
        .batch_execute(setting)
        .await
        .expect("the supervisor may set them");
    let _workers: Vec<Worker> = (0..2).map(|_| arena.start_worker()).collect();
    let load = Load {
        nap: 200,
        naps: 4,
        pause: 60,
        ..Load::default()
    };
    let producing = arena.produce(load, settings.seed);
    let tally = producing.tally();
    pause(300).await;
    let logged = |text: &str| server.log().matches(text).count() as u64;
    let mut locks = 0;
    // On until each limit has ended something: which one ends what is a matter of moments.
    while locks < settings.count
        || locks < settings.count * 10
            && (logged(CANCELLED) < settings.count
                || logged(IDLE_IN_TRANSACTION) == 0
                || arena.failures(Some("57014")) == 0
                || tally.failed() == 0)
    {
        locks += 1;
        pause(200 + rng.below(300)).await;
        // Nothing can be read or written meanwhile.
        let tx = client.transaction().await.expect("this session is older");
        let lock = format!(
            "LOCK TABLE {}.events IN ACCESS EXCLUSIVE MODE",
            arena.schema
        );
        tx.batch_execute(&lock).await.expect("it waits its turn");
        pause(150 + rng.below(150)).await;
        tx.commit().await.expect("this session is older");
    }
    let tally = producing.stop().await;
    // Workers that have nothing left to do are idle until their sessions end.
    pause(600).await;
    let verdict = arena.judge().await;
    report.fire("locks of the table", locks);
    report.fire("statements cancelled", logged(CANCELLED));
    report.fire("idle sessions ended", logged("due to idle-session timeout"));
    report.fire("idle transactions ended", logged(IDLE_IN_TRANSACTION));
    report.fire(
        "57014 in calls of workers",
        arena.failures(Some("57014")) as u64,
    );
    report.fire("attempts of producers failed", tally.failed());
    report.end(tally, verdict)
}

/// Transactions of producers at a level at which they fail when they meet, with events that fold.
pub async fn serialization(server: &Server, level: IsolationLevel, settings: &Settings) -> Report {
    let mut report = Report::begin("serialization failures", settings);
    let mut arena = Arena::new(settings.program.clone(), server.config(), server.address()).await;
    let _workers: Vec<Worker> = (0..2).map(|_| arena.start_worker()).collect();
    let load = Load {
        level,
        folding: 4,
        of_store: 2,
        pause: 5,
        ..Load::default()
    };
    let producing = arena.produce(load, settings.seed);
    let tally = producing.tally();
    // Until they have met often enough, for ten seconds at most.
    for _ in 0..100 {
        pause(100).await;
        if tally.of("SQLSTATE 40001") >= settings.count && tally.of("folded") > 0 {
            break;
        }
    }
    let tally = producing.stop().await;
    let verdict = arena.judge().await;
    report.fire(
        "serialization failures",
        tally.of("SQLSTATE 40001") + tally.of("StaleTransaction"),
    );
    report.fire("folds", tally.of("folded"));
    report.end(tally, verdict)
}
