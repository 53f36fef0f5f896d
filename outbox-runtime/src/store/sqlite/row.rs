//! Reads a row into an event, even a damaged row.

use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Row, Rows};
use uuid::Uuid;

use super::codes::Code;
use super::database::{Cells, Values};
use crate::claim::ClaimRequest;
use crate::entity::{EntityId, OnDead, Order, Parent};
use crate::event::{Operation, OutboxEvent, OutboxStatus, PromisesOfRun, Refusal};
use crate::headers::Headers;
use crate::metadata::RawMetadata;
use crate::store::kit::parents_from;
use crate::trace::TraceContext;

/// The columns of an event, in the order in which [`read`] takes them.
macro_rules! columns {
    () => {
        concat!(
            $crate::store::sqlite::row::columns!("metadata"),
            ", completed_at, dead_reason"
        )
    };
    ($metadata:literal) => {
        concat!(
            "seq, status, lane_order, on_dead, operation, priority, attempt_count, max_attempts, created_at, \
             next_attempt_at, last_attempt_at, id, user_id, entity_id, event_type, crashes, \
             deferrals, snoozes, revision, metadata_version, ",
            $metadata,
            ", error_message, destination, trace_context, deferred_since, last_refusal, \
             expires_at, dedup_key, parents, headers"
        )
    };
}
pub(super) use columns;

/// `columns!` for an event that is claimed, in the order in which [`read_ready`] takes them: of
/// metadata that is too large only the size, and none of the columns that a ready event leaves
/// empty.
macro_rules! claimed_columns {
    () => {
        $crate::store::sqlite::row::columns!(
            "CASE WHEN octet_length(metadata) > 16777216 THEN octet_length(metadata) ELSE metadata END"
        )
    };
}
pub(super) use claimed_columns;

const _: () = assert!(ClaimRequest::MAX_METADATA_BYTES == 16_777_216);

/// The number of `columns!`.
pub(super) const COLUMNS: usize = 32;

/// A `SELECT` of whole events, to be read with [`read`] or [`read_all`].
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

/// An event as far as it can be read, and the damage if any.
pub(super) struct ReadRow {
    pub(super) event: OutboxEvent,
    /// Why the row is not one that this library writes. Such an event can be listed, but not
    /// delivered.
    pub(super) damage: Option<String>,
}

/// Reads all rows, damaged ones as far as possible.
pub(super) fn read_all(mut rows: Rows<'_>) -> rusqlite::Result<Vec<ReadRow>> {
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(read(row)?);
    }
    Ok(events)
}

/// The same of rows of any driver.
pub(super) fn read_values(rows: &[Values]) -> impl Iterator<Item = ReadRow> {
    rows.iter().map(|row| {
        let Ok(row) = read_cells(row);
        row
    })
}

/// Reads the columns of `columns!`.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<ReadRow> {
    read_cells(row)
}

fn read_cells<R: Cells>(row: &R) -> Result<ReadRow, R::Error> {
    let ReadRow { mut event, damage } = read_ready_cells(row)?;
    let mut columns = Columns {
        row,
        at: COLUMNS - 2,
        damage,
    };
    event.completed_at = columns.some_time("completed_at")?;
    event.dead_reason = columns.some_word("dead_reason")?;
    Ok(ReadRow {
        event,
        damage: columns.damage,
    })
}

/// Reads the columns of `claimed_columns!`.
pub(super) fn read_ready(row: &Row<'_>) -> rusqlite::Result<ReadRow> {
    read_ready_cells(row)
}

