//! The JSON of headers, in rows and in exports: an object with a string for each header, and
//! `{"sensitive": ".."}` for one that is sensitive.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use thiserror::Error;

use super::Headers;

/// The longest text that is read: each byte of the longest headers may take six in JSON, and each
/// of them some more.
const LONGEST: usize = 64 << 10;

/// A text is not the stored form of headers.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Headers, HeadersError};
///
/// let read: Result<Headers, HeadersError> = Headers::from_stored(r#"["x-tenant"]"#);
/// assert!(read.is_err_and(|error| error.to_string().contains("are no JSON object")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the headers {reason}")]
pub struct HeadersError {
    reason: String,
}

impl Headers {
    /// The form in which stores keep them in one column: JSON, or `None` if there are none. The
    /// same headers have one text. For stores.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::Headers;
    ///
    /// let headers: Headers = [("x-tenant", "7")].into_iter().collect();
    /// let stored = headers.to_stored().unwrap_or_default();
    /// assert_eq!(stored, r#"{"x-tenant":"7"}"#);
    /// assert_eq!(Headers::from_stored(&stored)?, headers);
    /// # Ok::<(), outbox_runtime::HeadersError>(())
    /// ```
    #[must_use]
    pub fn to_stored(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        // Writing strings to a string cannot fail.
        serde_json::to_string(self).ok()
    }

    /// Reads the stored form. For stores. See [`to_stored`](Self::to_stored) for an example.
    ///
    /// # Errors
    ///
    /// [`HeadersError`] if another program has written something else, or headers that break a
    /// rule. The message quotes no value.
    pub fn from_stored(stored: &str) -> Result<Self, HeadersError> {
        if stored.len() > LONGEST {
            let reason = format!("have {} bytes, more than {LONGEST}", stored.len());
            return Err(HeadersError { reason });
        }
        serde_json::from_str(stored).map_err(|error| {
            let text = error.to_string();
            let reason = match text.strip_prefix(FAULT) {
                Some(fault) => {
                    let end = fault.rfind(" at line ").unwrap_or(fault.len());
                    fault[..end].to_owned()
                }
                // The text of serde may quote a value.
                None => format!(
                    "are no JSON object of names and values, at line {} column {}",
                    error.line(),
                    error.column()
                ),
            };
            HeadersError { reason }
        })
    }
}

/// How the error of a broken rule begins.
const FAULT: &str = "the headers ";

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.sorted.len()))?;
        for header in &self.sorted {
            match header.is_sensitive {
                false => map.serialize_entry(&header.name, &header.value)?,
                true => {
                    let sensitive = &header.value;
                    map.serialize_entry(&header.name, &Sensitive { sensitive })?;
                }
            }
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct Sensitive<'h> {
    sensitive: &'h str,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Value {
    Plain(String),
    Sensitive { sensitive: String },
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of names and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = Headers::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            match value {
                Value::Plain(value) => headers.set(name, value),
                Value::Sensitive { sensitive } => headers.set_sensitive(name, sensitive),
            }
            // Before they grow.
            if let Some(fault) = headers.fault() {
                return Err(A::Error::custom(format_args!("{FAULT}{fault}")));
            }
        }
        Ok(headers)
    }
}
