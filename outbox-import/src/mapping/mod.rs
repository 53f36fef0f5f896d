//! A mapping that is written in a file, for imports without a program: which rows become events,
//! and which columns their parts.

use outbox_runtime::{NewEvent, Operation, RawMetadata};
use serde_json::{Map, Value};

use self::field::{Condition, Field};
use super::imported::ImportedEvent;
use super::mapper::{Mapped, RowMapper};
use super::reject::{Reject, RejectReason};
use super::row::{SourceRow, missing};
use super::source::Source;
use super::table::SourceTable;

mod error;
mod field; // a part of an event: a constant or a column
mod keys; // the keys of a table of the file, each with its line
mod sections; // from the file to sections

pub use self::error::{MappingError, MappingProblem};

/// Rules that make events of rows, written in TOML.
///
/// The guide describes the keys:
/// [mapping files](https://docs.rs/outbox-guide/latest/outbox_guide/mapping_files/).
///
/// A row goes to the first section of its table whose `where` it meets. A row that no section takes
/// is put aside with [`NoSection`](RejectReason::NoSection).
///
/// # Examples
///
/// ```
/// use outbox_import::{Import, Mapping};
/// use outbox_runtime::{OutboxRepository, SqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("default.store");
/// # outbox_runtime::rusqlite::Connection::open(&path)?.execute_batch(
/// #     "CREATE TABLE ZSDMEAL (Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER,
/// #          ZCREATEDAT TIMESTAMP, ZTITLE VARCHAR, ZKCAL FLOAT, ZSYNCED INTEGER, ZID BLOB, ZUSER VARCHAR);
/// #      INSERT INTO ZSDMEAL VALUES (1, 1, 1, 758550600.5, 'Soup', 250, 0,
/// #          x'0190b5e27b1c4cc38f4e3d1a0a6c9e11', 'ann');
/// #      INSERT INTO ZSDMEAL VALUES (2, 1, 1, 758550601, 'Stew', 400, 1,
/// #          x'0190b5e27b1c4cc38f4e3d1a0a6c9e12', 'ann')")?;
/// let mapping: Mapping = r#"
///     [[events]]
///     entity = "SDMeal"
///     where = { synced = 0 }
///     type = "meal"
///     operation = "create"
///     entity_id = { column = "id", as = "uuid" }
///     user_id = { column = "user" }
///     created_at = { column = "createdAt", as = "core-data-date" }
///
///     [events.payload]
///     title = { column = "title" }
///     kcal = { column = "kcal", as = "real" }
///
///     [[events]]
///     entity = "SDMeal"
///     where = { synced = 1 }
///     delivered = true
/// "#
/// .parse()?;
/// let store = SqliteStore::open(folder.path().join("app.db")).await?;
/// let report = Import::new(&path).run_mapping(&store, mapping).await?;
/// assert_eq!((report.migrated(), report.already_delivered()), (1, 1));
/// let events = store.fetch_pending_events(Some("ann"), None).await?;
/// let meal = events[0].metadata.as_ref().ok_or("no metadata")?;
/// assert_eq!(meal.as_bytes(), br#"{"kcal":250.0,"title":"Soup"}"#);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Mapping {
    tables: Vec<SourceTable>,
    sections: Vec<Section>,
}

/// What becomes of the rows of a table that meet some conditions.
#[derive(Debug, Clone)]
struct Section {
    /// The table, by the name that it was given.
    table: String,
    conditions: Vec<Condition>,
    /// `None`: the remote service already has them.
    event: Option<Box<Event>>,
}

/// The parts of an event.
#[derive(Debug, Clone)]
struct Event {
    event_type: Field,
    operation: Field,
    entity_id: Field,
    user_id: Field,
    created_at: Field,
    id: Option<Field>,
    priority: Option<Field>,
    destination: Option<Field>,
    metadata_version: u32,
    payload: Payload,
}

#[derive(Debug, Clone)]
enum Payload {
    None,
    Fields(Vec<(String, Field)>),
    /// A column that has the metadata as JSON.
    Column(String),
}

impl Mapping {
    /// The tables of the sections, each once, with the columns that they need.
    pub fn tables(&self) -> &[SourceTable] {
        &self.tables
    }
}

impl RowMapper for Mapping {
    fn map(&mut self, row: &SourceRow, _source: &Source) -> Result<Mapped, Reject> {
        for section in self
            .sections
            .iter()
            .filter(|section| section.table == row.table())
        {
            if section.takes(row)? {
                return match &section.event {
                    None => Ok(Mapped::AlreadyDelivered),
                    Some(event) => event.of(row).map(Mapped::from),
                };
            }
        }
        Err(Reject::new(RejectReason::NoSection, ""))
    }
}

impl Section {
    fn takes(&self, row: &SourceRow) -> Result<bool, Reject> {
        for condition in &self.conditions {
            if !condition.is_met(row)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Event {
    fn of(&self, row: &SourceRow) -> Result<ImportedEvent, Reject> {
        let operation: Operation = self.operation.parsed(row)?;
        let entity_id = self.entity_id.text(row)?;
        let user_id = self.user_id.text(row)?;
        let event_type = self.event_type.text(row)?;
        let mut event = NewEvent::new(event_type, entity_id, user_id, operation)
            .with_metadata_version(self.metadata_version);
        if let Some(id) = &self.id {
            event = event.with_id(id.parsed(row)?);
        }
        if let Some(priority) = &self.priority {
            event = event.with_priority(priority.parsed(row)?);
        }
        if let Some(destination) = &self.destination
            && let Some(destination) = destination.opt_text(row)?
        {
            event = event.with_destination(destination);
        }
        let metadata = match &self.payload {
            Payload::None => None,
            Payload::Column(column) => Some(row.bytes(column)?),
            Payload::Fields(fields) => {
                let mut payload = Map::new();
                for (name, field) in fields {
                    payload.insert(name.clone(), field.value(row)?);
                }
                Some(Value::Object(payload).to_string().into_bytes())
            }
        };
        if let Some(metadata) = metadata {
            event = event.with_metadata(RawMetadata::from_bytes(metadata));
        }
        let created_at = self.created_at.date(row)?;
        let created_at = created_at.ok_or_else(|| missing(self.created_at.column()))?;
        Ok(ImportedEvent::new(event, created_at))
    }
}
