//! Shows the type of an `#[outbox(entity_id)]` field, whatever the type can do.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::entity::InspectIdType;

/// Stands for a type. Generated code asks `&IdOf<T>`, so that the compiler takes [`ReadableId`]
/// where serde can read the type, and [`OpaqueId`], which is one reference further away, where it
/// cannot.
#[derive(Debug)]
pub struct IdOf<T>(PhantomData<T>);

impl<T> IdOf<T> {
    /// The only value.
    pub const NEW: Self = Self(PhantomData);
}

/// Serde reads a `&str` only of what is `'static` itself, which the compiler notices too late to
/// take another method.
impl IdOf<&'static str> {
    /// Shows the type.
    pub fn __outbox_inspect<I: InspectIdType>(&self, inspect: I) -> I::Output {
        inspect.opaque::<&'static str>()
    }
}

/// A type that serde reads.
pub trait ReadableId {
    /// Shows the type.
    fn __outbox_inspect<I: InspectIdType>(&self, inspect: I) -> I::Output;
}

impl<T: DeserializeOwned + 'static> ReadableId for IdOf<T> {
    fn __outbox_inspect<I: InspectIdType>(&self, inspect: I) -> I::Output {
        inspect.readable::<T>()
    }
}

/// Any other type.
pub trait OpaqueId {
    /// Shows the type.
    fn __outbox_inspect<I: InspectIdType>(&self, inspect: I) -> I::Output;
}

impl<T: 'static> OpaqueId for &IdOf<T> {
    fn __outbox_inspect<I: InspectIdType>(&self, inspect: I) -> I::Output {
        inspect.opaque::<T>()
    }
}
