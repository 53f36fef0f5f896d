//! Inspection of the type of an `#[outbox(entity_id)]` field.

use std::marker::PhantomData;
use std::num::NonZero;

use serde::de::DeserializeOwned;

use uuid::Uuid;

use crate::entity::{IdKind, InspectIdType};

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

/// The kind of the ids of any type. With this in scope, `IdOf::<T>::KIND` is that of an inherent
/// item below, if there is one for the type.
pub trait AnyId {
    /// Any ids.
    const KIND: IdKind = IdKind::Any;
}

impl<T> AnyId for IdOf<T> {}

macro_rules! kinds {
    ($(<$($part:ident),*> $type:ty: $kind:ident;)+) => {$(
        impl<$($part),*> IdOf<$type> {
            /// The kind of these ids.
            pub const KIND: IdKind = IdKind::$kind;
        }

        impl<$($part),*> IdOf<Option<$type>> {
            /// The kind of these ids.
            pub const KIND: IdKind = IdKind::$kind;
        }
    )+};
}

macro_rules! integer_kinds {
    ($($integer:ty)+) => {
        kinds! { $(<> $integer: Integer; <> NonZero<$integer>: Integer;)+ }
    };
}

integer_kinds!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

kinds! {
    <> String: Text;
    <> Uuid: Uuid;
    <A, B> (A, B): Composite;
    <A, B, C> (A, B, C): Composite;
    <A, B, C, D> (A, B, C, D): Composite;
}
