//! Headers: names and values beside the metadata.

use super::helpers::{
    SECOND, Store, buried, change_of, claim, claim_one, complete, create, event, fetch, settle,
};
use crate::ManualClock;
use outbox_runtime::store::Disposition;
use outbox_runtime::{
    Clock, Coalesce, EnqueueError, EventFilter, Expiry, Headers, NewEvent, Operation, Order,
    OutboxEvent,
};

fn tenant(number: &str) -> Headers {
    [("x-tenant", number)].into_iter().collect()
}

/// As many and as long as there may be, with every kind of character.
fn largest() -> Headers {
    let mut headers = Headers::new();
    headers.set("n".repeat(Headers::MAX_NAME_BYTES), "ü\u{1F980}\"\\'; -- %");
    headers.set_sensitive("!#$%&'*+-.^_`|~09az", "se\u{301}cret {\"a\": 1}");
    headers.set("empty", "");
    while headers.len() < Headers::MAX_COUNT - 1 {
        headers.set(format!("x-{}", headers.len()), "v");
    }
    let bytes = |(name, value): (&str, &str)| name.len() + value.len();
    let used: usize = headers.iter().map(bytes).sum();
    headers.set("y", "z".repeat(Headers::MAX_BYTES - used - 1));
    headers
}

fn assert_has(event: &OutboxEvent, headers: &Headers) {
    assert_eq!(event.headers(), headers, "{event:?}");
}

pub(super) async fn headers_stay_with_their_event(store: Store<'_>, clock: &ManualClock) {
    let (small, largest) = (tenant("7"), largest());
    let plain = create(store, event(1)).await;
    assert!(plain.headers().is_empty());
    let headed = create(store, event(2).with_headers(largest.clone())).await;
    assert_has(&headed, &largest);
    assert_eq!(fetch(store, &headed).await, headed);
    let beside = event(3)
        .with_headers(small.clone())
        .with_key("avatar")
        .with_expiry(Expiry::After(1_000_000 * SECOND));
    let beside = create(store, beside).await;
    assert_has(&fetch(store, &beside).await, &small);

    let claims = claim(store, 9).await;
    let found: Vec<_> = claims.iter().map(|it| it.event.headers().clone()).collect();
    assert_eq!(found, [Headers::new(), largest.clone(), small.clone()]);
    complete(store, &claims[0]).await;
    complete(store, &claims[2]).await;
    assert_has(&fetch(store, &beside).await, &small);
    let failed = Disposition::Fail {
        next_attempt_at: clock.now(),
        message: "HTTP 500".to_owned(),
    };
    settle(store, &claims[1], failed).await;
    assert_has(&fetch(store, &headed).await, &largest);
    clock.advance(SECOND);
    let again = claim_one(store).await;
    assert_has(&again.event, &largest);
    assert!(again.event.headers().is_sensitive("!#$%&'*+-.^_`|~09az"));
    settle(store, &again, buried()).await;

    // What an operator does.
    let page = store.page(&EventFilter::default(), None, 9).await.unwrap();
    let listed = page.events.iter().find(|it| it.id == headed.id);
    assert_has(listed.unwrap(), &largest);
    store.reset_for_retry(&[headed.id]).await.unwrap();
    let mut edited = fetch(store, &headed).await;
    edited.priority = 7;
    store.update_event(&edited).await.unwrap();
    store.reassign_user("u1", "u2").await.unwrap();
    let mut moved = fetch(store, &headed).await;
    assert_has(&moved, &largest);
    moved.headers = small;
    let refused = store.update_event(&moved).await.unwrap_err();
    assert!(refused.to_string().contains("headers"), "{refused}");
    assert_has(&claim_one(store).await.event, &largest);
}

