//! Databases, shops and workers for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use outbox_postgres::PostgresStore;
use outbox_postgres_tests::{Server, soon};
use outbox_runtime::OutboxEvent;
use outbox_runtime::prelude::*;
use outbox_runtime::store::SystemClock;
use shop::demo::create_database;
use shop::domain::{Customer, NewLine, NewOrder, Shop};
use shop::outbox::PartnerSync;
use uuid::Uuid;

/// A shop with goods and a customer, in a database of its own.
pub(crate) struct Scene {
    pub(crate) shop: Shop,
    pub(crate) store: PostgresStore,
    pub(crate) customer: Customer,
}

impl Scene {
    /// 10 units of `TEA` at 10.00 and 10 of `POT` at 50.00.
    pub(crate) async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("shop{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let url = create_database(Server::shared(), &name).await.unwrap();
        let shop = Shop::new(&url, 4).unwrap();
        shop.migrate().await.unwrap();
        let builder = PostgresStore::builder().pool_size(3);
        let store = builder.connect(&url).await.unwrap();
        shop.add_stock("TEA", 1_000, 10).await.unwrap();
        shop.add_stock("POT", 5_000, 10).await.unwrap();
        let customer = shop.add_customer("Ada").await.unwrap();
        Self {
            shop,
            store,
            customer,
        }
    }

    pub(crate) fn order(&self, lines: &[(&str, i64)]) -> NewOrder {
        let line = |(sku, quantity): &(&str, i64)| NewLine {
            sku: (*sku).to_owned(),
            quantity: *quantity,
        };
        NewOrder {
            id: Uuid::now_v7(),
            customer_id: self.customer.id,
            lines: lines.iter().map(line).collect(),
        }
    }

    /// The waiting events: type, operation, and how often there is one.
    pub(crate) async fn waiting(&self) -> Vec<(String, Operation)> {
        let waiting = self.store.fetch_pending_events(None, None).await.unwrap();
        let mut waiting: Vec<_> = waiting
            .into_iter()
            .map(|event| (event.event_type, event.operation))
            .collect();
        waiting.sort_by_key(|(event_type, _)| event_type.clone());
        waiting
    }

    /// Waits for a condition of the outbox.
    pub(crate) async fn until(&self, what: &str, is_met: impl Fn(&OutboxStatistics) -> bool) {
        soon(what, async {
            while !is_met(&self.store.statistics(None).await.unwrap()) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

/// The handlers for a partner at this address.
pub(crate) fn sync(url: &str) -> PartnerSync {
    PartnerSync::new(url, Arc::new(SystemClock)).unwrap()
}

/// An event as a handler gets it.
pub(crate) async fn event<E: OutboxEntity>(change: Enqueue) -> Event<E> {
    let new = change.into_event().unwrap();
    let stored: OutboxEvent = MemoryStore::new().create_event(new).await.unwrap();
    Event::decode(stored).unwrap()
}
