//! What generated code calls. No part of it is public API: it changes without notice.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny,
    MapAccess, Visitor,
};
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};
use serde_json::{Map, Value};

use crate::entity::EntityOptions;
use crate::event::OutboxEvent;
use crate::metadata::{DecodeError, RawMetadata};

#[path = "private/member.rs"]
mod member; // the entity of a variant

pub use self::member::{Member, NotAMember};
pub use crate::handler::SharedHandlers;
pub use crate::handler::derived::{
    Answer, OptionalWait, Wait, forward, rate_limited, retry_after, snooze,
};
pub use crate::redaction::Redacted;
pub use crate::wire_lock::lock::assert_wire_lock;
pub use serde;
pub use serde_json::Error as JsonError;

/// What the type of an `#[outbox(metadata)]` field must be: written and read as JSON.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be outbox metadata",
    label = "this type is not written and read as JSON",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it"
)]
pub trait MetadataField: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> MetadataField for T {}

/// Stops the compilation of an entity whose constants say what its attributes must not.
#[track_caller]
pub const fn assert_options(options: &EntityOptions) {
    if let Some(fault) = options.fault() {
        panic!("{}", fault);
    }
}

/// Makes rustc say at the field's type that it cannot be metadata, instead of somewhere in the generated code.
pub fn assert_metadata_field<T: MetadataField>() {}

/// What writes and reads a field of the type `T`.
pub trait FieldCodec<T>: Copy {
    /// Something that is written as `value` is.
    fn writable(self, value: &T) -> impl Serialize;

    /// Reads a value from where it is.
    fn read<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error>;
}

/// Finds the codec of a field's type: `(&Field::<T>::TYPE).codec()`.
///
/// With both [`Coded`] and [`Uncoded`] in scope this compiles for every type, so that one that cannot be metadata is
/// the one error of [`assert_metadata_field`] and not one more for each use in the generated code. Method lookup
/// takes `Coded`, which needs no further reference, where its bound holds, and `Uncoded` otherwise.
#[derive(Debug)]
pub struct Field<T>(PhantomData<fn() -> T>);

impl<T> Field<T> {
    /// Stands for the type.
    pub const TYPE: Self = Self(PhantomData);
}

/// Types that can be metadata.
pub trait Coded {
    /// Their codec.
    fn codec(&self) -> SerdeCodec {
        SerdeCodec
    }
}

impl<T: MetadataField> Coded for Field<T> {}

/// All types.
pub trait Uncoded {
    /// A codec for a program that is refused.
    fn codec(&self) -> NoCodec {
        NoCodec
    }
}

impl<T> Uncoded for &Field<T> {}

/// Writes and reads with serde.
#[derive(Debug, Clone, Copy)]
pub struct SerdeCodec;

impl<T: MetadataField> FieldCodec<T> for SerdeCodec {
    fn writable(self, value: &T) -> impl Serialize {
        value
    }

    fn read<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

/// Fails: nothing that uses it passes [`assert_metadata_field`].
#[derive(Debug, Clone, Copy)]
pub struct NoCodec;

impl<T> FieldCodec<T> for NoCodec {
    fn writable(self, _: &T) -> impl Serialize {}

    fn read<'de, D: Deserializer<'de>>(self, _: D) -> Result<T, D::Error> {
        Err(D::Error::custom("this type is not metadata"))
    }
}

/// What a metadata struct is written to, field by field: JSON when its entity is enqueued, any serializer otherwise.
///
/// After a failure the first one is kept and the rest is skipped, so that generated code need not look at each field.
pub trait ObjectSink: Sized {
    /// The object, or the first failure.
    type Output;

    /// Adds a field.
    fn field<T>(self, name: &'static str, value: &T, codec: impl FieldCodec<T>) -> Self;

    /// Ends the object.
    fn finish(self) -> Self::Output;
}

/// Writes a JSON object from fields where they are, without a copy of the entity.
#[derive(Debug)]
#[must_use]
pub struct ObjectWriter(Result<Vec<u8>, serde_json::Error>);

impl ObjectWriter {
    /// An object without fields.
    #[allow(clippy::new_without_default, reason = "generated code calls `new`")]
    pub fn new() -> Self {
        Self(Ok(vec![b'{']))
    }
}

impl ObjectSink for ObjectWriter {
    type Output = Result<RawMetadata, serde_json::Error>;

