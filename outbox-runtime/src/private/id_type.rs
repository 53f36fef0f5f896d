//! What the type of an `#[outbox(entity_id)]` field is to the wire lock, whatever the type can do.

use std::any::type_name;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::entity::EntityIdType;
use crate::wire_lock::Shape;

/// Stands for a type. Generated code asks `&IdOf<T>`, so that the compiler takes [`IdByShape`]
/// where serde can read the type, and [`IdByName`], which is one reference further away, where it
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
    /// Strings.
    #[must_use]
    pub fn __outbox_id_type(&self) -> EntityIdType {
        EntityIdType::TEXT
    }
}

/// A type that serde reads: what is in it can be seen.
pub trait IdByShape {
    /// What its ids are.
    fn __outbox_id_type(&self) -> EntityIdType;
}

impl<T: DeserializeOwned + 'static> IdByShape for IdOf<T> {
    fn __outbox_id_type(&self) -> EntityIdType {
        if let Some(known) = EntityIdType::of_known::<T>() {
            return known;
        }
        let shape = Shape::of::<T>().to_string();
        match shape.as_str() {
            "string(uuid)" => EntityIdType::UUID,
            "string" => EntityIdType::TEXT,
            shape if shape.starts_with("integer(") => EntityIdType::INTEGER,
            _ => EntityIdType::named(shape),
        }
    }
}

/// Any other type: its name is all there is.
pub trait IdByName {
    /// What its ids are.
    fn __outbox_id_type(&self) -> EntityIdType;
}

impl<T: 'static> IdByName for &IdOf<T> {
    fn __outbox_id_type(&self) -> EntityIdType {
        let named = || EntityIdType::named(format!("type {}", without_paths(type_name::<T>())));
        EntityIdType::of_known::<T>().unwrap_or_else(named)
    }
}

/// `Id<Mood>` of `app::Id<app::sync::Mood>`: where a type is does not count.
fn without_paths(name: &str) -> String {
    let mut short = String::new();
    for part in name.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        short.push_str(part.rsplit("::").next().unwrap_or(part));
    }
    short
}
