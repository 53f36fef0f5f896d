//! Rate limits of users.

use std::time::Duration;

use backend::Settings;
use serde_json::json;

use crate::app::{App, start};

#[tokio::test]
async fn above_the_rate_calls_get_429_with_a_retry_after() {
    let backend = start(Settings::new().rate(0.25, 2)).await;
    let app = App::log_in(&backend, "ada@example.org").await;
    for _ in 0..2 {
        assert_eq!(app.get("/api/v1/journal").await.status, 200);
    }
    let limited = app.get("/api/v1/journal").await;
    limited.assert_refused(
        429,
        &json!({ "error": { "message": "rate limit exceeded" } }),
    );
    assert_eq!(limited.retry_after.as_deref(), Some("4"));
    backend.clock().advance(Duration::from_millis(3_999));
    let limited = app.get("/api/v1/journal").await;
    assert_eq!(
        (limited.status.as_u16(), limited.retry_after.as_deref()),
        (429, Some("1"))
    );
    backend.clock().advance(Duration::from_millis(1));
    assert_eq!(app.get("/api/v1/journal").await.status, 200);
    assert_eq!(app.get("/api/v1/journal").await.status, 429);
}

#[tokio::test]
async fn each_user_has_a_rate_and_refreshing_has_none() {
    let backend = start(Settings::new().rate(1.0, 1)).await;
    let mut ada = App::log_in(&backend, "ada@example.org").await;
    let bob = App::log_in(&backend, "bob@example.org").await;
    for app in [&ada, &bob] {
        assert_eq!(app.get("/api/v1/goals").await.status, 200);
        assert_eq!(app.get("/api/v1/goals").await.status, 429);
    }
    assert_eq!(ada.refresh().await.status, 200);
    assert_eq!(ada.refresh().await.status, 200);
}

#[tokio::test]
async fn a_call_takes_its_configured_time() {
    let wait = Duration::from_millis(30);
    let backend = start(Settings::new().latency(wait..=wait * 2)).await;
    let app = App::log_in(&backend, "ada@example.org").await;
    #[allow(clippy::disallowed_methods, reason = "latency is real time")]
    let start = std::time::Instant::now();
    assert_eq!(app.get("/api/v1/goals").await.status, 200);
    assert!(start.elapsed() >= wait);
}
