//! What a response of the partner means for an event.

use std::net::Ipv4Addr;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use outbox_runtime::Delivery;
use shop::domain::{Order, OrderLine, OrderStatus};
use shop::outbox::PartnerEventHandler;
use shop::partner::{Faults, Item, Partner};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::scene::{event, sync};

fn order() -> Order {
    Order {
        id: Uuid::from_u128(1),
        customer_id: Uuid::from_u128(2),
        status: OrderStatus::Placed,
        total_cents: 2_000,
        revision: 1,
    }
}

fn line() -> OrderLine {
    OrderLine {
        customer_id: Uuid::from_u128(2),
        order_id: Uuid::from_u128(1),
        sku: "TEA".to_owned(),
        quantity: 2,
        unit_cents: 1_000,
    }
}

/// What becomes of an order if the partner always gives this response.
async fn delivery_at(status: StatusCode) -> Delivery {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(any(move || async move { status }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let event = event(order().enqueue_create()).await;
    let refused = sync(&format!("http://{address}")).order(event).await;
    refused.unwrap_err().delivery()
}

#[tokio::test]
async fn a_response_decides_whether_the_event_or_the_partner_is_at_fault() {
    let unavailable = Delivery::Unavailable { after: None };
    let retry = Delivery::Retry { after: None };
    assert_eq!(
        delivery_at(StatusCode::SERVICE_UNAVAILABLE).await,
        unavailable
    );
    assert_eq!(delivery_at(StatusCode::INTERNAL_SERVER_ERROR).await, retry);
    assert_eq!(
        delivery_at(StatusCode::UNPROCESSABLE_ENTITY).await,
        Delivery::Permanent
    );
    assert_eq!(
        delivery_at(StatusCode::UNAUTHORIZED).await,
        Delivery::Unauthenticated
    );
}

#[tokio::test]
async fn a_partner_that_is_away_is_offline() {
    let partner = Partner::start(0, Faults::none()).await.unwrap();
    let url = partner.url();
    partner.stop().await.unwrap();
    let refused = sync(&url)
        .order(event(order().enqueue_create()).await)
        .await;
    assert_eq!(refused.unwrap_err().delivery(), Delivery::Offline);
}

#[tokio::test]
async fn a_line_waits_for_its_order_without_using_up_attempts() {
    let partner = Partner::start(0, Faults::none()).await.unwrap();
    let sync = sync(&partner.url());
    let early = event::<OrderLine>(line().enqueue_create()).await;
    let refused = sync.order_line(early.clone()).await.unwrap_err();
    assert!(
        matches!(refused.delivery(), Delivery::Snooze { .. }),
        "{refused:?}"
    );
    sync.order(event(order().enqueue_create()).await)
        .await
        .unwrap();
    sync.order_line(early).await.unwrap();
    let items = partner.ledger().accepted.into_iter().map(|it| it.item);
    assert_eq!(
        items.collect::<Vec<_>>(),
        [Item::Order(order()), Item::Line(line())]
    );
    partner.stop().await.unwrap();
}

#[tokio::test]
async fn an_event_that_comes_again_takes_effect_once() {
    let partner = Partner::start(0, Faults::none()).await.unwrap();
    let sync = sync(&partner.url());
    let event = event::<Order>(order().enqueue_create()).await;
    sync.order(event.clone()).await.unwrap();
    sync.order(event).await.unwrap();
    let ledger = partner.ledger();
    assert_eq!((ledger.accepted.len(), ledger.repeated), (1, 1));
    partner.stop().await.unwrap();
}
