//! The handlers: what each event means at the service. The outbox decides whether and when to
//! retry.

use std::sync::Arc;

use fitiq_core::{Api, ApiError, Call, LocalId, RemoteId};
use outbox_runtime::TransactionError;
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite::{self, Connection};

use crate::db::{exists, links};
use crate::entities::{ChatMessage, Goal, JournalEntry, Kind, LumeEventHandler, MoodEntry};

mod chat;
mod goal;
mod restore;
mod wire; // requests and responses

pub use self::restore::{Restored, restore};
pub use self::wire::{Page, Wire};

/// Sends the changes of this device to the service.
#[derive(Debug, Clone)]
pub struct LumeSync {
    api: Arc<Api>,
    store: SqliteStore,
}

/// The state of an entity at the service.
#[derive(Debug)]
struct Delivered<E: Wire> {
    remote_id: RemoteId,
    /// The service's version, if readable.
    theirs: Option<E::Theirs>,
}

/// The action for a create or an update, by what the service knows; the event's operation comes
/// second.
enum Step {
    /// The service does not know it.
    Create,
    /// The service has it, under this id.
    Update(RemoteId),
    /// The call was made and its response lost, so the service may have it. `here`: whether this
    /// device still does.
    Find { here: bool },
    /// It is gone from this device, and the service never knew it: nothing to do.
    Nothing,
}

impl LumeEventHandler for LumeSync {
    async fn mood_entry(&self, event: Event<MoodEntry>) -> Result<(), HandlerError> {
        self.deliver(&event).await.map(drop)
    }

    async fn journal_entry(&self, event: Event<JournalEntry>) -> Result<(), HandlerError> {
        self.deliver(&event).await.map(drop)
    }

    async fn goal(&self, event: Event<Goal>) -> Result<(), HandlerError> {
        match self.deliver(&event).await? {
            Some(delivered) => self.catch_up(&event, delivered).await,
            None => Ok(()),
        }
    }

    async fn chat_message(&self, event: Event<ChatMessage>) -> Result<(), HandlerError> {
        self.chat(&event).await
    }
}

impl LumeSync {
    /// Sends the data of `store` through `api`.
    #[must_use]
    pub fn new(api: Arc<Api>, store: SqliteStore) -> Self {
        Self { api, store }
    }

    async fn deliver<E: Wire>(
        &self,
        event: &Event<E>,
    ) -> Result<Option<Delivered<E>>, HandlerError> {
        if event.operation == Operation::Delete {
            self.delete(event).await.map(|()| None)
        } else {
            self.save(event).await
        }
    }

    /// Creates or updates; `None` if there was nothing to do.
    async fn save<E: Wire>(&self, event: &Event<E>) -> Result<Option<Delivered<E>>, HandlerError> {
        let id = local_id(event)?;
        let Some(entity) = self.content(event, id).await? else {
            return Err(HandlerError::obsolete());
        };
        let reference = self.reference(entity.refers_to()).await?;
        let reference = reference.as_ref();
        match self.step(event, id, &entity).await? {
            Step::Create => self.create(event, id, &entity, reference).await.map(Some),
            Step::Update(remote_id) => self
                .update(event, id, &entity, reference, remote_id)
                .await
                .map(Some),
            Step::Nothing => Err(HandlerError::obsolete()),
            Step::Find { here } => match self.find(event, &entity).await? {
                Some(remote_id) => {
                    self.learn(E::KIND, id, &event.user_id, remote_id.clone())
                        .await?;
                    if !here {
                        // Its deletion comes next, and now knows what to delete.
                        return Err(HandlerError::obsolete());
                    }
                    self.update(event, id, &entity, reference, remote_id)
                        .await
                        .map(Some)
                }
                None if here => self.create(event, id, &entity, reference).await.map(Some),
                None => Err(HandlerError::obsolete()),
            },
        }
    }

    /// The content to send: the event's, so that every attempt is the same. One old form of event
    /// only named the entity; then the stored entity is sent, if it still exists.
    async fn content<E: Wire>(
        &self,
        event: &Event<E>,
        id: LocalId,
    ) -> Result<Option<E>, HandlerError> {
        if event.metadata().has_content() {
            return Ok(Some(event.metadata().clone()));
        }
        Ok(self.read(move |conn| E::load(conn, id)).await?)
    }

