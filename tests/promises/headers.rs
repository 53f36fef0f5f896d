//! Headers go from the call that enqueues an event to its handler, by every door, and sensitive
//! ones are shown nowhere.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_runtime::rusqlite::params_from_iter;
use outbox_runtime::store::BatchSink;
use outbox_runtime::{
    Batching, DeadReason, EnqueueError, Expiry, Headers, HeadersError, NewEvent, enqueue_all,
    prelude::*,
};
use outbox_tests::{
    Log, Note, Temporary, enqueue, foreign_statement, note, on_each_store, start, within,
};

const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "CANARY \"quoted\" 5f0c";

fn pairs(headers: &Headers) -> Vec<(&str, &str)> {
    headers.iter().collect()
}

#[test]
fn a_handler_finds_the_headers_of_its_event() {
    on_each_store(|store, _| async move {
        let change = note(1).enqueue_create().header("X-Tenant", "6");
        let change = change
            .header("x-tenant", "7")
            .sensitive_header("x-key", "k");
        enqueue(&store, change).await;
        enqueue(&store, note(2).enqueue_create()).await;
        let (mut remote, running) = start(&store);
        for _ in 0..2 {
            let call = remote.next().await;
            let headers = call.event.headers();
            match call.id() {
                1 => assert_eq!(pairs(headers), [("x-key", "k"), ("x-tenant", "7")]),
                _ => assert!(headers.is_empty()),
            }
            assert!(!headers.is_sensitive("x-tenant"), "the later call counts");
            call.ok();
        }
        running.stop().await.unwrap();
    });
}

#[tokio::test]
async fn headers_take_every_door_of_a_file() {
    let made = Temporary::open().await;
    let (store, mut conn) = (&made.store, made.connect());
    let notes: Vec<Note> = (1..=60).map(note).collect();
    let all = enqueue_all(&notes[..30]).header("x-door", "batch");
    all.sensitive_header("x-key", "k").on(store).await.unwrap();
    enqueue_all(&notes[30..])
        .header("x-door", "conn")
        .on(&conn)
        .unwrap();
    let tx = conn.transaction().unwrap();
    let in_transaction = note(61).enqueue_create().header("x-door", "tx");
    in_transaction.on(&tx).unwrap();
    tx.commit().unwrap();
    let step = store.transaction(|tx| {
        Ok(note(62)
            .enqueue_create()
            .header("x-door", "closure")
            .on(tx)?)
    });
    step.await.unwrap();
    // Beside others without headers, whose statement has no room for them.
    let mixed = (63..=90).map(|id| {
        let event = NewEvent::new("note", id, "u1", Operation::Create);
        Ok(match id {
            70 => event.with_header("x-door", "among"),
            _ => event,
        })
    });
    BatchSink::enqueue_all(store, mixed).await.unwrap();
    for event in store.fetch_pending_events(None, None).await.unwrap() {
        let expected = match event.entity_id.as_integer().unwrap() {
            1..=30 => Some("batch"),
            31..=60 => Some("conn"),
            61 => Some("tx"),
            62 => Some("closure"),
            70 => Some("among"),
            _ => None,
        };
        assert_eq!(event.headers().get("x-door"), expected, "{event:?}");
        let is_of_batch = expected == Some("batch");
        assert_eq!(event.headers().is_sensitive("x-key"), is_of_batch);
    }
}

#[tokio::test]
async fn the_one_statement_of_other_drivers_writes_headers() {
    let made = Temporary::open().await;
    let driver = made.connect();
    let event = |id| NewEvent::new("note", id, "u1", Operation::Create);
    let soon = Expiry::After(SOON);
    let headed = event(1).with_header("x-tenant", "7");
    for (event, expires) in [
        (headed.clone(), false),
        (event(2).with_header("a", "").with_expiry(soon), true),
        (event(3).with_expiry(soon), true),
        (event(4), false),
    ] {
        let (sql, values) = foreign_statement(&event);
        assert_eq!(driver.execute(sql, params_from_iter(values)).unwrap(), 1);
        let stored = made.store.fetch_event(event.id()).await.unwrap().unwrap();
        assert_eq!(stored.headers(), event.headers());
        assert_eq!(stored.expires_at.is_some(), expires);
        assert!(event.is_same_event(&stored));
    }
    // Again, on the store.
    let id = headed.id();
    assert_eq!(made.store.create_event(headed).await.unwrap().id, id);
}

#[tokio::test]
async fn the_view_shows_headers_as_json_that_sqlite_reads() {
    let made = Temporary::open().await;
    let change = note(1).enqueue_create().header("x-tenant", "7");
    enqueue(&made.store, change.sensitive_header("x-key", "k")).await;
    enqueue(&made.store, note(2).enqueue_create()).await;
    let conn = made.connect();
    let sql =
        "SELECT headers ->> '$.\"x-tenant\"', headers ->> '$.\"x-key\".sensitive', headers IS NULL
        FROM outbox ORDER BY seq";
    let mut rows = conn.prepare(sql).unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let rows: Vec<(Option<String>, Option<String>, bool)> =
        rows.unwrap().collect::<Result<_, _>>().unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(rows, [(text("7"), text("k"), false), (None, None, true)]);
}

