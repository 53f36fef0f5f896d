//! Entity rows of a V6 store: moods, journal entries, goals, conversations and messages.

use chrono::{DateTime, Days, Utc};
use fitiq_core::{LocalId, RemoteId};
use outbox_import::{Reject, Source, SourceRow};
use outbox_runtime::rusqlite::Connection;

use super::{survey, tables};
use crate::db::{Role, Stored, StoredMessage, exists, links};
use crate::entities::{Conversation, Goal, GoalStatus, JournalEntry, Kind, MoodEntry, Persona};

/// The default duration of a goal.
const DEFAULT_DAYS: Days = Days::new(30);

/// Checks whether the row can be imported. A message needs its conversation, which is returned.
pub(super) fn check(row: &SourceRow, source: &Source) -> Result<Option<LocalId>, Reject> {
    if row.table() == tables::MESSAGES {
        return conversation_of(row, source).map(Some);
    }
    local_id(row).and(owner(row)).map(|_| None)
}

/// Imports it, unless this device has it already, because the local one is newer.
pub(super) fn write(
    row: &SourceRow,
    within: Option<LocalId>,
    conn: &Connection,
) -> Result<(), Reject> {
    if let Some(conversation) = within {
        return message(row, conversation, conn);
    }
    let Some(kind) = Kind::ALL
        .into_iter()
        .find(|kind| tables::name(*kind) == row.table())
    else {
        return Ok(());
    };
    let (id, user_id) = (local_id(row)?, owner(row)?);
    if exists(conn, kind, id)? || links::of(conn, id)?.deleted {
        return Ok(());
    }
    match kind {
        Kind::Mood => save(&mood(row, id, user_id.clone())?, conn)?,
        Kind::Journal => save(&journal(row, id, user_id.clone())?, conn)?,
        Kind::Goal => save(&goal(row, id, user_id.clone())?, conn)?,
        Kind::Conversation => conversation(row, id, user_id.clone())?.save(conn)?,
    }
    let remote_id = row.opt_text("backendId")?;
    if let Some(remote_id) = remote_id.and_then(|text| RemoteId::recorded(&text).ok()) {
        links::learn(conn, kind, id, &user_id, &remote_id)?;
    }
    Ok(())
}

fn save<E: Stored>(entity: &E, conn: &Connection) -> Result<(), Reject> {
    entity.save(conn).map_err(Reject::fatal)
}

fn local_id(row: &SourceRow) -> Result<LocalId, Reject> {
    row.uuid("id").map(LocalId::from_uuid)
}

fn owner(row: &SourceRow) -> Result<String, Reject> {
    let owner = survey::owner(row)?.map(String::from);
    owner.ok_or_else(|| Reject::new("owner unknown", "the entity has no owner"))
}

/// Its time, or else its creation time.
fn moment(row: &SourceRow, column: &str) -> Result<DateTime<Utc>, Reject> {
    match row.opt_date(column)? {
        Some(moment) => Ok(moment),
        None => row.date("createdAt"),
    }
}

/// A list of words as JSON in a BLOB. An invalid one does not cost the entity.
fn words(row: &SourceRow, column: &str) -> Result<Vec<String>, Reject> {
    let json = row.opt_bytes(column)?.unwrap_or_default();
    Ok(serde_json::from_slice(&json).unwrap_or_default())
}

fn mood(row: &SourceRow, id: LocalId, user_id: String) -> Result<MoodEntry, Reject> {
    Ok(MoodEntry {
        id,
        user_id,
        valence: row.opt_real("valence")?.unwrap_or_default(),
        labels: words(row, "labels")?,
        associations: words(row, "associations")?,
        notes: row.opt_text("notes")?,
        logged_at: moment(row, "date")?,
    })
}

fn journal(row: &SourceRow, id: LocalId, user_id: String) -> Result<JournalEntry, Reject> {
    Ok(JournalEntry {
        id,
        user_id,
        title: row.opt_text("title")?,
        content: row.opt_text("content")?.unwrap_or_default(),
        tags: words(row, "tags")?,
        entry_type: row
            .opt_text("entryType")?
            .unwrap_or_else(|| "freeform".to_owned()),
        is_favorite: row.opt_boolean("isFavorite")?.unwrap_or_default(),
        linked_mood_id: row.opt_uuid("linkedMoodId")?.map(LocalId::from_uuid),
        logged_at: moment(row, "date")?,
    })
}

fn goal(row: &SourceRow, id: LocalId, user_id: String) -> Result<Goal, Reject> {
    let start_date = row.date("createdAt")?.date_naive();
    let target_date = row.opt_date("targetDate")?.map(|date| date.date_naive());
    Ok(Goal {
        id,
        user_id,
        title: row.opt_text("title")?.unwrap_or_else(|| "Goal".to_owned()),
        description: row.opt_text("goalDescription")?.unwrap_or_default(),
        category: row
            .opt_text("category")?
            .unwrap_or_else(|| "general".to_owned()),
        target_value: row
            .opt_real("targetValue")?
            .filter(|value| *value > 0.0)
            .unwrap_or(1.0),
        target_unit: row
            .opt_text("targetUnit")?
            .unwrap_or_else(|| "times".to_owned()),
        current_value: row.opt_real("currentValue")?.unwrap_or_default().max(0.0),
        start_date,
        target_date: target_date
            .or_else(|| start_date.checked_add_days(DEFAULT_DAYS))
            .unwrap_or(start_date),
        status: GoalStatus::from_word(&row.opt_text("status")?.unwrap_or_default()),
    })
}

fn conversation(row: &SourceRow, id: LocalId, user_id: String) -> Result<Conversation, Reject> {
    Ok(Conversation {
        id,
        user_id,
        persona: Persona::from_word(&row.opt_text("persona")?.unwrap_or_default()),
        goal_id: row.opt_uuid("relatedGoalId")?.map(LocalId::from_uuid),
        archived: row.opt_boolean("isArchived")?.unwrap_or_default(),
    })
}

/// To-one relationships are the other row's primary key.
fn conversation_of(row: &SourceRow, source: &Source) -> Result<LocalId, Reject> {
    let key = row.integer("conversation")?;
    match source.get(&tables::of(Kind::Conversation), key)? {
        Some(conversation) => local_id(&conversation),
        None => Err(Reject::new(
            "conversation missing",
            "the message has no stored conversation",
        )),
    }
}

fn message(row: &SourceRow, conversation_id: LocalId, conn: &Connection) -> Result<(), Reject> {
    // A conversation that this device has deleted stays without messages.
    if !exists(conn, Kind::Conversation, conversation_id)? {
        return Ok(());
    }
    let message = StoredMessage {
        id: local_id(row)?,
        conversation_id,
        role: Role::from_word(&row.opt_text("role")?.unwrap_or_default()),
        content: row.opt_text("content")?.unwrap_or_default(),
        sent_at: row.date("timestamp")?,
    };
    Ok(message.save(conn)?)
}
