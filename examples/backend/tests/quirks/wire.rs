//! Envelopes, dates and error bodies.

use backend::{ErrorCodes, Settings};
use serde_json::{Value, json};

use crate::app::{App, start, start_plain};

#[tokio::test]
async fn goals_have_nanoseconds_and_nothing_else_has() {
    let (_backend, app) = start_plain().await;
    let goal = json!({ "goal_type": "custom", "title": "Walk", "target_value": 1, "target_unit": "km", "start_date": "2025-11-17" });
    let goal = app.post("/api/v1/goals", goal).await.data();
    assert_eq!(goal["created_at"], "2025-11-17T19:26:02.996263011Z");
    let mood = json!({ "valence": 0, "logged_at": "2025-11-17T08:00:00Z" });
    let mood = app.post("/api/v1/wellness/mood-entries", mood).await.data();
    assert_eq!(mood["created_at"], "2025-11-17T19:26:02Z");
}

#[tokio::test]
async fn each_family_has_envelopes_of_its_own() {
    let (_backend, app) = start_plain().await;
    let list = json!({ "items": [], "total": 0 });
    let nobody = "0d4d1f3a-9a54-4bc4-a4b6-0f1f6f7d2a11";
    for (path, success, missing, invalid) in [
        (
            "/api/v1/journal",
            json!({ "data": list }),
            json!({ "error": { "message": "journal entry not found" } }),
            json!({ "error": { "message": "M" } }),
        ),
        (
            "/api/v1/goals",
            json!({ "success": true, "data": list }),
            json!({ "success": false, "data": null, "error": { "message": "goal not found" } }),
            json!({ "success": false, "data": null, "error": { "message": "M" } }),
        ),
        (
            "/api/v1/consultations",
            json!({ "success": true, "data": list }),
            json!({ "error": { "message": "consultation not found" } }),
            json!({ "success": false, "error": "M" }),
        ),
    ] {
        assert_eq!(app.get(path).await.json(), success);
        app.delete(&format!("{path}/{nobody}"))
            .await
            .assert_refused(404, &missing);
        let refused = app.post(path, json!({})).await;
        assert_eq!(refused.status, 400);
        assert_eq!(without_message(refused.json()), invalid, "{path}");
    }
}

/// The validation error's text is `M`.
fn without_message(mut body: Value) -> Value {
    let text = match &mut body["error"] {
        text @ Value::String(_) => text,
        error => &mut error["message"],
    };
    assert!(
        text.as_str()
            .unwrap()
            .starts_with("validation error: missing field"),
        "{text}"
    );
    *text = json!("M");
    body
}

#[tokio::test]
async fn error_bodies_have_a_code_or_none_or_one_in_every_other_call() {
    let none = json!({ "error": { "message": "journal entry not found" } });
    let code = json!({ "error": { "message": "journal entry not found", "code": "NOT_FOUND" } });
    for (codes, bodies) in [
        (ErrorCodes::Absent, [&none, &none]),
        (ErrorCodes::Present, [&code, &code]),
        (ErrorCodes::Alternating, [&code, &none]),
    ] {
        let backend = start(Settings::new().error_codes(codes)).await;
        // Logging in is the first call.
        let app = App::log_in(&backend, "ada@example.org").await;
        for body in bodies {
            app.delete("/api/v1/journal/none")
                .await
                .assert_refused(404, body);
        }
    }
}

#[tokio::test]
async fn invalid_json_is_a_validation_error() {
    let (_backend, app) = start_plain().await;
    let request = app.request("POST", "/api/v1/progress").body("{\"type\":");
    let reply = crate::app::send(request).await.unwrap();
    assert_eq!(reply.status, 400);
    let large = app
        .request("POST", "/api/v1/progress")
        .body(vec![b' '; 2 * 1024 * 1024]);
    assert_eq!(crate::app::send(large).await.unwrap().status, 413);
}

#[tokio::test]
async fn a_number_comes_back_as_it_was_sent() {
    let (_backend, app) = start_plain().await;
    for quantity in [0.1 + 0.2, 72.4, 5e-324, 1.797_693_134_862_315_7e308] {
        let made = app
            .post(
                "/api/v1/progress",
                json!({ "type": "weight", "quantity": quantity }),
            )
            .await;
        assert_eq!(made.data()["quantity"].as_f64(), Some(quantity));
    }
}
