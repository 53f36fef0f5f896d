//! A service with tenants: an id has two parts, and the session says whose change it is.
use outbox_runtime::prelude::*;

#[derive(Clone, EntityId)]
struct TenantId(String);

#[derive(OutboxEntity)]
#[outbox(event_type = "invoice", entity_id = (self.tenant, self.number))]
struct Invoice {
    tenant: TenantId,
    number: u32,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "price", user_id = "shop")]
struct Price {
    #[outbox(entity_id)]
    sku: &'static str,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = SqliteStore::open_in_memory().await?;
    for (name, number) in [("acme", 7), ("a:b", 7)] {
        let tenant = TenantId(name.into());
        let invoice = Invoice { tenant, number };
        let user = &invoice.tenant;
        invoice.enqueue_create().for_user(user).on(&store).await?;
    }
    Price { sku: "TEA" }.enqueue_update().on(&store).await?;
    let mut ids = Vec::new();
    for event in store.fetch_pending_events(None, None).await? {
        ids.push(format!("{} of {}", event.entity_id, event.user_id));
    }
    println!("{ids:?}");
    anyhow::ensure!(ids == ["acme:7 of acme", "a%3Ab:7 of a:b", "TEA of shop"]);
    Ok(())
}
