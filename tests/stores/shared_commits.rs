//! Requests that share a commit do not affect each other: a failing request fails alone, a closure
//! of the application has its own commit, and the store's connection keeps its state.

use std::future::Future;
use std::time::Duration;

use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::{Connection, ErrorCode, Savepoint};
use outbox_runtime::store::{BoxError, ClaimRequest};
use outbox_runtime::{
    Durability, EnqueueError, ExportError, SignOut, StoreError, StoreErrorKind, TransactionError,
    enqueue_all,
};
use outbox_tests::{Temporary, note, start, within};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Keeps the writer busy, so that later requests wait together.
struct Busy {
    release: std::sync::mpsc::Sender<()>,
    done: JoinHandle<Result<(), TransactionError>>,
}

impl Busy {
    async fn keep(store: &SqliteStore) -> Self {
        let (entered, is_in) = oneshot::channel();
        let (release, released) = std::sync::mpsc::channel();
        let store = store.clone();
        let done = tokio::spawn(async move {
            store
                .transaction(move |_| {
                    let _ = entered.send(());
                    let _ = released.recv();
                    Ok(())
                })
                .await
        });
        is_in.await.unwrap();
        Self { release, done }
    }

    /// Lets the writer continue with all waiting requests.
    async fn go(self) {
        // There is one thread: each task is polled once, and then waits in the queue.
        tokio::task::yield_now().await;
        self.release.send(()).unwrap();
        within(self.done).await.unwrap().unwrap();
    }
}

/// Spawns a request to the store.
fn spawn_request<T, F>(store: &SqliteStore, what: impl FnOnce(SqliteStore) -> F) -> JoinHandle<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    tokio::spawn(what(store.clone()))
}

fn enqueue(store: &SqliteStore, id: i64) -> JoinHandle<Result<(), EnqueueError>> {
    spawn_request(store, async move |store| {
        note(id).enqueue_sync().on(&store).await.map(drop)
    })
}

async fn sql(store: &SqliteStore, sql: &'static str) -> Result<(), TransactionError> {
    store
        .transaction(move |tx| Ok(tx.execute_batch(sql)?))
        .await
}

/// Ids of the notes that have an event.
fn stored_notes(conn: &Connection) -> Vec<i64> {
    conn.prepare("SELECT CAST(entity_id AS INTEGER) FROM outbox_events ORDER BY 1")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

fn store_error(error: TransactionError) -> StoreError {
    match error {
        TransactionError::Store(error) => error,
        error => panic!("{error:?}"),
    }
}

const PARENT_AND_CHILD: &str = "
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);";

#[tokio::test]
async fn a_deferred_constraint_fails_only_its_own_transaction() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    sql(store, PARENT_AND_CHILD).await.unwrap();
    let busy = Busy::keep(store).await;
    let mut sound: Vec<_> = (0..10).map(|id| enqueue(store, id)).collect();
    let orphan = spawn_request(store, async move |store| {
        sql(&store, "INSERT INTO child VALUES (99)").await
    });
    sound.extend((10..20).map(|id| enqueue(store, id)));
    busy.go().await;
    for request in sound {
        within(request).await.unwrap().unwrap();
    }
    let error = store_error(within(orphan).await.unwrap().unwrap_err());
    assert_eq!(error.kind(), StoreErrorKind::Other);
    assert!(!error.outcome_unknown(), "the outcome is known: {error}");
    assert!(error.to_string().contains("FOREIGN KEY"), "{error}");
    assert_eq!(
        stored_notes(&temporary.connect()),
        (0..20).collect::<Vec<_>>()
    );
}

/// Effects of an application's trigger on the event of note 7, in words and in SQL.
const OFFENDERS: &[(&str, &str)] = &[
    (
        "rolls everything back",
        "AFTER INSERT ON outbox_events WHEN new.entity_id = '7' BEGIN SELECT RAISE(ROLLBACK, 'no sevens'); END",
    ),
    (
        "rolls everything back before the insert",
        "BEFORE INSERT ON outbox_events WHEN new.entity_id = '7' BEGIN SELECT RAISE(ROLLBACK, 'no sevens'); END",
    ),
    (
        "fails without undoing the insert",
        "AFTER INSERT ON outbox_events WHEN new.entity_id = '7' BEGIN SELECT RAISE(FAIL, 'no sevens'); END",
    ),
    (
        "fails and undoes the insert",
        "AFTER INSERT ON outbox_events WHEN new.entity_id = '7' BEGIN SELECT RAISE(ABORT, 'no sevens'); END",
    ),
    (
        "violates a deferred constraint",
        "AFTER INSERT ON outbox_events WHEN new.entity_id = '7' BEGIN INSERT INTO child VALUES (99); END",
    ),
];

