//! Metadata as it stands in a row: bytes that should be JSON.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::finite::{Faults, Finite};

/// The metadata of an event as it stands in its row: the JSON of the typed struct, byte for byte.
///
/// It is not validated on reading, so that one damaged row can be listed, explained and exported like any other.
/// `Debug` shows its length and never its content: payloads do not belong in logs.
///
/// # Examples
///
/// ```
/// use outbox_runtime::RawMetadata;
///
/// let raw = RawMetadata::encode(&serde_json::json!({ "valence": 0.5 }))?;
/// assert_eq!(raw.as_str(), Some(r#"{"valence":0.5}"#));
/// assert_eq!(format!("{raw:?}"), "RawMetadata(15 bytes)");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawMetadata(Vec<u8>);

impl RawMetadata {
    /// Takes bytes as they are.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    ///
    /// Where the value's `Serialize` fails, a map has keys that JSON cannot have, or a float is NaN or infinite: the error
    /// names its path, such as `samples[3].rate`.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Self::write(|serializer| value.serialize(serializer))
    }

    /// Writes JSON with a function that serializes.
    pub(crate) fn write(
        write: impl FnOnce(
            Finite<'_, &mut serde_json::Serializer<&mut Vec<u8>>>,
        ) -> Result<(), serde_json::Error>,
    ) -> Result<Self, serde_json::Error> {
        // What serde_json begins with as well: most metadata fits, and grows its buffer not once.
        let mut json = Vec::with_capacity(128);
        let faults = Faults::default();
        let written = write(Finite::new(
            &mut serde_json::Serializer::new(&mut json),
            &faults,
        ));
        match written {
            Ok(()) => Ok(Self(json)),
            Err(error) => Err(faults.told(error)),
        }
    }

    /// Reads the JSON as a typed value.
    ///
    /// # Errors
    ///
    /// Where the bytes are not JSON, or not of that shape.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    /// The bytes of the row.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text of the row, where it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes at all (an empty object has two).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for RawMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawMetadata({} bytes)", self.0.len())
    }
}

impl Serialize for RawMetadata {
    /// The JSON itself; damaged metadata becomes a JSON string of what can be read of it.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_slice::<&RawValue>(&self.0) {
            Ok(json) => json.serialize(serializer),
            Err(_) => serializer.serialize_str(&String::from_utf8_lossy(&self.0)),
        }
    }
}

impl<'de> Deserialize<'de> for RawMetadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(String::from(Box::<str>::from(json)).into_bytes()))
    }
}
