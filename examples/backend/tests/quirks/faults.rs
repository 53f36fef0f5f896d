//! Injected faults.

use std::time::Duration;

use backend::{Backend, Fault, FaultRule, Settings};
use serde_json::{Value, json};

use crate::app::{App, send, start, start_plain};

const PROGRESS: &str = "/api/v1/progress";

fn steps() -> Value {
    json!({ "type": "steps", "quantity": 3422 })
}

async fn start_with(rule: &str) -> (Backend, App) {
    let backend = start(Settings::new().fault(rule.parse().unwrap())).await;
    let app = App::log_in(&backend, "ada@example.org").await;
    (backend, app)
}

#[tokio::test]
async fn a_call_with_a_dropped_answer_took_effect() {
    let (backend, app) = start_with("drop@2").await;
    assert_eq!(app.post(PROGRESS, steps()).await.status, 201);
    let error = send(app.request("POST", PROGRESS).json(&steps()))
        .await
        .unwrap_err();
    assert!(
        error.is_request() && !error.is_connect() && !error.is_timeout(),
        "{error:?}"
    );
    assert_eq!(app.post(PROGRESS, steps()).await.status, 201);
    let audit = backend.audit();
    assert_eq!(audit.held("progress").count(), 3);
    assert_eq!(audit.fired(Fault::Drop), 1);
    let calls: Vec<_> = audit
        .calls_of("POST /api/v1/progress")
        .map(|call| (call.status, call.fault))
        .collect();
    assert_eq!(calls, [(201, None), (201, Some(Fault::Drop)), (201, None)]);
}

#[tokio::test]
async fn an_error_of_the_server_has_no_effect() {
    for (rule, fault, status) in [
        ("500@1", Fault::InternalError, 500),
        ("503@1", Fault::Unavailable, 503),
        ("429@1", Fault::TooManyRequests, 429),
    ] {
        let (backend, app) = start_with(rule).await;
        let refused = app.post(PROGRESS, steps()).await;
        assert_eq!(refused.status, status);
        assert_eq!(refused.retry_after.is_some(), status == 429);
        assert_eq!(app.post(PROGRESS, steps()).await.status, 201);
        let audit = backend.audit();
        assert_eq!((audit.held("progress").count(), audit.fired(fault)), (1, 1));
    }
}

#[tokio::test]
async fn a_truncated_body_still_has_a_2xx() {
    let (backend, app) = start_with("garble@1..3").await;
    let made = app.post(PROGRESS, steps()).await;
    assert_eq!(made.status, 201);
    assert!(
        serde_json::from_str::<Value>(&made.text).is_err(),
        "{}",
        made.text
    );
    let id = backend.audit().held("progress").next().unwrap().id.clone();
    // Answers without a body, and errors, cannot be garbled.
    assert_eq!(app.delete(&format!("{PROGRESS}/{id}")).await.status, 204);
    assert_eq!(app.post(PROGRESS, json!({})).await.status, 400);
    assert_eq!(backend.audit().fired(Fault::Garble), 1);
}

#[tokio::test]
async fn a_call_with_a_slow_answer_took_effect_before_the_client_gave_up() {
    let (backend, app) = start_with("slow=1h@1").await;
    let request = app
        .request("POST", PROGRESS)
        .json(&steps())
        .timeout(Duration::from_millis(300));
    let error = send(request).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(backend.audit().held("progress").count(), 1);
    assert_eq!(
        backend
            .audit()
            .fired(Fault::Slow(Duration::from_secs(3600))),
        1
    );
}

#[tokio::test]
async fn a_rule_counts_the_calls_of_each_endpoint() {
    let (backend, app) = start_with("503@2").await;
    assert_eq!(app.post(PROGRESS, steps()).await.status, 201);
    assert_eq!(app.get(PROGRESS).await.status, 200);
    assert_eq!(app.get(PROGRESS).await.status, 503);
    assert_eq!(app.post(PROGRESS, steps()).await.status, 503);
    backend.set_faults([FaultRule::calls(Fault::InternalError, 1..=2).on("GET /api/v1/progress")]);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(app.get(PROGRESS).await.status.as_u16());
    }
    assert_eq!(statuses, [500, 500, 200]);
    assert_eq!(app.post(PROGRESS, steps()).await.status, 201);
}

#[tokio::test]
async fn chance_takes_the_same_course_for_the_same_seed() {
    let course = async |seed| {
        let settings = Settings::new()
            .seed(seed)
            .fault(FaultRule::chance(Fault::Unavailable, 0.3));
        let backend = start(settings).await;
        let app = App::log_in(&backend, "ada@example.org").await;
        for _ in 0..60 {
            app.get(PROGRESS).await;
        }
        let statuses = backend
            .audit()
            .calls
            .iter()
            .map(|call| call.status)
            .collect::<Vec<_>>();
        let fired = backend.audit().fired(Fault::Unavailable);
        assert!((5..40).contains(&fired), "{fired}");
        statuses
    };
    assert_eq!(course(7).await, course(7).await);
    assert_ne!(course(7).await, course(8).await);
}

