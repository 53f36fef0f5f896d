//! The restore: entities of the service come back to this device; local changes and deletions stay.

use std::collections::HashSet;

use fitiq_core::{Api, Call, LocalId, RemoteId, UserId};
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::{self, Connection};
use outbox_runtime::store::BoxError;
use serde::de::DeserializeOwned;

use super::chat::TheirConversation;
use super::wire::{Page, Wire};
use crate::db::links;
use crate::entities::{Conversation, Goal, JournalEntry, Kind, LumeEvent, MoodEntry, Persona};

/// The result of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Entities that are new on this device.
    pub added: u64,
    /// Entities updated from the service.
    pub updated: u64,
    /// Entities with local changes that the service does not have yet.
    pub kept: u64,
    /// Entities whose local deletion the service does not know yet.
    pub deleted: u64,
}

/// Restores all entities of the user. Enqueues nothing.
///
/// # Errors
///
/// If the service or the database fails. Entities restored before stay; repeating a restore is
/// harmless.
pub async fn restore(api: &Api, store: &SqliteStore, user: &UserId) -> anyhow::Result<Restored> {
    let mut restored = Restored::default();
    pull::<MoodEntry>(api, store, user, &mut restored).await?;
    pull::<JournalEntry>(api, store, user, &mut restored).await?;
    pull::<Goal>(api, store, user, &mut restored).await?;
    conversations(api, store, user, &mut restored).await?;
    Ok(restored)
}

async fn pull<E: Wire>(
    api: &Api,
    store: &SqliteStore,
    user: &UserId,
    restored: &mut Restored,
) -> anyhow::Result<()> {
    // The service is asked first, so that later local changes are seen.
    let theirs = list::<E::Theirs>(api, user, E::KIND).await?;
    let user_id = user.as_str().to_owned();
    let work = move |tx: &Connection| -> Result<Restored, BoxError> {
        let mut restored = Restored::default();
        let changed = changed(tx, &user_id)?;
        let told = told::<E>(tx, &user_id)?;
        for theirs in theirs {
            take(tx, &user_id, theirs, &changed, &told, &mut restored)?;
        }
        Ok(restored)
    };
    restored.add(store.transaction(move |tx| work(tx)).await?);
    Ok(())
}

fn take<E: Wire>(
    conn: &Connection,
    user_id: &str,
    theirs: E::Theirs,
    changed: &HashSet<LocalId>,
    told: &[Told<E>],
    restored: &mut Restored,
) -> Result<(), BoxError> {
    let remote_id = E::remote_id(&theirs).clone();
    let known = links::local(conn, E::KIND, user_id, &remote_id)?;
    let same = || told.iter().find(|told| told.entity.is(&theirs));
    let known = known.or_else(|| same().map(|told| (told.id, told.deleted)));
    let id = match known {
        Some((_, true)) => {
            restored.deleted += 1;
            return Ok(());
        }
        Some((id, false)) => id,
        None => LocalId::new(),
    };
    links::learn(conn, E::KIND, id, user_id, &remote_id)?;
    if changed.contains(&id) {
        restored.kept += 1;
        return Ok(());
    }
    let stored = E::load(conn, id)?;
    let count = if stored.is_some() {
        &mut restored.updated
    } else {
        &mut restored.added
    };
    *count += 1;
    E::of(theirs, id, user_id, stored).save(conn)
}

/// Entities that the service may know without their remote id being known here.
struct Told<E> {
    id: LocalId,
    deleted: bool,
    entity: E,
}

fn told<E: Wire>(conn: &Connection, user_id: &str) -> Result<Vec<Told<E>>, BoxError> {
    let mut told = Vec::new();
    for unanswered in links::unanswered(conn, E::KIND, user_id)? {
        let id = unanswered.local_id;
        let entity = match &unanswered.sent {
            Some(sent) => serde_json::from_str(sent).ok(),
            None => E::load(conn, id)?,
        };
        let deleted = unanswered.deleted;
        told.extend(entity.map(|entity| Told {
            id,
            deleted,
            entity,
        }));
    }
    Ok(told)
}

/// Entities with undelivered changes.
///
/// Checked in the transaction that would overwrite it, because it may change at any time before.
/// And in one statement: listed status by status, an event that moves between lists could be in
/// none.
fn changed(conn: &Connection, user_id: &str) -> rusqlite::Result<HashSet<LocalId>> {
    conn.prepare(
        "SELECT DISTINCT unhex(entity_id, '-') FROM outbox WHERE user_id = ?1 AND status <> 'completed'",
    )?
    .query_map([user_id], |row| row.get(0))?
    .collect()
}

async fn list<T: DeserializeOwned>(api: &Api, user: &UserId, kind: Kind) -> anyhow::Result<Vec<T>> {
    let call = Call::get(user.as_str(), kind.path());
    let page: Page<T> = api.send(call).await?.into_body()?;
    Ok(page.items)
}

/// Conversations come back without their messages.
async fn conversations(
    api: &Api,
    store: &SqliteStore,
    user: &UserId,
    restored: &mut Restored,
) -> anyhow::Result<()> {
    let theirs = list::<TheirConversation>(api, user, Kind::Conversation).await?;
    let user_id = user.as_str().to_owned();
    let work = move |tx: &Connection| -> Result<Restored, BoxError> {
        let mut restored = Restored::default();
        for theirs in theirs {
            match links::local(tx, Kind::Conversation, &user_id, &theirs.id)? {
                Some((_, true)) => restored.deleted += 1,
                Some((_, false)) => restored.kept += 1,
                None => {
                    add(tx, &user_id, &theirs)?;
                    restored.added += 1;
                }
            }
        }
        Ok(restored)
    };
    restored.add(store.transaction(move |tx| work(tx)).await?);
    Ok(())
}

fn add(conn: &Connection, user_id: &str, theirs: &TheirConversation) -> Result<(), BoxError> {
    let goal = |remote_id: &RemoteId| links::local(conn, Kind::Goal, user_id, remote_id);
    let goal_id = theirs.goal_id.as_ref().map(goal).transpose()?.flatten();
    let conversation = Conversation {
        id: LocalId::new(),
        user_id: user_id.to_owned(),
        persona: Persona::from_word(&theirs.persona),
        goal_id: goal_id.map(|(id, _)| id),
        archived: false,
    };
    conversation.save(conn)?;
    Ok(links::learn(
        conn,
        Kind::Conversation,
        conversation.id,
        user_id,
        &theirs.id,
    )?)
}

impl Restored {
    fn add(&mut self, more: Self) {
        self.added += more.added;
        self.updated += more.updated;
        self.kept += more.kept;
        self.deleted += more.deleted;
    }
}

/// Every event type belongs to a restored kind.
const _: () = assert!(LumeEvent::EVENT_TYPES.len() == Kind::ALL.len());
