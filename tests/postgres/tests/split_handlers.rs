//! Processes that handle different event types, whose events wait for each other.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::sync::Arc;
use std::time::Duration;

use outbox_postgres::PostgresStore;
use outbox_postgres_tests::{new_schema, open_in, soon};
use outbox_runtime::prelude::*;
use outbox_runtime::store::{ClaimRequest, SystemClock};
use outbox_runtime::{Clock, NewEvent, Running};
use tokio::sync::Semaphore;

#[derive(OutboxEntity)]
#[outbox(event_type = "order")]
struct Order {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

#[derive(OutboxEntity)]
#[outbox(event_type = "invoice")]
struct Invoice {
    #[outbox(entity_id)]
    id: i64,
    #[outbox(user_id)]
    user_id: String,
}

/// Longer than any of these tests waits: the end of a lease helps nobody.
const LEASE: Duration = Duration::from_secs(600);

/// Long enough for a worker to look and to fall asleep.
const ASLEEP: Duration = Duration::from_millis(500);

/// Starts a run that delivers as many orders as there are permits.
fn start_orders(store: &PostgresStore, permits: &Arc<Semaphore>) -> Running {
    let permits = Arc::clone(permits);
    Processor::builder(store.clone())
        .handle::<Order>(move |_| {
            let permits = Arc::clone(&permits);
            async move {
                permits.acquire().await.unwrap().forget();
                Ok(())
            }
        })
        .lease(LEASE)
        .build()
        .unwrap()
        .start_all_users()
}

/// The entity whose invoice is never delivered.
const BUSY: i64 = 5;

/// Starts a run that tells of each delivered invoice.
fn start_invoices(store: &PostgresStore, delivered: &Arc<Semaphore>) -> Running {
    let delivered = Arc::clone(delivered);
    Processor::builder(store.clone())
        .handle::<Invoice>(move |event| {
            let is_busy = event.entity_id.as_integer() == Some(BUSY);
            let delivered = Arc::clone(&delivered);
            async move {
                if is_busy {
                    std::future::pending::<()>().await;
                }
                delivered.add_permits(1);
                Ok(())
            }
        })
        .lease(LEASE)
        .stop_deadline(Duration::ZERO)
        .build()
        .unwrap()
        .start_all_users()
}

async fn enqueue_both(store: &PostgresStore) {
    let (id, user_id) = (1, "ann".to_owned());
    let order = Order { id, user_id };
    order.enqueue_update().on(store).await.unwrap();
    let user_id = order.user_id;
    let invoice = Invoice { id, user_id };
    invoice.enqueue_update().on(store).await.unwrap();
}

async fn one(delivered: &Semaphore) {
    let permit = soon("the invoice is delivered", delivered.acquire()).await;
    permit.unwrap().forget();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_behind_one_of_another_process_is_delivered_once_that_process_starts() {
    let schema = new_schema();
    let (orders, invoices) = (open_in(&schema).await, open_in(&schema).await);
    enqueue_both(&orders).await;
    let delivered = Arc::new(Semaphore::new(0));
    let of_invoices = start_invoices(&invoices, &delivered);
    SystemClock.sleep(ASLEEP).await;
    let of_orders = start_orders(&orders, &Arc::new(Semaphore::new(1)));
    one(&delivered).await;
    of_orders.stop().await.unwrap();
    of_invoices.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_behind_one_of_another_process_is_delivered_once_that_one_ends() {
    let schema = new_schema();
    let (orders, invoices) = (open_in(&schema).await, open_in(&schema).await);
    let (permits, delivered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let of_orders = start_orders(&orders, &permits);
    let of_invoices = start_invoices(&invoices, &delivered);
    enqueue_both(&orders).await;
    SystemClock.sleep(ASLEEP).await;
    assert_eq!(delivered.available_permits(), 0);
    permits.add_permits(1);
    one(&delivered).await;
    of_orders.stop().await.unwrap();
    of_invoices.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_lost_a_lease_is_told_of_the_end_of_anothers_event() {
    let schema = new_schema();
    let (orders, invoices) = (open_in(&schema).await, open_in(&schema).await);
    let short = ClaimRequest::new(1, Duration::from_millis(50));
    let lost = NewEvent::new("lost", 2, "bob", Operation::Update);
    orders.create_event(lost).await.unwrap();
    let lease = invoices.claim(&short).await.unwrap()[0].lease;
    SystemClock.sleep(Duration::from_millis(100)).await;
    assert_eq!(orders.rescue().await.unwrap().requeued, 1);
    let renewed = invoices.extend(&[lease], LEASE).await.unwrap();
    assert_eq!(renewed, [None]);

    let (permits, delivered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let of_orders = start_orders(&orders, &permits);
    let of_invoices = start_invoices(&invoices, &delivered);
    enqueue_both(&orders).await;
    SystemClock.sleep(ASLEEP).await;
    permits.add_permits(1);
    one(&delivered).await;
    of_orders.stop().await.unwrap();
    of_invoices.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_a_long_delivery_is_told_of_the_end_of_anothers_event() {
    let schema = new_schema();
    let (orders, invoices) = (open_in(&schema).await, open_in(&schema).await);
    let (permits, delivered) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let of_orders = start_orders(&orders, &permits);
    let of_invoices = start_invoices(&invoices, &delivered);
    let (id, user_id) = (BUSY, "bob".to_owned());
    let busy = Invoice { id, user_id };
    busy.enqueue_update().on(&orders).await.unwrap();
    SystemClock.sleep(ASLEEP).await;
    enqueue_both(&orders).await;
    SystemClock.sleep(ASLEEP).await;
    permits.add_permits(1);
    one(&delivered).await;
    of_orders.stop().await.unwrap();
    of_invoices.stop().await.unwrap();
}
