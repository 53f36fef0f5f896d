//! An envelope as the content of an HTTP message (CloudEvents, HTTP Protocol Binding 1.0.2).

use std::fmt;
use std::fmt::Write as _;

use super::CloudEvent;

/// The headers and the body of an HTTP request that carries a [`CloudEvent`], for any client.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use outbox_runtime::{NewEvent, RawMetadata};
/// use outbox_runtime::HttpContent;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let new = NewEvent::new("invoice", 7, "acme", Operation::Create)
/// #     .with_metadata(RawMetadata::from_bytes("{}"));
/// # let event = MemoryStore::new().create_event(new).await?;
/// let HttpContent { headers, body, .. } = event.cloud_event("/billing")?.binary();
/// let mut request = String::from("POST /events HTTP/1.1\r\n");
/// for (name, value) in &headers {
///     request.push_str(&format!("{name}: {value}\r\n"));
/// }
/// request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
/// assert!(request.contains("\r\nce-type: invoice\r\n"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpContent {
    /// The headers to set: lower-case names, and values of visible ASCII.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Shows the length of the body instead of the body.
impl fmt::Debug for HttpContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpContent")
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl CloudEvent {
    /// In the structured mode: one JSON object with the attributes and the data.
    #[must_use]
    pub fn structured(&self) -> HttpContent {
        content("application/cloudevents+json", self.to_json())
    }

    /// In the binary mode: each attribute as a header `ce-..`, and the data as the body.
    ///
    /// Values are percent-encoded where the specification asks for it, so that any text passes.
    #[must_use]
    pub fn binary(&self) -> HttpContent {
        let content_type = self.datacontenttype();
        let content_type = content_type.map(|it| ("content-type".to_owned(), it.to_owned()));
        let attributes = self.attributes();
        let attributes =
            attributes.map(|(name, value)| (format!("ce-{name}"), encoded(&value.to_string())));
        HttpContent {
            headers: content_type.into_iter().chain(attributes).collect(),
            body: self.data().unwrap_or_default().as_bytes().to_vec(),
        }
    }

    /// Several in the batched mode: a JSON array. Only for receivers that have asked for it.
    #[must_use]
    pub fn batched<'c>(events: impl IntoIterator<Item = &'c Self>) -> HttpContent {
        let events: Vec<String> = events.into_iter().map(Self::to_json).collect();
        let json = format!("[{}]", events.join(","));
        content("application/cloudevents-batch+json", json)
    }

    /// The JSON of the structured mode, for brokers that take it as the body of a message.
    #[must_use]
    pub fn to_json(&self) -> String {
        let content_type = self.datacontenttype();
        let content_type = content_type.map(|it| ("datacontenttype", it.into()));
        let mut json = String::from("{");
        for (name, value) in self.attributes().chain(content_type) {
            let comma = if json.len() == 1 { "" } else { "," };
            // Writing to a string cannot fail, and a name needs no escape.
            let _ = write!(json, "{comma}\"{name}\":{}", value.to_json());
        }
        if let Some(data) = self.data() {
            json.push_str(",\"data\":");
            json.push_str(data);
        }
        json.push('}');
        json
    }
}

fn content(media_type: &str, json: String) -> HttpContent {
    let content_type = format!("{media_type}; charset=utf-8");
    HttpContent {
        headers: vec![("content-type".to_owned(), content_type)],
        body: json.into_bytes(),
    }
}

/// Percent-encodes spaces, double quotes, percent signs, and what is not visible ASCII.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' | ..=b' ' | 0x7f.. => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
            visible => encoded.push(char::from(visible)),
        }
    }
    encoded
}
