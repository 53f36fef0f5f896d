//! The envelope for relays: an event as a CloudEvent, without anything that only the outbox knows.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Datelike as _, SecondsFormat, Utc};
use serde_json::value::RawValue;

use self::rule::{is_reserved, name_fault, schema_fault, source_fault, text_fault};
use crate::entity::OutboxEntity;
use crate::event::{Event, OutboxEvent};
use crate::headers::Headers;
use crate::metadata::RawMetadata;

mod error; // what cannot be in an envelope
mod http; // as the content of an HTTP message
mod rule; // what attributes may be
mod value; // values of attributes

pub use self::error::CloudEventError;
pub use self::http::HttpContent;
pub use self::value::AttributeValue;

/// An event as a [CloudEvent](https://cloudevents.io) of version 1.0, for brokers and for services
/// that take any producer's events. Made by [`OutboxEvent::cloud_event`] and
/// [`Event::cloud_event`].
///
/// | attribute | value |
/// |---|---|
/// | `id` | the event's id, the same for every attempt: consumers recognize a repetition by `source` and `id` |
/// | `source` | as given |
/// | `type` | the event type; [`with_type`](Self::with_type) prefixes it |
/// | `subject` | the entity's id |
/// | `time` | when the event was enqueued |
/// | `datacontenttype` | `application/json`, if there is metadata |
/// | `operation` | `create`, `update` or `delete` |
/// | `dataversion` | the version of the metadata, an integer, if there is metadata |
/// | `traceparent`, `tracestate` | the [trace context](crate::TraceContext), if there is one |
/// | others | the headers, as below |
///
/// The data is the metadata, byte for byte. What the outbox knows about the delivery is no part of
/// the change and left out: status, attempts, lease, priority, order. So is the user, whose id may
/// be personal: [`with_extension`](Self::with_extension) adds it where consumers need it.
///
/// The guide: [relays](https://docs.rs/outbox-guide/latest/outbox_guide/relays/).
///
/// # Headers
///
/// A header becomes an extension attribute. The names of attributes consist of `a` to `z` and `0`
/// to `9`, so `-`, `_` and `.` are removed: `x-tenant` is the attribute `xtenant`. A header is left
/// out if
///
/// - it is sensitive: brokers keep and show attributes;
/// - its name then has other characters, or more than
///   [`MAX_NAME_BYTES`](Self::MAX_NAME_BYTES);
/// - its name is that of an attribute above or of the specification, or that of a header before it;
///   one that needs no change goes before one that does;
/// - its value has a character that attributes must not have, a noncharacter of Unicode.
///
/// [`with_extension`](Self::with_extension) adds one under another name.
///
/// # Examples
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # #[derive(OutboxEntity)]
/// # #[outbox(event_type = "invoice")]
/// # struct Invoice {
/// #     #[outbox(entity_id)]
/// #     number: i64,
/// #     #[outbox(user_id)]
/// #     tenant: String,
/// #     #[outbox(metadata)]
/// #     total: u32,
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # let invoice = Invoice { number: 7, tenant: "acme".into(), total: 120 };
/// invoice.enqueue_create().header("x-region", "eu").on(&store).await?;
/// let event = store.fetch_pending_events(None, None).await?.remove(0);
///
/// let envelope = event.cloud_event("/billing")?.with_type("com.example.invoice")?;
/// let content = envelope.structured();
/// assert_eq!(content.headers[0].1, "application/cloudevents+json; charset=utf-8");
/// let json: serde_json::Value = serde_json::from_slice(&content.body)?;
/// assert_eq!((&json["subject"], &json["xregion"]), (&"7".into(), &"eu".into()));
/// assert_eq!(json["data"]["total"], 120);
///
/// let content = envelope.binary();
/// assert!(content.headers.contains(&("ce-type".into(), "com.example.invoice".into())));
/// assert_eq!(content.body, br#"{"total":120}"#);
/// # Ok(())
/// # }
/// ```
///
/// Other attributes, and what the bindings of brokers are made of:
///
/// ```
/// # use outbox_runtime::prelude::*;
/// # use outbox_runtime::{CloudEvent, NewEvent, RawMetadata};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let new = NewEvent::new("invoice", 7, "acme", Operation::Create)
/// #     .with_metadata(RawMetadata::from_bytes("{}"));
/// # let event = MemoryStore::new().create_event(new).await?;
/// let envelope = event
///     .cloud_event("https://example.com/billing")?
///     .with_id(format!("billing-{}", event.id))?
///     .with_subject("invoices/7")?
///     .with_dataschema("https://example.com/schemas/invoice.json")?
///     .with_extension("partitionkey", event.user_id.as_str())?
///     .without_extension("operation");
///
/// // For Kafka in the binary mode, one header for each; in the structured mode, one value.
/// for (name, value) in envelope.attributes() {
///     println!("ce_{name}: {value}");
/// }
/// assert_eq!(envelope.datacontenttype(), Some("application/json"));
/// assert!(envelope.to_json().contains(r#""partitionkey":"acme""#));
///
/// // Several at once, for a receiver that has asked for it.
/// let other = envelope.clone().with_id("other")?.without_subject();
/// let content = CloudEvent::batched([&envelope, &other]);
/// assert!(content.body.starts_with(b"[{"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq)]
#[must_use = "nothing is sent until you do so"]
pub struct CloudEvent {
    id: String,
    source: String,
    event_type: String,
    subject: Option<String>,
    time: String,
    dataschema: Option<String>,
    extensions: BTreeMap<String, AttributeValue>,
    /// JSON.
    data: Option<String>,
}

