//! The one command: starts everything, places orders, kills a worker half way, and compares the
//! database with what the partner and the stream hold.

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres_tests::Server;
use outbox_runtime::Clock;
use outbox_runtime::prelude::*;
use outbox_runtime::store::SystemClock;
use tokio::sync::watch;

use self::child::Child;
use self::evidence::Evidence;
use self::load::Load;
use crate::domain::Shop;
use crate::outbox::BrokerEvent;
use crate::partner::{Faults, Partner};

mod child; // processes of this program
mod database; // the database
mod evidence; // what each side holds
mod kill; // killing a worker
mod load; // clients
mod nats; // the broker's server
mod report; // the text
mod verdict; // the comparison

pub use self::database::create_database;
pub use self::nats::NatsServer;
pub use self::report::Report;

/// How long the deliveries may take after the last order.
const PATIENCE: Duration = Duration::from_secs(60);
/// The places for deliveries of each worker. Few, so that a backlog builds up.
const CONCURRENCY: usize = 4;
/// The goods on sale: SKU, price and stock. The stock of the last one does not suffice.
const STOCK: [(&str, i64, i64); 8] = [
    ("CUP-RED", 1_190, 5_000),
    ("CUP-BLUE", 1_190, 5_000),
    ("KETTLE", 4_900, 5_000),
    ("TEA-ASSAM", 890, 5_000),
    ("TEA-SENCHA", 1_250, 5_000),
    ("SPOON", 350, 5_000),
    ("HONEY", 720, 5_000),
    ("POT-RARE", 15_900, 40),
];

/// The settings of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// How many orders clients want to place.
    pub orders: u32,
    /// How many worker processes there are, at least one.
    pub workers: usize,
    /// What orders, hang-ups and faults follow from.
    pub seed: u64,
}

impl Settings {
    /// The settings of a run with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            orders: 600,
            workers: 3,
            seed,
        }
    }
}

/// Runs the whole demonstration, and ends everything that it started.
///
/// # Errors
///
/// If something cannot be started or ends early, so that there is nothing to compare.
pub async fn run(settings: &Settings) -> anyhow::Result<Report> {
    // Ends with this value; and, should this process be killed, with it.
    let server = tokio::task::spawn_blocking(Server::start).await?;
    let Some(server) = server else {
        anyhow::bail!("PostgreSQL is not installed (Debian: apt-get install postgresql)");
    };
    // Without one, the events for it wait.
    let broker = NatsServer::start().await?;
    let database = create_database(&server, "shop").await?;
    let shop = Shop::new(&database, 4)?;
    shop.migrate().await?;
    // Creates the outbox, which the service needs before any worker is there.
    let store = PostgresStore::builder()
        .pool_size(2)
        .connect(&database)
        .await?;
    for (sku, unit_cents, available) in STOCK {
        shop.add_stock(sku, unit_cents, available).await?;
    }

    let partner = Partner::start(0, Faults::seeded(settings.seed)).await?;
    let (service, url) = Child::start("service", &["serve", "--database", &database]).await?;
    let mut work = vec!["work", "--database", &*database];
    let partner_url = partner.url();
    let concurrency = CONCURRENCY.to_string();
    work.extend(["--partner", &*partner_url, "--concurrency", &*concurrency]);
    if let Some(broker) = &broker {
        work.extend(["--broker", broker.url()]);
    }
    let mut workers = Vec::new();
    for number in 1..=settings.workers.max(1) {
        workers.push(Child::start(&format!("worker {number}"), &work).await?.0);
    }
    let broker_too = if broker.is_some() {
        " nats-server,"
    } else {
        ""
    };
    let count = workers.len();
    println!("started: PostgreSQL,{broker_too} the partner, the service, {count} workers\n");

    let load = Load::new(&url, settings.seed, settings.orders)?;
    let (done, mut progress) = watch::channel(0);
    let half_way = async {
        let half = settings.orders / 2;
        progress.wait_for(|done| *done >= half).await?;
        let so_far = || *done.borrow();
        kill::one(&store, &mut workers, &work, so_far).await
    };
    let skus = STOCK.map(|(sku, ..)| sku);
    let (counts, killed) = tokio::try_join!(load.run(&skus, &done), half_way)?;

    let delivered_after = delivered(&store, broker.is_some()).await?;
    for worker in workers {
        worker.stop().await?;
    }
    service.stop().await?;
    let connection = shop.connection().await?;
    let broker_url = broker.as_ref().map(NatsServer::url);
    let evidence = Evidence::collect(&connection, &store, partner.ledger(), broker_url).await?;
    partner.stop().await?;
    if let Some(broker) = broker {
        broker.stop().await?;
    }
    Ok(Report::new(evidence, counts, killed, delivered_after))
}

/// Waits until everything is delivered, and tells how long that took; `None` if it took too long,
/// so that the comparison shows what is missing.
async fn delivered(store: &PostgresStore, has_broker: bool) -> anyhow::Result<Option<Duration>> {
    // Without a broker, nobody claims its events: their number is steady.
    let waiting = store.fetch_pending_events(None, None).await?;
    let for_broker = |event_type: &str| BrokerEvent::EVENT_TYPES.contains(&event_type);
    let waiting = waiting.iter().filter(|event| for_broker(&event.event_type));
    let expected = if has_broker {
        0
    } else {
        waiting.count() as u64
    };
    let began = SystemClock.uptime();
    loop {
        if store.statistics(None).await?.undelivered() <= expected {
            return Ok(Some(SystemClock.uptime() - began));
        }
        if SystemClock.uptime() - began > PATIENCE {
            return Ok(None);
        }
        SystemClock.sleep(Duration::from_millis(50)).await;
    }
}
