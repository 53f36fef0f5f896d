//! Importing the outbox of another program: a Core Data or SwiftData store, or any table of a SQLite file.
//!
//! An [`Import`] reads a **copy** of the source, so that the original is never written, not even its `-wal`. Each row of its tables
//! goes to a [`RowMapper`] of the application, which makes it an [`ImportedEvent`], writes what the application itself keeps
//! of it, or rejects it. All of that is **one transaction** of the store: it is there as a whole, verified, or not at all. Nothing is
//! ever deleted, and where something is not as it should be the import refuses instead of starting empty.
//!
//! - *Nothing vanishes.* Every row that is read becomes an event, is there already, was delivered, or is put aside into the table
//!   `outbox_import_rejects`, whole and with the reason. The numbers add up to the row, and what was written is read back and compared by
//!   count and checksum before it is committed.
//! - *It can be run again*, after a crash, or when the source has grown: the table `outbox_import_rows` knows what was taken. A row
//!   that was rejected is tried again, and so is one that has changed since; an event that was imported once is never imported
//!   again under the same id.
//! - *Order.* Rows enter the outbox in the order of their creation, [`SourceTable::ordered_by`], so that the events of each entity are
//!   delivered in that order, behind what the outbox already had.
//! - *Ids* are kept, and so the idempotency keys. Of two rows with one id the first counts; the second is there already if it has the
//!   same content and state, and rejected otherwise.
//!
//! # Examples
//!
//! ```
//! use outbox_import::{Import, ImportedEvent, Mapped, Reject, Source, SourceRow, SourceTable};
//! use outbox_runtime::{DeadReason, NewEvent, Operation, OutboxRepository, RawMetadata, SqliteStore};
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
//!     let mood: Payload =
//!         serde_json::from_slice(&payload).map_err(|error| Reject::new("payload is no mood", error.to_string()))?;
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
//! #     CREATE TABLE ZSDOUTBOXEVENT (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZRETRYCOUNT INTEGER,
//! #         ZCREATEDAT TIMESTAMP, ZLASTATTEMPTAT TIMESTAMP, ZEVENTTYPE VARCHAR, ZSTATUS VARCHAR, ZID BLOB, ZPAYLOAD BLOB);
//! #     INSERT INTO ZSDOUTBOXEVENT VALUES (1, 9, 1, 2, 758550600, NULL, 'mood.created', 'pending',
//! #         x'0190b5e27b1c4cc38f4e3d1a0a6c9e11', '{"id":"7D1C3B8E-51F0-4E5A-9C77-0B9E1C0C2F10","user_id":"user-1"}');
//! #     INSERT INTO ZSDOUTBOXEVENT VALUES (2, 9, 1, 0, 758550601.5, NULL, 'mood.renamed', 'pending', NULL, NULL);"#)?;
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

mod copy; // the source's files, as they are at one moment
mod entities; // what a Core Data store says about its entities
mod error;
mod external; // values that Core Data keeps in files of their own
mod hash; // checksums
mod identity; // which source of the ledger it is
mod layout; // which tables and columns it has
mod ledger; // what was taken, and what was not
mod lookup; // rows by what is in them
mod mapper; // what the application makes of a row
mod numbered; // columns of a table that entities share
mod path_text; // where it is, as the ledger has it
mod report; // the numbers
mod row; // one row, whatever is in it
mod rows; // each of them, taken or put aside
mod run; // all of them, in one transaction
mod source; // the copy, opened
mod table; // which table, and how its columns are named
mod verify; // whether what was written is there

pub use self::error::ImportError;
pub use self::lookup::SourceKey;
pub use self::mapper::{ImportedEvent, Mapped, Reject, RejectReason, RowMapper};
pub use self::report::{ImportReport, TableReport};
pub use self::row::{SourceRow, SourceValue};
pub use self::run::{Import, ImportProgress};
pub use self::source::Source;
pub use self::table::{SourceDates, SourceTable};

/// The guide's code compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/importing.md")]
struct Guide;
