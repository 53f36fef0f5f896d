//! What each screen shows, over each kind of store.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use outbox_console::router_opening;
use outbox_runtime::store::{Announcement, ClaimRequest, Disposition};
use outbox_runtime::{Pause, Refusal, RefusalClass, SqliteStore};

use crate::scene::{
    LEASE, PAGES, Store, TOKEN, Visitor, bury, console, event, fill, id, memory, on_each_store,
    settle,
};

async fn shown(store: &Store, page: &str) -> String {
    let router = console(store).writable().into_router();
    let answer = Visitor::signed_in(router).await.get(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{page}: {}", answer.body);
    answer.body
}

/// The cells of the rows of a table, without tags.
fn rows(body: &str, table: &str) -> Vec<String> {
    let start = body.find(&format!("<table id=\"{table}\"")).unwrap();
    let table = &body[start..];
    let table = &table[..table.find("</table>").unwrap()];
    let rows = table.split("<tr>").skip(2);
    rows.map(words).collect()
}

/// The text of HTML, with one space between words.
fn words(html: &str) -> String {
    let mut text = String::new();
    for part in html.split('<') {
        let after = part.split_once('>').map_or(part, |(_, after)| after);
        text.push(' ');
        text.push_str(after);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_page_can_be_read_without_a_script_and_by_keyboard() {
    on_each_store(|store| async move {
        fill(&store).await;
        let event = format!("/event?id={}", id(3));
        let pages = PAGES.map(str::to_owned).into_iter();
        for page in pages.chain([event, "/retry?state=dead".to_owned()]) {
            let body = shown(&store, &page).await;
            assert_eq!(body.matches("<h1>").count(), 1, "{page}");
            for part in [
                "<html lang=\"en\">",
                "<nav aria-label=\"Sections\">",
                "<main id=\"main\"",
                "<p id=\"live\" role=\"status\">Updates: paused</p>",
                "<meta name=\"color-scheme\" content=\"light dark\">",
            ] {
                assert!(body.contains(part), "{page} has no {part}");
            }
            let skip = body.find("href=\"#main\"").unwrap();
            assert!(skip < body.find("<nav").unwrap(), "{page}");
            for table in body.split("<table").skip(1) {
                assert!(table.contains("<caption>") && table.contains("scope=\"col\""));
            }
            for field in body
                .split("<input")
                .skip(1)
                .chain(body.split("<select").skip(1))
            {
                let field = field.split('>').next().unwrap();
                if field.contains("type=\"hidden\"") {
                    continue;
                }
                let id = field
                    .split("id=\"")
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap();
                assert!(
                    body.contains(&format!("<label for=\"{id}\">")),
                    "{page}: {id}"
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_overview_has_counts_pauses_and_processes() {
    on_each_store(|store| async move {
        fill(&store).await;
        store
            .pause(&Pause::user("ann").because("case 7").by("ada"))
            .await
            .unwrap();
        let run = Announcement::new(store.clock().now());
        store.announce(&run).await.unwrap();
        let body = shown(&store, "/").await;
        assert_eq!(
            rows(&body, "counts"),
            [
                "pending 3",
                "processing 0",
                "failed, to be tried again 1",
                "dead 1",
                "completed 1"
            ]
        );
        let text = words(&body);
        assert!(
            text.contains("user &#34;ann&#34;, since") && text.contains("by ada: case 7"),
            "{text}"
        );
        assert!(text.contains("1 alive, 0 dead, 0 unknown"), "{text}");
        assert!(text.contains("measured from the second look on"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn every_filter_of_the_listing_selects_what_it_names() {
    on_each_store(|store| async move {
        fill(&store).await;
        let mut visitor = Visitor::signed_in(console(&store).into_router()).await;
        for (query, expected) in [
            ("", &[1, 2, 3, 4, 5, 6][..]),
            ("?state=dead", &[3]),
            ("?state=dead&state=failed", &[2, 3]),
            ("?state=dead,failed", &[2, 3]),
            ("?type=mood", &[3, 4, 5]),
            ("?user=cat", &[6]),
            ("?entity=3", &[3, 5]),
            ("?text=NO+ROUTE", &[4]),
            ("?reason=rejected", &[3]),
            ("?reason=crash_loop", &[]),
            ("?state=&type=&user=ann", &[1, 2]),
        ] {
            let answer = visitor.get(&format!("/events{query}")).await;
            let listed = rows(&answer.body, "events");
            let expected: Vec<String> = expected.iter().map(|n| format!("{n:012x}")).collect();
            let ids: Vec<&str> = listed.iter().map(|row| &row[..12]).collect();
            assert_eq!(ids, expected, "{query}");
        }
        for wrong in ["?state=lost", "?reason=lost", "?after=x"] {
            let answer = visitor.get(&format!("/events{wrong}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_refusal_of_an_event_that_was_delivered_meanwhile_is_history_and_no_error() {
    on_each_store(|store| async move {
        store.create_event(event(1, "meal", "ann")).await.unwrap();
        let refused = Disposition::GiveBack {
            next_attempt_at: None,
            refusal: Some(Refusal::new(RefusalClass::Offline, "no route to host")),
        };
        settle(&store, refused).await;
        let waiting = rows(&shown(&store, "/events").await, "events");
        assert!(
            waiting[0].ends_with("offline: no route to host"),
            "{waiting:?}"
        );
        settle(&store, Disposition::Complete).await;

        let listed = rows(&shown(&store, "/events").await, "events");
        assert!(listed[0].contains("completed"), "{listed:?}");
        assert!(!listed[0].contains("no route"), "{listed:?}");
        let page = format!("/event?id={}", id(1));
        let facts = words(&shown(&store, &page).await);
        let history = "last refusal offline: no route to host";
        assert!(facts.contains(history), "{facts}");
    })
    .await;
}

#[tokio::test]
async fn a_listing_goes_on_page_by_page_to_each_event_once() {
    on_each_store(|store| async move {
        for number in 1..=450 {
            store
                .create_event(event(number, "meal", "ann"))
                .await
                .unwrap();
        }
        let mut visitor = Visitor::signed_in(console(&store).into_router()).await;
        let (mut path, mut seen) = ("/events?user=ann".to_owned(), Vec::new());
        loop {
            let answer = visitor.get(&path).await;
            let listed = rows(&answer.body, "events");
            assert!(listed.len() <= 200);
            seen.extend(listed.into_iter().map(|row| row[..12].to_owned()));
            // Events that are enqueued meanwhile are not in it.
            let late = event(10_000 + seen.len() as u128, "meal", "ann");
            store.create_event(late).await.unwrap();
            let mut links = answer.attributes("href").into_iter();
            match links.find(|href| href.contains("after=")) {
                Some(next) => path = next,
                None => break,
            }
        }
        let expected: Vec<String> = (1..=450).map(|n| format!("{n:012x}")).collect();
        assert_eq!(seen, expected);
    })
    .await;
}

#[tokio::test]
async fn an_event_has_its_attempts_its_payload_and_the_reason_why_it_waits() {
    on_each_store(|store| async move {
        fill(&store).await;
        let body = shown(&store, &format!("/event?id={}", id(3))).await;
        let text = words(&body);
        for part in [
            "update of mood 3, user bob",
            "waits for a decision",
            "reason rejected",
            "error HTTP 422: no such meal 4711",
            "dead after 0.0 s HTTP 422",
            "notes : (text of 10)",
            "kcal : (number)",
            "a : (list of 1)",
            "Retry…",
            "Discard…",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let waiting = words(&shown(&store, &format!("/event?id={}", id(6))).await);
        assert!(
            waiting.contains("due time") && !waiting.contains("Discard…"),
            "{waiting}"
        );
        let mut visitor = Visitor::signed_in(console(&store).into_router()).await;
        let unknown = visitor.get(&format!("/event?id={}", id(99))).await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        for wrong in ["/event", "/event?id=7"] {
            assert_eq!(visitor.get(wrong).await.status, StatusCode::BAD_REQUEST);
        }
        assert_eq!(visitor.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn a_sensitive_header_is_hidden_and_others_are_shown() {
    on_each_store(|store| async move {
        let headed = event(1, "meal", "ann").with_header("x-tenant", "<b>7</b>");
        let headed = headed.with_sensitive_header("x-key", "CANARY");
        store.create_event(headed).await.unwrap();
        store.create_event(event(2, "meal", "bea")).await.unwrap();
        let body = shown(&store, &format!("/event?id={}", id(1))).await;
        let text = words(&body);
        assert!(
            text.contains("headers x-key: [redacted], x-tenant: "),
            "{text}"
        );
        assert!(!body.contains("CANARY") && !body.contains("<b>7"), "{body}");
        let body = shown(&store, &format!("/event?id={}", id(2))).await;
        assert!(!words(&body).contains("headers"), "{body}");
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_grouped_by_what_went_wrong() {
    on_each_store(|store| async move {
        for number in 1..=7 {
            let user = format!("user-{number}");
            store
                .create_event(event(number, "meal", &user))
                .await
                .unwrap();
            let message = match number {
                1..=4 => format!("HTTP 422: meal {number} of \"user {number}\" has no unit"),
                _ => format!("HTTP 410: meal {number} is gone"),
            };
            settle(&store, bury(&message)).await;
        }
        let mut visitor = Visitor::signed_in(console(&store).into_router()).await;
        let answer = visitor.get("/dead").await;
        let groups = rows(&answer.body, "groups");
        assert_eq!(groups.len(), 2, "{groups:#?}");
        assert!(
            groups[0].starts_with("HTTP 422: meal # of … has no unit 4 rejected meal"),
            "{groups:?}"
        );
        assert!(
            groups[1].starts_with("HTTP 410: meal # is gone 3"),
            "{groups:?}"
        );
        // A group leads to its events.
        let mut links = answer.attributes("href").into_iter();
        let link = links.find(|href| href.contains("text=")).unwrap();
        let listed = visitor.get(&link).await;
        assert_eq!(rows(&listed.body, "events").len(), 4, "{link}");
    })
    .await;
}

#[tokio::test]
async fn types_that_nobody_handles_and_users_with_a_backlog_are_named() {
    on_each_store(|store| async move {
        fill(&store).await;
        let unknown = shown(&store, "/types").await;
        assert!(unknown.contains("No run is announced"), "{unknown}");
        let run = Announcement::new(store.clock().now());
        let run = run.with_event_types(vec!["meal".to_owned(), "goal".to_owned()]);
        let run = run.with_held_types(vec!["draft".to_owned()]);
        store.announce(&run).await.unwrap();
        store.pause(&Pause::event_type("mood")).await.unwrap();
        let mut types = rows(&shown(&store, "/types").await, "types");
        assert_eq!(types.len(), 4, "{types:?}");
        assert_eq!(types.remove(0), "draft 0 0 0 0 - held: retired");
        assert!(types[0].starts_with("goal 0 0 0 0 - 1 run"), "{types:?}");
        assert!(
            types[1].starts_with("meal 1 0 1 0") && types[1].ends_with("1 run"),
            "{types:?}"
        );
        assert!(types[2].starts_with("mood paused 2 0 0 1"), "{types:?}");
        assert!(types[2].ends_with("nobody"), "{types:?}");
        let users = rows(&shown(&store, "/users").await, "users");
        assert_eq!(
            users,
            ["bob 2 1 0s ago", "ann 1 0 0s ago", "cat 1 0 0s ago"]
        );
        let findings = rows(&shown(&store, "/maintenance").await, "findings");
        assert!(
            findings[0].contains("no run has a handler for mood"),
            "{findings:?}"
        );
        let processes = rows(&shown(&store, "/processes").await, "processes");
        assert!(processes[0].contains("alive") && processes[0].contains("goal, meal; holds draft"));
    })
    .await;
}

#[tokio::test]
async fn a_user_whose_events_wait_for_five_minutes_is_stale() {
    let (store, clock) = memory();
    store.create_event(event(1, "meal", "ann")).await.unwrap();
    clock.advance(Duration::from_secs(301));
    store.create_event(event(2, "meal", "ann")).await.unwrap();
    store.create_event(event(3, "meal", "bob")).await.unwrap();
    let users = rows(&shown(&store, "/users").await, "users");
    assert_eq!(users.len(), 2, "{users:?}");
    assert!(users[0].starts_with("ann 2 0 ") && users[0].ends_with(" ago stale"));
    assert!(users[1].starts_with("bob 1 0 ") && users[1].ends_with(" ago"));
}

#[tokio::test]
async fn maintenance_names_the_command_that_mends_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's.db");
    let clock = outbox_testing::ManualClock::new();
    let builder = SqliteStore::builder(&path).clock(clock.clone());
    let sqlite = builder.open().await.unwrap();
    let store: Store = Arc::new(sqlite.clone());
    store.create_event(event(1, "meal", "ann")).await.unwrap();
    let router = console(&store).of_file(&path).into_router();
    let mut visitor = Visitor::signed_in(router).await;
    for page in ["/maintenance", "/maintenance?check=full"] {
        let body = visitor.get(page).await.body;
        assert!(body.contains("<p id=\"fine\">"), "{body}");
    }
    store.claim(&ClaimRequest::new(1, LEASE)).await.unwrap();
    clock.advance(LEASE * 10);
    let body = visitor.get("/maintenance").await;
    let findings = rows(&body.body, "findings");
    assert!(findings[0].starts_with("leases warning"), "{findings:?}");
    assert!(
        findings[0].contains("outbox doctor --repair --db"),
        "{findings:?}"
    );
    sqlite.close().await;
}

#[tokio::test]
async fn a_store_that_fails_is_opened_anew_or_told_about() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    SqliteStore::open(&path).await.unwrap().close().await;
    let stores = Arc::new(std::sync::Mutex::new(Vec::<SqliteStore>::new()));
    let opened = Arc::clone(&stores);
    let console = router_opening(move || {
        let (path, opened) = (path.clone(), Arc::clone(&opened));
        async move {
            let store = SqliteStore::builder(path).read_only().open().await?;
            opened.lock().unwrap().push(store.clone());
            let store: Store = Arc::new(store);
            Ok(store)
        }
    });
    let mut visitor = Visitor::signed_in(console.token(TOKEN).into_router()).await;
    let first = stores.lock().unwrap()[0].clone();
    first.close().await;
    for page in PAGES {
        assert_eq!(visitor.get(page).await.status, StatusCode::OK, "{page}");
    }
    assert_eq!(stores.lock().unwrap().len(), 2);
    // The control: a store of the application is its own to open.
    let (store, clock) = memory();
    let mut visitor = Visitor::signed_in(console_of(&store)).await;
    store.suspend().await.unwrap();
    // Until then, a page shows what was read before.
    clock.advance(LEASE);
    for page in PAGES {
        let failed = visitor.get(page).await;
        assert_eq!(failed.status, StatusCode::SERVICE_UNAVAILABLE, "{page}");
        assert!(failed.body.contains("id=\"trouble\""), "{}", failed.body);
    }
}

fn console_of(store: &Store) -> axum::Router {
    console(store).into_router()
}