    fn field<T>(self, name: &'static str, value: &T, codec: impl FieldCodec<T>) -> Self {
        Self(self.0.and_then(|mut json| {
            if json.len() > 1 {
                json.push(b',');
            }
            serde_json::to_writer(&mut json, name)?;
            json.push(b':');
            serde_json::to_writer(&mut json, &codec.writable(value))?;
            Ok(json)
        }))
    }

    fn finish(self) -> Self::Output {
        self.0.map(|mut json| {
            json.push(b'}');
            RawMetadata::from_bytes(json)
        })
    }
}

/// Writes a struct to any serializer.
#[must_use]
pub struct StructWriter<S: Serializer>(Result<S::SerializeStruct, S::Error>);

impl<S: Serializer> StructWriter<S> {
    /// A struct that will have so many fields.
    pub fn new(serializer: S, name: &'static str, fields: usize) -> Self {
        Self(serializer.serialize_struct(name, fields))
    }
}

impl<S: Serializer> ObjectSink for StructWriter<S> {
    type Output = Result<S::Ok, S::Error>;

    fn field<T>(self, name: &'static str, value: &T, codec: impl FieldCodec<T>) -> Self {
        Self(self.0.and_then(|mut object| {
            object.serialize_field(name, &codec.writable(value))?;
            Ok(object)
        }))
    }

    fn finish(self) -> Self::Output {
        self.0.and_then(SerializeStruct::end)
    }
}

impl<S: Serializer> std::fmt::Debug for StructWriter<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StructWriter")
    }
}

/// Writes an entity that is its own metadata.
pub fn snapshot<T>(
    entity: &T,
    codec: impl FieldCodec<T>,
) -> Result<RawMetadata, serde_json::Error> {
    RawMetadata::encode(&codec.writable(entity))
}

/// Writes JSON with a function that serializes, such as the one that serde derives for a remote type.
pub fn encode(
    write: impl FnOnce(&mut serde_json::Serializer<&mut Vec<u8>>) -> Result<(), serde_json::Error>,
) -> Result<RawMetadata, serde_json::Error> {
    let mut json = Vec::new();
    write(&mut serde_json::Serializer::new(&mut json))?;
    Ok(RawMetadata::from_bytes(json))
}

/// Room for each field of a metadata struct while it is read, so that the derive need not generate a visitor.
///
/// Each value is read as its own type from where it is: what went through `serde_json::Value` would lose the digits
/// of integers of more than 64 bits.
pub trait ObjectSlots: Sized {
    /// The struct.
    type Object;

    /// Its fields.
    const NAMES: &'static [&'static str];

    /// No field was read yet.
    fn empty() -> Self;

    /// Reads the value of a key.
    fn put<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;

    /// The struct, unless a field was not put.
    fn finish(self) -> Option<Self::Object>;
}

/// Reads a metadata struct.
pub fn read_object<'de, S: ObjectSlots, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<S::Object, D::Error> {
    struct Fields<S>(PhantomData<S>);

    impl<'de, S: ObjectSlots> Visitor<'de> for Fields<S> {
        type Value = S::Object;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<S::Object, A::Error> {
            let mut slots = S::empty();
            let mut absent = S::NAMES.to_vec();
            while let Some(name) = map.next_key::<String>()? {
                slots.put(&name, &mut map)?;
                absent.retain(|other| *other != name);
            }
            for name in absent {
                slots
                    .put(name, &mut Absent(PhantomData))
                    .map_err(|_: A::Error| A::Error::missing_field(name))?;
            }
            slots
                .finish()
                .ok_or_else(|| A::Error::custom("a field was not read"))
        }
    }

    // The name is nowhere to be seen in JSON; the fields are what the wire lock reads.
    deserializer.deserialize_struct("metadata", S::NAMES, Fields::<S>(PhantomData))
}

