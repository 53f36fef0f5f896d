//! The field names of a struct, obtained from its `Deserialize` implementation.

use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// The field names of a struct. `None` if the type does not list them, such as with a flattened
/// field: any key may then belong to a map.
pub(crate) fn field_names<T: DeserializeOwned>() -> Option<&'static [&'static str]> {
    T::deserialize(FieldRecorder)
        .err()
        .and_then(|requested| requested.0)
}

/// A deserializer that records the requested fields and provides none.
struct FieldRecorder;

/// The requested fields.
#[derive(Debug)]
struct Requested(Option<&'static [&'static str]>);

impl fmt::Display for Requested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only the field names are requested")
    }
}

impl std::error::Error for Requested {}

impl de::Error for Requested {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(None)
    }
}

impl<'de> Deserializer<'de> for FieldRecorder {
    type Error = Requested;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Requested> {
        Err(Requested(None))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Requested> {
        Err(Requested(Some(fields)))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Requested> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}
