//! Entities that are stored as received, with an id, an owner and two times.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Change, Create, Visit};
use crate::rules::{self, Checked};
use crate::store::{Collection, Entity, Store, Stranger};

/// The request body of such an entity.
pub(crate) trait Content: Serialize + DeserializeOwned {
    /// See [`Entity::COLLECTION`].
    const COLLECTION: &'static str;
    /// See [`Entity::NOUN`].
    const NOUN: &'static str;
    /// See [`Entity::STRANGER`].
    const STRANGER: Stranger;

    /// See [`Entity::collection`].
    fn collection(store: &mut Store) -> &mut Collection<Kept<Self>>;

    /// Validates it, and builds the stored entity.
    fn accept(&mut self) -> Checked;
}

/// The entity as sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Kept<C> {
    id: String,
    user_id: String,
    #[serde(flatten)]
    content: C,
    created_at: String,
    updated_at: String,
}

impl<C: Content> Entity for Kept<C> {
    const COLLECTION: &'static str = C::COLLECTION;
    const NOUN: &'static str = C::NOUN;
    const STRANGER: Stranger = C::STRANGER;

    fn collection(store: &mut Store) -> &mut Collection<Self> {
        C::collection(store)
    }
}

impl<C: Content> Create for Kept<C> {
    type Draft = C;

    fn create(mut content: C, id: String, visit: &Visit<'_>) -> Checked<Self> {
        content.accept()?;
        let now = rules::seconds(visit.now);
        Ok(Self {
            id,
            user_id: visit.user.to_owned(),
            content,
            created_at: now.clone(),
            updated_at: now,
        })
    }
}

impl<C: Content> Change for Kept<C> {
    type Change = C;

    fn change(&mut self, mut content: C, visit: &Visit<'_>) -> Checked {
        content.accept()?;
        self.content = content;
        self.updated_at = rules::seconds(visit.now);
        Ok(())
    }
}
