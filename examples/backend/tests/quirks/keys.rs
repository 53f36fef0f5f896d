//! Idempotency keys.

use backend::{Backend, Idempotency, Settings};
use serde_json::{Value, json};

use crate::app::{App, Reply, send, start};

async fn start_with(idempotency: Idempotency) -> (Backend, App) {
    let backend = start(Settings::new().idempotency(idempotency)).await;
    let app = App::log_in(&backend, "ada@example.org").await;
    (backend, app)
}

async fn post(app: &App, path: &str, key: &str, body: Value) -> Reply {
    send(
        app.request("POST", path)
            .header("Idempotency-Key", key)
            .json(&body),
    )
    .await
    .unwrap()
}

fn steps(quantity: u32) -> Value {
    json!({ "type": "steps", "quantity": quantity })
}

#[tokio::test]
async fn an_honored_key_replays_the_first_answer() {
    let (backend, app) = start_with(Idempotency::Honored).await;
    let first = post(&app, "/api/v1/progress", "e-1", steps(3422)).await;
    let again = post(&app, "/api/v1/progress", "e-1", steps(3422)).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    let audit = backend.audit();
    let held: Vec<_> = audit.held("progress").collect();
    assert_eq!(held.len(), 1);
    assert_eq!(
        (held[0].key.as_deref(), &held[0].owner),
        (Some("e-1"), &app.user)
    );
    assert_eq!(audit.replays, 1);
    let replays: Vec<bool> = audit
        .calls_of("POST /api/v1/progress")
        .map(|call| call.replay)
        .collect();
    assert_eq!(replays, [false, true]);
}

#[tokio::test]
async fn an_ignored_key_creates_another_entity() {
    let (backend, app) = start_with(Idempotency::Ignored).await;
    let first = post(&app, "/api/v1/progress", "e-1", steps(3422)).await;
    let again = post(&app, "/api/v1/progress", "e-1", steps(3422)).await;
    assert_ne!(first.id(), again.id());
    assert_eq!(backend.audit().held("progress").count(), 2);
    assert_eq!(backend.audit().replays, 0);
}

#[tokio::test]
async fn a_key_with_another_body_is_refused() {
    let (backend, app) = start_with(Idempotency::Honored).await;
    assert_eq!(
        post(&app, "/api/v1/progress", "e-1", steps(1)).await.status,
        201
    );
    assert_eq!(
        post(&app, "/api/v1/progress", "e-1", steps(2)).await.status,
        422
    );
    assert_eq!(backend.audit().held("progress").count(), 1);
}

