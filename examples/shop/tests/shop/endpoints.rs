//! Requests and responses.

use std::net::Ipv4Addr;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use shop::http;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::scene::Scene;

/// Serves a shop until the test ends.
async fn serve(scene: &Scene) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(http::serve(
        listener,
        scene.shop.clone(),
        std::future::pending(),
    ));
    format!("http://{address}")
}

#[tokio::test]
async fn an_order_is_placed_shown_paid_and_cannot_be_canceled_then() {
    let scene = Scene::new().await;
    let url = serve(&scene).await;
    let client = Client::new();
    let customer = client
        .post(format!("{url}/customers"))
        .json(&json!({ "name": "Bob" }));
    let customer = customer.send().await.unwrap();
    assert_eq!(customer.status(), StatusCode::CREATED);
    let customer: Value = customer.json().await.unwrap();
    let order = format!("{url}/orders/{}", Uuid::now_v7());
    let lines = json!([{ "sku": "TEA", "quantity": 2 }]);
    let wanted = json!({ "customer_id": customer["id"], "lines": lines });
    for expected in [StatusCode::CREATED, StatusCode::OK] {
        let placed = client.put(&order).json(&wanted).send().await.unwrap();
        assert_eq!(placed.status(), expected);
        let placed: Value = placed.json().await.unwrap();
        assert_eq!(placed["total_cents"], 2_000);
    }
    let paid = client.post(format!("{order}/pay")).send().await.unwrap();
    assert_eq!(paid.status(), StatusCode::OK);
    let canceled = client.post(format!("{order}/cancel")).send().await.unwrap();
    assert_eq!(canceled.status(), StatusCode::CONFLICT);
    assert_eq!(canceled.text().await.unwrap(), "the order is paid");
    let shown: Value = client
        .get(&order)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&shown["status"], &shown["revision"]),
        (&json!("paid"), &json!(2))
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_met_is_refused_with_its_reason() {
    let scene = Scene::new().await;
    let url = serve(&scene).await;
    let client = Client::new();
    let known = scene.customer.id;
    let tea = |quantity: i64| json!([{ "sku": "TEA", "quantity": quantity }]);
    for (customer, lines, status, reason) in [
        (known, json!([]), 422, "1 to 50 lines"),
        (known, tea(0), 422, "1 to 1,000 units"),
        (
            known,
            json!([{ "sku": "NONE", "quantity": 1 }]),
            422,
            "sold as NONE",
        ),
        (Uuid::nil(), tea(1), 422, "no customer"),
        (known, tea(11), 409, "TEA is out of stock"),
    ] {
        let order = format!("{url}/orders/{}", Uuid::now_v7());
        let wanted = json!({ "customer_id": customer, "lines": lines });
        let refused = client.put(&order).json(&wanted).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), status, "{reason}");
        let text = refused.text().await.unwrap();
        assert!(text.contains(reason), "{text}");
        let unknown = client.get(&order).send().await.unwrap();
        assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    }
}