pub(super) async fn a_known_event_with_other_headers_is_refused(store: Store<'_>, _: &ManualClock) {
    let first = create(store, event(1).with_headers(tenant("7"))).await;
    let again = |headers| event(1).with_id(first.id).with_headers(headers);
    let spelled = [("X-Tenant", "8"), ("x-TENANT", "7")].into_iter().collect();
    assert_eq!(create(store, again(spelled)).await, first, "the same");
    for other in [Headers::new(), tenant("8"), {
        let mut more = tenant("7");
        more.set("x-more", "");
        more
    }] {
        let refused = store.create_event(again(other)).await.unwrap_err();
        let is_conflict = matches!(refused, EnqueueError::Conflict { .. });
        assert!(is_conflict, "{refused:?}");
    }
    assert_eq!(fetch(store, &first).await, first);
    assert_eq!(store.statistics(None).await.unwrap().total_events, 1);
}

pub(super) async fn a_fold_takes_the_headers_of_the_newer_event(store: Store<'_>, _: &ManualClock) {
    for (entity, order) in [(1, Order::Entity), (2, Order::None)] {
        let change =
            |text, number: &str| change_of(entity, order, text).with_headers(tenant(number));
        let oldest = change("a", "1");
        let first = create(store, oldest.clone()).await;
        let folded = create(store, change("b", "2")).await;
        assert_eq!(folded.id, first.id);
        assert_has(&folded, &tenant("2"));
        let bare = create(store, change_of(entity, order, "c")).await;
        assert_eq!(bare.id, first.id);
        assert!(bare.headers().is_empty());
        let newest = change("d", "4");
        assert_has(&create(store, newest.clone()).await, &tenant("4"));

        // Each is compared with what was enqueued under its own id.
        for same in [&oldest, &newest] {
            let known = create(store, same.clone()).await;
            assert_has(&known, &tenant("4"));
            let other = same.clone().with_headers(tenant("9"));
            let refused = store.create_event(other).await.unwrap_err();
            let is_conflict = matches!(refused, EnqueueError::Conflict { .. });
            assert!(is_conflict, "{refused:?}");
        }
        assert_has(&claim_one(store).await.event, &tenant("4"));
        let next = create(store, change("e", "5")).await;
        assert_ne!(next.id, first.id, "what was claimed is left alone");
    }
    // A creation that its deletion cancels keeps its own.
    let draft = |operation, number| {
        NewEvent::new("draft", 3, "u1", operation)
            .with_coalesce(Coalesce::Latest)
            .with_headers(tenant(number))
    };
    create(store, draft(Operation::Create, "6")).await;
    let cancelled = create(store, draft(Operation::Delete, "7")).await;
    assert_eq!(cancelled.operation, Operation::Create);
    assert_has(&cancelled, &tenant("6"));
}

pub(super) async fn headers_that_break_a_rule_are_refused(store: Store<'_>, _: &ManualClock) {
    let many = |count: usize| -> Headers {
        let pairs = (0..count).map(|number| (format!("x-{number}"), "v"));
        pairs.collect()
    };
    let mut too_long = largest();
    let y = too_long.get("y").unwrap().len();
    too_long.set("y", "z".repeat(y + 1));
    let long_name = "n".repeat(Headers::MAX_NAME_BYTES + 1);
    let one = |name: &str, value: &str| -> Headers { [(name, value)].into_iter().collect() };
    for broken in [
        many(Headers::MAX_COUNT + 1),
        too_long,
        one(&long_name, ""),
        one("", "v"),
        one("x tenant", "7"),
        one("x:tenant", "7"),
        one("tenänt", "7"),
        one("x-tenant", "7\r\nx-admin: true"),
        one("x-tenant", "\0"),
        one("x-tenant", "\u{85}"),
    ] {
        let headed = event(1).with_headers(broken.clone());
        let refused = store.create_event(headed).await.unwrap_err();
        let field = "headers";
        let named =
            matches!(&refused, EnqueueError::Invalid { field: found, .. } if *found == field);
        assert!(named, "{broken:?}: {refused:?}");
    }
    assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    create(store, event(1).with_headers(many(Headers::MAX_COUNT))).await;
}
