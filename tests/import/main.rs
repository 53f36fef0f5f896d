//! F64 to F66: each row of another program's outbox is imported, or the report says where it is.

use outbox_import::{
    Import, ImportReport, ImportedEvent, Mapped, Reject, Source, SourceRow, SourceTable,
};
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::{DeadReason, NewEvent, RawMetadata, TraceContext};
use outbox_tests::core_data::CoreData;
use uuid::Uuid;

mod again; // repeated imports
mod entities; // entities that share a table, numbered columns, relationships
mod external; // values in files beside the store
mod mappers; // custom mappers of apps
mod mapping; // mapping files, and imports in parts
mod order; // delivery order of imported events
mod paths; // paths of sources
mod report; // reports and progress
mod rows; // values of a row
mod source; // reading the source
mod template; // stores that share a UUID

pub(crate) const LEASE: std::time::Duration = std::time::Duration::from_secs(60);

pub(crate) fn events() -> SourceTable {
    SourceTable::entity("SDOutboxEvent")
        .ordered_by("createdAt")
        .requires(["id", "eventType", "payload", "status", "retryCount"])
        .newer_with(["metadata"])
}

/// A typical mapper.
pub(crate) fn map(row: &SourceRow, _source: &Source) -> Result<Mapped, Reject> {
    #[derive(serde::Deserialize)]
    struct Payload {
        id: Uuid,
        user_id: String,
    }
    let operation = match row.text("eventType")?.as_str() {
        "mood.created" => Operation::Create,
        "mood.updated" => Operation::Update,
        "mood.deleted" => Operation::Delete,
        _ => return Err(Reject::new("unknown event type", "")),
    };
    let payload = row.bytes("payload")?;
    let mood: Payload =
        serde_json::from_slice(&payload).map_err(|_| Reject::new("payload is not a mood", ""))?;
    let event = NewEvent::new("moodEntry", mood.id, mood.user_id, operation)
        .with_id(row.uuid("id")?)
        .with_metadata(RawMetadata::from_bytes(payload.clone()))
        .with_trace_context(
            TraceContext::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").ok(),
        )
        .with_header("x-origin", "Core Data");
    let attempts = u32::try_from(row.integer("retryCount")?)
        .map_err(|_| Reject::new("retryCount is damaged", "it is negative"))?;
    let mut event = ImportedEvent::new(event, row.date("createdAt")?)
        .attempts(attempts)
        .last_attempt_at(row.opt_date("lastAttemptAt")?)
        .raw_payload(payload);
    if let Some(message) = row.opt_text("errorMessage")? {
        event = event.error_message(message);
    }
    Ok(match row.text("status")?.as_str() {
        "completed" if attempts >= 5 => event.dead(DeadReason::AttemptsExhausted).into(),
        "completed" => match row.opt_date("completedAt")? {
            Some(at) => event.completed(at).into(),
            None => Mapped::AlreadyDelivered,
        },
        "failed" => event.failed().into(),
        "pending" | "processing" => event.pending().into(),
        _ => return Err(Reject::new("unknown status", "")),
    })
}

pub(crate) async fn import(source: &CoreData, store: &SqliteStore) -> ImportReport {
    let import = Import::new(&source.path).table(events());
    import.run(store, map).await.unwrap()
}

/// Read, migrated, already present, already delivered, rejected.
pub(crate) fn numbers(report: &ImportReport) -> [u64; 5] {
    let numbers = [
        report.read(),
        report.migrated(),
        report.already_there(),
        report.already_delivered(),
        report.rejected(),
    ];
    assert_eq!(numbers[0], numbers[1..].iter().sum::<u64>(), "{report}");
    numbers
}

pub(crate) fn rejects(conn: &Connection) -> Vec<(i64, String, serde_json::Value)> {
    let mut rejects = conn
        .prepare("SELECT row_key, reason, raw FROM outbox_import_rejects ORDER BY row_key")
        .unwrap();
    let rows = rejects.query_map([], |row| {
        let raw: String = row.get(2)?;
        Ok((
            row.get(0)?,
            row.get(1)?,
            serde_json::from_str(&raw).unwrap(),
        ))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// The unresolved rejects by reason, as the statement of the guide counts them.
pub(crate) fn unresolved(conn: &Connection) -> Vec<(String, i64)> {
    let blocks = outbox_tests::reference::blocks("docs/guide/importing.md", "sql");
    let mut reasons = conn.prepare(&blocks[0]).unwrap();
    let rows = reasons.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

pub(crate) fn tables(conn: &Connection) -> Vec<String> {
    let mut tables = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .unwrap();
    let names = tables.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}
