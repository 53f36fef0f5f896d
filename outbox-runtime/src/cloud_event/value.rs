//! Values of attributes.

use std::fmt;

use serde_json::Value;

/// The value of an attribute of a [`CloudEvent`](super::CloudEvent).
///
/// `Display` shows its canonical text, which bindings use in headers.
///
/// # Examples
///
/// ```
/// use outbox_runtime::AttributeValue;
///
/// let region = AttributeValue::from("eu");
/// assert_eq!(region.as_str(), Some("eu"));
/// let version = AttributeValue::from(2);
/// assert_eq!((version.as_str(), version.to_string()), (None, "2".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttributeValue {
    /// A text; URIs and times are texts, too.
    Text(String),
    /// An integer.
    Integer(i32),
    /// `true` or `false`.
    Boolean(bool),
}

impl AttributeValue {
    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Integer(_) | Self::Boolean(_) => None,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Integer(number) => (*number).into(),
            Self::Boolean(is_true) => (*is_true).into(),
        }
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Boolean(is_true) => is_true.fmt(f),
        }
    }
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i32> for AttributeValue {
    fn from(number: i32) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for AttributeValue {
    fn from(is_true: bool) -> Self {
        Self::Boolean(is_true)
    }
}
