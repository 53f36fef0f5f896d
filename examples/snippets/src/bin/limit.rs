//! A partner allows two calls at once and ten a second: who keeps the others waiting?
use outbox_runtime::{Clock as _, prelude::*, store::SystemClock};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

#[derive(OutboxEntity)]
#[outbox(event_type = "order", destination = "partner.example.com")]
struct Order {
    #[outbox(entity_id)]
    id: u32,
    #[outbox(user_id)]
    user: u32,
}
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = MemoryStore::new();
    for id in 0..12 {
        Order { id, user: 1 }.enqueue_create().on(&store).await?;
    }
    let builder = Processor::builder(store).handle::<Order>(|_| async {
        MOST.fetch_max(UNDER_WAY.fetch_add(1, SeqCst) + 1, SeqCst);
        SystemClock.sleep(Duration::from_millis(150)).await;
        UNDER_WAY.fetch_sub(1, SeqCst);
        Ok(())
    });
    let builder = builder.max_concurrency(32).limit("partner.example.com", 2);
    let builder = builder.pace("partner.example.com", Pace::per_second(10));
    let began = SystemClock.uptime();
    let running = builder.build()?.start("1");
    println!("{}", running.explain(11).await?); // it waits in the store
    for id in 0..12 {
        let flushed = running.flush(id, Duration::from_secs(9)).await?;
        anyhow::ensure!(flushed.is_delivered());
    }
    let took = SystemClock.uptime() - began;
    anyhow::ensure!(MOST.load(SeqCst) == 2 && took > Duration::from_secs(1));
    Ok(running.stop().await.map(drop)?)
}
