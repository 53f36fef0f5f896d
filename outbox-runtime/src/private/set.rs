//! Metadata of an event set: serialization with a type tag.

use std::collections::BTreeMap;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::event::OutboxEvent;
use crate::metadata::{self, DecodeError, Sight};
use crate::redaction::Sensitive;

/// The event type of a variant, and its aliases.
pub type StoredTypes = (&'static str, &'static [&'static str]);

/// The event type of a variant, and those of the parents of its entities.
pub type TypesAfter = (&'static str, &'static [&'static str]);

/// The event type of the variant that a stored type belongs to: an alias becomes the current name,
/// and an unknown type stays as it is.
#[must_use]
pub fn current_type<'t>(stored: &'t str, types: &[StoredTypes]) -> &'t str {
    let of_alias = types.iter().find(|(_, aliases)| aliases.contains(&stored));
    of_alias.map_or(stored, |(event_type, _)| event_type)
}

/// Decodes the metadata of a row whose event type is not in the set: a flat map of strings.
pub fn generic_metadata(record: &OutboxEvent) -> Result<BTreeMap<String, String>, DecodeError> {
    match &record.metadata {
        None => Ok(BTreeMap::new()),
        Some(raw) => raw
            .decode()
            .map_err(|error| DecodeError::metadata(&record.event_type, raw, &error, Sight::All)),
    }
}

/// Writes an object with one key.
pub(super) fn serialize_tagged<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    event_type: &'static str,
    metadata: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(event_type, metadata)?;
    map.end()
}

/// Writes `{"generic": {"_0": {..}}}`: Swift names an unlabeled associated value `_0`.
pub fn serialize_generic<S: Serializer>(
    serializer: S,
    metadata: &BTreeMap<String, String>,
) -> Result<S::Ok, S::Error> {
    serialize_tagged(serializer, GENERIC, &BTreeMap::from([("_0", metadata)]))
}

/// The tag of metadata whose event type is not in the set, as in Swift.
pub const GENERIC: &str = "generic";

/// Tagged metadata that has not been decoded yet.
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

    /// Decodes the value as the type of the tag.
    pub(super) fn into_typed<T: DeserializeOwned, E: serde::de::Error>(
        self,
        sensitive: Sensitive,
    ) -> Result<T, E> {
        serde_json::from_value(self.value)
            .map_err(|error| E::custom(metadata::reason(&error, sensitive)))
    }

    /// Decodes the value as a flat map of strings.
    pub fn into_generic<E: serde::de::Error>(self) -> Result<BTreeMap<String, String>, E> {
        #[derive(serde::Deserialize)]
        struct Generic {
            _0: BTreeMap<String, String>,
        }
        if self.tag != GENERIC {
            return Err(E::custom(format_args!("unknown event type {:?}", self.tag)));
        }
        self.into_typed(Sensitive::Nothing).map(|Generic { _0 }| _0)
    }
}
