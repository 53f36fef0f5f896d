//! Maps each row of a V6 store.

use fitiq_core::{LocalId, UserId};
use outbox_import::{ImportedEvent, Mapped, Reject, RowMapper, Source, SourceRow};
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::BoxError;
use outbox_runtime::{NewEvent, Operation, OutboxEntity, RawMetadata};
use uuid::Uuid;

use super::payload::{Understood, understand};
use super::survey::{GIVEN_UP_AFTER, Survey, is_delivered, place};
use super::{entities, tables};
use crate::db::{self, Stored, create_tables, links};
use crate::entities::{Conversation, Goal, JournalEntry, Kind, MoodEntry};

/// Maps rows with the survey at hand.
#[derive(Debug, Default)]
pub(super) struct Mapper {
    survey: Survey,
    /// The conversation of the last mapped message.
    conversation: Option<LocalId>,
}

impl RowMapper for Mapper {
    fn begin(&mut self, source: &Source, conn: &Connection) -> Result<(), BoxError> {
        create_tables(conn)?;
        self.survey = Survey::of(source)?;
        Ok(())
    }

    fn map(&mut self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject> {
        if row.table() == tables::EVENTS {
            self.event(row, source)
        } else {
            self.conversation = entities::check(row, source)?;
            Ok(Mapped::Entity)
        }
    }

    fn write(&mut self, row: &SourceRow, mapped: &Mapped, conn: &Connection) -> Result<(), Reject> {
        match mapped {
            Mapped::Event(_) => note(conn, row, mapped),
            _ => entities::write(row, self.conversation, conn),
        }
    }
}

impl Mapper {
    fn event(&self, row: &SourceRow, source: &Source) -> Result<Mapped, Reject> {
        let status = row.text("status")?;
        if !["pending", "processing", "failed", "completed"].contains(&status.as_str()) {
            return Err(Reject::new("unknown status", "V6 had no such status"));
        }
        if is_delivered(row)? {
            return Ok(Mapped::AlreadyDelivered);
        }
        let payload = row.bytes("payload")?;
        let event = understand(&row.text("eventType")?, &payload)?;
        let saves = event.operation != Operation::Delete;
        if status == "completed" && saves && self.survey.is_superseded(event.id, place(row)?) {
            return Ok(Mapped::AlreadyDelivered);
        }
        let user = self.user(&event, source)?;
        let new = NewEvent::new(event.kind.event_type(), event.id, user, event.operation)
            .with_id(event_id(row, source)?)
            .with_priority(priority(&event))
            .with_metadata(RawMetadata::from_bytes(payload.clone()))
            .with_metadata_version(event.version);
        let mut imported = ImportedEvent::new(new, row.date("createdAt")?)
            .last_attempt_at(row.opt_date("lastAttemptAt")?)
            .raw_payload(payload);
        if let Some(said) = row.opt_text("errorMessage")? {
            imported = imported.error_message(said);
        }
        let failures = row.opt_integer("retryCount")?.unwrap_or(0);
        // An event that V6 gave up starts over with all its attempts.
        if (1..GIVEN_UP_AFTER).contains(&failures) && status != "completed" {
            imported = imported
                .failed()
                .attempts(u32::try_from(failures).unwrap_or(0));
        }
        Ok(imported.into())
    }

    fn user(&self, event: &Understood, source: &Source) -> Result<UserId, Reject> {
        let user = match &event.user {
            Some(user) => Some(user.clone()),
            None => self.survey.owner(source, event.kind, event.id)?,
        };
        let unknown = || {
            let detail = format!(
                "neither the payload nor the store names the owner of this {}",
                event.kind.as_str()
            );
            Reject::new("owner unknown", detail)
        };
        user.ok_or_else(unknown)
    }
}

/// The row's own id. V6 did not enforce unique ids: the second of two different rows with one id
/// gets another one, always the same.
fn event_id(row: &SourceRow, source: &Source) -> Result<Uuid, Reject> {
    let id = row.uuid("id")?;
    let Some(first) = source.find(&tables::events(), "id", id)? else {
        return Ok(id);
    };
    let says = |row: &SourceRow| {
        (
            row.value("eventType").ok().cloned(),
            row.value("payload").ok().cloned(),
        )
    };
    if first.key() == row.key() || says(&first) == says(row) {
        return Ok(id);
    }
    Ok(Uuid::new_v5(&id, &row.key().to_be_bytes()))
}

fn priority(event: &Understood) -> i32 {
    let (of_type, of_delete) = match event.kind {
        Kind::Mood => (MoodEntry::OPTIONS.priority(), MoodEntry::DELETE_PRIORITY),
        Kind::Journal => (
            JournalEntry::OPTIONS.priority(),
            JournalEntry::DELETE_PRIORITY,
        ),
        Kind::Goal => (Goal::OPTIONS.priority(), Goal::DELETE_PRIORITY),
        Kind::Conversation => (5, 5),
    };
    if event.operation == Operation::Delete {
        of_delete
    } else {
        of_type
    }
}

/// Facts of an event about its entity, besides its payload.
fn note(conn: &Connection, row: &SourceRow, mapped: &Mapped) -> Result<(), Reject> {
    let Mapped::Event(imported) = mapped else {
        return Ok(());
    };
    let event = understand(&row.text("eventType")?, &row.bytes("payload")?)?;
    let (kind, id, user_id) = (event.kind, event.id, imported.event().user_id());
    if let Some(remote_id) = &event.remote_id {
        links::learn(conn, kind, id, user_id, remote_id)?;
    }
    if event.operation == Operation::Delete {
        remove(conn, kind, id)?;
        links::bury(conn, kind, id, user_id)?;
    } else if row.opt_integer("retryCount")?.unwrap_or(0) > 0 {
        // An attempt may have arrived, with a lost response.
        links::telling(conn, kind, id, user_id, None)?;
    }
    Ok(())
}

fn remove(conn: &Connection, kind: Kind, id: LocalId) -> Result<(), Reject> {
    match kind {
        Kind::Conversation => Conversation::remove(conn, id)?,
        _ => db::remove(conn, kind, id)?,
    };
    Ok(())
}
