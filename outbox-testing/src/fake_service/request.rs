//! A recorded request.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// A request that a [`FakeService`](crate::FakeService) has received.
///
/// # Examples
///
/// ```
/// use outbox_testing::Received;
///
/// fn is_new_goal(request: &Received) -> Result<bool, serde_json::Error> {
///     let goal: serde_json::Value = request.json()?;
///     let has_key = request.header("idempotency-key").is_some();
///     assert!(!request.text().contains("password"));
///     Ok(request.method == "POST" && has_key && goal["title"].is_string())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The method, such as `PUT`.
    pub method: String,
    /// The path, with the query.
    pub path: String,
    /// The headers, in the order in which they were sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// The first value of a header, whatever the case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }

    /// The body as text. Bytes that are no UTF-8 become replacement characters.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// If it is not the JSON of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}
