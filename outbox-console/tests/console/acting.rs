//! Changes: of exactly what was confirmed.

use axum::http::StatusCode;
use outbox_runtime::{OutboxStatus, PauseScope};

use crate::scene::{Store, Visitor, bury, console, event, fill, id, memory, on_each_store, settle};

async fn dead_letters(store: &Store, numbers: impl IntoIterator<Item = u128>, message: &str) {
    for number in numbers {
        store
            .create_event(event(number, "meal", "ann"))
            .await
            .unwrap();
        settle(store, bury(message)).await;
    }
}

async fn count(store: &Store, status: OutboxStatus) -> usize {
    store.fetch_events(status, None, None).await.unwrap().len()
}

async fn operator(store: &Store) -> Visitor {
    Visitor::signed_in(console(store).writable().into_router()).await
}

#[tokio::test]
async fn a_bulk_retry_changes_exactly_the_events_that_were_counted() {
    on_each_store(|store| async move {
        dead_letters(&store, 1..=700, "no such meal").await;
        dead_letters(&store, 701..=705, "another error").await;
        let mut operator = operator(&store).await;
        let asked = operator.get("/retry?text=such+MEAL").await;
        assert!(asked.body.contains("Retry 700 events?"), "{}", asked.body);
        assert!(asked.body.contains("700 rejected"), "{}", asked.body);
        let action = asked.action("confirm");
        // Events that come later do not count.
        dead_letters(&store, 801..=803, "no such meal").await;
        let done = operator.post(&action, &[]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
        let listing = operator.get(done.location()).await;
        assert!(
            listing
                .body
                .contains("<p id=\"message\" role=\"status\">700 events retried.</p>")
        );
        assert_eq!(count(&store, OutboxStatus::Pending).await, 700);
        assert_eq!(count(&store, OutboxStatus::Dead).await, 8);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_done_where_the_events_have_changed_since_they_were_counted() {
    on_each_store(|store| async move {
        dead_letters(&store, 1..=3, "no such meal").await;
        let mut operator = operator(&store).await;
        let action = operator.get("/discard?user=ann").await.action("confirm");
        store.reset_for_retry(&[id(2)]).await.unwrap();
        let refused = operator.post(&action, &[]).await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        assert!(
            refused.body.contains("Discard 2 events?"),
            "{}",
            refused.body
        );
        assert_eq!(count(&store, OutboxStatus::Dead).await, 2);
        // Somebody who changes the link is refused as well.
        let wider = action.replace("user=ann", "user=bob");
        assert_eq!(
            operator.post(&wider, &[]).await.status,
            StatusCode::CONFLICT
        );
        let bare = operator.post("/discard", &[]).await;
        assert_eq!(bare.status, StatusCode::CONFLICT);
        assert_eq!(count(&store, OutboxStatus::Dead).await, 2);
        // The control: the number that is shown now can be confirmed.
        let done = operator.post(&refused.action("confirm"), &[]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
        assert_eq!(count(&store, OutboxStatus::Dead).await, 0);
        assert_eq!(count(&store, OutboxStatus::Pending).await, 1);
    })
    .await;
}

#[tokio::test]
async fn an_act_takes_only_events_in_a_state_for_it() {
    let (store, _) = memory();
    fill(&store).await;
    let mut operator = operator(&store).await;
    for wrong in [
        "/retry?state=pending",
        "/discard?state=failed",
        "/retry?id=x",
    ] {
        let refused = operator.get(wrong).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let both = format!("/retry?id={}&user=ann", id(2));
    assert_eq!(operator.get(&both).await.status, StatusCode::BAD_REQUEST);
    // An event that failed is tried again anyway, so that its retry is asked for by name.
    let all = operator.get("/retry").await;
    assert!(all.body.contains("Retry 1 event?"), "{}", all.body);
    let none = operator.get(&format!("/discard?id={}", id(1))).await;
    assert!(!none.body.contains("<form id=\"confirm\""), "{}", none.body);
    let one = operator
        .get(&format!("/retry?id={}&id={}", id(2), id(1)))
        .await;
    let done = operator.post(&one.action("confirm"), &[]).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    assert_eq!(count(&store, OutboxStatus::Failed).await, 0);
    assert_eq!(count(&store, OutboxStatus::Completed).await, 1);
}

#[tokio::test]
async fn an_edit_changes_a_waiting_event_and_no_other() {
    on_each_store(|store| async move {
        fill(&store).await;
        let mut operator = operator(&store).await;
        let page = operator.get(&format!("/event?id={}", id(6))).await;
        let mut actions = page.attributes("action").into_iter();
        let action = actions.find(|action| action.starts_with("/edit?")).unwrap();
        let fields = [("priority", "-3"), ("due", "now"), ("attempts", "9")];
        let done = operator.post(&action, &fields).await;
        let after = operator.get(done.location()).await;
        assert!(
            after.body.contains("The event was edited."),
            "{}",
            after.body
        );
        let edited = store.fetch_event(id(6)).await.unwrap().unwrap();
        assert_eq!((edited.priority, edited.max_attempts), (-3, 9));
        assert_eq!(edited.next_attempt_at, store.clock().now());
        let done = operator.post(&action, &[("expires", "+2h")]).await;
        let after = operator.get(done.location()).await;
        let edited = store.fetch_event(id(6)).await.unwrap().unwrap();
        let ends = store.clock().now() + std::time::Duration::from_secs(7_200);
        assert_eq!(edited.expires_at, Some(ends));
        assert!(after.body.contains("<dt>expires</dt>"), "{}", after.body);
        for (number, fields, status) in [
            (1, &[("priority", "1")][..], StatusCode::CONFLICT),
            (99, &[("priority", "1")], StatusCode::CONFLICT),
            (6, &[("priority", "much")], StatusCode::BAD_REQUEST),
            (6, &[("attempts", "0")], StatusCode::CONFLICT),
            (6, &[("due", "tomorrow")], StatusCode::BAD_REQUEST),
            (6, &[("expires", "tomorrow")], StatusCode::BAD_REQUEST),
            (6, &[("due", "+3h")], StatusCode::CONFLICT),
            (6, &[], StatusCode::BAD_REQUEST),
        ] {
            let refused = operator
                .post(&format!("/edit?id={}", id(number)), fields)
                .await;
            assert_eq!(
                refused.status, status,
                "{number} {fields:?}: {}",
                refused.body
            );
        }
    })
    .await;
}

#[tokio::test]
async fn pauses_are_set_shown_and_lifted() {
    on_each_store(|store| async move {
        let mut operator = operator(&store).await;
        let fields = [
            ("scope", "destination"),
            ("name", "eu"),
            ("because", "maintenance"),
            ("until", "+2h"),
        ];
        let done = operator.post("/pause", &fields).await;
        let page = operator.get(done.location()).await;
        assert!(
            page.body
                .contains("<p id=\"message\" role=\"status\">Paused.</p>")
        );
        assert!(page.body.contains("maintenance"), "{}", page.body);
        let paused = store.paused().await.unwrap().remove(0);
        assert_eq!(paused.scope, PauseScope::Destination("eu".to_owned()));
        assert!(paused.until.is_some() && paused.by.unwrap().contains("session "));
        for wrong in [
            &[("scope", "user")][..],
            &[("scope", "planet"), ("name", "x")],
            &[("scope", "everything"), ("until", "-1h")],
            &[("scope", "everything"), ("until", "soon")],
        ] {
            let refused = operator.post("/pause", wrong).await;
            assert_eq!(
                refused.status,
                StatusCode::BAD_REQUEST,
                "{wrong:?}: {}",
                refused.body
            );
        }
        let mut actions = page.attributes("action").into_iter();
        let resume = actions
            .find(|action| action.starts_with("/resume?"))
            .unwrap();
        let done = operator.post(&resume, &[]).await;
        assert_eq!(done.location(), "/pauses?done=resume&count=1");
        let again = operator.post(&resume, &[]).await;
        assert_eq!(again.location(), "/pauses?done=resume&count=0");
    })
    .await;
}

#[tokio::test]
async fn a_clean_up_deletes_what_was_completed_before_it_was_asked_for() {
    let (store, clock) = memory();
    fill(&store).await;
    clock.advance(std::time::Duration::from_secs(3_600));
    let mut operator = operator(&store).await;
    let none = operator.get("/cleanup").await;
    assert!(
        none.body.contains("0 events were completed"),
        "{}",
        none.body
    );
    let asked = operator.get("/cleanup?older=30m").await;
    assert!(
        asked.body.contains("1 events were completed"),
        "{}",
        asked.body
    );
    let action = asked.action("confirm");
    clock.advance(std::time::Duration::from_secs(3_600));
    store.create_event(event(9, "meal", "dan")).await.unwrap();
    settle(&store, outbox_runtime::store::Disposition::Complete).await;
    let done = operator.post(&action, &[]).await;
    assert_eq!(done.location(), "/maintenance?done=cleanup&count=1");
    assert_eq!(count(&store, OutboxStatus::Completed).await, 1);
    for wrong in ["/cleanup", "/cleanup?before=soon"] {
        let refused = operator.post(wrong, &[]).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    // Not even a time of the future takes what is completed meanwhile.
    let future = operator
        .post("/cleanup?before=2999-01-01T00:00:00Z", &[])
        .await;
    assert_eq!(future.status, StatusCode::SEE_OTHER);
}
