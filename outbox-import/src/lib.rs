//! Imports another program's outbox: a Core Data or SwiftData store, or any table of a SQLite file.
//!
//! An [`Import`] reads a **copy** of the source, so the original is never written, not even its
//! `-wal`. The application's [`RowMapper`] turns each row into an [`ImportedEvent`], writes
//! whatever the application itself keeps of the row, or rejects it. A [`Mapping`] is a mapper that
//! is written in a file. The import is **one transaction** of the store: after verification it
//! commits as a whole, or not at all; or, if [asked](Import::rows_per_transaction), several of
//! bounded size, each of which is verified. It never deletes anything, and when the source is not
//! as expected it returns an error instead of starting empty.
//!
//! - *Nothing is lost.* Every row that is read becomes an event, is already there, was already
//!   delivered, or is put aside, whole and with the reason, in the table `outbox_import_rejects`.
//!   The counts add up to the number of rows, and everything written is read back and compared by
//!   count and checksum before the commit.
//! - *An import can be repeated*, after a crash or when the source has grown: the table
//!   `outbox_import_rows` records which rows were taken. A rejected row is tried again, and so is a
//!   row that has changed since; an event that was imported once is never imported again under the
//!   same id.
//! - *Order is kept.* Rows enter the outbox in the order of their creation,
//!   [`SourceTable::ordered_by`], so each entity's events are delivered in that order, after the
//!   events that the outbox already had.
//! - *Ids are kept*, and with them the idempotency keys. When two rows share an id, the first one
//!   counts; the second counts as already there if it has the same content and state, and is
//!   rejected otherwise.
//!
//! # Examples
//!
//! ```
//! use outbox_import::{Import, ImportedEvent, Mapped, Reject, Source, SourceRow, SourceTable};
//! use outbox_runtime::{DeadReason, NewEvent, Operation, OutboxRepository};
//! use outbox_runtime::{RawMetadata, SqliteStore};
//!
//! fn map(row: &SourceRow, _source: &Source) -> Result<Mapped, Reject> {
//!     let operation = match row.text("eventType")?.as_str() {
//!         "mood.created" => Operation::Create,
//!         "mood.updated" => Operation::Update,
//!         _ => return Err(Reject::new("unknown event type", "only moods are imported")),
//!     };
//!     #[derive(serde::Deserialize)]
//!     struct Payload {
//!         id: uuid::Uuid,
//!         user_id: String,
//!     }
//!     let payload = row.bytes("payload")?;
//!     let mood: Payload = serde_json::from_slice(&payload)
//!         .map_err(|error| Reject::new("payload is not a mood", error.to_string()))?;
//!     let event = NewEvent::new("moodEntry", mood.id, mood.user_id, operation)
//!         .with_id(row.uuid("id")?)
//!         .with_metadata(RawMetadata::from_bytes(payload.clone()));
//!     let attempts = u32::try_from(row.integer("retryCount")?).unwrap_or(u32::MAX);
//!     let event = ImportedEvent::new(event, row.date("createdAt")?)
//!         .attempts(attempts)
//!         .last_attempt_at(row.opt_date("lastAttemptAt")?)
//!         .raw_payload(payload);
//!     Ok(match row.text("status")?.as_str() {
//!         "completed" => return Ok(Mapped::AlreadyDelivered),
//!         "failed" if attempts >= 5 => event.dead(DeadReason::AttemptsExhausted).into(),
//!         _ => event.pending().into(),
//!     })
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("default.store");
//! # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(r#"
//! #     CREATE TABLE ZSDOUTBOXEVENT (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER,
//! #         ZRETRYCOUNT INTEGER, ZCREATEDAT TIMESTAMP, ZLASTATTEMPTAT TIMESTAMP,
//! #         ZEVENTTYPE VARCHAR, ZSTATUS VARCHAR, ZID BLOB, ZPAYLOAD BLOB);
//! #     INSERT INTO ZSDOUTBOXEVENT VALUES (1, 9, 1, 2, 758550600, NULL, 'mood.created', 'pending',
//! #         x'0190b5e27b1c4cc38f4e3d1a0a6c9e11',
//! #         '{"id":"7D1C3B8E-51F0-4E5A-9C77-0B9E1C0C2F10","user_id":"user-1"}');
//! #     INSERT INTO ZSDOUTBOXEVENT VALUES
//! #         (2, 9, 1, 0, 758550601.5, NULL, 'mood.renamed', 'pending', NULL, NULL);"#)?;
//! let store = SqliteStore::open(folder.path().join("app.db")).await?;
//! let events = SourceTable::entity("SDOutboxEvent").ordered_by("createdAt");
//! let report = Import::new(&path).table(events.clone()).run(&store, map).await?;
//! assert_eq!((report.read(), report.migrated(), report.rejected()), (2, 1, 1));
//! assert_eq!(store.fetch_pending_events(Some("user-1"), None).await?.len(), 1);
//! println!("{report}");
//!
//! let again = Import::new(&path).table(events).run(&store, map).await?;
//! assert_eq!((again.migrated(), again.already_there(), again.rejected()), (0, 1, 1));
//! # Ok(())
//! # }
//! ```

mod copy; // a consistent copy of the source's files
mod entities; // the entities of a Core Data store
mod error;
mod external; // values that Core Data keeps in separate files
mod hash; // checksums of rows and events
mod identity; // which source of the ledger a store is
mod imported; // events of another outbox
mod key; // values to look up rows by
mod layout; // the tables and columns of the source
mod ledger; // which rows were taken or put aside
mod lookup; // finding rows by a column's value
mod mapper; // the application's mapping from rows to events
mod mapping; // a mapping that is written in a file
mod numbered; // numbered columns of a table that entities share
mod path_text; // paths as text in the ledger
mod progress; // progress reports
mod reject; // reasons to put a row aside
mod report; // the counts of an import
mod row; // one row and its typed getters
mod rows; // taking or putting aside each row of a table
mod run; // the import: all rows in one transaction
mod schema; // names and columns in SQL
mod shape; // a table that was found
mod source; // the opened copy
mod survey; // tables, columns and numbers of rows
mod table; // the description of a source table
mod value; // what SQLite stores, and what it means
mod verify; // comparing what was written with what is there
mod work; // an import from transaction to transaction

pub use self::error::ImportError;
pub use self::imported::ImportedEvent;
pub use self::key::SourceKey;
#[doc(hidden)]
pub use self::ledger::install as install_ledger;
pub use self::mapper::{Mapped, RowMapper};
pub use self::mapping::{Mapping, MappingError, MappingProblem};
pub use self::progress::ImportProgress;
pub use self::reject::{Reject, RejectReason};
pub use self::report::{ImportReport, RejectedRow, TableReport};
pub use self::row::SourceRow;
pub use self::run::Import;
pub use self::source::Source;
pub use self::survey::{ColumnSurvey, EntitySurvey, TableSurvey};
pub use self::table::{SourceDates, SourceTable};
pub use self::value::SourceValue;