#[tokio::test]
async fn logging_in_and_refreshing_fail_only_where_they_are_named() {
    let (backend, app) = start_with("500@1..9").await;
    assert_eq!(app.get(PROGRESS).await.status, 500);
    backend.set_faults(["drop@1 POST /api/v1/auth/refresh".parse().unwrap()]);
    let refresh = app.request("POST", "/api/v1/auth/refresh");
    let refresh = refresh.json(&json!({ "refresh_token": app.refresh }));
    assert!(send(refresh).await.is_err());
    // The next pair was issued, and nobody received it.
    let again = app.refresh_with(&app.refresh).await;
    again.assert_refused(
        401,
        &json!({ "error": { "message": "refresh token has been revoked" } }),
    );
}

#[tokio::test]
async fn offline_means_that_connections_are_refused_until_it_is_over() {
    let (backend, app) = start_plain().await;
    let url = backend.url();
    backend.go_offline().await;
    backend.go_offline().await;
    for _ in 0..2 {
        let error = send(app.request("GET", PROGRESS)).await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
    }
    backend.go_online().await.unwrap();
    assert_eq!(backend.url(), url);
    assert_eq!(app.get(PROGRESS).await.status, 200);
    assert_eq!(backend.audit().outages(), 1);
}

#[tokio::test]
async fn going_offline_breaks_pending_answers() {
    let (backend, app) = start_with("slow=1h@1").await;
    let request = app.request("POST", PROGRESS).json(&steps());
    let answer = tokio::spawn(send(request));
    while backend.audit().fired(Fault::Slow(Duration::ZERO)) == 0 {
        tokio::task::yield_now().await;
    }
    backend.go_offline().await;
    assert!(answer.await.unwrap().is_err());
    assert_eq!(backend.audit().held("progress").count(), 1);
}

#[tokio::test]
async fn faults_can_be_switched_at_run_time_and_while_offline() {
    let (backend, app) = start_plain().await;
    let client = reqwest::Client::new();
    let switch = async |url: &str, switches: Value| {
        let answer = client
            .post(format!("{url}/admin/faults"))
            .json(&switches)
            .send()
            .await
            .unwrap();
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap(),
        )
    };
    let (url, admin) = (backend.url(), backend.admin_url());

    let rule = "503@1..2 GET /api/v1/progress";
    let switched = switch(&url, json!({ "rules": [rule, "slow=2s%50"] })).await;
    assert_eq!(
        switched,
        (
            200,
            json!({ "offline": false, "rules": [rule, "slow=2s%50"] })
        )
    );
    let (status, body) = switch(&url, json!({ "rules": ["burn@1"] })).await;
    assert_eq!(status, 400);
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("`burn`"),
        "{body}"
    );
    assert_eq!(
        app.get(PROGRESS).await.status,
        503,
        "rules that cannot be read change nothing"
    );

    assert_eq!(
        switch(&admin, json!({ "offline": true, "rules": [] }))
            .await
            .1,
        json!({ "offline": true, "rules": [] })
    );
    assert!(
        send(app.request("GET", PROGRESS))
            .await
            .unwrap_err()
            .is_connect()
    );
    switch(&admin, json!({ "offline": false, "expire_tokens": true })).await;
    assert_eq!(app.get(PROGRESS).await.status, 401);
    switch(&admin, json!({ "revoke_sessions": true })).await;
    assert_eq!(app.refresh_with(&app.refresh).await.status, 401);

    let audit = client
        .get(format!("{url}/admin/audit"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        audit.json::<backend::Audit>().await.unwrap(),
        backend.audit()
    );
    let reset = client
        .delete(format!("{admin}/admin/audit"))
        .send()
        .await
        .unwrap();
    assert_eq!(reset.status(), 204);
    assert!(backend.audit().calls.is_empty());
}

#[tokio::test]
async fn a_stopped_service_answers_pending_requests() {
    let (backend, app) = start_with("slow=200ms@1").await;
    let answer = tokio::spawn(send(app.request("POST", PROGRESS).json(&steps())));
    while backend.audit().calls.len() < 2 {
        tokio::task::yield_now().await;
    }
    backend.stop().await;
    assert_eq!(answer.await.unwrap().unwrap().status, 201);
    assert!(
        send(app.request("GET", PROGRESS))
            .await
            .unwrap_err()
            .is_connect()
    );
}