    /// The remote id of a reference; `None` if there is nothing to refer to. The outbox has waited
    /// for its creation.
    async fn reference(&self, to: Option<LocalId>) -> Result<Option<RemoteId>, Trouble> {
        let Some(id) = to else {
            return Ok(None);
        };
        let link = self.read(move |conn| links::of(conn, id)).await?;
        Ok(link.remote_id.filter(|_| !link.deleted))
    }

    async fn step<E: Wire>(
        &self,
        event: &Event<E>,
        id: LocalId,
        entity: &E,
    ) -> Result<Step, HandlerError> {
        let user_id = event.user_id.clone();
        let sent = serde_json::to_string(entity).or_permanent()?;
        let step = self.write(move |conn| {
            let link = links::of(conn, id)?;
            let here = exists(conn, E::KIND, id)?;
            Ok(match (link.remote_id, here) {
                (Some(remote_id), true) => Step::Update(remote_id),
                (None, here) if link.told => Step::Find { here },
                (None, true) => {
                    links::telling(conn, E::KIND, id, &user_id, Some(&sent))?;
                    Step::Create
                }
                (_, false) => Step::Nothing,
            })
        });
        Ok(step.await?)
    }

    async fn create<E: Wire>(
        &self,
        event: &Event<E>,
        id: LocalId,
        entity: &E,
        reference: Option<&RemoteId>,
    ) -> Result<Delivered<E>, HandlerError> {
        let call = Call::post(event, E::KIND.path()).json(&entity.to_create(reference))?;
        match self.api.send::<E::Theirs>(call).await {
            Ok(answer) => {
                let remote_id = match answer.remote_id().cloned() {
                    Some(remote_id) => remote_id,
                    // Accepted but unreadable. It is looked up, now or with its next change;
                    // sending it again would duplicate it.
                    None => self
                        .find(event, entity)
                        .await
                        .ok()
                        .flatten()
                        .ok_or_else(HandlerError::obsolete)?,
                };
                let (user_id, learned) = (event.user_id.clone(), remote_id.clone());
                let learn =
                    move |conn: &Connection| links::learn(conn, E::KIND, id, &user_id, &learned);
                match E::HAS_FURTHER_CALLS {
                    true => self.write(learn).await?,
                    false => self.finish(event, learn).await?,
                }
                let theirs = answer.into_body().ok();
                Ok(Delivered { remote_id, theirs })
            }
            Err(ApiError::Conflict {
                existing: Some(remote_id),
                ..
            }) => {
                self.learn(E::KIND, id, &event.user_id, remote_id.clone())
                    .await?;
                self.put(event, entity, reference, remote_id).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn update<E: Wire>(
        &self,
        event: &Event<E>,
        id: LocalId,
        entity: &E,
        reference: Option<&RemoteId>,
        remote_id: RemoteId,
    ) -> Result<Delivered<E>, HandlerError> {
        match self
            .api
            .send::<E::Theirs>(Self::put_call(event, entity, reference, &remote_id)?)
            .await
        {
            Ok(answer) => Ok(Delivered {
                remote_id,
                theirs: answer.into_body().ok(),
            }),
            // It was deleted elsewhere while it was changed here. The change is kept: the entity is
            // created again.
            Err(ApiError::NotFound(_)) => {
                let user_id = event.user_id.clone();
                let sent = serde_json::to_string(entity).or_permanent()?;
                self.write(move |conn| {
                    links::forget(conn, id)?;
                    links::telling(conn, E::KIND, id, &user_id, Some(&sent))
                })
                .await?;
                self.create(event, id, entity, reference).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn put<E: Wire>(
        &self,
        event: &Event<E>,
        entity: &E,
        reference: Option<&RemoteId>,
        remote_id: RemoteId,
    ) -> Result<Delivered<E>, HandlerError> {
        let call = Self::put_call(event, entity, reference, &remote_id)?;
        let theirs = self.api.send::<E::Theirs>(call).await?.into_body().ok();
        Ok(Delivered { remote_id, theirs })
    }

    fn put_call<E: Wire>(
        event: &Event<E>,
        entity: &E,
        reference: Option<&RemoteId>,
        remote_id: &RemoteId,
    ) -> Result<Call, ApiError> {
        Call::put(event, E::KIND.path())
            .at(remote_id)
            .json(&entity.to_update(reference))
    }

    async fn delete<E: Wire>(&self, event: &Event<E>) -> Result<(), HandlerError> {
        let id = local_id(event)?;
        let link = self.read(move |conn| links::of(conn, id)).await?;
        let remote_id = match link.remote_id {
            Some(remote_id) => Some(remote_id),
            None if link.told => self.find(event, event.metadata()).await?,
            // The service never knew it, so there is nothing to delete.
            None => None,
        };
        if let Some(remote_id) = remote_id {
            self.delete_remote(event, E::KIND, &remote_id).await?;
        }
        let forget = move |conn: &Connection| links::forget(conn, id);
        Ok(self.finish(event, forget).await?)
    }

    /// A missing entity counts as deleted.
    async fn delete_remote<E: OutboxEntity>(
        &self,
        event: &Event<E>,
        kind: Kind,
        remote_id: &RemoteId,
    ) -> Result<(), HandlerError> {
        let call = Call::delete(event, kind.path(), remote_id);
        match self.api.send::<serde::de::IgnoredAny>(call).await {
            Ok(_) | Err(ApiError::Gone) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Checks whether the service has the entity under an unknown id.
    async fn find<E: Wire>(
        &self,
        event: &Event<E>,
        entity: &E,
    ) -> Result<Option<RemoteId>, HandlerError> {
        let call = Call::get(&event.user_id, E::KIND.path());
        let Ok(page) = self.api.send::<Page<E::Theirs>>(call).await?.into_body() else {
            return Ok(None);
        };
        let id = local_id(event)?;
        let sent = self.read(move |conn| Ok(links::of(conn, id)?.sent)).await?;
        // It may have been changed here since.
        let sent: Option<E> = sent.and_then(|sent| serde_json::from_str(&sent).ok());
        let entity = sent.as_ref().unwrap_or(entity);
        let same = page.items.into_iter().filter(|theirs| entity.is(theirs));
        let candidates: Vec<RemoteId> = same.map(|theirs| E::remote_id(&theirs).clone()).collect();
        let user_id = event.user_id.clone();
        let unknown = self.read(move |conn| {
            for candidate in candidates {
                if links::local(conn, E::KIND, &user_id, &candidate)?.is_none() {
                    return Ok(Some(candidate));
                }
            }
            Ok(None)
        });
        Ok(unknown.await?)
    }

    async fn learn(
        &self,
        kind: Kind,
        id: LocalId,
        user_id: &str,
        remote_id: RemoteId,
    ) -> Result<(), Trouble> {
        let user_id = user_id.to_owned();
        self.write(move |conn| links::learn(conn, kind, id, &user_id, &remote_id))
            .await
    }

    /// Writes what the service answered, and completes the event with it, in one commit.
    async fn finish<E: OutboxEntity>(
        &self,
        event: &Event<E>,
        write: impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), Trouble> {
        let event = OutboxEvent::clone(event);
        let finished = self.store.transaction(move |tx| {
            write(tx)?;
            Ok(event.complete_on(tx)?)
        });
        Ok(finished.await?)
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Trouble> {
        self.write(read).await
    }

    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Trouble> {
        Ok(self.store.transaction(move |tx| Ok(write(tx)?)).await?)
    }
}

/// A failure of the app's own tables, which may pass.
#[derive(Debug, thiserror::Error, DeliveryError)]
#[error("the app's database failed")]
#[outbox(retry)]
struct Trouble(#[from] TransactionError);

fn local_id<E: OutboxEntity>(event: &Event<E>) -> Result<LocalId, HandlerError> {
    let uuid = event.entity_id.as_uuid();
    uuid.map(LocalId::from_uuid)
        .ok_or_else(|| HandlerError::permanent("the entity's id is not a UUID"))
}