#[tokio::test]
async fn requests_that_share_a_commit_fail_alone_whatever_a_trigger_does() {
    for &(what, trigger) in OFFENDERS {
        let temporary = Temporary::open().await;
        let store = &temporary.store;
        sql(store, PARENT_AND_CHILD).await.unwrap();
        sql(store, "INSERT INTO parent VALUES (1)").await.unwrap();
        let trigger = format!("CREATE TRIGGER sevens {trigger}");
        store
            .transaction(move |tx| Ok(tx.execute_batch(&trigger)?))
            .await
            .unwrap();
        for id in [100, 101, 102] {
            note(id).enqueue_sync().on(store).await.unwrap();
        }
        let seven = note(7).enqueue_sync();
        let event_id = seven.event_id();
        let busy = Busy::keep(store).await;
        let single: Vec<_> = (0..7).map(|id| enqueue(store, id)).collect();
        let claimed = spawn_request(store, async |store| {
            let request = ClaimRequest::new(2, Duration::from_secs(60));
            store.claim(&request).await.map(|claims| claims.len())
        });
        let offender = spawn_request(store, async move |store| seven.on(&store).await);
        // Enough to be written together, the offender among them.
        let company: Vec<_> = (40..100).map(|id| enqueue(store, id)).collect();
        let batch = spawn_request(store, async |store| {
            let notes: Vec<_> = (20..25).map(note).collect();
            enqueue_all(&notes).on(&store).await.map(|done| done.len())
        });
        let bad_batch = spawn_request(store, async |store| {
            let notes: Vec<_> = (6..9).map(|id| note(id % 8)).collect();
            enqueue_all(&notes).on(&store).await.map(|done| done.len())
        });
        let later: Vec<_> = (30..40).map(|id| enqueue(store, id)).collect();
        busy.go().await;

        for request in single.into_iter().chain(company).chain(later) {
            within(request).await.unwrap().unwrap();
        }
        assert_eq!(within(claimed).await.unwrap().unwrap(), 2, "{what}");
        assert_eq!(within(batch).await.unwrap().unwrap(), 5, "{what}");
        for error in [
            within(offender).await.unwrap().map(drop).unwrap_err(),
            within(bad_batch).await.unwrap().map(drop).unwrap_err(),
        ] {
            assert!(!error.outcome_unknown(), "{what}: {error}");
            assert!(matches!(error, EnqueueError::Store(_)), "{what}: {error}");
        }
        assert_eq!(store.fetch_event(event_id).await.unwrap(), None, "{what}");
        let expected: Vec<i64> = (0..7).chain(20..25).chain(30..103).collect();
        assert_eq!(stored_notes(&temporary.connect()), expected, "{what}");
        // The same without other requests.
        let error = note(7).enqueue_sync().on(store).await.unwrap_err();
        assert!(!error.outcome_unknown(), "{what}: {error}");
        assert_eq!(stored_notes(&temporary.connect()), expected, "{what}");
        assert_eq!(
            store.statistics(None).await.unwrap().total_events,
            expected.len() as u64,
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_closure_rolled_back_by_a_statement_leaves_nothing_and_says_so() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    sql(store, "CREATE TABLE note (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK); INSERT INTO note VALUES (1)")
        .await
        .unwrap();
    let busy = Busy::keep(store).await;
    let before = enqueue(store, 1);
    let told = spawn_request(store, async |store| {
        store
            .transaction(|tx| {
                note(2).enqueue_sync().on(tx)?;
                tx.execute("INSERT INTO note VALUES (1)", [])?;
                Ok(())
            })
            .await
    });
    let swallowed = spawn_request(store, async |store| {
        store
            .transaction(|tx| {
                note(3).enqueue_sync().on(tx)?;
                let _ = tx.execute("INSERT INTO note VALUES (1)", []);
                // The transaction is gone: later statements must not be committed one by one.
                let _ = tx.execute("INSERT INTO note VALUES (2)", []);
                let _ = note(4).enqueue_sync().on(tx);
                Ok(())
            })
            .await
    });
    let after = enqueue(store, 5);
    busy.go().await;
    within(before).await.unwrap().unwrap();
    within(after).await.unwrap().unwrap();
    let told = within(told).await.unwrap().unwrap_err();
    assert!(matches!(told, TransactionError::Aborted(_)), "{told:?}");
    let swallowed = store_error(within(swallowed).await.unwrap().unwrap_err());
    assert!(!swallowed.outcome_unknown(), "{swallowed}");
    assert!(swallowed.to_string().contains("rolled"), "{swallowed}");
    let conn = temporary.connect();
    assert_eq!(stored_notes(&conn), [1, 5]);
    let notes: i64 = conn
        .query_row("SELECT count(*) FROM note", [], |row| row.get(0))
        .unwrap();
    assert_eq!(notes, 1);
}

/// Statements that no closure may run, and a word of the remedy in the error.
const REFUSED: &[(&str, &str)] = &[
    ("BEGIN", "SAVEPOINT"),
    ("BEGIN IMMEDIATE", "SAVEPOINT"),
    ("COMMIT", "`Ok` to commit"),
    ("END", "`Ok` to commit"),
    ("ROLLBACK", "`Err` to roll back"),
    ("ROLLBACK; BEGIN IMMEDIATE", "`Err` to roll back"),
    ("COMMIT; BEGIN", "`Ok` to commit"),
    ("ATTACH ':memory:' AS other", "on_connect"),
    ("DETACH main", "on_connect"),
    ("PRAGMA query_only = 1", "on_connect"),
    ("pragma Query_Only(1)", "on_connect"),
    ("PRAGMA main.synchronous = OFF", "on_connect"),
    ("PRAGMA foreign_keys = OFF", "on_connect"),
    ("PRAGMA busy_timeout = 0", "on_connect"),
    ("PRAGMA recursive_triggers = 1", "on_connect"),
    ("PRAGMA ignore_check_constraints = 1", "on_connect"),
    ("PRAGMA wal_autocheckpoint = 0", "on_connect"),
    ("PRAGMA journal_mode = DELETE", "on_connect"),
    ("PRAGMA locking_mode = EXCLUSIVE", "on_connect"),
    ("PRAGMA case_sensitive_like = 1", "on_connect"),
    ("CREATE TEMP TABLE outbox_events (x)", "another name"),
    ("CREATE TEMP VIEW Outbox_Events AS SELECT 1", "another name"),
    ("CREATE TABLE temp.outbox_events (x)", "another name"),
    (
        "CREATE TABLE TEMP.Outbox_Folded AS SELECT 1",
        "another name",
    ),
    ("CREATE VIEW temp.outbox_events AS SELECT 1", "another name"),
    (
        "CREATE VIRTUAL TABLE temp.outbox_events USING fts5(x)",
        "another name",
    ),
    (
        "CREATE TEMP TABLE x (x); ALTER TABLE x RENAME TO outbox_events",
        "create it as intended",
    ),
    (
        "CREATE TEMP TRIGGER x AFTER INSERT ON main.outbox_events BEGIN SELECT RAISE(IGNORE); END",
        "another name",
    ),
    (
        "CREATE TRIGGER temp.x AFTER INSERT ON main.outbox_events BEGIN SELECT RAISE(IGNORE); END",
        "the outbox's own",
    ),
];

#[tokio::test]
async fn statements_that_affect_others_are_refused_in_a_closure_with_the_remedy() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    for (id, (statement, instead)) in (0..).zip(REFUSED) {
        let error = store
            .transaction(move |tx| {
                note(id).enqueue_sync().on(tx)?;
                tx.execute_batch(statement)?;
                Ok(())
            })
            .await
            .unwrap_err();
        let error = store_error(error);
        assert_eq!(error.kind(), StoreErrorKind::NotAllowedHere, "{statement}");
        assert!(!error.outcome_unknown() && !error.is_transient());
        assert!(error.to_string().contains(instead), "{statement}: {error}");
        // The closure may have turned the statement's error into a text.
        let error = store
            .transaction(move |tx| {
                let done = tx.execute_batch(statement);
                done.map_err(|error| BoxError::from(format!("could not: {error}")))
            })
            .await
            .unwrap_err();
        assert_eq!(
            store_error(error).kind(),
            StoreErrorKind::NotAllowedHere,
            "{statement}"
        );
        // Nothing is left of it.
        note(1_000 + id).enqueue_sync().on(store).await.unwrap();
    }
    let count = i64::try_from(REFUSED.len()).unwrap();
    assert_eq!(
        stored_notes(&temporary.connect()),
        (1_000..1_000 + count).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_cached_statement_cannot_end_the_transaction_of_a_closure() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    note(0).enqueue_sync().on(store).await.unwrap();
    let run = |tx: &Savepoint<'_>, sql| -> Result<(), BoxError> {
        tx.prepare_cached(sql)?.execute([])?;
        Ok(())
    };
    // These exact statements are in the connection's cache, prepared before the closure.
    for statements in [
        &["COMMIT"][..],
        &["ROLLBACK"],
        &["COMMIT", "BEGIN IMMEDIATE"],
        &["ROLLBACK", "BEGIN IMMEDIATE"],
    ] {
        for swallow in [false, true] {
            let error = store
                .transaction(move |tx| {
                    note(1).enqueue_sync().on(tx)?;
                    for statement in statements {
                        let done = run(tx, statement);
                        if !swallow {
                            done?;
                        }
                    }
                    note(2).enqueue_sync().on(tx)?;
                    Ok(())
                })
                .await;
            let error = error.unwrap_err();
            if let TransactionError::Store(error) = &error {
                assert!(!error.outcome_unknown(), "{statements:?}: {error}");
            }
            assert_eq!(stored_notes(&temporary.connect()), [0], "{statements:?}");
        }
    }
    note(3).enqueue_sync().on(store).await.unwrap();
    assert_eq!(stored_notes(&temporary.connect()), [0, 3]);
}

#[tokio::test]
async fn reads_and_reversible_writes_are_allowed_in_a_closure() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    sql(store, PARENT_AND_CHILD).await.unwrap();
    store
        .transaction(|tx| {
            for pragma in [
                "table_info('parent')",
                "table_xinfo(parent)",
                "table_list",
                "index_list('outbox_events')",
                "index_info('outbox_ready')",
                "foreign_key_list('child')",
                "foreign_key_check",
                "foreign_key_check('child')",
                "quick_check(1)",
                "integrity_check('parent')",
                "journal_mode",
                "synchronous",
                "foreign_keys",
                "query_only",
                "busy_timeout",
                "compile_options",
                "database_list",
            ] {
                let mut statement = tx.prepare(&format!("PRAGMA {pragma}"))?;
                let mut rows = statement.query([])?;
                while rows.next()?.is_some() {}
            }
            let columns: i64 = tx.query_row(
                "SELECT count(*) FROM pragma_table_info('child')",
                [],
                |row| row.get(0),
            )?;
            assert_eq!(columns, 1);
            tx.execute_batch(
                "SAVEPOINT part; INSERT INTO parent VALUES (1); ROLLBACK TO part; RELEASE part;
                 PRAGMA defer_foreign_keys = ON; PRAGMA user_version = 7; PRAGMA application_id = 8;
                 CREATE TEMP TABLE mine (x); DROP TABLE mine;",
            )?;
            Ok(())
        })
        .await
        .unwrap();
    let version: i64 = temporary
        .connect()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 7);
}

