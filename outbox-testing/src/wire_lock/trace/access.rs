//! The accessors that lead a visitor one step further in: a list, an object or an enum that
//! contains only that step.

use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde_json::Value;

use super::{Refusal, Request, Tracer};

/// The elements before the place of interest, and the place itself.
pub(super) struct Elements<'r> {
    pub(super) outer: Tracer<'r>,
    pub(super) before: std::slice::Iter<'r, Value>,
    pub(super) is_done: bool,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Refusal;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refusal> {
        if let Some(json) = self.before.next() {
            return Ok(Some(seed.deserialize(json.clone())?));
        }
        if std::mem::replace(&mut self.is_done, true) {
            return Ok(None);
        }
        self.outer
            .descend(|inner| seed.deserialize(inner))
            .map(Some)
    }
}

/// One entry of a map: the place of interest is its value or, without a given key, its key.
pub(super) struct Entry<'r> {
    pub(super) outer: Tracer<'r>,
    pub(super) key: Option<&'r Value>,
    pub(super) is_done: bool,
}

impl<'de> MapAccess<'de> for Entry<'_> {
    type Error = Refusal;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refusal> {
        if std::mem::replace(&mut self.is_done, true) {
            return Ok(None);
        }
        match self.key {
            Some(key) => Ok(Some(seed.deserialize(key.clone())?)),
            None => self
                .outer
                .descend(|inner| seed.deserialize(inner))
                .map(Some),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        match self.key {
            Some(_) => self.outer.descend(|inner| seed.deserialize(inner)),
            None => Err(Refusal::Other),
        }
    }
}

/// A variant by its name.
pub(super) struct Variant<'r> {
    pub(super) outer: Tracer<'r>,
    pub(super) name: &'static str,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Refusal;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Refusal> {
        let name: StrDeserializer<'_, Refusal> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        self.outer.descend(|inner| {
            inner.note(Request::UnitVariant);
            Ok(())
        })
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refusal> {
        self.outer.descend(|inner| seed.deserialize(inner))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.outer
            .descend(|inner| inner.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.outer
            .descend(|inner| inner.deserialize_struct(self.name, fields, visitor))
    }
}

/// The given keys and values.
pub(super) struct Entries<'a>(pub(super) &'a [(&'a str, &'a Value)]);

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Refusal;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refusal> {
        let Some((key, _)) = self.0.first() else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, Refusal> = (*key).into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        let ((_, value), rest) = self.0.split_first().ok_or(Refusal::Other)?;
        self.0 = rest;
        Ok(seed.deserialize((*value).clone())?)
    }
}

/// A tag with an invalid variant. The type rejects its value with our own error, which lists the
/// valid variants.
pub(super) fn no_variant<'de>(tag: &str) -> impl MapAccess<'de, Error = Refusal> {
    /// No variant has this name.
    const NAME: &str = "\0";
    let tag: StrDeserializer<'_, Refusal> = tag.into_deserializer();
    let name: StrDeserializer<'_, Refusal> = NAME.into_deserializer();
    MapDeserializer::new(std::iter::once((tag, name)))
}
