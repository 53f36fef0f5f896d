//! A server that crashes and recovers.

use std::collections::HashSet;
use std::sync::Arc;

use outbox_testing::SeededRng;
use uuid::Uuid;

use super::{Report, Settings};
use crate::chaos::arena::{Arena, Worker};
use crate::chaos::ledger::Record;
use crate::chaos::pause;
use crate::chaos::producers::Load;
use crate::{Server, Stop};

/// Runs something that waits for a process, beside everything else.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .expect("the work does not panic")
}

/// How many events were leased and not acknowledged when harm was done, over all occasions.
fn leases_at_harm(records: &[Record]) -> u64 {
    let mut held: HashSet<Uuid> = HashSet::new();
    let mut total = 0;
    for record in records {
        match record {
            Record::Claimed { events, .. } => held.extend(events),
            Record::Settled { event, .. }
            | Record::Answered {
                event, ok: false, ..
            } => {
                held.remove(event);
            }
            Record::Harmed { .. } => total += held.len() as u64,
            _ => {}
        }
    }
    total
}

/// Stops the server as a crash does, and starts it again.
pub async fn restarts(settings: &Settings) -> Report {
    let mut report = Report::begin("immediate restarts", settings);
    let mut rng = SeededRng::new(settings.seed);
    let server = Arc::new(blocking(Server::required).await);
    let mut arena = Arena::new(settings.program.clone(), server.config(), server.address()).await;
    let _workers: Vec<Worker> = (0..3).map(|_| arena.start_worker()).collect();
    let producing = arena.produce(Load::default(), settings.seed);
    let (mut stopped, mut started) = (0, 0);
    for _ in 0..settings.count {
        pause(300 + rng.below(700)).await;
        let harm = Record::Harmed {
            what: "stop -m immediate".to_owned(),
        };
        arena.ledger.write(&harm);
        let stopping = Arc::clone(&server);
        stopped += u64::from(blocking(move || stopping.stop(Stop::Immediate)).await);
        pause(rng.below(300)).await;
        let starting = Arc::clone(&server);
        started += u64::from(blocking(move || starting.start_again()).await);
    }
    pause(500).await;
    let tally = producing.stop().await;
    let verdict = arena.judge().await;
    let recoveries = server
        .log()
        .matches("database system was not properly shut down")
        .count();
    report.fire("immediate stops", stopped);
    report.fire("starts", started);
    report.fire("recoveries in the server's log", recoveries as u64);
    report.fire("leases open at the stops", leases_at_harm(&arena.records()));
    report.fire("calls of workers failed", arena.failures(None) as u64);
    report.fire("attempts of producers failed", tally.failed());
    report.end(tally, verdict)
}
