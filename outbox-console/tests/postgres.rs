//! The screens and acts over a PostgreSQL server.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use std::sync::Arc;

use axum::http::StatusCode;
use outbox_postgres_tests::open;
use outbox_runtime::OutboxStatus;

use self::scene::{PAGES, Store, Visitor, console, fill, id};

#[path = "console/scene.rs"]
#[allow(dead_code, reason = "it is for the other tests, too")]
mod scene; // outboxes and visitors

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_and_act_works_on_a_server() {
    let store: Store = Arc::new(open(|builder| builder).await);
    fill(&store).await;
    let router = console(&store).writable().of_schema("t0").into_router();
    let mut operator = Visitor::signed_in(router).await;
    for page in PAGES.into_iter().chain(["/maintenance?check=full"]) {
        let answer = operator.get(page).await;
        assert_eq!(answer.status, StatusCode::OK, "{page}: {}", answer.body);
    }
    for (page, text) in [
        ("/", "class=\"number bad\">1</td>"),
        (
            "/events?state=dead&text=NO+SUCH",
            "HTTP 422: no such meal 4711",
        ),
        ("/dead", "HTTP 422: no such meal #"),
        ("/types", ">mood</a>"),
        ("/users", ">cat</a>"),
    ] {
        let body = operator.get(page).await.body;
        assert!(body.contains(text), "{page}: {body}");
    }
    let event = operator.get(&format!("/event?id={}", id(3))).await;
    assert!(
        event.body.contains("waits for a decision"),
        "{}",
        event.body
    );

    let pause = [("scope", "user"), ("name", "ann"), ("until", "+1h")];
    operator.post("/pause", &pause).await;
    assert_eq!(store.paused().await.unwrap().len(), 1);
    operator.post("/resume?scope=user&name=ann", &[]).await;
    assert!(store.paused().await.unwrap().is_empty());
    let edit = format!("/edit?id={}", id(6));
    operator.post(&edit, &[("priority", "7")]).await;
    assert_eq!(store.fetch_event(id(6)).await.unwrap().unwrap().priority, 7);
    let action = operator.get("/retry?state=dead").await.action("confirm");
    let done = operator.post(&action, &[]).await;
    assert!(
        done.location().ends_with("done=retry&count=1"),
        "{}",
        done.location()
    );
    let dead = store.fetch_events(OutboxStatus::Dead, None, None).await;
    assert!(dead.unwrap().is_empty());
}
