//! The process under test: delivers to its ledger until it is killed.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_crash::plan::Completes;
use outbox_postgres::PostgresStore;
use outbox_runtime::prelude::*;
use outbox_runtime::store::{ClaimRequest, Disposition, OutboxQueue, Settlement};
use outbox_runtime::{Charge, Rejections, RetryPolicy};
use outbox_testing::SeededRng;
use serde::{Deserialize, Serialize};

use super::completing::RemoteIds;
use super::ledger::{Ledger, Record, now};
use super::pause;
use super::watched::Watched;

/// Environment variable that makes a process a worker; it holds the [`Plan`] as JSON.
pub const PLAN: &str = "OUTBOX_POSTGRES_CHAOS_WORKER";

/// A worker's settings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Where the server is, as `host=.. port=..`.
    pub address: String,
    /// Schema of the outbox.
    pub schema: String,
    /// Path of the ledger.
    pub ledger: PathBuf,
    /// Seed of its handlers.
    pub seed: u64,
    /// Duration of a lease, in milliseconds.
    pub lease: u64,
    /// A delivery takes up to this long, in milliseconds.
    pub slowest: u64,
    /// The broken variant: acknowledges events before it delivers them.
    pub acknowledges_early: bool,
    /// How handlers complete their events.
    pub completes: Completes,
}

/// The entity: a number that counts up in each lane.
#[derive(Debug, Clone, OutboxEntity)]
#[outbox(event_type = "task")]
pub struct Task {
    /// Its lane.
    #[outbox(entity_id)]
    pub lane: i64,
    /// Owner of the lane.
    #[outbox(user_id)]
    pub user: String,
    /// Its content.
    #[outbox(metadata)]
    pub number: i64,
}

impl Task {
    /// A task of the lane's user.
    #[must_use]
    pub fn new(lane: i64, number: i64) -> Self {
        let user = format!("u{}", lane % 3);
        Self { lane, user, number }
    }
}

/// Runs a worker if this process is meant to be one.
#[must_use]
pub fn main() -> Option<ExitCode> {
    let plan = std::env::var(PLAN).ok()?;
    let plan: Plan = serde_json::from_str(&plan).expect("the plan, as JSON");
    // The supervisor holds the other end: no worker outlives its test.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(work(plan));
    Some(ExitCode::SUCCESS)
}

async fn work(plan: Plan) {
    let ledger = Arc::new(Ledger::open(&plan.ledger));
    let process = std::process::id();
    let store = loop {
        let builder = PostgresStore::builder().schema(&plan.schema).pool_size(3);
        let opened = builder
            .application_name(format!("{}-worker", plan.schema))
            .connect(&plan.address)
            .await;
        match opened {
            Ok(store) => break store,
            Err(error) => ledger.write(&Record::Failed {
                call: "open".to_owned(),
                kind: format!("{:?}", error.kind()),
                unknown: error.outcome_unknown(),
                text: error.to_string(),
                process,
            }),
        }
        pause(50).await;
    };
    ledger.write(&Record::Opened { process });
    if plan.acknowledges_early {
        return deliver_too_late(&store, &ledger, &plan).await;
    }
    let handler = Handler {
        rng: Arc::new(Mutex::new(SeededRng::new(plan.seed))),
        ledger: Arc::clone(&ledger),
        slowest: plan.slowest,
        remote_ids: match plan.completes {
            Completes::ByAnswer => None,
            completes => Some(Arc::new(RemoteIds::new(&plan, completes))),
        },
    };
    let processor = Processor::builder(Watched::new(store, ledger))
        .handle::<Task>(move |event| {
            let handler = handler.clone();
            async move { handler.deliver(event).await }
        })
        .lease(Duration::from_millis(plan.lease))
        .timeout(Duration::from_millis(plan.lease * 9 / 10))
        .max_concurrency(8)
        // Failures are part of the load, not of an outage.
        .charge(Charge::Always)
        .rejections(Rejections::Always)
        .retry(RetryPolicy::new([
            Duration::from_millis(5),
            Duration::from_millis(20),
        ]))
        .build()
        .expect("the plan's settings are valid");
    let _running = processor.start_all_users();
    std::future::pending::<()>().await;
}

#[derive(Debug, Clone)]
struct Handler {
    rng: Arc<Mutex<SeededRng>>,
    ledger: Arc<Ledger>,
    slowest: u64,
    /// For handlers that complete their events.
    remote_ids: Option<Arc<RemoteIds>>,
}

impl Handler {
    async fn deliver(&self, event: Event<Task>) -> Result<(), HandlerError> {
        let process = std::process::id();
        let lane = event.entity_id.as_integer().expect("an integer");
        self.ledger.write(&Record::Started {
            event: event.id,
            lane,
            number: event.metadata().number,
            process,
            at: now(),
        });
        let (nap, ok) = {
            let mut rng = self.rng.lock().expect("nothing panics with it");
            (rng.below(self.slowest + 1), !rng.chance(30))
        };
        if let Some(remote_ids) = &self.remote_ids {
            return remote_ids.deliver(&event, &self.ledger, nap, ok).await;
        }
        if nap > 0 {
            pause(nap).await;
        }
        self.ledger.write(&Record::Answered {
            event: event.id,
            ok,
            process,
        });
        match ok {
            true => Ok(()),
            false => Err(HandlerError::retry("as planned")),
        }
    }
}

/// What no worker may do: a death in between loses the event.
async fn deliver_too_late(store: &PostgresStore, ledger: &Ledger, plan: &Plan) {
    let process = std::process::id();
    let request = ClaimRequest::new(10, Duration::from_millis(plan.lease));
    loop {
        let claims = store.claim(&request).await.unwrap_or_default();
        let done = claims.iter().map(|claim| Settlement {
            lease: claim.lease,
            disposition: Disposition::Complete,
        });
        let settled = store.settle(done.collect()).await;
        pause(plan.slowest).await;
        for claim in claims.iter().filter(|_| settled.is_ok()) {
            let event = claim.event.id;
            ledger.write(&Record::Started {
                event,
                lane: claim.event.entity_id.as_integer().expect("an integer"),
                number: 0,
                process,
                at: now(),
            });
            ledger.write(&Record::Answered {
                event,
                ok: true,
                process,
            });
        }
    }
}
