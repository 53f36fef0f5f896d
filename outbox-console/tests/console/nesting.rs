//! The console below a path of an application, or behind a proxy.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

use crate::scene::{PAGES, Visitor, console, fill, memory};

/// Every address on every page begins with the prefix.
async fn check(router: Router, asked_at: &'static str, prefix: &str) {
    let mut visitor = Visitor::of(router).at(asked_at).sign_in().await;
    for page in PAGES
        .into_iter()
        .chain(["", "/retry?state=dead", "/nowhere", "/login"])
    {
        if page.is_empty() && asked_at.is_empty() {
            continue;
        }
        let answer = visitor.get(page).await;
        let is_found = page != "/nowhere";
        assert_eq!(
            answer.status == StatusCode::OK,
            is_found,
            "{page}: {}",
            answer.body
        );
        for attribute in ["href", "action", "src", "data-live"] {
            for link in answer.attributes(attribute) {
                let is_within = link.starts_with(&format!("{prefix}/")) || link == "#main";
                assert!(is_within, "{page}: {attribute} {link}");
            }
        }
    }
    let action = visitor.get("/retry?state=dead").await.action("confirm");
    let within = action.strip_prefix(prefix).unwrap();
    let done = visitor.post(within, &[]).await;
    assert!(
        done.location().starts_with(&format!("{prefix}/events?")),
        "{}",
        done.location()
    );
    let out = visitor.post("/logout", &[]).await;
    assert_eq!(out.location(), format!("{prefix}/login"));
    let cookie = out.headers["set-cookie"].to_str().unwrap();
    let path = if prefix.is_empty() { "/" } else { prefix };
    assert!(cookie.contains(&format!("; Path={path};")), "{cookie}");
}

#[tokio::test]
async fn a_console_finds_the_path_that_it_is_nested_at() {
    let app = || Router::new().route("/", get(|| async { "the application" }));
    for (nested, path) in [(false, ""), (true, "/outbox"), (true, "/ops/outbox")] {
        let (store, _) = memory();
        fill(&store).await;
        let console = console(&store).writable().into_router();
        let router = match nested {
            true => app().nest_service(path, console),
            false => console,
        };
        check(router, path, path).await;
    }
}

#[tokio::test]
async fn a_console_twice_nested_knows_the_whole_path() {
    let (store, _) = memory();
    fill(&store).await;
    let console = console(&store).writable().into_router();
    let ops = Router::new().nest_service("/outbox", console);
    check(
        Router::new().nest("/ops", ops),
        "/ops/outbox",
        "/ops/outbox",
    )
    .await;
}

#[tokio::test]
async fn a_prefix_that_a_proxy_takes_off_is_set() {
    for asked_at in ["", "/tools"] {
        let (store, _) = memory();
        fill(&store).await;
        let console = console(&store).writable().prefix("/tools/");
        check(console.into_router(), asked_at, "/tools").await;
    }
}
