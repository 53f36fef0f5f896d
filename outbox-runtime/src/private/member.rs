//! The entity of a variant, as the code of a set uses it.

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::ser::{Error as _, Serializer};

use super::set::{Tagged, serialize_tagged};
use crate::entity::{OutboxEntity, VisitEntities};
use crate::event::{Event, OutboxEvent, decode};
use crate::handler::{HandlerError, SharedHandlers};
use crate::metadata::DecodeError;

/// What a set does with an entity: `Member::<MoodEntry>::event(record)`.
///
/// With [`NotAMember`] in scope that compiles for every type, so that rustc says of one that is no entity that it is
/// none where the user wrote it, and not once more for each use in the generated code. A path takes an inherent item
/// where its bound holds, and that of the trait otherwise.
#[derive(Debug)]
pub struct Member<E>(PhantomData<E>);

impl<E: OutboxEntity> Member<E> {
    /// Its event type.
    pub const EVENT_TYPE: &'static str = E::EVENT_TYPE;

    /// Shows it to a visitor of the set.
    pub fn visit(visitor: &mut impl VisitEntities) {
        visitor.visit::<E>();
    }

    /// Reads a row as its event.
    pub fn event<V>(
        record: OutboxEvent,
        variant: impl FnOnce(Event<E>) -> V,
    ) -> Result<V, DecodeError> {
        Event::decode(record).map(variant)
    }

    /// Reads the metadata of a row that is known to be of this entity.
    pub fn metadata<V>(
        record: &OutboxEvent,
        variant: impl FnOnce(E::Metadata) -> V,
    ) -> Result<V, DecodeError> {
        decode::<E>(record).map(variant)
    }

    /// Writes `{"moodEntry": {..}}`, the form in which the plan's Swift enum is coded.
    pub fn serialize<S: Serializer>(
        serializer: S,
        metadata: &E::Metadata,
    ) -> Result<S::Ok, S::Error> {
        serialize_tagged(serializer, E::EVENT_TYPE, metadata)
    }

    /// The metadata behind a tag that is known to be its event type.
    pub fn deserialize<V, F: serde::de::Error>(
        tagged: Tagged,
        variant: impl FnOnce(E::Metadata) -> V,
    ) -> Result<V, F> {
        tagged.into_typed(E::SENSITIVE).map(variant)
    }

    /// Adds the method that handles its events.
    pub fn route<H, F, Fut>(handlers: SharedHandlers<H>, method: F) -> SharedHandlers<H>
    where
        H: Send + Sync + 'static,
        F: Fn(Arc<H>, Event<E>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        handlers.route(method)
    }
}

/// The same for all types, in a program that is refused.
pub trait NotAMember: Sized {
    /// None.
    const EVENT_TYPE: &'static str = "";

    /// Shows nothing.
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
        Err(S::Error::custom("this type is no entity"))
    }

    /// Fails.
    fn deserialize<V, F: serde::de::Error>(_: Tagged, _: impl Sized) -> Result<V, F> {
        Err(F::custom("this type is no entity"))
    }

    /// Adds nothing.
    fn route<H, F>(handlers: SharedHandlers<H>, _: F) -> SharedHandlers<H> {
        handlers
    }
}

impl<E> NotAMember for Member<E> {}
