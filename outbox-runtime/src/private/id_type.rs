//! Inspection of the type of an `#[outbox(entity_id)]` field.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::entity::InspectIdType;

/// Stands for a type. Generated code calls a method on `&IdOf<T>`: the compiler selects
/// [`ReadableId`] if serde can deserialize the type, and otherwise [`OpaqueId`], which is one
/// auto-reference further away.
#[derive(Debug)]
pub struct IdOf<T>(PhantomData<T>);

impl<T> IdOf<T> {
    /// The only value.
    pub const NEW: Self = Self(PhantomData);
}

/// Serde deserializes a `&str` only from `'static` data. The compiler detects that too late to
/// select another method, hence this inherent one.
impl IdOf<&'static str> {
    /// Passes the type to a visitor.
    pub fn __outbox_inspect<I: InspectIdType>(&self, inspect: I) -> I::Output {
        inspect.opaque::<&'static str>()
    }
}

/// A type that serde deserializes.
pub trait ReadableId {
    /// Passes the type to a visitor.
    fn __outbox_inspect<I: InspectIdType>(&self, inspect: I) -> I::Output;
}

impl<T: DeserializeOwned + 'static> ReadableId for IdOf<T> {
    fn __outbox_inspect<I: InspectIdType>(&self, inspect: I) -> I::Output {
        inspect.readable::<T>()
    }
}

/// Any other type.
pub trait OpaqueId {
    /// Passes the type to a visitor.
    fn __outbox_inspect<I: InspectIdType>(&self, inspect: I) -> I::Output;
}

impl<T: 'static> OpaqueId for &IdOf<T> {
    fn __outbox_inspect<I: InspectIdType>(&self, inspect: I) -> I::Output {
        inspect.opaque::<T>()
    }
}