/// What the attributes take from an event besides its row.
#[derive(Clone, Copy)]
struct Content<'e> {
    event_type: &'e str,
    metadata: Option<&'e RawMetadata>,
    version: u32,
}

impl OutboxEvent {
    /// The event as a [`CloudEvent`] from this source: a URI, or a reference such as `/billing`,
    /// that names the producer. Together with the event's id it is unique. See [`CloudEvent`] for
    /// an example.
    ///
    /// # Errors
    ///
    /// [`CloudEventError`] if the source is no URI reference, or the row is damaged: metadata that
    /// is not JSON, a type with control characters, or a time that RFC 3339 cannot express. No
    /// retry helps.
    pub fn cloud_event(&self, source: impl Into<String>) -> Result<CloudEvent, CloudEventError> {
        let content = Content {
            event_type: &self.event_type,
            metadata: self.metadata.as_ref(),
            version: self.metadata_version,
        };
        CloudEvent::of(self, content, source.into())
    }
}

impl<E: OutboxEntity> Event<E> {
    /// The event as a [`CloudEvent`] from this source, as
    /// [`OutboxEvent::cloud_event`] makes it, but always of the newest type: under the entity's
    /// event type, if it was stored under an alias, and with the newest version of its metadata.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # use outbox_runtime::HandlerSet;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "invoice")]
    /// # struct Invoice { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # async fn publish(_: String) -> Result<(), HandlerError> { Ok(()) }
    /// async fn relay(event: Event<Invoice>) -> Result<(), HandlerError> {
    ///     // No retry mends a row that is damaged.
    ///     let envelope = event.cloud_event("/billing").or_permanent()?;
    ///     publish(envelope.to_json()).await
    /// }
    ///
    /// let handlers = HandlerSet::new().with(relay);
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`OutboxEvent::cloud_event`].
    pub fn cloud_event(&self, source: impl Into<String>) -> Result<CloudEvent, CloudEventError> {
        let row: &OutboxEvent = self;
        let newest = E::OPTIONS.metadata_version();
        let upcast = match row.metadata_version == newest {
            true => None,
            false => {
                let encoded = RawMetadata::encode(self.metadata());
                Some(encoded.map_err(|_| CloudEventError::Data {
                    reason: "cannot be serialized as JSON".to_owned(),
                })?)
            }
        };
        let content = Content {
            event_type: E::EVENT_TYPE,
            metadata: upcast.as_ref().or(row.metadata.as_ref()),
            version: newest,
        };
        CloudEvent::of(row, content, source.into())
    }
}

