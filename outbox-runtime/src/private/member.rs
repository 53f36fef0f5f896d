//! The entity of a variant, as used by the generated code of a set.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::ser::{Error as _, Serializer};

use super::set::{StoredTypes, Tagged, TypesAfter, serialize_tagged};
use crate::entity::{EntityOptions, OutboxEntity, VisitEntities};
use crate::event::{Event, OutboxEvent, decode};
use crate::handler::{Batch, Batching, HandlerError, SharedHandlers};
use crate::metadata::DecodeError;

/// The operations of a set on an entity: `Member::<MoodEntry>::event(record)`.
///
/// With [`NotAMember`] in scope this compiles for every type. A path resolves to an inherent item
/// if its bound holds, and otherwise to that of the trait. A type that is not an entity is
/// therefore reported once, where the user wrote it, and not at every use in the generated code.
#[derive(Debug)]
pub struct Member<E>(PhantomData<E>);

impl<E: OutboxEntity> Member<E> {
    /// The event type of the entity.
    pub const EVENT_TYPE: &'static str = E::EVENT_TYPE;

    /// Its names in stored events.
    pub const STORED_TYPES: StoredTypes = (E::EVENT_TYPE, E::OPTIONS.aliases());

    /// Its event type, and those of its parents.
    pub const AFTER: TypesAfter = (E::EVENT_TYPE, E::OPTIONS.after());

    /// Passes the entity to a visitor of the set.
    pub fn visit(visitor: &mut impl VisitEntities) {
        visitor.visit::<E>();
    }

    /// Decodes a row as an event of the entity.
    pub fn event<V>(
        record: OutboxEvent,
        variant: impl FnOnce(Event<E>) -> V,
    ) -> Result<V, DecodeError> {
        Event::decode(record).map(variant)
    }

    /// Decodes the metadata of a row that is known to belong to this entity.
    pub fn metadata<V>(
        record: &OutboxEvent,
        variant: impl FnOnce(E::Metadata) -> V,
    ) -> Result<V, DecodeError> {
        decode::<E>(record).map(variant)
    }

    /// Writes `{"moodEntry": {..}}`, the form of the compatible Swift enum.
    pub fn serialize<S: Serializer>(
        serializer: S,
        metadata: &E::Metadata,
    ) -> Result<S::Ok, S::Error> {
        serialize_tagged(serializer, E::EVENT_TYPE, metadata)
    }

    /// Reads the metadata behind a tag that is known to be the entity's event type.
    pub fn deserialize<V, F: serde::de::Error>(
        tagged: Tagged,
        variant: impl FnOnce(E::Metadata) -> V,
    ) -> Result<V, F> {
        tagged.into_typed(E::SENSITIVE).map(variant)
    }

    /// Adds the method that handles the entity's events.
    pub fn route<H, F, Fut>(handlers: SharedHandlers<H>, method: F) -> SharedHandlers<H>
    where
        H: Send + Sync + 'static,
        F: Fn(Arc<H>, Event<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        handlers.route(method)
    }

    /// Adds the method that handles batches of the entity's events.
    pub fn route_batch<H, F, Fut>(
        handlers: SharedHandlers<H>,
        batching: Batching,
        method: F,
    ) -> SharedHandlers<H>
    where
        H: Send + Sync + 'static,
        F: Fn(Arc<H>, Batch<Event<E>>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        handlers.route_batch(batching, method)
    }

    /// The options of the entity.
    pub const OPTIONS: EntityOptions = E::OPTIONS;
}

/// Fallbacks for types that are not entities, in a program that does not compile.
pub trait NotAMember: Sized {
    /// Empty.
    const EVENT_TYPE: &'static str = "";

    /// Empty.
    const STORED_TYPES: StoredTypes = ("", &[]);

    /// Empty.
    const AFTER: TypesAfter = ("", &[]);

    /// Does nothing.
    fn visit(_: &mut impl VisitEntities) {}

    /// Fails.
    fn event<V>(record: OutboxEvent, variant: impl Sized) -> Result<V, DecodeError> {
        Self::metadata(&record, variant)
    }

    /// Fails.
    fn metadata<V>(record: &OutboxEvent, _: impl Sized) -> Result<V, DecodeError> {
        Err(DecodeError::Missing {
            event_type: record.event_type.clone(),
        })
    }

    /// Fails.
    fn serialize<S: Serializer, T>(_: S, _: &T) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("this type is not an entity"))
    }

    /// Fails.
    fn deserialize<V, F: serde::de::Error>(_: Tagged, _: impl Sized) -> Result<V, F> {
        Err(F::custom("this type is not an entity"))
    }

    /// Adds nothing.
    fn route<H, F>(handlers: SharedHandlers<H>, _: F) -> SharedHandlers<H> {
        handlers
    }

    /// Adds nothing.
    fn route_batch<H, F>(handlers: SharedHandlers<H>, _: Batching, _: F) -> SharedHandlers<H> {
        handlers
    }

    /// The default options.
    const OPTIONS: EntityOptions = EntityOptions::new("");
}

impl<E> NotAMember for Member<E> {}
