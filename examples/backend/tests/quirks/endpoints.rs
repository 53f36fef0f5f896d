//! The endpoints: accepted and refused requests, and separation of users.

use serde_json::{Value, json};

use crate::app::{App, start_plain};

const MOODS: &str = "/api/v1/wellness/mood-entries";

/// A valid request for each collection with a POST.
fn drafts() -> Vec<(&'static str, &'static str, Value)> {
    let time = "2025-11-17T08:00:00Z";
    vec![
        (
            MOODS,
            MOODS,
            json!({ "valence": 0.3, "labels": ["happy"], "logged_at": "2025-11-17T08:00:00.123Z" }),
        ),
        (
            "/api/v1/journal",
            "/api/v1/journal",
            json!({ "content": "calm", "logged_at": time }),
        ),
        (
            "/api/v1/goals",
            "/api/v1/goals",
            json!({ "goal_type": "activity", "title": "Walk", "target_value": 30, "target_unit": "min", "start_date": "2025-11-17" }),
        ),
        (
            "/api/v1/progress",
            "/api/v1/progress",
            json!({ "type": "weight", "quantity": 70.1 }),
        ),
        (
            "/api/v1/sleep",
            "/api/v1/sleep",
            json!({ "start_time": "2025-11-16T22:00:00Z", "end_time": "2025-11-17T06:00:00Z" }),
        ),
        (
            "/api/v1/meal-logs/natural",
            "/api/v1/meal-logs",
            json!({ "raw_input": "two eggs", "meal_type": "breakfast" }),
        ),
        (
            "/api/v1/workouts",
            "/api/v1/workouts",
            json!({ "activity_type": "run", "started_at": time }),
        ),
        (
            "/api/v1/workout-templates",
            "/api/v1/workout-templates",
            json!({ "name": "Legs", "exercises": [{ "exercise_id": "squat", "order_index": 0, "sets": 3 }] }),
        ),
        (
            "/api/v1/activity-snapshots",
            "/api/v1/activity-snapshots",
            json!({ "snapshot_time": time, "steps": 3422, "flights": 2 }),
        ),
    ]
}

fn changed(draft: &Value, field: &str, value: Value) -> Value {
    let mut draft = draft.clone();
    draft[field] = value;
    draft
}

fn draft(path: &str) -> Value {
    let found = drafts().into_iter().find(|(post, _, _)| *post == path);
    found.unwrap().2
}

#[tokio::test]
async fn posted_entities_are_listed_for_their_user_alone() {
    let (backend, ada) = start_plain().await;
    let bob = App::log_in(&backend, "bob@example.org").await;
    for (post, collection, draft) in drafts() {
        let made = ada.post(post, draft.clone()).await;
        assert_eq!(made.status, 201, "{made:?}");
        let id = made.id();
        assert_eq!(id, id.to_lowercase());
        let listed = ada.get(collection).await.data();
        assert_eq!(
            listed,
            json!({ "items": [made.data()], "total": 1 }),
            "{collection}"
        );
        assert_eq!(
            ada.get(&format!("{collection}/{id}")).await.data(),
            made.data()
        );
        assert_eq!(bob.get(collection).await.data()["total"], 0);
    }
}

#[tokio::test]
async fn a_list_can_be_read_page_by_page() {
    let (_backend, app) = start_plain().await;
    for steps in 0..5 {
        app.post(
            "/api/v1/progress",
            json!({ "type": "steps", "quantity": steps }),
        )
        .await
        .id();
    }
    let page = app.get("/api/v1/progress?limit=2&offset=3").await.data();
    assert_eq!(page["total"], 5);
    let steps: Vec<f64> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["quantity"].as_f64().unwrap())
        .collect();
    assert_eq!(steps, [3.0, 4.0]);
    assert_eq!(app.get("/api/v1/progress?limit=all").await.status, 400);
}

