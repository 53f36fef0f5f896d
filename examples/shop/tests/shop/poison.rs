//! An order that the partner refuses holds nobody up but its own.

use outbox_runtime::prelude::*;
use outbox_runtime::{DeadReason, OutboxStatus};
use shop::domain::Placed;
use shop::outbox::processor;
use shop::partner::{Faults, Item, Partner};

use crate::scene::{Scene, sync};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_order_becomes_a_dead_letter_and_other_orders_of_the_customer_go_on() {
    let scene = Scene::new().await;
    let partner = Partner::start(0, Faults::none().limit_cents(20_000))
        .await
        .unwrap();
    let poisoned = scene.order(&[("POT", 5)]);
    scene.shop.place(&poisoned).await.unwrap();
    scene.shop.pay(poisoned.id).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..5 {
        let order = scene.order(&[("TEA", 2)]);
        let Placed::New(placed) = scene.shop.place(&order).await.unwrap() else {
            panic!("the id is new");
        };
        others.push(placed.id);
    }
    let running = processor(&scene.store, sync(&partner.url()), None, 4)
        .unwrap()
        .start_all_users();
    // Delivered: five orders with a line each. Without a broker, its events wait.
    scene
        .until("the others are delivered", |it| {
            it.completed_count == 10 && it.dead_count == 1
        })
        .await;
    running.stop().await.unwrap();

    let dead = scene
        .store
        .fetch_events(OutboxStatus::Dead, None, None)
        .await
        .unwrap();
    assert_eq!(dead[0].entity_id.as_uuid(), Some(poisoned.id));
    assert_eq!(dead[0].dead_reason, Some(DeadReason::Rejected));
    // Its payment and its line wait; the line did not use up attempts.
    let waiting = scene.store.fetch_pending_events(None, None).await.unwrap();
    let payment = waiting.iter().find(|it| it.event_type == "order").unwrap();
    assert_eq!(
        (payment.entity_id.as_uuid(), payment.attempt_count),
        (Some(poisoned.id), 0)
    );
    let line = waiting
        .iter()
        .find(|it| it.event_type == "order_line")
        .unwrap();
    assert_eq!(line.attempt_count, 0);
    assert!(line.snoozes > 0);
    let mut received: Vec<_> = partner
        .ledger()
        .accepted
        .into_iter()
        .filter_map(|it| match it.item {
            Item::Order(order) => Some(order.id),
            Item::Line(_) => None,
        })
        .collect();
    received.sort_unstable();
    others.sort_unstable();
    assert_eq!(received, others);
    partner.stop().await.unwrap();
}
