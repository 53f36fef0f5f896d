//! Every string under outside influence is only a value: every parameter either returns it
//! unchanged or refuses it by name, and neighboring data is untouched.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outbox_runtime::store::{
    ClaimRequest, Disposition, EventTypes, Settlement, SqliteStoreBuilder,
};
use outbox_runtime::{
    Coalesce, DeadLetters, DeadReason, EnqueueError, EntityId, ExportError, NewEvent, RawMetadata,
    SignOut, prelude::*,
};
use outbox_testing::ManualClock;
use outbox_testing::wire_lock::{self, WireLockError};
use outbox_tests::hostile::KEYS as ALLOWED;
use outbox_tests::{Temporary, on_each_store, start};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};

const LEASE: Duration = Duration::from_secs(60);

/// Invalid keys: control characters, which would break log lines, and strings that are too long for
/// a row.
fn refused() -> Vec<String> {
    let controls = [
        "",
        "nul\0nul",
        "line\nline",
        "\u{1b}[31mred",
        "bell\u{7}",
        "next\u{85}line",
    ];
    let mut refused: Vec<String> = controls.map(str::to_owned).into();
    refused.push("ä".repeat(128));
    refused
}

fn event(event_type: &str, entity: &str, user: &str) -> NewEvent {
    NewEvent::new(event_type.to_owned(), entity, user, Operation::Update)
}

/// An event next to every hostile one, which must not change.
async fn bystander(store: &Arc<dyn OutboxRepository>) -> OutboxEvent {
    let beside = event("plain", "beside", "innocent");
    store.create_event(beside).await.unwrap()
}

#[test]
fn a_valid_key_comes_back_unchanged() {
    on_each_store(|store, _| async move {
        let beside = bystander(&store).await;
        for hostile in ALLOWED {
            let event = event(hostile, hostile, hostile);
            let id = store.create_event(event).await.unwrap().id;
            let stored = store.fetch_event(id).await.unwrap().unwrap();
            assert_eq!(stored.event_type, hostile);
            assert_eq!(stored.user_id, hostile);
            assert_eq!(stored.entity_id.to_string(), hostile);
        }
        let of_all = store.statistics(None).await.unwrap();
        assert_eq!(of_all.pending_count, 1 + ALLOWED.len() as u64);
        let stored = store.fetch_event(beside.id).await.unwrap();
        assert_eq!(stored, Some(beside));
    });
}

#[test]
fn an_invalid_key_is_refused_by_name() {
    on_each_store(|store, _| async move {
        for hostile in refused() {
            let tries = [
                ("event_type", event(&hostile, "e", "u")),
                ("entity_id", event("t", &hostile, "u")),
                ("user_id", event("t", "e", &hostile)),
            ];
            for (expected, event) in tries {
                let answer = store.create_event(event).await;
                let Err(EnqueueError::Invalid { field, reason, .. }) = answer else {
                    panic!("{expected} {hostile:?}: {answer:?}");
                };
                assert_eq!(field, expected, "{hostile:?}");
                assert!(!reason.chars().any(char::is_control), "{reason:?}");
            }
        }
        assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    });
}

#[test]
fn a_filter_is_a_value_and_never_a_statement_or_a_pattern() {
    on_each_store(|store, _| async move {
        let beside = bystander(&store).await;
        let hostile: Vec<OutboxEvent> = {
            let mut stored = Vec::new();
            for text in ALLOWED {
                stored.push(store.create_event(event(text, text, text)).await.unwrap());
            }
            stored
        };
        for expected in &hostile {
            let text = expected.user_id.as_str();
            let only = std::slice::from_ref(expected);
            let entity = EntityId::from(text);
            assert_eq!(
                store.fetch_pending_events(Some(text), None).await.unwrap(),
                only
            );
            let listed = store
                .fetch_events(OutboxStatus::Pending, Some(text), None)
                .await;
            assert_eq!(listed.unwrap(), only);
            let listed = store
                .fetch_events_for_entity(&entity, Some(text), Some(text))
                .await;
            assert_eq!(listed.unwrap(), only);
            assert_eq!(store.statistics(Some(text)).await.unwrap().total_events, 1);
            let explanation = store.explain(&entity, Some(text)).await.unwrap();
            assert_eq!(explanation.first.map(|first| first.id), Some(expected.id));
            assert!(store.stale_events(Some(text)).await.unwrap().is_empty());
            assert!(store.pending_deletes(Some(text)).await.unwrap().is_empty());

            let request = ClaimRequest::new(100, LEASE)
                .with_user(text)
                .with_event_types(EventTypes::Only(vec![text.to_owned()]))
                .without_users(vec!["x' OR 'y".to_owned()]);
            assert!(store.next_due(&request).await.unwrap().is_some());
            let claims = store.claim(&request).await.unwrap();
            let claimed: Vec<_> = claims.iter().map(|claim| claim.event.id).collect();
            assert_eq!(claimed, [expected.id], "{text:?}");
        }
        let others = ALLOWED.map(str::to_owned).to_vec();
        let request = ClaimRequest::new(100, LEASE)
            .with_event_types(EventTypes::AllExcept(others.clone()))
            .without_users(others);
        let claims = store.claim(&request).await.unwrap();
        assert_eq!(claims.len(), 1);
        assert_eq!(claims[0].event.id, beside.id);
    });
}

