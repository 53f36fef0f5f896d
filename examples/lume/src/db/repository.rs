//! Changes by the user: each writes the entity and its event in one transaction.

use chrono::{DateTime, Utc};
use fitiq_core::LocalId;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::store::BoxError;
use outbox_runtime::{Enqueued, TransactionError};
use uuid::Uuid;

use super::{Role, Stored, StoredMessage, links, reassign, table};
use crate::entities::{Conversation, Goal, JournalEntry, Kind, MoodEntry};

/// All operations of a user on the data of this device.
#[derive(Debug, Clone)]
pub struct Repository {
    store: SqliteStore,
}

/// The result of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Changed {
    /// It was changed, and the service will learn of it if necessary.
    Yes,
    /// The entity does not exist; nothing happened.
    NoSuchEntity,
}

impl Repository {
    /// Works on the tables and the outbox of this store's file.
    #[must_use]
    pub fn new(store: SqliteStore) -> Self {
        Self { store }
    }

    /// Saves a new entity.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; then neither the entity nor its event exists.
    pub async fn add<E: Stored>(&self, entity: E) -> Result<LocalId, TransactionError> {
        let id = entity.local_id();
        self.store
            .transaction(move |tx| {
                entity.save(tx)?;
                Enqueue::new(&entity, Operation::Create).on(tx)?;
                Ok(id)
            })
            .await
    }

    /// Saves many new entities in one transaction.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; then none of them exists.
    pub async fn add_all<E: Stored>(&self, entities: Vec<E>) -> Result<(), TransactionError> {
        self.store
            .transaction(move |tx| {
                for entity in &entities {
                    entity.save(tx)?;
                }
                outbox_runtime::enqueue_all(&entities).on(tx)?;
                Ok(())
            })
            .await
    }

    /// Changes an entity: `edit` gets the current state.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; then nothing has changed.
    pub async fn edit<E: Stored>(
        &self,
        id: LocalId,
        edit: impl FnOnce(&mut E) + Send + 'static,
    ) -> Result<Changed, TransactionError> {
        self.store
            .transaction(move |tx| {
                let Some(mut entity) = E::load(tx, id)? else {
                    return Ok(Changed::NoSuchEntity);
                };
                edit(&mut entity);
                entity.save(tx)?;
                Enqueue::new(&entity, Operation::Update).on(tx)?;
                Ok(Changed::Yes)
            })
            .await
    }

    /// Deletes an entity. If the service may know it, a tombstone stays until the service has
    /// deleted it, too.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; then nothing has changed.
    pub async fn delete<E: Stored>(&self, id: LocalId) -> Result<Changed, TransactionError> {
        self.store
            .transaction(move |tx| {
                let Some(entity) = E::load(tx, id)? else {
                    return Ok(Changed::NoSuchEntity);
                };
                delete(tx, &entity)?;
                Ok(Changed::Yes)
            })
            .await
    }

    /// Deletes all entities of a user. Returns their number.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; then nothing has changed.
    pub async fn delete_all<E: Stored>(&self, user_id: &str) -> Result<usize, TransactionError> {
        let user_id = user_id.to_owned();
        self.store
            .transaction(move |tx| {
                let entities = E::list(tx, &user_id)?;
                for entity in &entities {
                    delete(tx, entity)?;
                }
                Ok(entities.len())
            })
            .await
    }

    /// Begins a conversation on this device: the service learns of it with the first message.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; then it does not exist.
    pub async fn begin(&self, conversation: Conversation) -> Result<LocalId, TransactionError> {
        let id = conversation.id;
        self.store
            .transaction(move |tx| {
                conversation.save(tx)?;
                Ok(id)
            })
            .await
    }

    /// Sends a message in an existing conversation.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; then nothing is sent.
    pub async fn send(
        &self,
        conversation: LocalId,
        content: impl Into<String>,
        sent_at: DateTime<Utc>,
    ) -> Result<Changed, TransactionError> {
        let content = content.into();
        self.store
            .transaction(move |tx| {
                let Some(conversation) = Conversation::load(tx, conversation)? else {
                    return Ok(Changed::NoSuchEntity);
                };
                let message = StoredMessage {
                    id: LocalId::new(),
                    conversation_id: conversation.id,
                    role: Role::User,
                    content,
                    sent_at,
                };
                message.save(tx)?;
                let told = conversation.says(Some(message.id), message.content, sent_at);
                told.enqueue_sync().on(tx)?;
                Ok(Changed::Yes)
            })
            .await
    }