#[tokio::test]
async fn entities_of_another_user_are_forbidden_or_not_found() {
    let (backend, ada) = start_plain().await;
    let bob = App::log_in(&backend, "bob@example.org").await;
    let stranger = [
        (MOODS, MOODS, 403),
        ("/api/v1/journal", "/api/v1/journal", 403),
        ("/api/v1/goals", "/api/v1/goals", 404),
        ("/api/v1/progress", "/api/v1/progress", 403),
        ("/api/v1/meal-logs/natural", "/api/v1/meal-logs", 403),
    ];
    for (post, collection, status) in stranger {
        let path = format!("{collection}/{}", ada.post(post, draft(post)).await.id());
        assert_eq!(bob.delete(&path).await.status, status, "{collection}");
        assert_eq!(ada.delete(&path).await.status, 204, "{collection}");
        assert_eq!(ada.delete(&path).await.status, 404, "{collection}");
    }
    let workout = ada
        .post("/api/v1/workouts", draft("/api/v1/workouts"))
        .await
        .id();
    let path = format!("/api/v1/workouts/{workout}");
    assert_eq!(bob.put(&path, draft("/api/v1/workouts")).await.status, 404);
}

#[tokio::test]
async fn a_put_replaces_the_entity() {
    let (_backend, app) = start_plain().await;
    for (path, field, value) in [
        (MOODS, "valence", json!(-0.5)),
        ("/api/v1/journal", "content", json!("better")),
        ("/api/v1/workouts", "title", json!("Run")),
        ("/api/v1/goals", "title", json!("Run")),
    ] {
        let id = app.post(path, draft(path)).await.id();
        let put = app
            .put(
                &format!("{path}/{id}"),
                changed(&draft(path), field, value.clone()),
            )
            .await;
        assert_eq!(put.status, 200, "{path}");
        assert_eq!(
            (&put.data()["id"], &put.data()[field]),
            (&json!(id), &value),
            "{path}"
        );
        assert_eq!(app.get(path).await.data()["total"], 1);
    }
}

#[tokio::test]
async fn an_id_in_upper_case_is_no_id() {
    let (_backend, app) = start_plain().await;
    let id = app.post(MOODS, draft(MOODS)).await.id();
    let upper = id.to_uppercase();
    assert_eq!(
        app.put(&format!("{MOODS}/{upper}"), draft(MOODS))
            .await
            .status,
        404
    );
    let entry = changed(&draft("/api/v1/journal"), "linked_mood_id", json!(upper));
    assert_eq!(app.post("/api/v1/journal", entry).await.status, 400);
}

