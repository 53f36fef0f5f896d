//! Pages of an outbox with many events: each is made in bounded time, and says what it left out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use axum::body::BodyDataStream;
use futures_util::StreamExt as _;
use outbox_operate::newest;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::{ClaimRequest, Disposition, Settlement};
use outbox_runtime::{EventFilter, OutboxStatus, SqliteStore};

use crate::scene::{LEASE, Store, Visitor, bury, console, event, on_each_store};

/// By which a browser without scripts reads a page again.
const REFRESH: &str = "<noscript><meta http-equiv=\"refresh\" content=\"2\"></noscript>";

/// More rows than statistics count before a page gives up waiting for them.
const MANY: u32 = 70_000;

/// Enqueues these events, and ends their attempts.
async fn end(store: &Store, numbers: std::ops::RangeInclusive<u128>, disposition: &Disposition) {
    for number in numbers {
        let of_its_own = format!("user-{number}");
        let event = event(number, "meal", &of_its_own);
        store.create_event(event).await.unwrap();
    }
    loop {
        let claims = store.claim(&ClaimRequest::new(500, LEASE)).await.unwrap();
        if claims.is_empty() {
            return;
        }
        let settled = claims.iter().map(|claim| Settlement {
            lease: claim.lease,
            disposition: disposition.clone(),
        });
        store.settle(settled.collect()).await.unwrap();
    }
}