    /// Archives a conversation. **Local only**: the service has no equivalent, so there is no
    /// event.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; then nothing has changed.
    pub async fn archive(&self, id: LocalId) -> Result<Changed, TransactionError> {
        self.store
            .transaction(move |tx| {
                let Some(conversation) = Conversation::load(tx, id)? else {
                    return Ok(Changed::NoSuchEntity);
                };
                Conversation {
                    archived: true,
                    ..conversation
                }
                .save(tx)?;
                Ok(Changed::Yes)
            })
            .await
    }

    /// Deletes a conversation with its messages.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; then nothing has changed.
    pub async fn end(&self, id: LocalId, at: DateTime<Utc>) -> Result<Changed, TransactionError> {
        self.store
            .transaction(move |tx| {
                let Some(conversation) = Conversation::load(tx, id)? else {
                    return Ok(Changed::NoSuchEntity);
                };
                Conversation::remove(tx, id)?;
                links::bury(tx, Kind::Conversation, id, &conversation.user_id)?;
                conversation
                    .says(None, String::new(), at)
                    .enqueue_delete()
                    .on(tx)?;
                Ok(Changed::Yes)
            })
            .await
    }

    /// Gives everything of `from` to `to`: for users who wrote before they had an account. Returns
    /// the number of moved entities.
    ///
    /// Running it again after an interruption completes it.
    ///
    /// # Errors
    ///
    /// [`TransactionError`].
    pub async fn reassign(&self, from: &str, to: &str) -> Result<u64, TransactionError> {
        let (old, new) = (from.to_owned(), to.to_owned());
        // Entities first: an event whose entity belongs to the other user would look like one
        // without an entity.
        let moved = self
            .store
            .transaction(move |tx| Ok(reassign(tx, &old, &new)?))
            .await?;
        self.store.reassign_user(from, to).await?;
        Ok(moved)
    }
}

impl Repository {
    /// Enqueues the creation of every entity without an event and without a remote id, so that
    /// entities that an older app lost track of are delivered. Returns their number.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; then nothing is enqueued.
    pub async fn sweep(&self) -> Result<u64, TransactionError> {
        self.store
            .transaction(|tx| {
                Ok(sweep::<MoodEntry>(tx)? + sweep::<JournalEntry>(tx)? + sweep::<Goal>(tx)?)
            })
            .await
    }
}

/// The namespace of the ids of swept events: an entity that is swept again gets the same event.
const SWEPT: Uuid = Uuid::from_u128(0x6c75_6d65_0000_4000_8000_7377_6565_7000);

fn sweep<E: Stored>(tx: &Connection) -> Result<u64, BoxError> {
    let unsent = format!(
        "SELECT id FROM {} WHERE id NOT IN (SELECT unhex(entity_id, '-') FROM outbox)
             AND id NOT IN (SELECT local_id FROM remote_links WHERE remote_id IS NOT NULL)",
        table(E::KIND)
    );
    let unsent: Vec<LocalId> = tx
        .prepare(&unsent)?
        .query_map((), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &unsent {
        if let Some(entity) = E::load(tx, *id)? {
            // If the service knows it, nobody recorded the remote id.
            links::telling(tx, E::KIND, *id, &entity.user_id(), None)?;
            let event_id = Uuid::new_v5(&SWEPT, id.as_uuid().as_bytes());
            Enqueue::new(&entity, Operation::Create)
                .with_event_id(event_id)
                .on(tx)?;
        }
    }
    Ok(unsent.len() as u64)
}

/// Removes the entity and leaves a tombstone, or nothing if the service was never told.
fn delete<E: Stored>(tx: &Connection, entity: &E) -> Result<(), BoxError> {
    let id = entity.local_id();
    E::remove(tx, id)?;
    let delete = Enqueue::new(entity, Operation::Delete).priority(E::DELETE_PRIORITY);
    match delete.on(tx)? {
        Enqueued::Cancelled { .. } => links::forget(tx, id)?,
        _ => links::bury(tx, E::KIND, id, &entity.user_id())?,
    }
    Ok(())
}
