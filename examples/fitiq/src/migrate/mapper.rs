//! Maps a row of the older outbox to an event, and to the data that the app itself keeps.

use std::collections::HashMap;

use fitiq_core::{LocalId, RemoteId, UserId};
use outbox_import::{ImportedEvent, Mapped, Reject, RowMapper, Source, SourceRow, SourceTable};
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::BoxError;
use outbox_runtime::{DeadReason, Enqueue, Operation};
use uuid::Uuid;

use super::content::{self, About};
use super::metadata::{self, Fields};
use crate::entities::{Kind, Record, Visitor};
use crate::repository;

/// The older outbox's default.
const MAX_ATTEMPTS: u32 = 5;

/// The older app's tables of entities, with their remote ids.
const ENTITIES: [(Kind, &str); 7] = [
    (Kind::ProgressEntry, "SDProgressEntry"),
    (Kind::PhysicalAttribute, "SDPhysicalAttribute"),
    (Kind::ActivitySnapshot, "SDActivitySnapshot"),
    (Kind::SleepSession, "SDSleepSession"),
    (Kind::MealLog, "SDMeal"),
    (Kind::Workout, "SDWorkout"),
    (Kind::WorkoutTemplate, "SDWorkoutTemplate"),
];

/// Maps rows, and carries a row's entity from mapping to writing.
#[derive(Default)]
pub(super) struct Mapper {
    /// The tables of entities that this store has.
    tables: HashMap<Kind, SourceTable>,
    current: Option<Keep>,
}

/// Writes the app's data of a row.
type Keep = Box<dyn FnOnce(&Connection) -> Result<(), BoxError> + Send>;

impl RowMapper for Mapper {
    fn begin(&mut self, source: &Source, conn: &Connection) -> Result<(), BoxError> {
        repository::create_table(conn)?;
        let there = source.tables()?;
        for (kind, entity) in ENTITIES {
            let name = format!("Z{}", entity.to_uppercase());
            if there.iter().any(|table| table.eq_ignore_ascii_case(&name)) {
                self.tables.insert(kind, SourceTable::entity(entity));
            }
        }
        Ok(())
    }

    fn map(&mut self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject> {
        let event_type = row.text("eventType")?;
        let kind: Kind = event_type
            .parse()
            .ok()
            .filter(|kind: &Kind| kind.event_type() == event_type)
            .ok_or_else(|| {
                Reject::new(
                    "unknown event type",
                    format!("{event_type:?} is none of this app's"),
                )
            })?;
        let id = row.uuid("entityID")?;
        let user = user(&row.text("userID")?)?;
        let about = About {
            id: LocalId::from_uuid(id),
            user,
            at: row.date("createdAt")?,
        };
        let fields = match row.opt_text("metadata")? {
            Some(text) => Some(metadata::fields(kind, &text)?),
            None => None,
        };
        let remote = match fields.as_ref().and_then(remote_id) {
            Some(remote) => Some(remote),
            None => self.remote_id(kind, id, source)?,
        };
        let (event, keep) = kind.visit(Make {
            row,
            about,
            fields,
            remote,
        })?;
        self.current = Some(keep);
        Ok(event.into())
    }

    fn write(
        &mut self,
        _row: &SourceRow,
        _mapped: &Mapped,
        conn: &Connection,
    ) -> Result<(), Reject> {
        match self.current.take() {
            Some(keep) => keep(conn).map_err(Reject::fatal),
            None => Ok(()),
        }
    }
}

impl Mapper {
    /// The remote id of an entity, if the older app knew it.
    fn remote_id(&self, kind: Kind, id: Uuid, source: &Source) -> Result<Option<RemoteId>, Reject> {
        let Some(table) = self.tables.get(&kind) else {
            return Ok(None);
        };
        let Some(entity) = source.find(table, "id", id)? else {
            return Ok(None);
        };
        for column in ["backendID", "backendId"] {
            if entity.has(column) {
                let text = entity.opt_text(column)?;
                return Ok(text.and_then(|text| RemoteId::recorded(&text).ok()));
            }
        }
        Ok(None)
    }
}

/// Builds the event and the entity of a row of a known kind.
struct Make<'r> {
    row: &'r SourceRow,
    about: About,
    fields: Option<Fields>,
    remote: Option<RemoteId>,
}