#[test]
fn texts_of_failures_and_payloads_are_stored_as_values() {
    on_each_store(|store, _| async move {
        let beside = bystander(&store).await;
        for (number, text) in ALLOWED.iter().enumerate() {
            let metadata = RawMetadata::encode(text).unwrap();
            let user = format!("u{number}");
            let event = event("t", "e", &user).with_metadata(metadata.clone());
            let event = store.create_event(event).await.unwrap();
            let claim = store.mark_as_processing(event.id, LEASE).await.unwrap();
            let disposition = Disposition::Bury {
                reason: DeadReason::Rejected,
                message: (*text).to_owned(),
            };
            let settlement = Settlement {
                lease: claim.lease,
                disposition,
            };
            store.settle(vec![settlement]).await.unwrap();
            let letters = DeadLetters::of(Arc::clone(&store)).of_user(user);
            let dead = letters.list().await.unwrap();
            assert_eq!(dead[0].error_message.as_deref(), Some(*text));
            assert_eq!(dead[0].metadata, Some(metadata));
        }
        let stored = store.fetch_event(beside.id).await.unwrap();
        assert_eq!(stored, Some(beside));
    });
}

#[test]
fn deletions_and_reassignments_affect_exactly_the_named_events() {
    on_each_store(|store, _| async move {
        for text in ALLOWED {
            let beside = bystander(&store).await;
            let id = store.create_event(event("t", text, text)).await.unwrap().id;
            assert_eq!(store.reassign_user(text, "taker").await.unwrap(), 1);
            assert_eq!(store.reassign_user("taker", text).await.unwrap(), 1);
            let entity = [EntityId::from(text)];
            let deleted = store
                .delete_events_for_entities(&entity, Some("x' OR 1 = 1 --"))
                .await;
            assert_eq!(deleted.unwrap(), 0);
            let deleted = store.delete_events_for_entities(&entity, Some(text)).await;
            assert_eq!(deleted.unwrap(), 1);
            assert_eq!(store.fetch_event(id).await.unwrap(), None);
            store.create_event(event("t", "e", text)).await.unwrap();
            assert_eq!(store.delete_all_events_for_user(text).await.unwrap(), 1);
            assert!(store.delete_event(beside.id).await.unwrap());
        }
        assert_eq!(store.statistics(None).await.unwrap().total_events, 0);
    });
}

/// Attacks on statements, paths and terminals.
const PIECES: [&str; 28] = [
    "'",
    "\"",
    "`",
    ";",
    "--",
    "/*",
    "*/",
    ")",
    " OR 1=1 ",
    "NULL",
    "\\",
    "?1",
    ":user",
    "$1",
    "@p",
    "%",
    "_",
    "[",
    "]",
    "{}",
    " UNION SELECT ",
    "DROP TABLE outbox_events",
    "x'00'",
    "PRAGMA ",
    "\u{2028}",
    "\u{202e}",
    "\u{feff}",
    "user_id",
];

/// Possible keys: known attacks, fragments of statements in any order, and any text at all.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        select(&ALLOWED[..]).prop_map(str::to_owned),
        proptest::collection::vec(select(&PIECES[..]), 1..6).prop_map(|some| some.concat()),
        "\\PC{1,40}",
        // Sometimes longer than a row allows.
        "[ä'-]{100,140}",
        // Sometimes with control characters.
        "(?s).{1,12}",
    ]
}

/// Failure messages of handlers, and metadata.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![key(), "(?s).{0,200}"]
}

