//! Users that are no field, and ids of several parts.

use std::collections::HashMap;
use std::time::Duration;

use outbox_runtime::{Flushed, NewEvent, Processor, enqueue_all, prelude::*};
use outbox_tests::hostile::KEYS;
use outbox_tests::{Remote, enqueue, on_each_store};
use proptest::prelude::*;

const SOON: Duration = Duration::from_secs(30);

/// A number per tenant, whose changes are the shop's.
#[derive(Clone, OutboxEntity)]
#[outbox(event_type = "invoice", user_id = "shop", entity_id = (self.tenant, self.number))]
struct Invoice {
    tenant: String,
    number: u32,
}

/// The session says whose it is.
#[derive(OutboxEntity)]
#[outbox(event_type = "document")]
struct Document {
    #[outbox(entity_id)]
    id: DocumentId,
}

#[derive(Clone, EntityId)]
struct DocumentId(u64);

fn invoice(tenant: &str, number: u32) -> Invoice {
    Invoice {
        tenant: tenant.to_owned(),
        number,
    }
}

#[test]
fn a_change_belongs_to_the_user_that_the_call_gives() {
    on_each_store(|store, _| async move {
        let document = Document { id: DocumentId(7) };
        let mut stored = Vec::new();
        for user in ["u1", "u2"] {
            stored.push(enqueue(&store, document.enqueue_update().for_user(user)).await);
        }
        let users: Vec<&str> = stored.iter().map(|event| &*event.user_id).collect();
        assert_eq!(users, ["u1", "u2"]);
        let (mut remote, handlers) = Remote::of::<Document>();
        let processor = Processor::builder(store.clone()).handlers(handlers);
        let running = processor.build().unwrap().start("u2");
        let call = remote.next().await;
        assert_eq!((call.event.id, &*call.event.user_id), (stored[1].id, "u2"));
        call.ok();
        assert!(
            running
                .flush(&document.id, SOON)
                .await
                .unwrap()
                .is_delivered()
        );
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn a_batch_belongs_to_the_user_that_the_call_gives_or_is_refused() {
    let store = MemoryStore::new();
    let documents = [7, 8].map(|id| Document { id: DocumentId(id) });
    enqueue_all(&documents)
        .for_user("u1")
        .on(&store)
        .await
        .unwrap();
    let stored = store.fetch_pending_events(None, None).await.unwrap();
    let users: Vec<&str> = stored.iter().map(|event| &*event.user_id).collect();
    assert_eq!(users, ["u1", "u1"]);

    let error = enqueue_all(&documents).on(&store).await.unwrap_err();
    let EnqueueError::InBatch { source, .. } = error else {
        panic!("{error}");
    };
    let EnqueueError::Invalid { field, .. } = *source else {
        panic!("{source}");
    };
    assert_eq!(field, "user_id");
    let all = store.fetch_pending_events(None, None).await.unwrap();
    assert_eq!(all.len(), 2, "nothing was enqueued");
}

#[test]
fn an_entity_of_several_parts_has_a_lane_of_its_own() {
    on_each_store(|store, _| async move {
        let (mut remote, handlers) = Remote::of::<Invoice>();
        // With `:` alone between the parts, the first two were one entity.
        let others = [invoice("a", 1), invoice("a:1", 1), invoice("b", 1)];
        for invoice in others.iter().chain(&others[..1]) {
            enqueue(&store, invoice.enqueue_update()).await;
        }
        let processor = Processor::builder(store.clone()).handlers(handlers);
        let running = processor.build().unwrap().start("shop");
        let mut calls = Vec::new();
        for _ in 0..3 {
            calls.push(remote.next().await);
        }
        assert!(remote.is_quiet(), "the second change of an entity waits");
        let ids: Vec<String> = calls
            .iter()
            .map(|call| call.event.entity_id.to_string())
            .collect();
        assert_eq!(ids, ["a:1", "a%3A1:1", "b:1"]);
        calls.into_iter().for_each(outbox_tests::Call::ok);
        let again = remote.next().await;
        assert_eq!(again.event.entity_id.parts(), ["a", "1"]);
        again.ok();
        let flushed = running.flush(("a", 1), SOON).await.unwrap();
        assert!(flushed.is_delivered(), "{flushed:?}");
        let nothing = running.flush(("a:1", 2), SOON).await.unwrap();
        assert!(matches!(nothing, Flushed::NothingThere), "{nothing:?}");
        running.stop().await.unwrap();
    });
}

#[test]
fn hostile_parts_make_distinct_ids_on_every_store() {
    on_each_store(|store, _| async move {
        let parts = KEYS.iter().copied();
        let parts: Vec<&str> = parts.chain([":", "%3A", "%25", "a:", ":a", ""]).collect();
        let mut known: HashMap<String, (&str, &str)> = HashMap::new();
        for one in &parts {
            for other in &parts {
                let id = EntityId::from((*one, *other));
                assert_eq!(id.parts(), [*one, *other]);
                if let Some(same) = known.insert(id.to_string(), (one, other)) {
                    panic!("{id} stands for {same:?} and {:?}", (one, other));
                }
                let event = NewEvent::new("note", id.clone(), "u1", Operation::Create);
                let stored = store.create_event(event).await.unwrap();
                assert_eq!(stored.entity_id, id);
            }
        }
        for stored in store.fetch_pending_events(None, None).await.unwrap() {
            let parts = stored.entity_id.parts();
            assert_eq!(
                known[&stored.entity_id.to_string()],
                (&*parts[0], &*parts[1])
            );
        }
    });
}

#[tokio::test]
async fn an_id_whose_parts_are_too_long_is_refused_with_its_size() {
    let store = MemoryStore::new();
    let refused = |tenant: String| {
        let error = invoice(&tenant, 1).enqueue_create().into_event();
        match error.unwrap_err() {
            EnqueueError::Invalid { field, reason, .. } => (field, reason),
            other => panic!("{other}"),
        }
    };
    let of_size = |bytes: usize| "t".repeat(bytes);
    let fits = invoice(&of_size(253), 1).enqueue_create();
    fits.on(&store).await.unwrap();
    assert_eq!(
        refused(of_size(254)),
        ("entity_id", "has 256 bytes, more than 255".to_owned())
    );
    // A `:` in a part takes three bytes.
    assert_eq!(
        refused(":".repeat(85)),
        ("entity_id", "has 257 bytes, more than 255".to_owned())
    );
    let (field, reason) = refused("a\nb".to_owned());
    assert_eq!(field, "entity_id");
    assert!(reason.contains("control character"), "{reason}");
}

proptest! {
    #[test]
    fn different_lists_of_parts_are_different_ids(
        one in proptest::collection::vec("[a:%253A]{0,4}", 2..5),
        other in proptest::collection::vec("[a:%253A]{0,4}", 2..5),
    ) {
        let id = EntityId::composite(one.clone());
        prop_assert_eq!(id.parts(), one.clone());
        prop_assert_eq!(id == EntityId::composite(other.clone()), one == other);
    }
}
