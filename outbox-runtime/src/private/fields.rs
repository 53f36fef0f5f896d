//! Serialization of a metadata struct as a tuple of its fields.
//!
//! The derive generates only the field types and the conversions between the struct and the tuple.
//! Everything else is implemented here once per number of fields, which keeps the generated code
//! small and fast to compile.
//!
//! Each field has an associated type of its own, instead of one tuple for all, for better errors:
//! rustc checks the bound on each type and underlines the type that cannot be metadata.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor,
};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::Value;

use super::json::encode;
use crate::metadata::RawMetadata;

/// The bound of an `#[outbox(metadata)]` field: serializable to and from JSON.
///
/// Serde's traits are not supertraits, because rustc would report them instead of the message
/// below.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be outbox metadata",
    label = "this type cannot be converted to and from JSON",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it"
)]
pub trait MetadataField: Sized {
    /// Writes the value as a field of `object`.
    fn write<S: SerializeStruct>(&self, name: &'static str, object: &mut S)
    -> Result<(), S::Error>;

    /// Reads a value.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> MetadataField for T {
    fn write<S: SerializeStruct>(
        &self,
        name: &'static str,
        object: &mut S,
    ) -> Result<(), S::Error> {
        object.serialize_field(name, self)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

/// The struct name passed to serde. It does not appear in JSON; the wire lock reads the fields.
const NAME: &str = "metadata";

/// Defines the trait for each number of fields. The bound is a macro argument so that errors about
/// it do not point into this macro.
macro_rules! fields {
    ($($name:ident($count:literal) of $bound:tt: $($field:ident $at:tt),*;)*) => {$(
        /// A metadata struct with this number of fields. `Own` is a type that only the generated
        /// code can name, so that private field types do not appear in a public interface.
        #[allow(unused_mut, unused_variables, reason = "there may be no fields")]
        pub trait $name<Own>: Sized {
            $(
                /// The type of the field at this position.
                type $field: $bound;
            )*

            /// The JSON names of the fields, in order.
            const NAMES: &'static [&'static str; $count];

            /// Builds the struct from its fields.
            fn from_fields(fields: ($(Self::$field,)*)) -> Self;

            /// Borrows the fields.
            fn as_fields(&self) -> ($(&Self::$field,)*);

            /// Serializes the struct.
            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::write_fields(self.as_fields(), serializer)
            }

            /// Serializes borrowed fields, of the struct or of the entity.
            fn write_fields<S: Serializer>(
                fields: ($(&Self::$field,)*),
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let mut object = serializer.serialize_struct(NAME, $count)?;
                $(fields.$at.write(Self::NAMES[$at], &mut object)?;)*
                object.end()
            }

            /// Serializes borrowed fields as JSON.
            fn json(fields: ($(&Self::$field,)*)) -> Result<RawMetadata, serde_json::Error> {
                encode(|serializer| Self::write_fields(fields, serializer))
            }

            /// Deserializes the struct.
            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object<R, Own>(PhantomData<(R, Own)>);

                impl<'de, R: $name<Own>, Own> Visitor<'de> for Object<R, Own> {
                    type Value = R;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<R, A::Error> {
                        let mut slots = ($(None::<R::$field>,)*);
                        while let Some(place) = map.next_key_seed(PlaceOfKey(R::NAMES))? {
                            match place {
                                $(Some($at) => {
                                    slots.$at = Some(next_value(&mut map, R::NAMES[$at])?);
                                })*
                                _ => {
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(R::from_fields(($(present(slots.$at, R::NAMES[$at])?,)*)))
                    }
                }

                deserializer.deserialize_struct(NAME, Self::NAMES, Object(PhantomData))
            }
        }
    )*};
}

fields! {
    Fields0(0) of MetadataField: ;
    Fields1(1) of MetadataField: F0 0;
    Fields2(2) of MetadataField: F0 0, F1 1;
    Fields3(3) of MetadataField: F0 0, F1 1, F2 2;
    Fields4(4) of MetadataField: F0 0, F1 1, F2 2, F3 3;
    Fields5(5) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4;
    Fields6(6) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5;
    Fields7(7) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6;
    Fields8(8) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7;
    Fields9(9) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8;
    Fields10(10) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9;
    Fields11(11) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10;
    Fields12(12) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10, F11 11;
    Fields13(13) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10, F11 11, F12 12;
    Fields14(14) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10, F11 11, F12 12, F13 13;
    Fields15(15) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10, F11 11, F12 12, F13 13, F14 14;
    Fields16(16) of MetadataField: F0 0, F1 1, F2 2, F3 3, F4 4, F5 5, F6 6, F7 7, F8 8, F9 9, F10 10, F11 11, F12 12, F13 13, F14 14, F15 15;
}

/// Reads a key as the index of its field; `None` if it is not a field.
struct PlaceOfKey(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for PlaceOfKey {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for PlaceOfKey {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

/// Reads a value directly as its field's type. A detour through `serde_json::Value` would lose
/// digits of integers of more than 64 bits.
struct ValueOf<T>(PhantomData<T>);

impl<'de, T: MetadataField> DeserializeSeed<'de> for ValueOf<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer)
    }
}

fn next_value<'de, T: MetadataField, A: MapAccess<'de>>(
    map: &mut A,
    name: &'static str,
) -> Result<T, A::Error> {
    map.next_value_seed(ValueOf(PhantomData))
        .map_err(|error| A::Error::custom(format_args!("field `{name}`: {error}")))
}

/// Returns the value that was read. A missing field is read as `null`, so that an `Option` is
/// `None`.
fn present<T: MetadataField, E: serde::de::Error>(
    slot: Option<T>,
    name: &'static str,
) -> Result<T, E> {
    slot.map_or_else(
        || T::read(Value::Null).map_err(|_| E::missing_field(name)),
        Ok,
    )
}
