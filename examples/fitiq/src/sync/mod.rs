//! The handlers: they send each kind to the service. `ApiError` decides what a response means for
//! the event; the handlers decide by kind, operation and what is known of the entity.

use std::sync::Arc;

use fitiq_core::cli::Ground;
use fitiq_core::{Answer, Api, ApiError, Call, LocalId, RemoteId};
use outbox_runtime::prelude::*;
use outbox_runtime::rusqlite;
use serde::Serialize;
use serde::de::IgnoredAny;
use thiserror::Error;

use crate::entities::{
    ActivitySnapshot, Delete, Edit, MealLog, PhysicalAttribute, ProfileMetadata, ProfilePhysical,
    ProgressEntry, Record, SleepSession, Workout, WorkoutTemplate,
};
use crate::events::FitiqEventHandler;
use crate::repository::{self, Standing};

mod progress; // the handler of batches
mod wire; // the request bodies

/// Sends the changes of this device to the service.
#[derive(Debug, Clone)]
pub struct FitiqSync {
    api: Arc<Api>,
    store: SqliteStore,
}

/// The reason why a change is not sent, or not yet.
#[derive(Debug, Error, DeliveryError)]
enum Unsent {
    /// Created and deleted before the service knew it, or removed from the app's table otherwise.
    #[error("the entity no longer exists")]
    #[outbox(obsolete)]
    Gone,
    /// The service accepted its creation without naming an id, so it cannot be addressed.
    #[error("the service has it under an unknown id")]
    #[outbox(permanent)]
    Nameless,
    /// The service has no call for this change.
    #[error("the service has no call for this change")]
    #[outbox(permanent)]
    NoWay,
}

impl FitiqSync {
    /// Uses the client and the database of the app.
    #[must_use]
    pub fn new(ground: &Ground) -> Self {
        Self {
            api: Arc::clone(ground.api()),
            store: ground.store().clone(),
        }
    }

    /// Entities with an id of their own at the service.
    async fn tell<E: Record>(
        &self,
        event: &Event<E>,
        create_path: &str,
        body: impl Serialize,
    ) -> Result<(), HandlerError> {
        let id = local(event)?;
        let Some(standing) = self.standing(id).await? else {
            return Err(Unsent::Gone.into());
        };
        if event.operation == Operation::Delete {
            return self.delete(event, id, standing).await;
        }
        if standing.deleted {
            // The delete follows this event, and finds out what to delete.
            return Err(Unsent::Gone.into());
        }
        let create = Call::post(event, create_path).json(&body)?;
        // Knowledge of the entity decides whether it is new at the service, not the event's
        // operation.
        match (standing.remote_id, standing.accepted) {
            (None, false) => self.create(event, id, create).await,
            (Some(_), _) | (None, true) if event.operation == Operation::Create => Ok(()),
            (Some(remote), _) => self.change(event, id, &remote, &body, create).await,
            (None, true) if E::EDIT == Edit::Post => self.create(event, id, create).await,
            (None, true) => Err(Unsent::Nameless.into()),
        }
    }

    async fn create<E: Record>(
        &self,
        event: &Event<E>,
        id: LocalId,
        call: Call,
    ) -> Result<(), HandlerError> {
        let remote = created(self.api.send(call).await)?;
        self.finish(event, move |conn| {
            repository::accepted(conn, id, remote.as_ref())
        })
        .await
    }

