//! Mappers that look up other rows, write data, corrupt the import, or abort it.

use outbox_import::{
    Import, ImportError, ImportedEvent, Mapped, Reject, RowMapper, Source, SourceRow, SourceTable,
};
use outbox_runtime::NewEvent;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::rusqlite::{Connection, params};
use outbox_tests::Temporary;
use outbox_tests::core_data::{CoreData, OldEvent, entity_id, event_id};

use crate::{events, import, map, numbers, tables};

/// Looks up owners, and stores the moods itself.
#[derive(Default)]
struct WithMoods;

impl RowMapper for WithMoods {
    fn begin(
        &mut self,
        source: &Source,
        conn: &Connection,
    ) -> Result<(), outbox_runtime::store::BoxError> {
        source.check(&SourceTable::entity("SDMoodEntry"))?;
        conn.execute_batch(
            "CREATE TABLE IF NOT EXISTS mood (id BLOB PRIMARY KEY, valence REAL NOT NULL)",
        )?;
        Ok(())
    }

    fn map(&mut self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject> {
        if row.table() == "SDMoodEntry" {
            return Ok(Mapped::Entity);
        }
        let payload = row.bytes("payload")?;
        let payload: serde_json::Value =
            serde_json::from_slice(&payload).map_err(|_| Reject::new("payload is not JSON", ""))?;
        let id = payload["local_id"].as_str().unwrap_or_default();
        let moods = SourceTable::entity("SDMoodEntry");
        let mood = source.find(&moods, "id", id)?.ok_or_else(|| {
            Reject::new(
                "no owner",
                "neither the payload nor the entity names an owner",
            )
        })?;
        let event = NewEvent::new(
            "moodEntry",
            mood.uuid("id")?,
            mood.text("userId")?,
            Operation::Delete,
        )
        .with_id(row.uuid("id")?);
        Ok(ImportedEvent::new(event, row.date("createdAt")?).into())
    }

    fn write(&mut self, row: &SourceRow, mapped: &Mapped, conn: &Connection) -> Result<(), Reject> {
        if *mapped == Mapped::Entity {
            conn.execute(
                "INSERT INTO mood VALUES (?1, ?2)",
                params![
                    row.uuid("id")?,
                    row.opt_real("valence")?.unwrap_or_default()
                ],
            )?;
            if row.opt_real("valence")?.is_none() {
                return Err(Reject::new(
                    "valence is missing",
                    "noticed after the row was written",
                ));
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn other_entities_are_looked_up_and_imported_in_the_same_transaction() {
    let delete = |n: u128| OldEvent {
        payload: Value::Blob(format!(r#"{{"local_id":"{}"}}"#, entity_id(n)).into_bytes()),
        event_type: Value::Text("mood.deleted".into()),
        ..OldEvent::new(n)
    };
    let source = CoreData::with([delete(1), delete(2)]);
    let app = source.connect();
    let mut insert = app
        .prepare("INSERT INTO ZSDMOODENTRY (ZID, ZUSERID, ZVALENCE) VALUES (?1, ?2, ?3)")
        .unwrap();
    insert
        .execute(params![entity_id(1), "user-7", 0.5])
        .unwrap();
    insert
        .execute(params![entity_id(9), "user-7", Value::Null])
        .unwrap();
    drop(insert);
    drop(app);
    let temporary = Temporary::open().await;
    let import = || {
        Import::new(&source.path)
            .table(SourceTable::entity("SDMoodEntry"))
            .table(events())
    };
    let report = import().run(&temporary.store, WithMoods).await.unwrap();
    assert_eq!(numbers(&report), [4, 2, 0, 0, 2]);
    assert_eq!(
        report.table("SDMoodEntry").unwrap().migrated["SDMoodEntry"],
        1
    );
    assert_eq!(
        report.table("SDOutboxEvent").unwrap().rejected["no owner"],
        1
    );
    let event = temporary
        .store
        .fetch_event(event_id(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(event.user_id, "user-7");
    let moods = || -> i64 {
        let conn = temporary.connect();
        conn.query_row("SELECT count(*) FROM mood", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(moods(), 1, "writes for a rejected row are rolled back");
    let again = import().run(&temporary.store, WithMoods).await.unwrap();
    assert_eq!(numbers(&again), [4, 0, 2, 0, 2]);
    assert_eq!(moods(), 1);
}

/// Corrupts data in `finish`, or aborts the import there.
struct Harmful(&'static str);

impl RowMapper for Harmful {
    fn map(&mut self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject> {
        map(row, source)
    }

    fn finish(
        &mut self,
        _: &Source,
        conn: &Connection,
    ) -> Result<(), outbox_runtime::store::BoxError> {
        match self.0 {
            "" => return Err("aborted by the app".into()),
            "panic" => panic!("a bug in the app"),
            sql => conn.execute(sql, [])?,
        };
        Ok(())
    }
}

async fn assert_nothing_was_imported(temporary: &Temporary) {
    let tables = tables(&temporary.connect());
    assert!(!tables.iter().any(|name| name.contains("import")));
    let statistics = temporary.store.statistics(None).await.unwrap();
    assert_eq!(statistics.total_events, 0);
}

#[tokio::test]
async fn rows_lost_or_changed_before_the_commit_are_noticed_and_rolled_back() {
    let source = CoreData::with([
        OldEvent::new(1),
        OldEvent::new(2),
        OldEvent::new(3).with_status("?", 0),
    ]);
    for (harm, found) in [
        ("DELETE FROM outbox_events WHERE seq = 1", "count of events"),
        (
            "UPDATE outbox_events SET user_id = 'user-2' WHERE seq = 1",
            "checksum of the events",
        ),
        (
            "UPDATE outbox_events SET attempt_count = 1 WHERE seq = 1",
            "checksum of the events",
        ),
        (
            "UPDATE outbox_import_rows SET raw_payload = x'00' WHERE seq = 1",
            "checksum of the events",
        ),
        (
            "DELETE FROM outbox_import_rows WHERE seq = 1",
            "count of rows in the ledger",
        ),
        (
            "UPDATE outbox_import_rows SET row_hash = zeroblob(16) WHERE seq = 1",
            "checksum of the rows in",
        ),
        (
            "DELETE FROM outbox_import_rejects",
            "count of rows put aside",
        ),
        (
            "UPDATE outbox_import_rejects SET raw = '{}'",
            "checksum of the rows put aside",
        ),
    ] {
        let temporary = Temporary::open().await;
        let import = Import::new(&source.path).table(events());
        let error = import
            .run(&temporary.store, Harmful(harm))
            .await
            .unwrap_err();
        assert!(
            matches!(error, ImportError::NotVerified { .. }),
            "{harm}: {error}"
        );
        assert!(error.to_string().contains(found), "{harm}: {error}");
        assert_nothing_was_imported(&temporary).await;
    }
}

#[tokio::test]
async fn an_aborted_or_panicking_import_leaves_nothing_and_can_be_repeated() {
    let source = CoreData::with((1..=50).map(OldEvent::new));
    let temporary = Temporary::open().await;
    let before = source.files();
    let import_with = |harm| {
        Import::new(&source.path)
            .table(events())
            .run(&temporary.store, Harmful(harm))
    };
    let error = import_with("").await.unwrap_err();
    assert!(matches!(error, ImportError::Mapper { .. }), "{error}");
    let store = temporary.store.clone();
    let path = source.path.clone();
    let panicked = tokio::spawn(async move {
        Import::new(path)
            .table(events())
            .run(&store, Harmful("panic"))
            .await
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert_nothing_was_imported(&temporary).await;
    assert_eq!(
        numbers(&import(&source, &temporary.store).await),
        [50, 50, 0, 0, 0]
    );
    assert_eq!(source.files(), before);
}