#[tokio::test]
async fn a_request_beyond_a_limit_is_refused_and_not_stored() {
    let (backend, app) = start_plain().await;
    let long = |n: usize| json!("x".repeat(n));
    let cases = [
        (
            MOODS,
            "valence",
            vec![json!(1.01), json!(-1.01), json!("high"), Value::Null],
        ),
        (MOODS, "labels", vec![json!(["calm"])]),
        (MOODS, "notes", vec![long(1001)]),
        (MOODS, "logged_at", vec![json!("yesterday"), Value::Null]),
        (MOODS, "source", vec![json!("watch")]),
        ("/api/v1/journal", "title", vec![long(201)]),
        ("/api/v1/journal", "content", vec![json!(""), long(10_001)]),
        ("/api/v1/journal", "content_format", vec![json!("html")]),
        (
            "/api/v1/journal",
            "entry_type",
            vec![json!("reflection"), json!("daily_log")],
        ),
        ("/api/v1/journal", "tags", vec![json!(vec!["tag"; 21])]),
        (
            "/api/v1/journal",
            "attachments",
            vec![json!(vec!["file"; 11])],
        ),
        ("/api/v1/goals", "goal_type", vec![json!("mindfulness")]),
        ("/api/v1/goals", "title", vec![json!(""), long(201)]),
        ("/api/v1/goals", "description", vec![long(1001)]),
        ("/api/v1/goals", "target_value", vec![json!(0), json!(-1)]),
        ("/api/v1/goals", "target_unit", vec![long(51)]),
        (
            "/api/v1/goals",
            "start_date",
            vec![
                json!("2025-11-17T00:00:00Z"),
                json!("2025-1-2"),
                Value::Null,
            ],
        ),
        ("/api/v1/goals", "target_date", vec![json!("2025-11-16")]),
        ("/api/v1/progress", "type", vec![json!("stairs")]),
        (
            "/api/v1/progress",
            "quantity",
            vec![json!(-0.1), Value::Null],
        ),
        ("/api/v1/progress", "notes", vec![long(501)]),
        (
            "/api/v1/sleep",
            "start_time",
            vec![
                json!("2025-11-16T22:00:00.5Z"),
                json!("2025-11-16T22:00:00.000Z"),
            ],
        ),
        (
            "/api/v1/sleep",
            "end_time",
            vec![json!("2025-11-16T22:00:00Z")],
        ),
        (
            "/api/v1/sleep",
            "stages",
            vec![
                json!([{ "stage": "nap", "start_time": "2025-11-16T22:00:00Z", "end_time": "2025-11-16T23:00:00Z" }]),
                json!([{ "stage": "rem", "start_time": "2025-11-16T21:00:00Z", "end_time": "2025-11-16T23:00:00Z" }]),
            ],
        ),
        (
            "/api/v1/meal-logs/natural",
            "raw_input",
            vec![json!(""), long(1001)],
        ),
        (
            "/api/v1/meal-logs/natural",
            "meal_type",
            vec![json!("brunch")],
        ),
        (
            "/api/v1/workouts",
            "activity_type",
            vec![json!(""), Value::Null],
        ),
        ("/api/v1/workouts", "intensity", vec![json!(0), json!(11)]),
        (
            "/api/v1/workouts",
            "ended_at",
            vec![json!("2025-11-17T07:00:00Z")],
        ),
        (
            "/api/v1/workout-templates",
            "name",
            vec![json!(""), Value::Null],
        ),
        (
            "/api/v1/workout-templates",
            "exercises",
            vec![
                json!([{ "order_index": 0 }]),
                json!([{ "exercise_id": "squat" }]),
            ],
        ),
        (
            "/api/v1/activity-snapshots",
            "snapshot_time",
            vec![json!("now")],
        ),
        ("/api/v1/activity-snapshots", "steps", vec![json!(-1)]),
    ];
    for (path, field, values) in cases {
        for value in values {
            let body = changed(&draft(path), field, value.clone());
            let reply = app.post(path, body).await;
            assert_eq!(reply.status, 400, "{path} {field} {value}");
            assert!(reply.text.contains("validation error: "), "{}", reply.text);
        }
    }
    let audit = backend.audit();
    assert!(audit.collections.values().all(Vec::is_empty));
}

#[tokio::test]
async fn each_of_the_eighteen_labels_and_the_sixteen_metrics_is_taken() {
    let (_backend, app) = start_plain().await;
    let labels = "amazed grateful happy proud hopeful content peaceful excited joyful sad angry stressed anxious frustrated overwhelmed lonely scared worried";
    let labels: Vec<&str> = labels.split(' ').collect();
    assert_eq!(labels.len(), 18);
    assert_eq!(
        app.post(MOODS, changed(&draft(MOODS), "labels", json!(labels)))
            .await
            .status,
        201
    );
    let metrics = "weight height body_fat_percentage bmi steps calories_out distance_km active_minutes sleep_hours water_liters resting_heart_rate mood_score calories_in protein_g carbs_g fat_g";
    for metric in metrics.split(' ') {
        let reply = app
            .post("/api/v1/progress", json!({ "type": metric, "quantity": 0 }))
            .await;
        assert_eq!(reply.status, 201, "{metric}");
    }
}

#[tokio::test]
async fn a_night_that_its_source_has_reported_is_answered_with_200_and_the_first_one() {
    let (backend, app) = start_plain().await;
    let night = changed(&draft("/api/v1/sleep"), "source_id", json!("watch-1"));
    let first = app.post("/api/v1/sleep", night.clone()).await;
    assert_eq!(first.status, 201);
    let again = app
        .post("/api/v1/sleep", changed(&night, "notes", json!("again")))
        .await;
    assert_eq!((again.status.as_u16(), again.data()), (200, first.data()));
    let bob = App::log_in(&backend, "bob@example.org").await;
    assert_eq!(
        bob.post("/api/v1/sleep", night).await.status,
        201,
        "sources are a user's own"
    );
    assert_eq!(backend.audit().held("sleep").count(), 2);
}