#[tokio::test]
async fn a_key_is_a_users_own_and_an_endpoints_own() {
    let (backend, ada) = start_with(Idempotency::Honored).await;
    let bob = App::log_in(&backend, "bob@example.org").await;
    let first = post(&ada, "/api/v1/progress", "e-1", steps(1)).await.id();
    assert_ne!(
        post(&bob, "/api/v1/progress", "e-1", steps(1)).await.id(),
        first
    );
    let meal = json!({ "raw_input": "soup", "meal_type": "lunch" });
    assert_eq!(
        post(&ada, "/api/v1/meal-logs/natural", "e-1", meal)
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn a_refused_call_is_not_replayed() {
    let (backend, app) = start_with(Idempotency::Honored).await;
    let path = "/api/v1/consultations";
    let persona = json!({ "persona": "nutritionist" });
    let first = post(&app, path, "e-1", persona.clone()).await.data();
    assert_eq!(post(&app, path, "e-2", persona.clone()).await.status, 409);
    let id = first["consultation"]["id"].as_str().unwrap();
    assert_eq!(app.delete(&format!("{path}/{id}")).await.status, 204);
    backend.set_faults(["503@1".parse().unwrap()]);
    assert_eq!(post(&app, path, "e-2", persona.clone()).await.status, 503);
    assert_eq!(post(&app, path, "e-2", persona).await.status, 201);
}

#[tokio::test]
async fn the_oldest_keys_are_forgotten() {
    let settings = Settings::new()
        .idempotency(Idempotency::Honored)
        .audit_capacity(2);
    let backend = start(settings).await;
    let app = App::log_in(&backend, "ada@example.org").await;
    for key in ["e-1", "e-2", "e-3", "e-3", "e-1"] {
        assert_eq!(
            post(&app, "/api/v1/progress", key, steps(1)).await.status,
            201
        );
    }
    let audit = backend.audit();
    assert_eq!(audit.held("progress").count(), 4);
    assert_eq!(
        (audit.calls.len(), audit.forgotten_calls, audit.replays),
        (2, 4, 1)
    );
    backend.reset_audit();
    let audit = backend.audit();
    assert_eq!(
        (audit.calls.len(), audit.forgotten_calls, audit.replays),
        (0, 0, 0)
    );
    assert_eq!(audit.held("progress").count(), 4, "what is held stays");
    app.get("/api/v1/progress").await.data();
    assert_eq!(backend.audit().calls[0].seq, 7, "the numbers go on");
}

const BATCH: &str = "/api/v1/progress/batch";

/// An item of a batch: the body of a call of its own, and its key.
fn item(key: &str, body: &Value) -> Value {
    let mut item = body.clone();
    item["idempotency_key"] = json!(key);
    item
}

/// The statuses of the items of an answered batch.
fn statuses(answer: &Value) -> Vec<u64> {
    let items = answer["items"].as_array().unwrap().iter();
    items.map(|item| item["status"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn each_item_of_a_batch_has_an_answer_of_its_own() {
    let (backend, app) = start_with(Idempotency::Honored).await;
    let mut other_key = steps(4);
    other_key["idempotency_key"] = json!(4);
    let items = [
        item("e-1", &steps(1)),
        item("e-2", &json!({ "type": "steps", "quantity": -1 })),
        item("e-3", &steps(3)),
        // A key that was used, one that is not a text, none, and no object.
        item("e-1", &steps(2)),
        other_key,
        steps(5),
        json!("steps"),
    ];
    let reply = app.post(BATCH, json!({ "items": items })).await;
    assert_eq!(reply.status, 207);
    let answer = reply.data();
    assert_eq!(statuses(&answer), [201, 400, 201, 422, 400, 201, 400]);
    assert_eq!(answer["items"][0]["data"]["quantity"], 1.0);
    let refused = &answer["items"][1]["error"]["message"];
    assert!(refused.as_str().unwrap().contains("quantity"), "{refused}");
    let audit = backend.audit();
    let keys: Vec<_> = audit
        .held("progress")
        .map(|held| held.key.as_deref())
        .collect();
    assert_eq!(keys, [Some("e-1"), Some("e-3"), None]);
    let calls: Vec<_> = audit
        .calls_of("POST /api/v1/progress/batch")
        .map(|call| (call.items, call.replay))
        .collect();
    assert_eq!(calls, [(7, false)]);
}

#[tokio::test]
async fn a_key_of_an_item_is_the_key_of_a_call_of_its_own() {
    let (backend, app) = start_with(Idempotency::Honored).await;
    let alone = post(&app, "/api/v1/progress", "e-1", steps(1)).await.id();
    let items = json!({ "items": [item("e-1", &steps(1)), item("e-2", &steps(2))] });
    let first = app.post(BATCH, items.clone()).await.data();
    assert_eq!(first["items"][0]["data"]["id"], alone);
    let again = post(&app, "/api/v1/progress", "e-2", steps(2)).await.id();
    assert_eq!(first["items"][1]["data"]["id"], again);
    assert_eq!(app.post(BATCH, items).await.data(), first);
    assert_eq!(backend.audit().held("progress").count(), 2);
    assert_eq!(backend.audit().replays, 3);
}

#[tokio::test]
async fn an_ignored_key_of_an_item_creates_another_entity() {
    let (backend, app) = start_with(Idempotency::Ignored).await;
    let items = json!({ "items": [item("e-1", &steps(1)), item("e-1", &steps(1))] });
    let answer = app.post(BATCH, items).await.data();
    assert_eq!(statuses(&answer), [201, 201]);
    assert_eq!(backend.audit().held("progress").count(), 2);
}

#[tokio::test]
async fn a_batch_has_1_to_100_items() {
    let (backend, app) = start_with(Idempotency::Honored).await;
    for (count, status) in [(0, 400), (1, 207), (100, 207), (101, 400)] {
        let items = vec![steps(1); count];
        let reply = app.post(BATCH, json!({ "items": items })).await;
        assert_eq!(reply.status, status, "{count}");
    }
    assert_eq!(backend.audit().held("progress").count(), 101);
}