/// Runs every store operation with these strings as arguments. Compares a bystander to notice what
/// a statement could have changed by mistake.
async fn run_everything(
    store: &Arc<dyn OutboxRepository>,
    [event_type, entity, user]: [&str; 3],
    [message, payload]: [&str; 2],
) {
    let beside = bystander(store).await;
    let metadata = RawMetadata::encode(payload).unwrap();
    let new = event(event_type, entity, user)
        .with_metadata(metadata.clone())
        .with_coalesce(Coalesce::Latest);
    let is_key = |key: &str| !key.is_empty() && key.len() <= 255 && !key.contains(char::is_control);
    let answer = store.create_event(new.clone()).await;
    if ![event_type, entity, user].into_iter().all(is_key) {
        assert!(
            matches!(answer, Err(EnqueueError::Invalid { .. })),
            "{answer:?}"
        );
        assert_eq!(store.statistics(None).await.unwrap().total_events, 1);
        store.delete_event(beside.id).await.unwrap();
        return;
    }
    let stored = answer.unwrap();
    assert_eq!(stored.event_type, event_type);
    assert_eq!(stored.user_id, user);
    assert_eq!(stored.entity_id.to_string(), entity);
    assert_eq!(stored.metadata.as_ref(), Some(&metadata));
    // The same event again, and one that folds into it.
    assert_eq!(store.create_event(new).await.unwrap().id, stored.id);
    let newer = event(event_type, entity, user)
        .with_metadata(metadata.clone())
        .with_coalesce(Coalesce::Latest);
    let folded = store.create_event(newer).await.unwrap();
    let only = [folded.id];

    let entity_id = EntityId::from(entity);
    let ids = |events: Vec<OutboxEvent>| events.iter().map(|event| event.id).collect::<Vec<_>>();
    let (of_type, of_user) = (Some(event_type), Some(user));
    assert_eq!(
        ids(store.fetch_pending_events(of_user, None).await.unwrap()),
        only
    );
    let listed = store
        .fetch_events(OutboxStatus::Pending, of_user, Some(9))
        .await;
    assert_eq!(ids(listed.unwrap()), only);
    let listed = store
        .fetch_events_for_entity(&entity_id, of_type, of_user)
        .await;
    assert_eq!(ids(listed.unwrap()), only);
    assert_eq!(store.statistics(of_user).await.unwrap().total_events, 1);
    assert_eq!(
        store
            .explain(&entity_id, of_user)
            .await
            .unwrap()
            .undelivered,
        1
    );
    store.stale_events(of_user).await.unwrap();
    assert!(store.pending_deletes(of_user).await.unwrap().is_empty());

    let none = ClaimRequest::new(9, LEASE)
        .with_event_types(EventTypes::AllExcept(vec![event_type.to_owned()]))
        .with_user(user);
    assert!(store.claim(&none).await.unwrap().is_empty());
    let request = ClaimRequest::new(9, LEASE)
        .with_event_types(EventTypes::Only(vec![event_type.to_owned()]))
        .with_lease_for(event_type, LEASE)
        .without_users(vec!["nobody".to_owned()]);
    assert!(store.next_due(&request).await.unwrap().is_some());
    let claim = store.claim(&request).await.unwrap().remove(0);
    assert_eq!(claim.event.id, folded.id);
    let message = message.to_owned();
    let disposition = Disposition::Bury {
        reason: DeadReason::Rejected,
        message: message.clone(),
    };
    let lease = claim.lease;
    store
        .settle(vec![Settlement { lease, disposition }])
        .await
        .unwrap();
    let letters = DeadLetters::of(Arc::clone(store))
        .of_user(user)
        .of_type(event_type)
        .of_entity(entity);
    let dead = letters.list().await.unwrap();
    assert_eq!(dead.len(), 1);
    // The runtime bounds and sanitizes messages of handlers; a store keeps them as they are.
    assert_eq!(dead[0].error_message.as_ref(), Some(&message));
    let mut exported = Vec::new();
    assert_eq!(letters.export(&mut exported).await.unwrap(), 1);
    let line: OutboxEvent = serde_json::from_slice(&exported).unwrap();
    assert_eq!(line.user_id, user);
    assert_eq!(
        exported.iter().filter(|byte| **byte == b'\n').count(),
        1,
        "one event per line"
    );
    assert_eq!(letters.retry().await.unwrap(), 1);

    assert_eq!(store.reassign_user(user, "taker").await.unwrap(), 1);
    assert_eq!(store.reassign_user("taker", user).await.unwrap(), 1);
    let other =
        store.delete_events_for_entities(std::slice::from_ref(&entity_id), Some("x' OR '1"));
    assert_eq!(other.await.unwrap(), 0);
    let deleted = store
        .delete_events_for_entities(&[entity_id], of_user)
        .await;
    assert_eq!(deleted.unwrap(), 1);
    assert_eq!(store.delete_all_events_for_user(user).await.unwrap(), 0);
    let left = store.fetch_events(OutboxStatus::Pending, None, None).await;
    let untouched = std::slice::from_ref(&beside);
    assert_eq!(left.unwrap(), untouched, "other events are untouched");
    store.delete_event(beside.id).await.unwrap();
}

fn on_this_thread<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(future)
}