#[tokio::test]
async fn the_minutes_of_a_night_are_those_of_its_stages() {
    let (_backend, app) = start_plain().await;
    let stage = |stage: &str, from: &str, to: &str| json!({ "stage": stage, "start_time": format!("2025-11-17T{from}:00Z"), "end_time": format!("2025-11-17T{to}:00Z") });
    let night = json!({
        "start_time": "2025-11-17T00:00:00Z",
        "end_time": "2025-11-17T05:00:00Z",
        "stages": [stage("awake", "00:00", "00:30"), stage("deep", "00:30", "02:00"), stage("rem", "02:00", "04:30")],
    });
    let night = app.post("/api/v1/sleep", night).await.data();
    assert_eq!(night["time_in_bed_minutes"], 300);
    assert_eq!(night["total_sleep_minutes"], 240);
    assert_eq!(night["sleep_efficiency_percentage"], 80.0);
    assert_eq!(
        (
            &night["awake_minutes"],
            &night["deep_minutes"],
            &night["rem_minutes"]
        ),
        (&json!(30), &json!(90), &json!(150))
    );
}

#[tokio::test]
async fn a_value_can_be_posted_and_deleted_but_not_put() {
    let (backend, app) = start_plain().await;
    let id = app
        .post("/api/v1/progress", draft("/api/v1/progress"))
        .await
        .id();
    let path = format!("/api/v1/progress/{id}");
    let put = app.put(&path, draft("/api/v1/progress")).await;
    put.assert_refused(
        405,
        &json!({ "error": { "message": "method not allowed" } }),
    );
    assert_eq!(app.delete(&path).await.status, 204);
    assert_eq!(app.get("/api/v1/nowhere").await.status, 404);
    let statuses: Vec<u16> = backend
        .audit()
        .calls
        .iter()
        .map(|call| call.status)
        .collect();
    assert_eq!(statuses, [200, 201, 405, 204, 404]);
}

#[tokio::test]
async fn a_goal_moves_on_and_ends_once() {
    let (_backend, app) = start_plain().await;
    let goals = "/api/v1/goals";
    let goal = format!("{goals}/{}", app.post(goals, draft(goals)).await.id());
    let moved = app
        .patch(&format!("{goal}/progress"), json!({ "current_value": 15 }))
        .await
        .data();
    assert_eq!(
        (&moved["current_value"], &moved["status"]),
        (&json!(15.0), &json!("active"))
    );
    assert_eq!(moved["statistics"]["progress_percentage"], 50.0);
    assert_eq!(
        app.patch(&format!("{goal}/progress"), json!({ "current_value": -1 }))
            .await
            .status,
        400
    );
    let done = app.post(&format!("{goal}/complete"), Value::Null).await;
    assert_eq!(done.data()["status"], "completed");
    assert_eq!(
        app.post(&format!("{goal}/complete"), Value::Null)
            .await
            .status,
        200
    );
    assert_eq!(
        app.post(&format!("{goal}/abandon"), Value::Null)
            .await
            .status,
        400
    );
    let other = format!("{goals}/{}", app.post(goals, draft(goals)).await.id());
    assert_eq!(
        app.post(&format!("{other}/abandon"), Value::Null)
            .await
            .data()["status"],
        "abandoned"
    );
    assert_eq!(app.get(goals).await.data()["total"], 2);
}

