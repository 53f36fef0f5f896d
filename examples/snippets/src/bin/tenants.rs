//! A service with tenants: an id has several parts, and the session says whose change it is.
use anyhow::ensure;
use outbox_runtime::{Processor, prelude::*};

#[derive(Clone, EntityId)]
struct TenantId(String);

#[derive(OutboxEntity)]
#[outbox(event_type = "invoice", entity_id = (self.tenant, self.number))]
struct Invoice {
    tenant: TenantId,
    number: u32,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "price", user_id = "shop", entity_id = self.sku.to_lowercase())]
struct Price {
    sku: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    let invoice = |tenant: &str| Invoice {
        tenant: TenantId(tenant.into()),
        number: 7,
    };
    for tenant in ["acme", "a:b"] {
        let invoice = invoice(tenant);
        invoice
            .enqueue_create()
            .for_user(&invoice.tenant)
            .on(&store)
            .await?;
    }
    Price { sku: "TEA".into() }
        .enqueue_update()
        .on(&store)
        .await?;
    let stored = store.fetch_pending_events(None, None).await?;
    let ids: Vec<_> = stored
        .iter()
        .map(|it| (&*it.user_id, it.entity_id.to_string()))
        .collect();
    println!("{ids:?}");
    ensure!(ids[1] == ("a:b", "a%3Ab:7".into()) && ids[2] == ("shop", "tea".into()));
    let processor =
        Processor::builder(store).handle::<Invoice>(|event: Event<Invoice>| async move {
            println!(
                "invoice {} of {}",
                event.entity_id.parts()[1],
                event.user_id
            );
            Ok(())
        });
    let running = processor.build()?.start("acme");
    let flushed = running
        .flush(("acme", 7), std::time::Duration::from_secs(5))
        .await?;
    ensure!(flushed.is_delivered(), "{flushed:?}");
    Ok(running.stop().await.map(drop)?)
}