/// The texts of all statements that the store has run.
fn statements(temporary: &Temporary) -> BTreeSet<String> {
    temporary.store.statements().texts().into_iter().collect()
}

#[test]
fn strings_are_stored_unchanged_and_never_change_a_statement() {
    let store = MemoryStore::with_clock(ManualClock::new());
    let memory: Arc<dyn OutboxRepository> = Arc::new(store);
    let counted = || on_this_thread(Temporary::open_with(SqliteStoreBuilder::count_statements));
    let plain = counted();
    let of_plain: Arc<dyn OutboxRepository> = Arc::new(plain.store.clone());
    on_this_thread(run_everything(
        &of_plain,
        ["type", "entity", "user"],
        ["no", "payload"],
    ));
    let expected = statements(&plain);
    assert!(expected.len() > 20, "the control: statements are counted");

    let sqlite = counted();
    let of_sqlite: Arc<dyn OutboxRepository> = Arc::new(sqlite.store.clone());
    let config = Config {
        cases: 96,
        rng_seed: RngSeed::Fixed(10),
        failure_persistence: None,
        ..Config::default()
    };
    let strings = (key(), key(), key(), text(), text());
    let ran =
        TestRunner::new(config).run(&strings, |(event_type, entity, user, message, payload)| {
            // The bystander uses these two.
            prop_assume!(user != "innocent" && user != "taker");
            for store in [&memory, &of_sqlite] {
                let keys = [event_type.as_str(), &entity, &user];
                on_this_thread(run_everything(store, keys, [&message, &payload]));
            }
            Ok(())
        });
    ran.unwrap_or_else(|error| panic!("{error}"));
    let more: Vec<_> = statements(&sqlite).difference(&expected).cloned().collect();
    assert!(more.is_empty(), "a string changed a statement: {more:#?}");
}

/// File names with a meaning to a shell, to SQLite, or to a terminal.
const FILES: [&str; 9] = [
    "'; DROP TABLE outbox_events; --",
    "file:app.db?mode=memory",
    "app.db?mode=ro&cache=shared#x",
    "-rf",
    "$(reboot)",
    "%2e%2e%2fapp.db",
    "a b\tc\nd\u{1b}[31m",
    "..\\app.db",
    " \u{202e}bd.ppa",
];

fn files_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string();
    entries.map(|entry| name(entry).unwrap()).collect()
}

#[tokio::test]
async fn a_path_names_exactly_that_file() {
    for name in FILES {
        // As a database.
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join(name)).await.unwrap();
        store.create_event(event("t", "e", "u")).await.unwrap();
        store.close().await;
        assert_eq!(files_in(folder.path()), BTreeSet::from([name.to_owned()]));

        // As an export.
        let store = MemoryStore::new();
        let (_remote, running) = start(&store);
        store.create_event(event("t", "e", "u")).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let left = running.sign_out("u", SignOut::Export(path.clone())).await;
        assert_eq!(left.unwrap().exported, 1);
        assert_eq!(files_in(folder.path()), BTreeSet::from([name.to_owned()]));
        running.stop().await.unwrap();

        // As the folder of a wire lock.
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join(name);
        std::fs::create_dir(&inside).unwrap();
        wire_lock::update(&inside, name, &[]).unwrap();
        wire_lock::check(&inside, name, &[]).unwrap();
        assert_eq!(files_in(folder.path()).len(), 1);
        assert_eq!(files_in(&inside).len(), 1);
    }
}

/// Nothing is written through a symbolic link.
#[cfg(unix)]
#[tokio::test]
async fn an_export_follows_no_link_and_reports_an_invalid_path() {
    let store = MemoryStore::new();
    let (_remote, running) = start(&store);
    store.create_event(event("t", "e", "u")).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    for exists in [false, true] {
        let link = folder.path().join(format!("link-{exists}"));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let refused = running.sign_out("u", SignOut::Export(link)).await;
        let Err(ExportError::Write(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
        match exists {
            false => {
                assert!(!target.exists());
                std::fs::write(&target, "mine").unwrap();
            }
            true => assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine"),
        }
    }
    let impossible = folder.path().join("nul\0nul");
    let refused = running
        .sign_out("u", SignOut::Export(impossible.clone()))
        .await;
    assert!(matches!(refused, Err(ExportError::Write(_))), "{refused:?}");
    assert!(SqliteStore::open(&impossible).await.is_err());
    let refused = wire_lock::check(&impossible, "set", &[]);
    assert!(
        matches!(refused, Err(WireLockError::Io { .. })),
        "{refused:?}"
    );
    assert_eq!(store.statistics(Some("u")).await.unwrap().pending_count, 1);
    running.stop().await.unwrap();
}
