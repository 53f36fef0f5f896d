//! Metadata as stored in a row.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::finite::{Faults, Finite};

/// The metadata of an event as stored in its row: the JSON of the typed struct, byte for byte.
///
/// It is not validated when read, so that a damaged row can be listed, explained and exported like
/// any other. `Debug` shows the length and never the content, because payloads must not be logged.
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
///
/// Back to a value:
///
/// ```
/// use outbox_runtime::RawMetadata;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Reading {
///     celsius: f64,
/// }
///
/// let raw = RawMetadata::from_bytes(r#"{"celsius":21.5}"#); // from another program
/// let reading: Reading = raw.decode()?;
/// assert_eq!(reading.celsius, 21.5);
/// assert_eq!((raw.len(), raw.is_empty(), raw.as_bytes()[0]), (16, false, b'{'));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawMetadata(Vec<u8>);

impl RawMetadata {
    /// Wraps bytes without validation.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Serializes a value as JSON.
    ///
    /// # Errors
    ///
    /// Returns an error if the value's `Serialize` implementation fails, a map has keys that JSON
    /// does not support, or a float is NaN or infinite; in that case the message contains the path,
    /// such as `samples[3].rate`.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Self::write(|serializer| value.serialize(serializer))
    }

    /// Serializes JSON with a function.
    pub(crate) fn write(
        write: impl FnOnce(
            Finite<'_, &mut serde_json::Serializer<&mut Vec<u8>>>,
        ) -> Result<(), serde_json::Error>,
    ) -> Result<Self, serde_json::Error> {
        // The initial capacity that `serde_json` uses too; most metadata fits without growing the
        // buffer.
        let mut json = Vec::with_capacity(128);
        let faults = Faults::default();
        let written = write(Finite::new(
            &mut serde_json::Serializer::new(&mut json),
            &faults,
        ));
        match written {
            Ok(()) => Ok(Self(json)),
            Err(error) => Err(faults.into_error(error)),
        }
    }

    /// Deserializes the JSON as a typed value.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not JSON or do not have the shape of `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    /// The stored bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The stored text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all; an empty object has two.
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
    /// Writes the JSON itself. Damaged metadata becomes a JSON string with its readable part.
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
