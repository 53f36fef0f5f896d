//! From a row to an event, whatever is in the row.

use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, Rows};
use uuid::Uuid;

use crate::claim::ClaimRequest;
use crate::entity::EntityId;
use crate::event::{OutboxEvent, OutboxStatus, Refusal};
use crate::metadata::RawMetadata;
use crate::store::kit::Load;

/// The columns of an event, in the order in which [`read`] takes them.
macro_rules! columns {
    () => {
        $crate::store::sqlite::row::columns!("metadata")
    };
    ($metadata:literal) => {
        concat!(
            "seq, id, event_type, entity_id, user_id, operation, status, priority, created_at, next_attempt_at, \
             last_attempt_at, attempt_count, max_attempts, error_message, completed_at, ",
            $metadata,
            ", metadata_version, lease_token, lease_expires_at, dead_reason, lane, on_dead, destination, deferrals, \
             deferred_since, last_refusal, crashes, snoozes, revision"
        )
    };
}
pub(super) use columns;

/// The same for an event that is claimed: of metadata that is too large, its size alone is read.
macro_rules! claimed_columns {
    () => {
        $crate::store::sqlite::row::columns!(
            "CASE WHEN octet_length(metadata) > 16777216 THEN octet_length(metadata) ELSE metadata END"
        )
    };
}
pub(super) use claimed_columns;

const _: () = assert!(ClaimRequest::MAX_METADATA_BYTES == 16_777_216);

/// Where the user stands in them.
pub(super) const USER_COLUMN: usize = 4;

/// How many they are.
pub(super) const COLUMNS: usize = 29;

/// `SELECT` of whole events, to be read with [`read`] or [`read_all`].
macro_rules! select_events {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            $crate::store::sqlite::row::columns!(),
            " FROM outbox_events ",
            $rest
        )
    };
}
pub(super) use select_events;

/// An event as far as it can be read, and what could not be.
pub(super) struct ReadRow {
    pub(super) event: OutboxEvent,
    /// Why the row is not what this library writes. Such an event can be shown, not delivered.
    pub(super) damage: Option<String>,
}

/// Reads rows until that is as much as a claim may bring.
pub(super) fn read_within(mut rows: Rows<'_>, load: &mut Load) -> rusqlite::Result<Vec<ReadRow>> {
    let mut events = Vec::new();
    while !load.is_full()
        && let Some(row) = rows.next()?
    {
        let row = read(row)?;
        load.add(&row.event);
        events.push(row);
    }
    Ok(events)
}

/// Reads all rows; damaged ones as far as they go.
pub(super) fn read_all(mut rows: Rows<'_>) -> rusqlite::Result<Vec<ReadRow>> {
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(read(row)?);
    }
    Ok(events)
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<ReadRow> {
    let mut columns = Columns {
        row,
        at: 0,
        damage: None,
    };
    let event = OutboxEvent {
        seq: columns.next("seq", 0)?,
        id: columns.next("id", Uuid::nil())?,
        event_type: columns.text("event_type")?,
        entity_id: columns.next("entity_id", EntityId::Integer(0))?,
        user_id: columns.text("user_id")?,
        operation: columns.word("operation", crate::event::Operation::Update)?,
        status: columns.word("status", OutboxStatus::Dead)?,
        priority: columns.next("priority", 0)?,
        created_at: columns.time("created_at")?,
        next_attempt_at: columns.time("next_attempt_at")?,
        last_attempt_at: columns.some_time("last_attempt_at")?,
        attempt_count: columns.next("attempt_count", 0)?,
        max_attempts: columns.next("max_attempts", 1)?,
        error_message: columns.some_text("error_message")?,
        completed_at: columns.some_time("completed_at")?,
        metadata: columns.metadata()?,
        metadata_version: columns.next("metadata_version", 1)?,
        lease_token: columns.next("lease_token", None)?,
        lease_expires_at: columns.some_time("lease_expires_at")?,
        dead_reason: columns.some_word("dead_reason")?,
        order: columns.some_word("lane")?.unwrap_or_default(),
        on_dead: columns.some_word("on_dead")?.unwrap_or_default(),
        destination: columns.some_text("destination")?,
        deferrals: columns.count()?,
        deferred_since: columns.noted_time()?,
        last_refusal: columns.refusal()?,
        crashes: columns.count()?,
        snoozes: columns.count()?,
        revision: columns.revision()?,
    };
    Ok(ReadRow {
        event,
        damage: columns.damage,
    })
}

/// One more of a count that fits a `u32`, whatever is in the row: a sum that is too large would be a float, which the column refuses.
macro_rules! one_more {
    ($count:literal) => {
        concat!("min(max(ifnull(", $count, ", 0), 0), 4294967294) + 1")
    };
}
pub(super) use one_more;

