//! The worker: a store, and a processor that delivers to both receivers. Start as many as you like,
//! on any machine.

use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_runtime::prelude::*;
use outbox_runtime::{BuildError, RetryPolicy};

use super::{Broker, BrokerEvent, PartnerEvent, PartnerSync};

/// The delays between the attempts of an event that is at fault. [`WINDOW`](super::WINDOW) is above
/// the longest.
pub const RETRIES: &[Duration] = &[
    Duration::from_millis(500),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
];

/// A short lease, so that the events of a killed worker soon go to another.
pub const LEASE: Duration = Duration::from_secs(4);
/// The longest attempt. Longer than the timeouts of the clients, which know better what happened.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A processor that delivers to the partner and, if there is one, to the broker. Without one, the
/// events for it wait.
///
/// # Errors
///
/// [`BuildError`], if the settings contradict each other.
pub fn processor(
    store: &PostgresStore,
    partner: PartnerSync,
    broker: Option<Broker>,
    concurrency: usize,
) -> Result<Processor, BuildError> {
    let mut builder = Processor::builder(store.clone())
        .handlers(PartnerEvent::handled_by(partner))
        .max_concurrency(concurrency)
        .retry(RetryPolicy::new(RETRIES))
        .lease(LEASE)
        .timeout(TIMEOUT);
    if let Some(broker) = broker {
        builder = builder.handlers(BrokerEvent::handled_by(broker));
    }
    builder.build()
}

/// Delivers until `stop` resolves. Attempts under way are finished then.
///
/// # Errors
///
/// If the database, the broker or the settings are unusable.
pub async fn work(
    database: &str,
    partner: &str,
    broker: Option<&str>,
    concurrency: usize,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let store = PostgresStore::builder()
        .application_name("shop worker")
        .connect(database)
        .await?;
    let partner = PartnerSync::new(partner, store.clock())?;
    let broker = match broker {
        Some(url) => Some(Broker::connect(url, store.clock()).await?),
        None => None,
    };
    let running = processor(&store, partner, broker, concurrency)?.start_all_users();
    println!("ready");
    stop.await;
    running.stop().await?;
    Ok(())
}