#[tokio::test]
async fn tables_and_triggers_of_the_application_are_allowed_under_any_name() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let made = store.transaction(|tx| {
        Ok(tx.execute_batch(
            "CREATE TEMP TABLE mine (x); CREATE TABLE temp.mine_too (x);
             CREATE TABLE note (x);
             CREATE TRIGGER note_of_it AFTER INSERT ON outbox_events BEGIN INSERT INTO note VALUES (new.seq); END;
             CREATE TEMP TABLE mine_again (x);
             CREATE TEMP TRIGGER mine_three AFTER INSERT ON mine BEGIN INSERT INTO mine_too VALUES (new.x); END;",
        )?)
    });
    made.await.unwrap();
    note(1).enqueue_sync().on(store).await.unwrap();
    let noted = store.transaction(|tx| {
        Ok(tx.query_row("SELECT count(*) FROM note", [], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(noted.await.unwrap(), 1);
}

#[tokio::test]
async fn a_refused_statement_with_a_handled_error_does_not_fail_the_transaction() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let done = store
        .transaction(|tx| {
            let refused = tx.execute_batch("COMMIT").unwrap_err();
            assert_eq!(
                refused.sqlite_error_code(),
                Some(ErrorCode::AuthorizationForStatementDenied)
            );
            note(1).enqueue_sync().on(tx)?;
            Ok(())
        })
        .await;
    done.unwrap();
    let own = store
        .transaction::<(), _>(|tx| {
            let _ = tx.execute_batch("COMMIT");
            Err("aborted by the app".into())
        })
        .await;
    assert!(matches!(own, Err(TransactionError::Aborted(_))), "{own:?}");
    assert_eq!(stored_notes(&temporary.connect()), [1]);
}

#[tokio::test]
async fn a_busy_timeout_set_by_a_closure_does_not_stay() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    store
        .transaction(|tx| Ok(tx.busy_timeout(Duration::ZERO)?))
        .await
        .unwrap();
    let other = temporary.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = enqueue(store, 1);
    tokio::task::yield_now().await;
    // Without a busy timeout the writer would have failed by the time that the reader answers these
    // queries.
    for _ in 0..100 {
        store.fetch_event(uuid::Uuid::nil()).await.unwrap();
    }
    assert!(!waiting.is_finished());
    other.execute_batch("COMMIT").unwrap();
    within(waiting).await.unwrap().unwrap();
}

fn refused(error: &(dyn std::error::Error + 'static)) -> StoreErrorKind {
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    let kind = causes.find_map(|error| {
        let enqueue = error.downcast_ref::<EnqueueError>();
        let transaction = error.downcast_ref::<TransactionError>();
        match (enqueue, transaction) {
            (Some(EnqueueError::Store(error)), _) | (_, Some(TransactionError::Store(error))) => {
                Some(error.kind())
            }
            _ => error.downcast_ref::<StoreError>().map(StoreError::kind),
        }
    });
    kind.unwrap()
}

#[tokio::test]
async fn waiting_for_the_store_inside_its_own_transaction_is_refused_instead_of_hanging() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    // Another store on the same file would wait for the write lock of this transaction.
    let sibling = SqliteStore::open(&temporary.path).await.unwrap();
    for inner in [store.clone(), sibling.clone()] {
        let handle = Handle::current();
        let outer = store.transaction(move |_| {
            let enqueued = handle.block_on(note(1).enqueue_sync().on(&inner));
            let notes = [note(2)];
            let all = handle.block_on(enqueue_all(&notes).on(&inner));
            let nested = handle.block_on(inner.transaction(|_| Ok(())));
            let claimed =
                handle.block_on(inner.claim(&ClaimRequest::new(1, Duration::from_secs(60))));
            Ok([
                refused(&enqueued.unwrap_err()),
                refused(&all.unwrap_err()),
                refused(&nested.unwrap_err()),
                refused(&claimed.unwrap_err()),
            ])
        });
        let kinds = within(outer).await.unwrap();
        assert_eq!(kinds, [StoreErrorKind::NotAllowedHere; 4]);
    }
    let inner = store.clone();
    let handle = Handle::current();
    let outer = store.transaction(move |tx| {
        note(3).enqueue_sync().on(tx)?;
        // The reader has its own thread, and sees committed data.
        let seen = handle.block_on(inner.statistics(None))?.total_events;
        let suspended = handle.block_on(inner.suspend()).unwrap_err().kind();
        let resumed = handle.block_on(inner.resume()).unwrap_err().kind();
        // The refusal becomes the error of the transaction.
        handle.block_on(inner.enqueue_again())?;
        Ok((seen, suspended, resumed))
    });
    let error = within(outer).await.unwrap_err();
    assert!(matches!(&error, TransactionError::Aborted(_)), "{error:?}");
    assert_eq!(refused(&error), StoreErrorKind::NotAllowedHere);
    note(4).enqueue_sync().on(store).await.unwrap();
    assert_eq!(stored_notes(&temporary.connect()), [4]);
    sibling.close().await;
}

/// A helper of the application, unaware of the transaction around it.
trait EnqueueAgain {
    async fn enqueue_again(&self) -> Result<(), EnqueueError>;
}

impl EnqueueAgain for SqliteStore {
    async fn enqueue_again(&self) -> Result<(), EnqueueError> {
        note(3).enqueue_sync().on(self).await.map(drop)
    }
}

/// The run may be waiting for the writer, which runs the closure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_run_inside_a_transaction_of_its_store_is_refused_instead_of_hanging() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    note(1).enqueue_sync().on(store).await.unwrap();
    let (mut remote, running) = start(store);
    let call = remote.next().await;
    let (inner, handle) = (running.clone(), Handle::current());
    let outer = store.transaction(move |tx| {
        note(2).enqueue_sync().on(tx)?;
        let flushed = handle.block_on(inner.flush(1, HOUR)).unwrap_err();
        let suspended = handle.block_on(inner.suspend(HOUR)).unwrap_err();
        let resumed = handle.block_on(inner.resume()).unwrap_err();
        let Err(ExportError::Store(signed_out)) =
            handle.block_on(inner.sign_out("u1", SignOut::Abandon))
        else {
            return Err("the calls must be refused".into());
        };
        // Reads do not wait for the writer.
        handle.block_on(inner.explain(1))?;
        let seen = handle.block_on(inner.statistics())?.total_events;
        let refused = [flushed, suspended, resumed, signed_out];
        Ok((refused.map(|error| error.kind()), seen))
    });
    let (kinds, seen) = within(outer).await.unwrap();
    assert_eq!((kinds, seen), ([StoreErrorKind::NotAllowedHere; 4], 1));
    call.ok();
    remote.next().await.ok();
    assert!(within(running.flush(2, HOUR)).await.unwrap().is_delivered());
    let (inner, handle) = (running.clone(), Handle::current());
    let outer = store.transaction(move |_| Ok(handle.block_on(inner.stop()).unwrap_err().kind()));
    assert_eq!(within(outer).await.unwrap(), StoreErrorKind::NotAllowedHere);
    // The stop has begun nevertheless.
    within(running.ended()).await.unwrap();
}

