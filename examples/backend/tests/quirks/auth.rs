//! Authorization.

use std::collections::BTreeMap;
use std::time::Duration;

use backend::{Accounts, Settings};
use serde_json::json;

use crate::app::{App, send, start, start_plain};

#[tokio::test]
async fn without_the_api_key_every_call_is_refused() {
    let (_backend, app) = start_plain().await;
    for path in ["/api/v1/goals", "/api/v1/auth/login"] {
        let method = if path.ends_with("login") {
            "POST"
        } else {
            "GET"
        };
        let mut request = app.request(method, path).build().unwrap();
        request
            .headers_mut()
            .insert("X-API-Key", "guessed".parse().unwrap());
        let answer = reqwest::Client::new().execute(request).await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body, json!({ "error": { "message": "Invalid API key" } }));
    }
}

#[tokio::test]
async fn an_access_token_lives_for_its_configured_time() {
    let backend = start(Settings::new().token_ttl(Duration::from_secs(900))).await;
    let mut app = App::log_in(&backend, "ada@example.org").await;
    backend.clock().advance(Duration::from_secs(899));
    assert_eq!(app.get("/api/v1/goals").await.status, 200);
    backend.clock().advance(Duration::from_secs(1));
    let refused = app.get("/api/v1/goals").await;
    refused.assert_refused(
        401,
        &json!({ "error": { "message": "Invalid authentication" } }),
    );
    assert_eq!(app.refresh().await.status, 200);
    assert_eq!(app.get("/api/v1/goals").await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_works_once() {
    let (_backend, mut app) = start_plain().await;
    let first = app.refresh.clone();
    assert_eq!(app.refresh().await.status, 200);
    assert_ne!(app.refresh, first);
    let again = app.refresh_with(&first).await;
    again.assert_refused(
        401,
        &json!({ "error": { "message": "refresh token has been revoked" } }),
    );
    assert_eq!(
        app.refresh().await.status,
        200,
        "the next token of the chain stays good"
    );
    assert_eq!(app.refresh_with("guessed").await.status, 401);
}

#[tokio::test]
async fn all_tokens_can_be_expired_at_once() {
    let (backend, mut ada) = start_plain().await;
    let mut bob = App::log_in(&backend, "bob@example.org").await;
    backend.expire_tokens();
    for app in [&mut ada, &mut bob] {
        assert_eq!(app.get("/api/v1/goals").await.status, 401);
        assert_eq!(app.refresh().await.status, 200);
        assert_eq!(app.get("/api/v1/goals").await.status, 200);
    }
}

#[tokio::test]
async fn after_a_revocation_only_logging_in_helps() {
    let (backend, mut app) = start_plain().await;
    backend.revoke_sessions();
    assert_eq!(app.get("/api/v1/goals").await.status, 401);
    let refused = app.refresh().await;
    refused.assert_refused(
        401,
        &json!({ "error": { "message": "refresh token has been revoked" } }),
    );
    let app = App::log_in(&backend, "ada@example.org").await;
    assert_eq!(app.get("/api/v1/goals").await.status, 200);
}

#[tokio::test]
async fn a_user_has_the_same_id_in_every_run() {
    let (_first, app) = start_plain().await;
    let (_second, again) = start_plain().await;
    assert_eq!(app.user, again.user);
    assert_eq!(app.user, Accounts::user_id("ada@example.org"));
    let profile = app.get("/api/v1/users/me").await.data();
    assert_eq!(profile["id"], json!(app.user));
    assert_eq!(profile["email"], "ada@example.org");
}

#[tokio::test]
async fn with_listed_accounts_nobody_else_logs_in() {
    let listed = BTreeMap::from([("ada@example.org".to_owned(), "secret".to_owned())]);
    let backend = start(Settings::new().accounts(Accounts::Listed(listed))).await;
    let app = App::log_in(&backend, "ada@example.org").await;
    for (email, password) in [
        ("ada@example.org", "guessed"),
        ("bob@example.org", "secret"),
    ] {
        let login = app.request("POST", "/api/v1/auth/login");
        let reply = send(login.json(&json!({ "email": email, "password": password })))
            .await
            .unwrap();
        assert_eq!(reply.status, 401, "{email}");
    }
}