impl Visitor for Make<'_> {
    type Output = Result<(ImportedEvent, Keep), Reject>;

    fn visit<E: Record>(self) -> Self::Output {
        let Self {
            row,
            about,
            fields,
            remote,
        } = self;
        let operation = operation(row, fields.as_ref())?;
        let entity: E = match (&fields, operation) {
            (_, Operation::Delete) => content::deleted(&about)?,
            (Some(fields), _) => content::entity(&about, fields)?,
            (None, _) => {
                let detail = "the row has no content, which the older app looked up elsewhere";
                return Err(Reject::new("no metadata", detail));
            }
        };
        let max_attempts = count(row, "maxAttempts")?
            .filter(|max| *max > 0)
            .unwrap_or(MAX_ATTEMPTS);
        let mut event = Enqueue::new(&entity, operation)
            .with_event_id(row.uuid("id")?)
            .max_attempts(max_attempts);
        if row.has("priority")
            && let Some(priority) = row.opt_integer("priority")?
        {
            event = event.priority(i32::try_from(priority).unwrap_or_default());
        }
        let event = event
            .into_event()
            .map_err(|error| Reject::new("invalid event", error.to_string()))?;
        let event = ImportedEvent::new(event, about.at)
            .last_attempt_at(optional_date(row, "lastAttemptAt")?);
        let event = state(row, event, max_attempts, &about)?;
        let event = match row.opt_bytes("metadata")? {
            Some(metadata) => event.raw_payload(metadata),
            None => event,
        };
        let was_delivered = event.status() == outbox_runtime::OutboxStatus::Completed;
        let keep: Keep =
            Box::new(move |conn| keep(conn, &entity, operation, remote.as_ref(), was_delivered));
        Ok((event, keep))
    }
}

/// The operation, which is a column except for deletions.
fn operation(row: &SourceRow, fields: Option<&Fields>) -> Result<Operation, Reject> {
    let word = fields.and_then(|fields| fields.get("operation")?.as_str());
    Ok(match word {
        Some("delete") => Operation::Delete,
        _ if row.boolean("isNewRecord")? => Operation::Create,
        _ => Operation::Update,
    })
}

/// The state of the event. No handler has it now, whatever the row says.
fn state(
    row: &SourceRow,
    event: ImportedEvent,
    max_attempts: u32,
    about: &About,
) -> Result<ImportedEvent, Reject> {
    let attempts = count(row, "attemptCount")?.unwrap_or_default();
    let event = match optional_text(row, "errorMessage")? {
        Some(message) => event.error_message(message),
        None => event,
    };
    let status = row.text("status")?;
    Ok(match status.as_str() {
        "completed" => {
            let at = optional_date(row, "completedAt")?.or(optional_date(row, "lastAttemptAt")?);
            event.completed(at.unwrap_or(about.at)).attempts(attempts)
        }
        // Its process ended, so it is retried.
        "processing" => event.pending().attempts(attempts.min(max_attempts - 1)),
        "pending" | "failed" if attempts >= max_attempts => {
            event.dead(DeadReason::AttemptsExhausted).attempts(attempts)
        }
        "pending" => event.pending().attempts(attempts),
        "failed" => event.failed().attempts(attempts),
        other => {
            return Err(Reject::new(
                "unknown status",
                format!("{other:?} is none of the four"),
            ));
        }
    })
}

/// Writes the entity with its remote id, if known.
fn keep<E: Record>(
    conn: &Connection,
    entity: &E,
    operation: Operation,
    remote: Option<&RemoteId>,
    was_delivered: bool,
) -> Result<(), BoxError> {
    let (id, body) = (entity.id(), serde_json::to_string(entity)?);
    match (repository::standing(conn, id)?, operation) {
        (None, _) => {
            repository::insert_old(conn, entity, &body)?;
        }
        (Some(_), Operation::Delete) => {}
        (Some(_), _) => repository::overwrite_old::<E>(conn, id, &body)?,
    }
    if operation == Operation::Delete {
        repository::mark_deleted(conn, id)?;
    }
    if remote.is_some() || was_delivered {
        repository::accepted(conn, id, remote)?;
    }
    Ok(())
}

/// A sentinel such as `none` is not an id.
fn remote_id(fields: &Fields) -> Option<RemoteId> {
    let names = ["backendID", "backendId"];
    let text = names.iter().find_map(|name| fields.get(*name)?.as_str())?;
    RemoteId::recorded(text).ok()
}

/// The older app wrote UUIDs in upper case and the service in lower case; they are the same user.
fn user(text: &str) -> Result<UserId, Reject> {
    let text = Uuid::try_parse(text).map_or_else(|_| text.to_owned(), |id| id.to_string());
    UserId::new(&text).map_err(|error| Reject::new("no user", error.to_string()))
}

fn count(row: &SourceRow, column: &str) -> Result<Option<u32>, Reject> {
    if !row.has(column) {
        return Ok(None);
    }
    let count = row.opt_integer(column)?;
    Ok(count.map(|count| u32::try_from(count.max(0)).unwrap_or(u32::MAX)))
}

fn optional_text(row: &SourceRow, column: &str) -> Result<Option<String>, Reject> {
    if row.has(column) {
        row.opt_text(column)
    } else {
        Ok(None)
    }
}

fn optional_date(
    row: &SourceRow,
    column: &str,
) -> Result<Option<chrono::DateTime<chrono::Utc>>, Reject> {
    if row.has(column) {
        row.opt_date(column)
    } else {
        Ok(None)
    }
}
