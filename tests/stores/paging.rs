//! Pages of SQLite's store over counted blocks: stepping over blocks loses no event.

use std::collections::BTreeMap;
use std::time::Duration;

use outbox_runtime::store::{ClaimRequest, Disposition, Settlement};
use outbox_runtime::{
    Clock, DeadReason, Durability, EventFilter, NewEvent, OutboxStatus, prelude::*,
    store::SystemClock,
};
use outbox_testing::SeededRng;
use outbox_tests::Temporary;

const LEASE: Duration = Duration::from_secs(600);

/// Gives some of the waiting events an outcome each, and leaves others with their handler.
async fn work(store: &SqliteStore, limit: usize, random: &mut SeededRng) {
    let later = store.clock().now() + Duration::from_secs(3_600);
    let claims = store.claim(&ClaimRequest::new(limit, LEASE)).await.unwrap();
    let mut settlements = Vec::new();
    for claim in claims {
        let message = "HTTP 500".to_owned();
        let disposition = match random.below(10) {
            0 => continue,
            1 => Disposition::Fail {
                next_attempt_at: later,
                message,
            },
            2 => Disposition::Bury {
                reason: DeadReason::Rejected,
                message,
            },
            _ => Disposition::Complete,
        };
        let lease = claim.lease;
        settlements.push(Settlement { lease, disposition });
    }
    store.settle(settlements).await.unwrap();
}

async fn pages(store: &SqliteStore, filter: &EventFilter, limit: usize) -> Vec<OutboxEvent> {
    let mut events = Vec::new();
    let mut from = None;
    loop {
        let mut page = store.page(filter, from, limit).await.unwrap();
        events.append(&mut page.events);
        from = page.next;
        if from.is_none() {
            return events;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_over_counted_blocks_have_the_events_that_a_filter_selects() {
    let temporary = Temporary::open_with(|builder| builder.durability(Durability::Normal)).await;
    let store = &temporary.store;
    let mut random = SeededRng::new(7);
    let mut entity = 0;
    // Blocks of which every event is delivered, mixed ones, and some beyond the counted ones.
    for (events, claimed) in [(2_100, 2_100), (3_000, 1_500), (900, 300)] {
        let new = (0..events).map(|_| {
            entity += 1;
            let user = format!("u{}", random.below(3));
            let event_type = ["a", "b"][usize::try_from(random.below(2)).unwrap()];
            NewEvent::new(event_type, entity, user, Operation::Update)
        });
        let new: Vec<_> = new.map(Ok).collect();
        outbox_runtime::store::BatchSink::enqueue_all(store, new.into_iter())
            .await
            .unwrap();
        let mut left = claimed;
        while left > 0 {
            let limit = left.min(300);
            if claimed == 2_100 {
                let claims = store.claim(&ClaimRequest::new(limit, LEASE)).await.unwrap();
                let done = claims.iter().map(|claim| Settlement {
                    lease: claim.lease,
                    disposition: Disposition::Complete,
                });
                store.settle(done.collect()).await.unwrap();
            } else {
                work(store, limit, &mut random).await;
            }
            left -= limit;
        }
        store.statistics(None).await.unwrap();
    }
    let conn = temporary.connect();
    let began = SystemClock.uptime();
    let counted = || -> i64 {
        conn.query_row("SELECT count(*) FROM outbox_tally", [], |row| row.get(0))
            .unwrap()
    };
    while counted() < 5 {
        assert!(SystemClock.uptime() - began < Duration::from_secs(30));
        std::thread::yield_now();
    }
    let all = pages(store, &EventFilter::default(), 10_000).await;
    assert_eq!(all.len(), 6_000);
    let mut of_status: BTreeMap<OutboxStatus, usize> = BTreeMap::new();
    for event in &all {
        *of_status.entry(event.status).or_default() += 1;
        let fetched = store.fetch_event(event.id).await.unwrap();
        assert_eq!(fetched.as_ref(), Some(event));
    }
    assert!(
        of_status.len() == 5 && of_status.values().all(|count| *count > 20),
        "{of_status:?}"
    );

    let mut filters = vec![EventFilter::default()];
    for status in OutboxStatus::ALL {
        for (user, event_type) in [(None, None), (Some("u1"), None), (Some("u2"), Some("b"))] {
            let mut filter = EventFilter::default();
            filter.statuses = vec![*status];
            filter.user_id = user.map(str::to_owned);
            filter.event_type = event_type.map(str::to_owned);
            filters.push(filter);
        }
    }
    let mut rejected = EventFilter::default();
    rejected.dead_reason = Some(DeadReason::Rejected);
    filters.push(rejected);
    for filter in filters {
        let expected: Vec<_> = all.iter().filter(|event| filter.matches(event)).collect();
        assert!(!expected.is_empty(), "{filter:?}");
        for limit in [7, 500, 10_000] {
            let found = pages(store, &filter, limit).await;
            let found: Vec<_> = found.iter().collect();
            assert!(
                found == expected,
                "{filter:?}, {} of {}",
                found.len(),
                expected.len()
            );
        }
    }
}