    async fn change<E: Record>(
        &self,
        event: &Event<E>,
        id: LocalId,
        remote: &RemoteId,
        body: &impl Serialize,
        create: Call,
    ) -> Result<(), HandlerError> {
        match E::EDIT {
            Edit::Put => {
                let put = Call::put(event, E::PATH).at(remote).json(body)?;
                match self.api.send::<IgnoredAny>(put).await {
                    Ok(_) => return Ok(()),
                    // Someone deleted it there; the edit is newer.
                    Err(ApiError::NotFound(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Edit::Replace => match self
                .api
                .send::<()>(Call::delete(event, E::PATH, remote))
                .await
            {
                Ok(_) | Err(ApiError::Gone) => {}
                Err(error) => return Err(error.into()),
            },
            Edit::Post => return self.create(event, id, create).await,
            Edit::Never => return Err(Unsent::NoWay.into()),
        }
        // From here on the service has none, which the next attempt must know.
        self.note(move |conn| repository::unknown_there(conn, id))
            .await?;
        self.create(event, id, create).await
    }

    async fn delete<E: Record>(
        &self,
        event: &Event<E>,
        id: LocalId,
        standing: Standing,
    ) -> Result<(), HandlerError> {
        let done = match (standing.remote_id, standing.accepted) {
            _ if E::DELETE == Delete::LocalOnly => Err(Unsent::NoWay.into()),
            (Some(remote), _) => match self
                .api
                .send::<()>(Call::delete(event, E::PATH, &remote))
                .await
            {
                Ok(_) | Err(ApiError::Gone) => Ok(()),
                Err(error) => Err(error.into()),
            },
            (None, true) => Err(Unsent::Nameless.into()),
            (None, false) => Err(Unsent::Gone.into()),
        };
        if let Err(error) = &done
            && HandlerError::delivery(error) != outbox_runtime::Delivery::Obsolete
        {
            return done;
        }
        self.finish(event, move |conn| repository::bury(conn, id))
            .await
    }

    /// Entities that exist once per user, at a path of their own.
    async fn tell_own<E: Record>(&self, event: &Event<E>, call: Call) -> Result<(), HandlerError> {
        let id = local(event)?;
        match self.standing(id).await? {
            Some(standing) if !standing.deleted && event.operation != Operation::Delete => {}
            _ => return Err(Unsent::Gone.into()),
        }
        let answer = self.api.send::<IgnoredAny>(call).await?;
        let remote = answer.remote_id().cloned();
        self.finish(event, move |conn| {
            repository::accepted(conn, id, remote.as_ref())
        })
        .await
    }

    async fn standing(&self, id: LocalId) -> Result<Option<Standing>, HandlerError> {
        let found = self
            .store
            .transaction(move |tx| Ok(repository::standing(tx, id)?));
        found.await.or_retry()
    }

    /// Writes what the service answered, and completes the event with it, in one commit.
    async fn finish<E: Record>(
        &self,
        event: &Event<E>,
        write: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), HandlerError> {
        let event = OutboxEvent::clone(event);
        let finished = self.store.transaction(move |tx| {
            write(tx)?;
            Ok(event.complete_on(tx)?)
        });
        finished.await.or_retry()
    }

    async fn note(
        &self,
        write: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<(), HandlerError> {
        self.store
            .transaction(move |tx| Ok(write(tx)?))
            .await
            .or_retry()
    }
}

/// The id of a created entity, if the service names it.
fn created(answer: Result<Answer<IgnoredAny>, ApiError>) -> Result<Option<RemoteId>, ApiError> {
    match answer {
        // 201, or 200 for a known entity; with an id, or with an unreadable response.
        Ok(answer) => Ok(answer.remote_id().cloned()),
        Err(ApiError::Conflict {
            existing: Some(existing),
            ..
        }) => Ok(Some(existing)),
        Err(error) => Err(error),
    }
}

/// The entity of an event.
fn local<E: Record>(event: &Event<E>) -> Result<LocalId, HandlerError> {
    let id = event.entity_id.as_uuid();
    id.map(LocalId::from_uuid)
        .ok_or("the entity id is not a UUID")
        .or_permanent()
}

impl FitiqEventHandler for FitiqSync {
    async fn progress_entry(&self, batch: Batch<Event<ProgressEntry>>) -> Result<(), HandlerError> {
        self.tell_progress(&batch).await
    }

    async fn physical_attribute(
        &self,
        event: Event<PhysicalAttribute>,
    ) -> Result<(), HandlerError> {
        self.tell(
            &event,
            PhysicalAttribute::PATH,
            wire::attribute(event.metadata()),
        )
        .await
    }

    async fn activity_snapshot(&self, event: Event<ActivitySnapshot>) -> Result<(), HandlerError> {
        let id = local(&event)?;
        self.tell(
            &event,
            ActivitySnapshot::PATH,
            wire::activity(id, event.metadata()),
        )
        .await
    }

    async fn profile_metadata(&self, event: Event<ProfileMetadata>) -> Result<(), HandlerError> {
        let call = Call::put(&event, ProfileMetadata::PATH).json(event.metadata())?;
        self.tell_own(&event, call).await
    }

    async fn profile_physical(&self, event: Event<ProfilePhysical>) -> Result<(), HandlerError> {
        let call = Call::patch(&event, ProfilePhysical::PATH).json(event.metadata())?;
        self.tell_own(&event, call).await
    }

    async fn sleep_session(&self, event: Event<SleepSession>) -> Result<(), HandlerError> {
        let id = local(&event)?;
        self.tell(
            &event,
            SleepSession::PATH,
            wire::sleep(id, event.metadata()),
        )
        .await
    }

    /// Accepted means delivered. The service's analysis may follow later, or never.
    async fn meal_log(&self, event: Event<MealLog>) -> Result<(), HandlerError> {
        let create = "/api/v1/meal-logs/natural";
        self.tell(&event, create, wire::meal(event.metadata()))
            .await
    }

    async fn workout(&self, event: Event<Workout>) -> Result<(), HandlerError> {
        // The outbox has waited for its creation, if there is one.
        let template = match event.metadata().template {
            Some(template) => self.standing(template).await?.and_then(|it| it.remote_id),
            None => None,
        };
        self.tell(
            &event,
            Workout::PATH,
            wire::workout(event.metadata(), template.as_ref()),
        )
        .await
    }

    async fn workout_template(&self, event: Event<WorkoutTemplate>) -> Result<(), HandlerError> {
        self.tell(
            &event,
            WorkoutTemplate::PATH,
            wire::template(event.metadata()),
        )
        .await
    }
}