fn read_ready_cells<R: Cells>(row: &R) -> Result<ReadRow, R::Error> {
    let mut columns = Columns {
        row,
        at: 0,
        damage: None,
    };
    let event = OutboxEvent {
        seq: columns.next("seq", 0)?,
        status: columns.word("status", OutboxStatus::Dead)?,
        order: columns.word("lane_order", Order::Entity)?,
        on_dead: columns.word("on_dead", OnDead::Hold)?,
        operation: columns.word("operation", Operation::Update)?,
        priority: columns.next("priority", 0)?,
        attempt_count: columns.next("attempt_count", 0)?,
        max_attempts: columns.next("max_attempts", 1)?,
        created_at: columns.time("created_at")?,
        next_attempt_at: columns.time("next_attempt_at")?,
        last_attempt_at: columns.some_time("last_attempt_at")?,
        id: columns.next("id", Uuid::nil())?,
        user_id: columns.text("user_id")?,
        entity_id: columns.next("entity_id", EntityId::Integer(0))?,
        event_type: columns.text("event_type")?,
        crashes: columns.count()?,
        deferrals: columns.count()?,
        snoozes: columns.count()?,
        revision: columns.revision()?,
        metadata_version: columns.next("metadata_version", 1)?,
        metadata: columns.metadata()?,
        error_message: columns.some_text("error_message")?,
        destination: columns.some_text("destination")?,
        trace_context: columns.trace_context()?,
        deferred_since: columns.noted_time()?,
        last_refusal: columns.refusal()?,
        expires_at: columns.some_time("expires_at")?,
        dedup_key: columns.noted_text()?,
        parents: columns.parents()?,
        headers: columns.headers()?,
        completed_at: None,
        dead_reason: None,
        // The lease is in the claim.
        lease_token: None,
        lease_expires_at: None,
        promises: PromisesOfRun::default(),
    };
    Ok(ReadRow {
        event,
        damage: columns.damage,
    })
}

/// A count plus one that fits a `u32`, whatever the row holds: an overflowing sum would become a
/// float, which the column rejects.
macro_rules! one_more {
    ($count:literal) => {
        concat!("min(max(ifnull(", $count, ", 0), 0), 4294967294) + 1")
    };
}
pub(super) use one_more;

/// A count from a row, clamped to the range of a `u32`.
pub(super) fn count_of(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

/// The damage of text that is invalid UTF-8.
const NOT_UTF_8: &str = "invalid UTF-8";

/// Reads one column after another and records the first damage.
struct Columns<'r, R> {
    row: &'r R,
    at: usize,
    damage: Option<String>,
}

