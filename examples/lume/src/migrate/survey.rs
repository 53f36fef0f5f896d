//! Facts about entities that only the whole V6 store tells.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use fitiq_core::{LocalId, UserId};
use outbox_import::{ImportError, Reject, Source, SourceRow};

use super::payload::{understand, user};
use super::tables;
use crate::entities::Kind;

/// The facts about each entity with an event.
#[derive(Debug, Default)]
pub(super) struct Survey {
    entities: HashMap<LocalId, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The owner, according to an event.
    owner: Option<UserId>,
    /// The newest create or update that V6 delivered.
    delivered: Option<Place>,
}

/// The position of an event in order of creation.
pub(super) type Place = (DateTime<Utc>, i64);

impl Survey {
    /// Reads all events once, and skips unreadable ones.
    pub(super) fn of(source: &Source) -> Result<Self, ImportError> {
        let mut survey = Self::default();
        source.for_each(&tables::events(), |row| {
            // Its fault is reported when the row is mapped.
            let _ = survey.look_at(&row);
            Ok::<_, ImportError>(())
        })?;
        Ok(survey)
    }

    fn look_at(&mut self, row: &SourceRow) -> Result<(), Reject> {
        let event = understand(&row.text("eventType")?, &row.bytes("payload")?)?;
        let known = self.entities.entry(event.id).or_default();
        known.owner = known.owner.take().or(event.user);
        if event.operation != outbox_runtime::Operation::Delete && is_delivered(row)? {
            known.delivered = known.delivered.max(Some(place(row)?));
        }
        Ok(())
    }

    /// The owner of the entity: as stored, or according to another event.
    pub(super) fn owner(
        &self,
        source: &Source,
        kind: Kind,
        id: LocalId,
    ) -> Result<Option<UserId>, Reject> {
        if let Some(stored) = source.find(&tables::of(kind), "id", id.as_uuid())?
            && let Some(owner) = owner(&stored)?
        {
            return Ok(Some(owner));
        }
        Ok(self.entities.get(&id).and_then(|known| known.owner.clone()))
    }

    /// Whether V6 delivered a create or an update of the entity that is newer than this.
    pub(super) fn is_superseded(&self, id: LocalId, place: Place) -> bool {
        let known = self.entities.get(&id);
        known.is_some_and(|known| known.delivered > Some(place))
    }
}

/// The owner of a stored entity: a UUID, or its text.
pub(super) fn owner(stored: &SourceRow) -> Result<Option<UserId>, Reject> {
    match stored.opt_uuid("userId") {
        Ok(id) => Ok(id.and_then(|id| user(&id.to_string()))),
        Err(_) => Ok(user(&stored.text("userId")?)),
    }
}

pub(super) fn place(row: &SourceRow) -> Result<Place, Reject> {
    Ok((row.date("createdAt")?, row.key()))
}

/// Whether V6 delivered it, which `completed` alone does not say.
pub(super) fn is_delivered(row: &SourceRow) -> Result<bool, Reject> {
    Ok(row.text("status")? == "completed"
        && row.opt_integer("retryCount")?.unwrap_or(0) < GIVEN_UP_AFTER
        && row.opt_text("errorMessage")?.is_none())
}

/// The number of failures after which V6 called an event completed.
pub(super) const GIVEN_UP_AFTER: i64 = 5;
