//! Workers that are killed at random moments, and workers that stand still past their leases.

use outbox_testing::SeededRng;

use super::{Report, Settings};
use crate::Server;
use crate::chaos::arena::{Arena, Worker};
use crate::chaos::ledger::Record;
use crate::chaos::pause;
use crate::chaos::producers::Load;
use crate::chaos::worker::Plan;

async fn arena(server: &Server, settings: &Settings) -> Arena {
    let address = server.address();
    Arena::new(settings.program.clone(), server.config(), address).await
}

/// Kills one of three workers at a time, and replaces it.
pub async fn kills(server: &Server, settings: &Settings) -> Report {
    let mut report = Report::begin("kills", settings);
    let mut rng = SeededRng::new(settings.seed);
    let mut arena = arena(server, settings).await;
    let mut workers: Vec<Worker> = (0..3).map(|_| arena.start_worker()).collect();
    let producing = arena.produce(Load::default(), settings.seed);
    for _ in 0..settings.count {
        pause(50 + rng.below(250)).await;
        let nth = usize::try_from(rng.below(workers.len() as u64)).unwrap();
        arena.kill(workers.swap_remove(nth));
        workers.push(arena.start_worker());
    }
    let tally = producing.stop().await;
    let verdict = arena.judge().await;
    let opened = arena
        .records()
        .iter()
        .filter(|record| matches!(record, Record::Opened { .. }))
        .count();
    report.fire("workers killed", settings.count);
    report.fire("of them with leases", verdict.struck as u64);
    report.fire("workers at work", opened as u64);
    report.end(tally, verdict)
}

/// Kills workers that acknowledge events before they deliver them, in between: the checker must
/// find what their deaths lose.
pub async fn kills_of_broken_workers(server: &Server, settings: &Settings) -> Report {
    let mut report = Report::begin("kills of broken workers", settings);
    let mut arena = arena(server, settings).await;
    let producing = arena.produce(Load::default(), settings.seed);
    let client = arena.connect().await;
    let completed = format!(
        "SELECT count(*) FROM {}.events WHERE status = 'c'",
        arena.schema
    );
    for _ in 0..settings.count {
        let plan = Plan {
            acknowledges_early: true,
            slowest: 300,
            ..arena.plan()
        };
        let row = client.query_one(&completed, &[]).await;
        let before: i64 = row.expect("the server is up").get(0);
        let worker = arena.start_with(&plan);
        for _ in 0..1_000 {
            pause(10).await;
            let row = client.query_one(&completed, &[]).await;
            if row.expect("the server is up").get::<_, i64>(0) > before {
                break;
            }
        }
        arena.kill(worker);
    }
    let tally = producing.stop().await;
    let _worker = arena.start_worker();
    let verdict = arena.judge().await;
    report.fire("workers killed", settings.count);
    report.end(tally, verdict)
}

/// Lets one of three workers stand still until its leases have run out, and go on.
pub async fn freezes(server: &Server, settings: &Settings) -> Report {
    let mut report = Report::begin("freezes", settings);
    let mut rng = SeededRng::new(settings.seed);
    let mut arena = arena(server, settings).await;
    arena.slowest = 40;
    let workers: Vec<Worker> = (0..3).map(|_| arena.start_worker()).collect();
    let load = Load {
        // Enough that every worker holds some at any moment.
        pause: 15,
        ..Load::default()
    };
    let producing = arena.produce(load, settings.seed);
    pause(500).await;
    for _ in 0..settings.count {
        let worker = rng.pick(&workers);
        arena.freeze(worker, true);
        pause(arena.lease * 3 / 2 + rng.below(300)).await;
        arena.freeze(worker, false);
        pause(300 + rng.below(200)).await;
    }
    let tally = producing.stop().await;
    let verdict = arena.judge().await;
    report.fire("workers frozen past their leases", settings.count);
    report.fire("of them with leases", verdict.struck as u64);
    report.fire("leases lost to others", verdict.fenced as u64);
    report.end(tally, verdict)
}