impl CloudEvent {
    /// The version of the specification: `1.0`.
    pub const SPEC_VERSION: &'static str = "1.0";
    /// The maximum length of the name of an extension attribute, in bytes: 20, as the specification
    /// recommends.
    pub const MAX_NAME_BYTES: usize = rule::MAX_NAME_BYTES;
    /// The media type of the data.
    pub(crate) const DATA_CONTENT_TYPE: &'static str = "application/json";

    fn of(
        event: &OutboxEvent,
        content: Content<'_>,
        source: String,
    ) -> Result<Self, CloudEventError> {
        if let Some(reason) = source_fault(&source) {
            return Err(CloudEventError::Source { reason });
        }
        let Content {
            event_type,
            metadata,
            version,
        } = content;
        let data = metadata.map(json_of).transpose()?;
        let mut extensions = BTreeMap::new();
        let mut add = |name: &str, value: AttributeValue| {
            extensions.insert(name.to_owned(), value);
        };
        add("operation", event.operation.as_str().into());
        if data.is_some() {
            let version = i32::try_from(version).unwrap_or(i32::MAX);
            add("dataversion", version.into());
        }
        if let Some(context) = event.trace_context() {
            add("traceparent", context.traceparent().into());
            if let Some(state) = context.tracestate() {
                add("tracestate", state.into());
            }
        }
        let mut envelope = Self {
            id: event.id.to_string(),
            source,
            event_type: String::new(),
            subject: None,
            time: time_of(event.created_at)?,
            dataschema: None,
            extensions,
            data,
        };
        envelope.add_headers(event.headers());
        let subject = event.entity_id.to_string();
        envelope.with_type(event_type)?.with_subject(subject)
    }

    fn add_headers(&mut self, headers: &Headers) {
        let is_plain = |(name, _): &(&str, &str)| attribute_name(name) == *name;
        let plain = headers.iter().filter(is_plain);
        let changed = headers.iter().filter(|header| !is_plain(header));
        for (name, value) in plain.chain(changed) {
            let attribute = attribute_name(name);
            let is_left_out = headers.is_sensitive(name)
                || name_fault(&attribute).is_some()
                || is_ours(&attribute)
                || text_fault(value).is_some();
            if !is_left_out {
                let entry = self.extensions.entry(attribute);
                entry.or_insert_with(|| value.into());
            }
        }
    }

    /// Replaces the id. Together with the source it must be unique for each event, and the same
    /// for each attempt.
    ///
    /// # Errors
    ///
    /// [`CloudEventError::Attribute`] if it is empty or has control characters.
    pub fn with_id(mut self, id: impl Into<String>) -> Result<Self, CloudEventError> {
        self.id = required("id", id.into())?;
        Ok(self)
    }

    /// Replaces the type. The specification recommends the reversed name of a domain as a prefix:
    /// `com.example.invoice`.
    ///
    /// # Errors
    ///
    /// [`CloudEventError::Type`] if it is empty or has control characters.
    pub fn with_type(mut self, event_type: impl Into<String>) -> Result<Self, CloudEventError> {
        let event_type = event_type.into();
        match required_fault(&event_type) {
            Some(reason) => Err(CloudEventError::Type { reason }),
            None => {
                self.event_type = event_type;
                Ok(self)
            }
        }
    }

    /// Replaces the subject: what the event is about, as seen from the source.
    ///
    /// # Errors
    ///
    /// [`CloudEventError::Attribute`] if it is empty or has control characters.
    pub fn with_subject(mut self, subject: impl Into<String>) -> Result<Self, CloudEventError> {
        self.subject = Some(required("subject", subject.into())?);
        Ok(self)
    }

    /// Removes the subject.
    pub fn without_subject(mut self) -> Self {
        self.subject = None;
        self
    }

    /// Sets the URI of the schema of the data. Default: none.
    ///
    /// # Errors
    ///
    /// [`CloudEventError::Attribute`] if it is not an absolute URI.
    pub fn with_dataschema(mut self, uri: impl Into<String>) -> Result<Self, CloudEventError> {
        let uri = uri.into();
        if let Some(reason) = schema_fault(&uri) {
            let name = "dataschema".to_owned();
            return Err(CloudEventError::Attribute { name, reason });
        }
        self.dataschema = Some(uri);
        Ok(self)
    }