/// Reads the value of a key that belongs to a field.
pub fn fill<'de, T, A: MapAccess<'de>>(
    slot: &mut Option<T>,
    name: &'static str,
    map: &mut A,
    codec: impl FieldCodec<T>,
) -> Result<(), A::Error> {
    struct Seed<T, C>(C, PhantomData<T>);

    impl<'de, T, C: FieldCodec<T>> DeserializeSeed<'de> for Seed<T, C> {
        type Value = T;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
            self.0.read(deserializer)
        }
    }

    let value = map
        .next_value_seed(Seed(codec, PhantomData))
        .map_err(|error| A::Error::custom(format_args!("field `{name}`: {error}")))?;
    *slot = Some(value);
    Ok(())
}

/// Skips the value of a key that belongs to no field.
pub fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

/// Stands for an absent field, which reads as `null`, so that an `Option` is `None`.
struct Absent<E>(PhantomData<E>);

impl<'de, E: serde::de::Error> MapAccess<'de> for Absent<E> {
    type Error = E;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, _: K) -> Result<Option<K::Value>, E> {
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, E> {
        seed.deserialize(Value::Null).map_err(E::custom)
    }
}

/// The metadata of a row whose type is in no set: a flat map of strings.
pub fn generic_metadata(record: &OutboxEvent) -> Result<BTreeMap<String, String>, DecodeError> {
    match &record.metadata {
        None => Ok(BTreeMap::new()),
        Some(raw) => raw
            .decode()
            .map_err(|error| DecodeError::metadata(&record.event_type, &error)),
    }
}

/// Writes an object with one key.
fn serialize_tagged<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    event_type: &'static str,
    metadata: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(event_type, metadata)?;
    map.end()
}

/// Writes `{"generic": {"_0": {..}}}`: Swift names an unlabelled associated value `_0`.
pub fn serialize_generic<S: Serializer>(
    serializer: S,
    metadata: &BTreeMap<String, String>,
) -> Result<S::Ok, S::Error> {
    serialize_tagged(serializer, GENERIC, &BTreeMap::from([("_0", metadata)]))
}

/// Swift's name for metadata without a type.
pub const GENERIC: &str = "generic";

/// Metadata with its tag, not yet read as a type.
#[derive(Debug)]
pub struct Tagged {
    /// The event type, or `generic`.
    pub tag: String,
    value: Value,
}

impl Tagged {
    /// Reads an object with exactly one key.
    pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?.into_iter();
        match (fields.next(), fields.next()) {
            (Some((tag, value)), None) => Ok(Self { tag, value }),
            _ => Err(D::Error::custom(
                "expected an object with one key, the event type",
            )),
        }
    }

    /// The value as the type that the tag stands for.
    fn into_typed<T: DeserializeOwned, E: serde::de::Error>(self) -> Result<T, E> {
        serde_json::from_value(self.value).map_err(E::custom)
    }

    /// The value as a flat map of strings.
    pub fn into_generic<E: serde::de::Error>(self) -> Result<BTreeMap<String, String>, E> {
        #[derive(serde::Deserialize)]
        struct Generic {
            _0: BTreeMap<String, String>,
        }
        if self.tag != GENERIC {
            return Err(E::custom(format_args!("unknown event type {:?}", self.tag)));
        }
        self.into_typed().map(|Generic { _0 }| _0)
    }
}

/// Functions with the names of the parameters that generated code shows in its documentation.
///
/// A parameter's name is a pattern, and means the user's constant or static of that name where there is one. Imported
/// beside the generated code these hide it, and a function is no pattern: a parameter hides it in turn. Names that
/// nobody sees begin with `__` instead.
pub mod names {
    /// Of `handled_by`.
    pub fn handler() {}

    /// Of `decode`.
    pub fn record() {}
}

/// Stops the compilation of a set in which another variant has the event type of the one at `index`. `messages` name
/// the variants, as formatting is no `const fn`.
#[track_caller]
pub const fn assert_event_type(event_types: &[&str], messages: &[&str], index: usize) {
    let own = event_types[index].as_bytes();
    let mut other = 0;
    while other < event_types.len() {
        // A type that is no entity has none.
        if other != index && !own.is_empty() && same_str(event_types[other].as_bytes(), own) {
            panic!("{}", messages[other]);
        }
        other += 1;
    }
}

/// `==` on strings is not a `const fn`.
const fn same_str(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
