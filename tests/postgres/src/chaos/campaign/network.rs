//! Connections that are cut, half closed, slow, and that lose the answers of commits.

use std::sync::atomic::Ordering;

use outbox_testing::SeededRng;

use super::{Report, Settings};
use crate::Server;
use crate::chaos::arena::{Arena, Worker};
use crate::chaos::pause;
use crate::chaos::producers::Load;
use crate::chaos::proxy::{Harm, Proxy};

/// Does harm to the connections of workers and producers, which all go through one proxy.
pub async fn faults(server: &Server, settings: &Settings) -> Report {
    let mut report = Report::begin("network faults", settings);
    let mut rng = SeededRng::new(settings.seed);
    let proxy = Proxy::before(server.port()).await;
    let mut arena = Arena::new(settings.program.clone(), server.config(), proxy.address()).await;
    let _workers: Vec<Worker> = (0..3).map(|_| arena.start_worker()).collect();
    let producing = arena.produce(Load::default(), settings.seed);
    pause(300).await;
    for nth in 0..settings.count {
        pause(100 + rng.below(300)).await;
        match nth % 6 {
            0 => proxy.harm(Harm::Cut),
            1 => proxy.harm(Harm::CloseToClient),
            2 => proxy.harm(Harm::CloseToServer),
            3 => proxy.harm(Harm::Stall(100 + rng.below(400))),
            4 => {
                proxy.delay(1 + rng.below(15));
                pause(300).await;
                proxy.delay(0);
            }
            _ => proxy.lose_answers(6),
        }
    }
    pause(500).await;
    let tally = producing.stop().await;
    let verdict = arena.judge().await;
    let struck = proxy.struck();
    let count = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::SeqCst);
    report.fire("connections cut", count(&struck.cut));
    report.fire("connections half closed", count(&struck.half_closed));
    report.fire("connections stalled", count(&struck.stalled));
    report.fire("chunks delayed", count(&struck.delayed));
    report.fire("commits without an answer", count(&struck.unanswered));
    report.fire("events enqueued again and found", tally.of("recovered"));
    report.fire("calls of workers failed", arena.failures(None) as u64);
    report.end(tally, verdict)
}