/// A count as it is in a row, where it may be any number.
pub(super) fn count_of(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// What is wrong with bytes where there should be a text.
const NOT_UTF_8: &str = "it is not UTF-8";

/// Takes one column after the other and notes the first that is not what it should be.
struct Columns<'r, 'stmt> {
    row: &'r Row<'stmt>,
    at: usize,
    damage: Option<String>,
}

impl<'r> Columns<'r, '_> {
    fn value(&mut self) -> rusqlite::Result<ValueRef<'r>> {
        let value = self.row.get_ref(self.at)?;
        self.at += 1;
        Ok(value)
    }

    fn note(&mut self, column: &str, what: impl std::fmt::Display) {
        self.damage
            .get_or_insert_with(|| format!("column {column} of the row: {what}"));
    }

    fn next<T: FromSql>(&mut self, column: &str, otherwise: T) -> rusqlite::Result<T> {
        Ok(T::column_result(self.value()?).unwrap_or_else(|error| {
            self.note(column, error);
            otherwise
        }))
    }

    fn bytes(&mut self) -> rusqlite::Result<Option<&'r [u8]>> {
        Ok(match self.value()? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
            _ => None,
        })
    }

    fn metadata(&mut self) -> rusqlite::Result<Option<RawMetadata>> {
        let value = self.value()?;
        Ok(match value {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(RawMetadata::from_bytes(bytes)),
            // Its size, as `claimed_columns` has it.
            ValueRef::Integer(size) => {
                let most = ClaimRequest::MAX_METADATA_BYTES;
                let what = format!("has {size} bytes, more than the {most} that are loaded");
                self.note("metadata", what);
                None
            }
            ValueRef::Null | ValueRef::Real(_) => None,
        })
    }

    fn some_text(&mut self, column: &str) -> rusqlite::Result<Option<String>> {
        Ok(self.bytes()?.map(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                self.note(column, NOT_UTF_8);
                String::from_utf8_lossy(bytes).into_owned()
            }
        }))
    }

    fn text(&mut self, column: &str) -> rusqlite::Result<String> {
        Ok(self.some_text(column)?.unwrap_or_else(|| {
            self.note(column, "it is empty");
            String::new()
        }))
    }

    fn some_word<T>(&mut self, column: &str) -> rusqlite::Result<Option<T>>
    where
        T: std::str::FromStr<Err = crate::event::UnknownWord>,
    {
        let Some(bytes) = self.bytes()? else {
            return Ok(None);
        };
        let Ok(word) = std::str::from_utf8(bytes) else {
            self.note(column, NOT_UTF_8);
            return Ok(None);
        };
        Ok(match word.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(column, error);
                None
            }
        })
    }

    fn word<T>(&mut self, column: &str, otherwise: T) -> rusqlite::Result<T>
    where
        T: std::str::FromStr<Err = crate::event::UnknownWord>,
    {
        Ok(self.some_word(column)?.unwrap_or(otherwise))
    }

    /// A count that nothing of the event itself depends on: whatever is in there, the event can be delivered.
    fn count(&mut self) -> rusqlite::Result<u32> {
        Ok(count_of(self.value()?.as_i64().unwrap_or(0)))
    }

    /// The same for a time.
    fn noted_time(&mut self) -> rusqlite::Result<Option<DateTime<Utc>>> {
        let micros = self.value()?.as_i64().ok();
        Ok(micros.and_then(DateTime::from_timestamp_micros))
    }

    /// The same for the last refusal.
    fn refusal(&mut self) -> rusqlite::Result<Option<Refusal>> {
        let text = self.bytes()?.map(String::from_utf8_lossy);
        Ok(text.map(|text| Refusal::from_stored(&text)))
    }

    /// The same for the number that edits compare.
    fn revision(&mut self) -> rusqlite::Result<u64> {
        Ok(u64::try_from(self.value()?.as_i64().unwrap_or(0)).unwrap_or(0))
    }

    fn some_time(&mut self, column: &str) -> rusqlite::Result<Option<DateTime<Utc>>> {
        let micros: Option<i64> = self.next(column, None)?;
        Ok(micros.map(|micros| {
            DateTime::from_timestamp_micros(micros).unwrap_or_else(|| {
                self.note(column, format_args!("{micros} µs since 1970 is not a date"));
                DateTime::UNIX_EPOCH
            })
        }))
    }

    fn time(&mut self, column: &str) -> rusqlite::Result<DateTime<Utc>> {
        Ok(self.some_time(column)?.unwrap_or(DateTime::UNIX_EPOCH))
    }
}

/// An entity id as itself: 16 bytes, an integer or a string.
pub(super) fn entity_value(id: &EntityId) -> ValueRef<'_> {
    match id {
        EntityId::Uuid(id) => ValueRef::Blob(id.as_bytes()),
        EntityId::Integer(id) => ValueRef::Integer(*id),
        EntityId::Text(id) => ValueRef::Text(id.as_bytes()),
    }
}

impl ToSql for EntityId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(entity_value(self)))
    }
}

/// As text, byte for byte: metadata that was damaged stays what it is when the rest of its row is edited.
impl ToSql for RawMetadata {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.as_bytes())))
    }
}

impl FromSql for EntityId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Blob(_) => Uuid::column_result(value).map(Self::Uuid),
            ValueRef::Integer(id) => Ok(Self::Integer(id)),
            ValueRef::Text(_) => String::column_result(value).map(Self::Text),
            ValueRef::Real(_) | ValueRef::Null => Err(FromSqlError::InvalidType),
        }
    }
}