#[tokio::test]
async fn a_batch_of_meals_is_taken_as_a_whole_or_not_at_all() {
    let (backend, app) = start_plain().await;
    let meal = draft("/api/v1/meal-logs/natural");
    let broken = json!({ "items": [meal, changed(&meal, "meal_type", json!("brunch"))] });
    assert_eq!(
        app.post("/api/v1/meal-logs/batch", broken).await.status,
        400
    );
    assert_eq!(backend.audit().held("meal-logs").count(), 0);
    let made = app
        .post("/api/v1/meal-logs/batch", json!({ "items": [meal, meal] }))
        .await;
    assert_eq!(made.status, 201);
    let made = made.data();
    let statuses = made["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["status"]);
    assert_eq!(statuses.collect::<Vec<_>>(), ["processing", "processing"]);
    assert_eq!(
        app.get("/api/v1/meal-logs").await.data()["items"],
        made["items"]
    );
}

#[tokio::test]
async fn absent_keys_of_a_profile_change_nothing() {
    let (_backend, app) = start_plain().await;
    let me = "/api/v1/users/me";
    assert_eq!(
        app.put(me, json!({ "name": "Ada" })).await.data()["name"],
        "Ada"
    );
    let physical = format!("{me}/physical");
    app.patch(&physical, json!({ "height_cm": 165.5 }))
        .await
        .data();
    app.patch(
        &physical,
        json!({ "biological_sex": "female", "date_of_birth": "1990-12-10" }),
    )
    .await
    .data();
    assert_eq!(
        app.get(me).await.data()["physical"],
        json!({ "biological_sex": "female", "height_cm": 165.5, "date_of_birth": "1990-12-10" })
    );
    assert_eq!(
        app.patch(&physical, json!({ "date_of_birth": "10.12.1990" }))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn an_existing_consultation_is_refused_with_its_id() {
    let (backend, app) = start_plain().await;
    let path = "/api/v1/consultations";
    let made = app
        .post(
            path,
            json!({ "persona": "nutritionist", "initial_message": "Hello" }),
        )
        .await;
    assert_eq!(made.status, 201);
    assert_eq!(made.data()["needs_survey"], false);
    let id = made.data()["consultation"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let again = app.post(path, json!({ "persona": "nutritionist" })).await;
    again.assert_refused(
        409,
        &json!({ "success": false, "error": { "code": "CONSULTATION_EXISTS", "details": {
            "existing_consultation_id": id, "persona": "nutritionist", "status": "active", "can_continue": true,
        }}}),
    );
    let said = app
        .post(
            &format!("{path}/{id}/messages"),
            json!({ "content": "Soup?" }),
        )
        .await;
    assert_eq!(said.status, 202);
    for content in ["", &"x".repeat(5001)] {
        let refused = app
            .post(
                &format!("{path}/{id}/messages"),
                json!({ "content": content }),
            )
            .await;
        assert_eq!(refused.status, 400);
    }
    let messages = app.get(&format!("{path}/{id}/messages")).await.data();
    let contents = messages["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| &message["content"]);
    assert_eq!(contents.collect::<Vec<_>>(), ["Hello", "Soup?"]);
    let bob = App::log_in(&backend, "bob@example.org").await;
    assert_eq!(bob.delete(&format!("{path}/{id}")).await.status, 403);
    assert_eq!(app.delete(&format!("{path}/{id}")).await.status, 204);
    let gone = app.delete(&format!("{path}/{id}")).await;
    gone.assert_refused(
        404,
        &json!({ "error": { "message": "consultation not found" } }),
    );
    assert_eq!(
        app.post(path, json!({ "persona": "nutritionist" }))
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn a_goal_chat_needs_the_id_that_the_service_gave_the_goal() {
    let (_backend, app) = start_plain().await;
    let goal = app.post("/api/v1/goals", draft("/api/v1/goals")).await.id();
    let begin = |goal: &str| {
        app.post(
            "/api/v1/consultations",
            json!({ "persona": "fitness_coach", "goal_id": goal }),
        )
    };
    for wrong in [
        goal.to_uppercase(),
        "0d4d1f3a-9a54-4bc4-a4b6-0f1f6f7d2a11".to_owned(),
    ] {
        let refused = begin(&wrong).await;
        refused.assert_refused(404, &json!({ "error": { "message": "goal not found" } }));
    }
    let made = begin(&goal).await.data();
    assert_eq!(made["consultation"]["goal_id"], json!(goal));
    let again = begin(&goal).await;
    assert_eq!(again.status, 409);
    assert_eq!(again.json()["error"]["details"]["goal_id"], json!(goal));
}

#[tokio::test]
async fn nobody_has_more_than_ten_consultations() {
    let (_backend, app) = start_plain().await;
    let path = "/api/v1/consultations";
    for n in 0..11 {
        let goal = app.post("/api/v1/goals", draft("/api/v1/goals")).await.id();
        let begun = app
            .post(path, json!({ "persona": "nutritionist", "goal_id": goal }))
            .await;
        if n < 10 {
            assert_eq!(begun.status, 201);
        } else {
            let body =
                json!({ "success": false, "error": "maximum of 10 active consultations reached" });
            begun.assert_refused(429, &body);
        }
    }
}