#[tokio::test]
async fn closing_suspending_and_resuming_in_a_transaction_do_not_wait_for_it() {
    let temporary = Temporary::open().await;
    let store = &temporary.store;
    let inner = store.clone();
    let handle = Handle::current();
    let outer = store.transaction(move |tx| {
        let suspended = handle.block_on(inner.suspend()).unwrap_err().kind();
        let resumed = handle.block_on(inner.resume()).unwrap_err().kind();
        note(1).enqueue_sync().on(tx)?;
        handle.block_on(inner.close());
        Ok([suspended, resumed])
    });
    let kinds = within(outer).await.unwrap();
    assert_eq!(kinds, [StoreErrorKind::NotAllowedHere; 2]);
    let closed = store.statistics(None).await.unwrap_err();
    assert_eq!(closed.kind(), StoreErrorKind::Closed);
    // Earlier requests are executed, and this waits for the files.
    within(store.close()).await;
    assert!(!temporary.path.with_file_name("app.db-wal").exists());
    assert_eq!(stored_notes(&temporary.connect()), [1]);
}

#[tokio::test]
async fn full_synchronization_returns_after_a_group_commit() {
    const FULL: i64 = 2;
    const NORMAL: i64 = 1;
    for (durability, alone, together) in [
        (Durability::Full, FULL, NORMAL),
        (Durability::Normal, NORMAL, NORMAL),
    ] {
        let temporary = Temporary::open_with(|builder| builder.durability(durability)).await;
        let store = &temporary.store;
        let synchronous = async |store: SqliteStore, id: i64| {
            store
                .transaction(move |tx| {
                    note(id).enqueue_sync().on(tx)?;
                    Ok(tx.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0))?)
                })
                .await
        };
        assert_eq!(synchronous(store.clone(), 0).await.unwrap(), alone);
        let busy = Busy::keep(store).await;
        let several: Vec<_> = (1..10)
            .map(|id| spawn_request(store, move |store| synchronous(store, id)))
            .collect();
        busy.go().await;
        for one in several {
            // Answered after one sync, shared by the whole group.
            assert_eq!(within(one).await.unwrap().unwrap(), together);
        }
        assert_eq!(synchronous(store.clone(), 10).await.unwrap(), alone);
        assert_eq!(
            stored_notes(&temporary.connect()),
            (0..=10).collect::<Vec<_>>()
        );
    }
}