#[test]
fn a_sensitive_header_is_in_no_message_and_in_no_log() {
    on_each_store(|store, _| async move {
        let (log, _guard) = Log::of_this_thread();
        for id in 1..=3 {
            let change = note(id).enqueue_create().header("x-tenant", "tenant-7");
            enqueue(&store, change.sensitive_header("x-session", SECRET)).await;
        }
        let running = Processor::builder(Arc::clone(&store))
            .handle::<Note>(|event: Event<Note>| async move {
                let headers: Vec<_> = event.headers().iter().map(|(_, value)| value).collect();
                let text = headers.join(" of ");
                assert!(event.entity_id != 2.into(), "{text}");
                tracing::info!(?event, "about to fail");
                Err(HandlerError::permanent(format!("HTTP 400: {text:?}")))
            })
            .build()
            .unwrap()
            .start("u1");
        for id in [1, 3] {
            assert!(
                !within(running.flush(id, SOON))
                    .await
                    .unwrap()
                    .is_delivered()
            );
        }
        running.stop().await.unwrap();
        let dead = store
            .fetch_events(OutboxStatus::Dead, None, None)
            .await
            .unwrap();
        assert_eq!(dead.len(), 2);
        for event in dead {
            let message = event.error_message.as_deref().unwrap();
            assert_eq!(message, "HTTP 400: \"[redacted] of tenant-7\"");
            let shown = format!("{event:?} {}", event.headers());
            assert!(!shown.contains("CANARY"), "{shown}");
            assert!(shown.contains("x-session: [redacted], x-tenant: tenant-7"));
        }
        let log = log.text();
        assert!(log.contains("tenant-7") && !log.contains("CANARY"), "{log}");
    });
}

#[test]
fn a_batch_shows_no_sensitive_header_of_any_of_its_events() {
    on_each_store(|store, _| async move {
        for id in 1..=3 {
            let secret = format!("CANARY-{id}");
            let change = note(id).enqueue_create().sensitive_header("x-key", secret);
            enqueue(&store, change).await;
        }
        let running = Processor::builder(Arc::clone(&store))
            .handle_batch::<Note>(Batching::of(3), |batch| async move {
                let keys = batch
                    .iter()
                    .filter_map(|event| event.headers().get("x-key"));
                let keys: Vec<_> = keys.collect();
                Err(HandlerError::permanent(format!("refused: {keys:?}")))
            })
            .build()
            .unwrap()
            .start("u1");
        for id in 1..=3 {
            assert!(
                !within(running.flush(id, SOON))
                    .await
                    .unwrap()
                    .is_delivered()
            );
        }
        running.stop().await.unwrap();
        let dead = store
            .fetch_events(OutboxStatus::Dead, None, None)
            .await
            .unwrap();
        assert_eq!(dead.len(), 3);
        for event in dead {
            let message = event.error_message.unwrap();
            assert!(message.starts_with("refused: [\"[redacted]\""), "{message}");
            assert!(!message.contains("CANARY"), "{message}");
        }
    });
}

#[test]
fn the_error_about_a_broken_header_names_it_and_quotes_no_value() {
    let change = note(1).enqueue_create().sensitive_header("x key", SECRET);
    let refused = change.into_event().unwrap_err();
    assert!(matches!(
        refused,
        EnqueueError::Invalid {
            field: "headers",
            ..
        }
    ));
    assert_eq!(
        refused.to_string(),
        "headers of a \"note\" event have the name \"x key\" with ' ' at byte 1; a name has letters, \
         digits and !#$%&'*+-.^_`|~"
    );
    let change = note(1).enqueue_create().header("x-key", "CANARY\n");
    let refused = change.into_event().unwrap_err().to_string();
    assert_eq!(
        refused,
        "headers of a \"note\" event have the control character '\\n' at byte 6 of the value of \"x-key\""
    );
    let notes = [note(1), note(2)];
    let store = MemoryStore::new();
    let batch = enqueue_all(&notes).header("", "CANARY").on(&store);
    let refused = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(batch)
        .unwrap_err();
    assert!(matches!(refused, EnqueueError::InBatch { index: 0, .. }));
}

