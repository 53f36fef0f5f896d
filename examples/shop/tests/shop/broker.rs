//! What a message means to the stream.

use std::sync::Arc;

use async_nats::jetstream::{self, Context};
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock, Delivery};
use outbox_testing::ManualClock;
use shop::demo::NatsServer;
use shop::domain::StockChange;
use shop::outbox::{Broker, BrokerEventHandler, STREAM, WINDOW};
use uuid::Uuid;

use crate::scene::event;

fn change(sku: &str) -> StockChange {
    StockChange {
        sku: sku.to_owned(),
        revision: 1,
        order_id: Uuid::from_u128(1),
        change: -1,
        available: 9,
    }
}

async fn context(server: &NatsServer) -> Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

async fn messages(context: &Context) -> u64 {
    let mut stream = context.get_stream(STREAM).await.unwrap();
    stream.info().await.unwrap().state.messages
}

#[tokio::test]
async fn an_event_that_is_sent_again_is_in_the_stream_once() {
    let Some(server) = NatsServer::start().await.unwrap() else {
        return;
    };
    let broker = Broker::connect(server.url(), Arc::new(SystemClock))
        .await
        .unwrap();
    let sent = event::<StockChange>(change("TEA").enqueue_update()).await;
    // The first acknowledgment might have been lost.
    broker.stock(sent.clone()).await.unwrap();
    broker.stock(sent).await.unwrap();
    assert_eq!(messages(&context(&server).await).await, 1);
    // Another event of the same content is another message.
    broker
        .stock(event(change("TEA").enqueue_update()).await)
        .await
        .unwrap();
    assert_eq!(messages(&context(&server).await).await, 2);
    server.stop().await.unwrap();
}

/// The window of a server cannot be made to pass, so the server is kept from storing anything: the
/// event can only be delivered if it is looked up instead of being sent.
#[tokio::test]
async fn an_event_that_outlives_the_window_is_looked_up_and_not_sent_again() {
    let Some(server) = NatsServer::start().await.unwrap() else {
        return;
    };
    let broker = Broker::connect(server.url(), Arc::new(SystemClock))
        .await
        .unwrap();
    let sent = event::<StockChange>(change("TEA").enqueue_update()).await;
    let unsent = event::<StockChange>(change("POT").enqueue_update()).await;
    broker.stock(sent.clone()).await.unwrap();
    let later = ManualClock::new();
    later.set(SystemClock.now() + WINDOW);
    let broker = Broker::connect(server.url(), Arc::new(later))
        .await
        .unwrap();
    let context = context(&server).await;
    let stream = context.get_stream(STREAM).await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.subjects = vec!["elsewhere.>".to_owned()];
    context.update_stream(config).await.unwrap();
    broker.stock(sent).await.unwrap();
    let refused = broker.stock(unsent).await.unwrap_err();
    assert_eq!(refused.delivery(), Delivery::Unavailable { after: None });
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_went_away_is_unavailable_and_an_impossible_subject_is_permanent() {
    let Some(server) = NatsServer::start().await.unwrap() else {
        return;
    };
    let broker = Broker::connect(server.url(), Arc::new(SystemClock))
        .await
        .unwrap();
    let dotted = event(change("TEA.GREEN").enqueue_update()).await;
    let refused = broker.stock(dotted).await.unwrap_err();
    assert_eq!(refused.delivery(), Delivery::Permanent);
    server.stop().await.unwrap();
    let refused = broker
        .stock(event(change("TEA").enqueue_update()).await)
        .await;
    let delivery = refused.unwrap_err().delivery();
    let is_outage = matches!(delivery, Delivery::Unavailable { .. } | Delivery::Offline);
    assert!(is_outage, "{delivery:?}");
}

#[tokio::test]
async fn a_stream_that_forgets_ids_too_early_is_refused() {
    let Some(server) = NatsServer::start().await.unwrap() else {
        return;
    };
    let config = jetstream::stream::Config {
        name: STREAM.to_owned(),
        subjects: vec!["shop.>".to_owned()],
        duplicate_window: WINDOW / 2,
        ..Default::default()
    };
    context(&server).await.create_stream(config).await.unwrap();
    let refused = Broker::connect(server.url(), Arc::new(SystemClock)).await;
    assert!(refused.unwrap_err().to_string().contains("forgets ids"));
    server.stop().await.unwrap();
}
