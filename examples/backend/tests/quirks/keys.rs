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
