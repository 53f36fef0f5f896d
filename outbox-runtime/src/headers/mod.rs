//! Headers: a small map of names and values beside the metadata of an event.

use std::fmt;

use crate::redaction::REDACTED;

mod json; // the form in rows and exports
mod rule; // what a name and a value may be

pub use self::json::HeadersError;

/// The headers of an event: a small map of names and values beside its metadata, for what every
/// event of an application has whatever its type, such as the tenant, and what a relay passes on.
///
/// Handlers find them in [`OutboxEvent::headers`](crate::OutboxEvent::headers).
/// [`Enqueue::header`](crate::Enqueue::header) sets them.
///
/// # Rules
///
/// - A name is case-insensitive, as in HTTP, and kept in lower case. It consists of the characters
///   that HTTP allows in one: ASCII letters, digits and ``!#$%&'*+-.^_`|~``.
/// - A value is any text without control characters; it may be empty.
/// - Each name has one value: a header that is set again replaces the earlier one.
/// - Their order is that of their names, whatever the order in which they were set.
/// - There are at most [`MAX_COUNT`](Self::MAX_COUNT) of them, with names of at most
///   [`MAX_NAME_BYTES`](Self::MAX_NAME_BYTES), and
///   [`MAX_BYTES`](Self::MAX_BYTES) for all names and values together.
///
/// Enqueueing an event whose headers break a rule is an error,
/// [`EnqueueError::Invalid`](crate::EnqueueError::Invalid) of the field `headers`.
///
/// The guide: [relays](https://docs.rs/outbox-guide/latest/outbox_guide/relays/).
///
/// # Sensitive headers
///
/// A header is not sensitive unless it was [set as sensitive](Self::set_sensitive): tools and
/// `Debug` show its value. The value of a sensitive one they hide, and it is removed from error
/// messages before these are stored or logged. In the row and in exports it is as readable as the
/// metadata is.
///
/// # Examples
///
/// ```
/// use outbox_runtime::Headers;
///
/// let mut headers = Headers::new();
/// headers.set("X-Tenant", "7");
/// headers.set_sensitive("x-session", "5f0c");
/// assert_eq!(headers.get("x-tenant"), Some("7"));
/// assert_eq!(headers.to_string(), "x-session: [redacted], x-tenant: 7");
///
/// assert!(headers.is_sensitive("x-session"));
/// // A relay passes all of them on, in the order of their names.
/// assert!(headers.iter().eq([("x-session", "5f0c"), ("x-tenant", "7")]));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Headers {
    /// Sorted by name.
    sorted: Vec<Header>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Header {
    /// In lower case.
    name: String,
    value: String,
    is_sensitive: bool,
}

impl Headers {
    /// The maximum number of headers of an event: 32.
    pub const MAX_COUNT: usize = 32;
    /// The maximum length of a name, in bytes: 64.
    pub const MAX_NAME_BYTES: usize = 64;
    /// The maximum length of all names and values of an event together, in bytes: 8 KiB. Larger
    /// content belongs in the metadata.
    pub const MAX_BYTES: usize = 8 << 10;

    /// No headers. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { sorted: Vec::new() }
    }

    /// Sets a header, or replaces the one with this name.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.put(name.into(), value.into(), false);
    }

    /// Sets a header whose value tools, `Debug` and error messages hide, or replaces the one with
    /// this name.
    pub fn set_sensitive(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.put(name.into(), value.into(), true);
    }

    fn put(&mut self, mut name: String, value: String, is_sensitive: bool) {
        name.make_ascii_lowercase();
        let place = self.place(&name);
        let header = Header {
            name,
            value,
            is_sensitive,
        };
        match place {
            Ok(at) => self.sorted[at] = header,
            Err(at) => self.sorted.insert(at, header),
        }
    }

    /// The value of a header, whatever the case of the name. Sensitive ones are readable here.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        Some(&self.find(name)?.value)
    }

    /// Whether the header was set as sensitive. Of one that is not there: `false`.
    #[must_use]
    pub fn is_sensitive(&self, name: &str) -> bool {
        self.find(name).is_some_and(|header| header.is_sensitive)
    }

    /// The names and values, ordered by name, sensitive ones included.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let headers = self.sorted.iter();
        headers.map(|header| (header.name.as_str(), header.value.as_str()))
    }

    /// The number of headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// The headers with `[redacted]` in place of each sensitive value, for tools that show them.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        for header in &mut self.sorted {
            if header.is_sensitive {
                REDACTED.clone_into(&mut header.value);
            }
        }
        self
    }

    /// The values that must not appear in messages.
    pub(crate) fn sensitive_values(&self) -> impl Iterator<Item = &str> {
        let sensitive = self.sorted.iter().filter(|header| header.is_sensitive);
        sensitive.map(|header| header.value.as_str())
    }

    fn find(&self, name: &str) -> Option<&Header> {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.find(&name.to_ascii_lowercase());
        }
        let at = self.place(name).ok()?;
        self.sorted.get(at)
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.sorted
            .binary_search_by(|header| header.name.as_str().cmp(name))
    }
}

/// The headers of an event that has none.
pub(crate) static NO_HEADERS: Headers = Headers::new();

/// A later pair replaces an earlier one with the same name. None of them is sensitive.
impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in pairs {
            headers.set(name, value);
        }
        headers
    }
}

/// On one line, with `[redacted]` in place of each sensitive value.
impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, header) in self.sorted.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}: {}", header.name, header.shown())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .sorted
            .iter()
            .map(|header| (&header.name, header.shown()));
        f.debug_map().entries(shown).finish()
    }
}

impl Header {
    fn shown(&self) -> &str {
        match self.is_sensitive {
            true => REDACTED,
            false => &self.value,
        }
    }
}