#[test]
fn the_stored_form_is_read_back_and_anything_else_is_an_error_without_values() {
    let mut headers = Headers::new();
    headers.set_sensitive("x-session", SECRET);
    headers.set("X-Tenant", "ü\u{1F980}");
    headers.set("", "not even valid");
    assert_eq!(headers.get(""), Some("not even valid"), "checked later");
    let mut headers: Headers = [("x-tenant", "ü\u{1F980}")].into_iter().collect();
    headers.set_sensitive("X-Session", SECRET);
    let stored = headers.to_stored().unwrap();
    assert_eq!(
        stored,
        "{\"x-session\":{\"sensitive\":\"CANARY \\\"quoted\\\" 5f0c\"},\"x-tenant\":\"ü\u{1F980}\"}"
    );
    assert_eq!(Headers::from_stored(&stored).unwrap(), headers);
    assert_eq!(Headers::new().to_stored(), None);
    assert_eq!(Headers::from_stored("{}").unwrap(), Headers::new());
    let long = format!("{{\"x\":\"{}\"}}", "CANARY".repeat(100_000));
    let broken = [
        "",
        "\"CANARY\"",
        "[\"CANARY\"]",
        "{\"x\":[\"CANARY\"]}",
        "{\"x\":{\"CANARY\":\"y\"}}",
        "{\"x\":\"CANARY\",",
        "{\"x y\":\"CANARY\"}",
        "{\"x\":\"CANARY\\u0000\"}",
        &long,
    ];
    for stored in broken {
        let error: HeadersError = Headers::from_stored(stored).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("the headers "), "{text}");
        assert!(!text.contains("CANARY") && text.len() < 200, "{text}");
    }
    let error = Headers::from_stored("{\"x y\":\"1\"}").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the headers have the name \"x y\" with ' ' at byte 1; a name has letters, digits and \
         !#$%&'*+-.^_`|~"
    );
}

#[tokio::test]
async fn a_row_with_damaged_headers_is_dead_alone_and_never_sent() {
    for damage in ["x-tenant: 7", "{\"x tenant\": \"7\"}", "{\"x\": 7}", "[]"] {
        let made = Temporary::open().await;
        let damaged = enqueue(&made.store, note(1).enqueue_create()).await;
        enqueue(&made.store, note(2).enqueue_create().header("x", "7")).await;
        let conn = made.connect();
        let sql = "UPDATE outbox_events SET headers = ?1 WHERE entity_id = 1";
        assert_eq!(conn.execute(sql, [damage]).unwrap(), 1);
        let (mut remote, running) = start(&made.store);
        let call = remote.next().await;
        assert_eq!(call.id(), 2);
        call.ok();
        assert!(within(running.flush(2, SOON)).await.unwrap().is_delivered());
        assert!(!within(running.flush(1, SOON)).await.unwrap().is_delivered());
        running.stop().await.unwrap();
        let dead = made.store.fetch_event(damaged.id).await.unwrap().unwrap();
        assert_eq!(dead.dead_reason, Some(DeadReason::Undecodable));
        let message = dead.error_message.unwrap();
        assert!(message.contains("column headers: the headers"), "{message}");
        // The damaged text stays, for people.
        let sql = "SELECT headers FROM outbox_events WHERE entity_id = 1";
        let kept: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(kept, damage);
    }
}

#[tokio::test]
async fn headers_cost_other_events_nothing_and_take_no_statement_of_their_own() {
    let made =
        Temporary::open_with(outbox_runtime::store::SqliteStoreBuilder::count_statements).await;
    let writes = || {
        let mut texts = made.store.statements().texts();
        texts.retain(|text| text.contains("INTO outbox_events") || text.starts_with("UPDATE"));
        texts
    };
    enqueue(&made.store, note(1).enqueue_create()).await;
    let plain = writes();
    assert_eq!(plain.len(), 1, "{plain:?}");
    assert!(!plain[0].contains("headers"), "{plain:?}");
    enqueue(&made.store, note(2).enqueue_create().header("x", "7")).await;
    let mut more = writes();
    more.retain(|text| !plain.contains(text));
    assert_eq!(more.len(), 1, "{more:?}");
    assert!(more[0].contains("headers"), "{more:?}");
}

#[test]
fn headers_are_handed_on_to_the_event_that_follows() {
    on_each_store(|store, _| async move {
        enqueue(&store, note(1).enqueue_create().header("x-tenant", "7")).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (next, all) = (Arc::clone(&store), Arc::clone(&seen));
        let running = Processor::builder(Arc::clone(&store))
            .handle::<Note>(move |event: Event<Note>| {
                let (store, seen) = (Arc::clone(&next), Arc::clone(&all));
                async move {
                    let id = event.entity_id.as_integer().unwrap_or_default();
                    seen.lock().unwrap().push(event.headers().clone());
                    if id == 1 {
                        let follow = note(2).enqueue_create().into_event();
                        let follow = follow.map_err(HandlerError::permanent)?;
                        let follow = follow.with_headers(event.headers().clone());
                        store
                            .create_event(follow)
                            .await
                            .map_err(HandlerError::retry)?;
                    }
                    Ok(())
                }
            })
            .build()
            .unwrap()
            .start("u1");
        assert!(within(running.flush(1, SOON)).await.unwrap().is_delivered());
        assert!(within(running.flush(2, SOON)).await.unwrap().is_delivered());
        running.stop().await.unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        assert!(
            seen.iter()
                .all(|headers| headers.get("x-tenant") == Some("7"))
        );
    });
}
