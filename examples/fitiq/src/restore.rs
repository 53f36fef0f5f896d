//! Restores the entities that the service has and this device lacks: after a new installation, or
//! from another device.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use fitiq_core::{Call, LocalId, RemoteId, UserId};
use outbox_runtime::OutboxRepository;
use outbox_runtime::rusqlite::{self, Connection, OptionalExtension};
use outbox_runtime::store::BoxError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::App;
use crate::entities::{Kind, MealLog, MealType, Metric, ProgressEntry, Record};
use crate::repository;

/// The result of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// New on this device.
    pub restored: u64,
    /// Already on this device.
    pub known: u64,
    /// Deleted here, unknown to the service.
    pub deleted: u64,
}

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct RemoteProgress {
    id: RemoteId,
    r#type: Metric,
    quantity: f64,
    date: DateTime<Utc>,
    notes: Option<String>,
}

#[derive(Deserialize)]
struct RemoteMeal {
    id: RemoteId,
    raw_input: String,
    meal_type: MealType,
    logged_at: DateTime<Utc>,
    notes: Option<String>,
}

pub(crate) async fn run(app: &App, user: &UserId) -> anyhow::Result<Restored> {
    let progress: Vec<RemoteProgress> = list(app, user, ProgressEntry::PATH).await?;
    let meals: Vec<RemoteMeal> = list(app, user, MealLog::PATH).await?;
    // Read after the lists: a later deletion also deletes the restored entity.
    let deletes = app.store().pending_deletes(Some(user.as_str())).await?;
    let deleted: HashSet<LocalId> = deletes
        .iter()
        .filter_map(|delete| delete.entity_id.as_uuid())
        .map(LocalId::from_uuid)
        .collect();
    let user = user.clone();
    let written = app.write(move |conn| {
        let mut restored = Restored::default();
        for remote in progress {
            let entry = ProgressEntry {
                id: LocalId::new(),
                user: user.clone(),
                metric: remote.r#type,
                value: remote.quantity,
                date: remote.date.date_naive(),
                time: Some(remote.date.time()),
                notes: remote.notes,
            };
            // A value of a whole day comes back with the start of the day as its time.
            let whole_day = ProgressEntry {
                time: None,
                ..entry.clone()
            };
            let keys = [entry.natural_key(), whole_day.natural_key()];
            let same = same_key(conn, &user, &keys)?;
            take(conn, &entry, &remote.id, same, &deleted, &mut restored)?;
        }
        for remote in meals {
            let meal = MealLog {
                id: LocalId::new(),
                user: user.clone(),
                raw_input: remote.raw_input,
                meal_type: remote.meal_type,
                logged_at: remote.logged_at,
                notes: remote.notes,
            };
            let same = same_meal(conn, &meal)?;
            take(conn, &meal, &remote.id, same, &deleted, &mut restored)?;
        }
        Ok(restored)
    });
    Ok(written.await?)
}

async fn list<T: DeserializeOwned>(app: &App, user: &UserId, path: &str) -> anyhow::Result<Vec<T>> {
    let api = app.ground().api();
    let answer = api.send::<Page<T>>(Call::get(user.as_str(), path)).await;
    Ok(answer?.into_body()?.items)
}

/// Restores an entity, unless it is here or its deletion is on the way to the service.
fn take<E: Record>(
    conn: &Connection,
    entity: &E,
    remote: &RemoteId,
    same: Option<LocalId>,
    deleted: &HashSet<LocalId>,
    restored: &mut Restored,
) -> Result<(), BoxError> {
    let by_id = by_remote_id(conn, entity.user(), remote)?;
    match by_id.or(same) {
        Some(id) if deleted.contains(&id) => restored.deleted += 1,
        Some(_) => restored.known += 1,
        None => {
            repository::insert(conn, entity, &serde_json::to_string(entity)?)?;
            repository::accepted(conn, entity.id(), Some(remote))?;
            restored.restored += 1;
        }
    }
    Ok(())
}

/// Body attributes and values are one kind at the service, so the kind is ignored.
fn by_remote_id(
    conn: &Connection,
    user: &UserId,
    remote: &RemoteId,
) -> rusqlite::Result<Option<LocalId>> {
    let kinds = [Kind::ProgressEntry, Kind::PhysicalAttribute, Kind::MealLog];
    let mut select = conn.prepare_cached(
        "SELECT id FROM entities WHERE kind IN (?1, ?2, ?3) AND user_id = ?4 AND remote_id = ?5",
    )?;
    let [a, b, c] = kinds.map(Kind::event_type);
    select
        .query_row((a, b, c, user, remote), |row| row.get(0))
        .optional()
}

fn same_key(
    conn: &Connection,
    user: &UserId,
    keys: &[Option<String>; 2],
) -> rusqlite::Result<Option<LocalId>> {
    let mut select = conn.prepare_cached(
        "SELECT id FROM entities WHERE kind = ?1 AND user_id = ?2 AND natural_key IN (?3, ?4) ORDER BY deleted",
    )?;
    let [exact, day] = keys;
    select
        .query_row(
            (ProgressEntry::KIND.event_type(), user, exact, day),
            |row| row.get(0),
        )
        .optional()
}

/// A meal of this device that the service has without this device knowing.
fn same_meal(conn: &Connection, meal: &MealLog) -> Result<Option<LocalId>, BoxError> {
    let mut select = conn.prepare_cached(
        "SELECT id FROM entities WHERE kind = ?1 AND user_id = ?2 AND remote_id IS NULL
            AND json_extract(body, '$.raw_input') = ?3 AND unixepoch(json_extract(body, '$.logged_at')) = ?4",
    )?;
    let key = (
        MealLog::KIND.event_type(),
        &meal.user,
        &meal.raw_input,
        meal.logged_at.timestamp(),
    );
    Ok(select.query_row(key, |row| row.get(0)).optional()?)
}