impl<'r, R: Cells> Columns<'r, R> {
    fn value(&mut self) -> Result<ValueRef<'r>, R::Error> {
        let value = self.row.cell(self.at)?;
        self.at += 1;
        Ok(value)
    }

    fn note(&mut self, column: &str, what: impl std::fmt::Display) {
        self.damage
            .get_or_insert_with(|| format!("column {column}: {what}"));
    }

    fn next<T: FromSql>(&mut self, column: &str, otherwise: T) -> Result<T, R::Error> {
        Ok(T::column_result(self.value()?).unwrap_or_else(|error| {
            self.note(column, error);
            otherwise
        }))
    }

    fn bytes(&mut self) -> Result<Option<&'r [u8]>, R::Error> {
        Ok(match self.value()? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
            _ => None,
        })
    }

    fn metadata(&mut self) -> Result<Option<RawMetadata>, R::Error> {
        let value = self.value()?;
        Ok(match value {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(RawMetadata::from_bytes(bytes)),
            // The size of the metadata, read by `claimed_columns`.
            ValueRef::Integer(size) => {
                let most = ClaimRequest::MAX_METADATA_BYTES;
                let what = format!("{size} bytes exceed the limit of {most}");
                self.note("metadata", what);
                None
            }
            ValueRef::Null | ValueRef::Real(_) => None,
        })
    }

    fn some_text(&mut self, column: &str) -> Result<Option<String>, R::Error> {
        Ok(self.bytes()?.map(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => {
                self.note(column, NOT_UTF_8);
                String::from_utf8_lossy(bytes).into_owned()
            }
        }))
    }

    fn text(&mut self, column: &str) -> Result<String, R::Error> {
        Ok(self.some_text(column)?.unwrap_or_else(|| {
            self.note(column, "it is not text");
            String::new()
        }))
    }

    fn some_word<T: Code>(&mut self, column: &str) -> Result<Option<T>, R::Error> {
        let code: Option<i64> = self.next(column, None)?;
        let word = code.map(|code| {
            let word = T::of(code);
            if word.is_none() {
                self.note(column, format_args!("{code} is no {}", T::WHAT));
            }
            word
        });
        Ok(word.flatten())
    }

    fn word<T: Code>(&mut self, column: &str, otherwise: T) -> Result<T, R::Error> {
        Ok(self.some_word(column)?.unwrap_or(otherwise))
    }

    /// A count that the event itself does not depend on: any value leaves the event deliverable.
    fn count(&mut self) -> Result<u32, R::Error> {
        Ok(count_of(self.value()?.as_i64().unwrap_or(0)))
    }

    /// A text that the event itself does not depend on.
    fn noted_text(&mut self) -> Result<Option<String>, R::Error> {
        Ok(self
            .bytes()?
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    }

    /// A time that the event itself does not depend on.
    fn noted_time(&mut self) -> Result<Option<DateTime<Utc>>, R::Error> {
        let micros = self.value()?.as_i64().ok();
        Ok(micros.and_then(DateTime::from_timestamp_micros))
    }

    /// The parents, which are looked up when the event is placed.
    fn parents(&mut self) -> Result<Vec<Parent>, R::Error> {
        let stored = self.bytes()?.map(std::str::from_utf8);
        Ok(stored.map_or_else(Vec::new, |stored| parents_from(stored.unwrap_or_default())))
    }

    /// A trace context, which the event itself does not depend on.
    fn trace_context(&mut self) -> Result<Option<TraceContext>, R::Error> {
        let stored = self.bytes()?.map(std::str::from_utf8);
        Ok(stored.and_then(|stored| TraceContext::from_stored(stored.ok()?)))
    }

    /// The headers. A row with others than this library writes is damaged: what they say may
    /// matter to the service, such as whose event it is.
    fn headers(&mut self) -> Result<Headers, R::Error> {
        let stored: Option<&str> = match self.value()? {
            ValueRef::Null => return Ok(Headers::new()),
            value => value.as_str().ok(),
        };
        let headers = stored.map(Headers::from_stored);
        Ok(match headers {
            Some(Ok(headers)) => headers,
            Some(Err(error)) => {
                self.note("headers", error);
                Headers::new()
            }
            None => {
                self.note("headers", "it is not text");
                Headers::new()
            }
        })
    }

    /// A refusal that the event itself does not depend on.
    fn refusal(&mut self) -> Result<Option<Refusal>, R::Error> {
        let text = self.bytes()?.map(String::from_utf8_lossy);
        Ok(text.map(|text| Refusal::from_stored(&text)))
    }

    /// The revision that edits compare. The event itself does not depend on it.
    fn revision(&mut self) -> Result<u64, R::Error> {
        Ok(u64::try_from(self.value()?.as_i64().unwrap_or(0)).unwrap_or(0))
    }

    fn some_time(&mut self, column: &str) -> Result<Option<DateTime<Utc>>, R::Error> {
        let micros: Option<i64> = self.next(column, None)?;
        Ok(micros.map(|micros| {
            DateTime::from_timestamp_micros(micros).unwrap_or_else(|| {
                self.note(
                    column,
                    format_args!("{micros} µs since 1970 is out of range"),
                );
                DateTime::UNIX_EPOCH
            })
        }))
    }

    fn time(&mut self, column: &str) -> Result<DateTime<Utc>, R::Error> {
        Ok(self.some_time(column)?.unwrap_or(DateTime::UNIX_EPOCH))
    }
}

/// As its text, which is one for each id.
impl ToSql for EntityId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Text(id) => ToSqlOutput::Borrowed(ValueRef::from(id.as_str())),
            Self::Uuid(_) | Self::Integer(_) => ToSqlOutput::from(self.to_string()),
        })
    }
}

/// As text, byte for byte: damaged metadata stays unchanged when the rest of its row is edited.
impl ToSql for RawMetadata {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.as_bytes())))
    }
}

impl FromSql for EntityId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str().map(Self::from)
    }
}