#[tokio::test]
async fn the_newest_events_are_read_part_by_part_to_each_once() {
    on_each_store(|store| async move {
        let mut dead = EventFilter::default();
        dead.statuses = vec![OutboxStatus::Dead];
        let none = newest(&*store, &dead, None, 4, || true).await.unwrap();
        assert_eq!((none.events.len(), none.next), (0, None));
        for (numbers, is_dead) in [
            (1..=7, true),
            (8..=40, false),
            (41..=43, true),
            (44..=44, false),
            (45..=60, true),
            (61..=90, false),
        ] {
            let disposition = match is_dead {
                true => bury("no such meal"),
                false => Disposition::Complete,
            };
            end(&store, numbers, &disposition).await;
        }
        let mut expected = store
            .fetch_events(OutboxStatus::Dead, None, None)
            .await
            .unwrap();
        expected.reverse();
        assert_eq!(expected.len(), 26);
        // Without time, each call still looks at a part of the rows.
        for has_time in [true, false] {
            for most in [1, 4, 26, 500] {
                let (mut found, mut from) = (Vec::new(), None);
                loop {
                    let part = newest(&*store, &dead, from, most, || has_time);
                    let part = part.await.unwrap();
                    assert!(part.events.len() <= most);
                    assert!(
                        part.next
                            .is_none_or(|next| from.is_none_or(|from| next < from))
                    );
                    found.extend(part.events);
                    from = part.next;
                    if from.is_none() {
                        break;
                    }
                }
                assert_eq!(found, expected, "{has_time} {most}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_newest_dead_letters_are_grouped_and_older_ones_on_another_page() {
    on_each_store(|store| async move {
        end(&store, 1..=30, &bury("HTTP 410: gone")).await;
        end(&store, 101..=2_100, &bury("HTTP 422: no unit")).await;
        let mut visitor = Visitor::signed_in(console(&store).into_router()).await;
        let body = visitor.get("/dead").await.body;
        let summary = "2030 dead letters; the newest 2000 of them are grouped here.";
        assert!(body.contains(summary), "{body}");
        assert!(body.contains("HTTP 422") && !body.contains("HTTP 410"));
        let older = link(&body, "Older dead letters").unwrap();
        let body = visitor.get(&older).await.body;
        let summary = "2030 dead letters; 30 older ones are grouped here.";
        assert!(body.contains(summary), "{body}");
        assert!(body.contains("HTTP 410") && !body.contains("HTTP 422"));
        assert_eq!(link(&body, "Older dead letters"), None);
        assert_eq!(link(&body, "The newest").unwrap(), "/dead");
    })
    .await;
}

/// The address of the link with this text.
fn link(body: &str, text: &str) -> Option<String> {
    let end = body.find(&format!("\">{text}</a>"))?;
    let (_, href) = body[..end].rsplit_once("href=\"")?;
    Some(crate::scene::decoded(href))
}

/// Writes delivered events by SQL, which nobody has counted.
fn fill(path: &std::path::Path) {
    let conn = Connection::open(path).unwrap();
    conn.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO outbox_events (status, slot, lane, operation, max_attempts, created_at, next_attempt_at,
             completed_at, id, user_id, entity_id, event_type, metadata)
         SELECT 2, NULL, NULL, 1, 5, 1700000000000000 + i, 1700000000000000, 1700000001000000, randomblob(16),
             'ann', i, 'meal', '{}' FROM n",
        [MANY],
    )
    .unwrap();
    conn.close().unwrap();
}

/// The name of the next event of a stream that is no sign of life.
async fn next_event(lines: &mut BodyDataStream) -> String {
    loop {
        let bytes = lines.next().await.unwrap().unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let name = text.lines().find_map(|line| line.strip_prefix("event: "));
        if let Some(name) = name {
            return name.to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_does_not_wait_for_a_count_that_takes_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    SqliteStore::open(&path).await.unwrap().close().await;
    fill(&path);
    // Long counts have a connection of their own, the third. It waits for the end of this channel.
    let (release, gate) = channel::<()>();
    let (gate, opened) = (Mutex::new(gate), AtomicUsize::new(0));
    let builder = SqliteStore::builder(&path).on_connect(move |_| {
        if opened.fetch_add(1, Ordering::SeqCst) == 2 {
            let _ = gate.lock().unwrap().recv();
        }
        Ok(())
    });
    let sqlite = builder.open().await.unwrap();
    let store: Store = Arc::new(sqlite.clone());
    let mut visitor = Visitor::signed_in(console(&store).into_router()).await;
    for page in ["/", "/dead"] {
        let body = visitor.get(page).await.body;
        assert!(body.contains("being counted"), "{page}: {body}");
        assert!(body.contains(REFRESH), "{page}: {body}");
    }
    let mut live = visitor.stream("/live").await.1.into_data_stream();
    assert_eq!(next_event(&mut live).await, "hello");
    for page in crate::scene::PAGES {
        let answer = visitor.get(page).await;
        assert_eq!(answer.status, axum::http::StatusCode::OK, "{page}");
    }
    drop(release);
    // The pages are told that they can be read again.
    let told = outbox_tests::within(next_event(&mut live)).await;
    assert_eq!(told, "change");
    let counted = format!("<td class=\"number good\">{MANY}</td>");
    let shown = async {
        while !visitor.get("/").await.body.contains(&counted) {
            tokio::task::yield_now().await;
        }
    };
    outbox_tests::within(shown).await;
    for page in ["/", "/dead"] {
        assert!(!visitor.get(page).await.body.contains(REFRESH), "{page}");
    }
    drop(live);
    sqlite.close().await;
}

#[tokio::test]
async fn a_search_that_ends_early_says_so_and_can_be_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    SqliteStore::open(&path).await.unwrap().close().await;
    fill(&path);
    let sqlite = SqliteStore::open(&path).await.unwrap();
    let store: Store = Arc::new(sqlite.clone());
    let mut visitor = Visitor::signed_in(console(&store).into_router()).await;
    // The last event of all.
    let mut next = Some(format!("/events?entity={MANY}"));
    let mut found = 0;
    while let Some(path) = next {
        let body = visitor.get(&path).await.body;
        let rows = body.matches("<th scope=\"row\">").count();
        found += rows;
        next = link(&body, "Continue the search");
        let text = "the search has not ended";
        assert_eq!(body.contains(text), next.is_some() && rows == 0, "{body}");
        assert_eq!(link(&body, "Next page"), None);
    }
    assert_eq!(found, 1);
    sqlite.close().await;
}