    /// Sets an extension attribute, or replaces the one with this name: a header under another
    /// name, `partitionkey` for Kafka, the user.
    ///
    /// # Errors
    ///
    /// [`CloudEventError::Attribute`] if the name has other characters than `a` to `z` and `0` to
    /// `9`, is longer than [`MAX_NAME_BYTES`](Self::MAX_NAME_BYTES), or is one of the
    /// specification's, or if the value has control characters.
    pub fn with_extension(
        mut self,
        name: &str,
        value: impl Into<AttributeValue>,
    ) -> Result<Self, CloudEventError> {
        let value = value.into();
        let fault = name_fault(name)
            .or_else(|| {
                is_reserved(name).then(|| "is an attribute of the specification".to_owned())
            })
            .or_else(|| value.as_str().and_then(text_fault));
        if let Some(reason) = fault {
            let name = name.to_owned();
            return Err(CloudEventError::Attribute { name, reason });
        }
        self.extensions.insert(name.to_owned(), value);
        Ok(self)
    }

    /// Removes an extension attribute: `operation`, `dataversion` or one made of a header.
    pub fn without_extension(mut self, name: &str) -> Self {
        self.extensions.remove(name);
        self
    }

    /// All attributes except `datacontenttype`, those of the specification first: what a binding
    /// such as Kafka's maps to the headers of a message.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, AttributeValue)> {
        let own = [
            ("specversion", Some(Self::SPEC_VERSION)),
            ("id", Some(self.id.as_str())),
            ("source", Some(self.source.as_str())),
            ("type", Some(self.event_type.as_str())),
            ("subject", self.subject.as_deref()),
            ("time", Some(self.time.as_str())),
            ("dataschema", self.dataschema.as_deref()),
        ];
        let own = own.into_iter();
        let own = own.filter_map(|(name, value)| Some((name, AttributeValue::from(value?))));
        let extensions = self.extensions.iter();
        own.chain(extensions.map(|(name, value)| (name.as_str(), value.clone())))
    }

    /// The media type of the data: `application/json`. `None` if there is no data.
    #[must_use]
    pub fn datacontenttype(&self) -> Option<&'static str> {
        self.data.as_ref().map(|_| Self::DATA_CONTENT_TYPE)
    }

    /// The data: JSON. `None` if the event has no metadata.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        self.data.as_deref()
    }
}

/// Shows the length of the data instead of the data.
impl fmt::Debug for CloudEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("CloudEvent");
        for (name, value) in self.attributes() {
            shown.field(name, &value.to_string());
        }
        let bytes = self.data.as_ref().map(String::len);
        shown.field("data_bytes", &bytes).finish()
    }
}

fn json_of(metadata: &RawMetadata) -> Result<String, CloudEventError> {
    let json: Result<&RawValue, _> = serde_json::from_slice(metadata.as_bytes());
    match json {
        Ok(json) => Ok(json.get().to_owned()),
        // The text of the error may quote a value.
        Err(error) => Err(CloudEventError::Data {
            reason: format!(
                "is not JSON at line {} column {}",
                error.line(),
                error.column()
            ),
        }),
    }
}

fn time_of(at: DateTime<Utc>) -> Result<String, CloudEventError> {
    if (0..=9_999).contains(&at.year()) {
        return Ok(at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
    }
    Err(CloudEventError::Attribute {
        name: "time".to_owned(),
        reason: format!("is {at}, and RFC 3339 has the years 0 to 9999"),
    })
}

fn required(name: &str, text: String) -> Result<String, CloudEventError> {
    match required_fault(&text) {
        Some(reason) => Err(CloudEventError::Attribute {
            name: name.to_owned(),
            reason,
        }),
        None => Ok(text),
    }
}

fn required_fault(text: &str) -> Option<String> {
    match text {
        "" => Some("is empty".to_owned()),
        text => text_fault(text),
    }
}

/// The name of the attribute for a header.
fn attribute_name(header: &str) -> String {
    header.replace(['-', '_', '.'], "")
}

/// Whether the attribute is one that the event itself has, or may have.
fn is_ours(name: &str) -> bool {
    is_reserved(name)
        || matches!(
            name,
            "operation" | "dataversion" | "traceparent" | "tracestate"
        )
}
