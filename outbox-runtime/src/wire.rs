//! The serde form of an event: the keys of the Swift `Codable` it is compatible with, and
//! additional keys.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::__private::GENERIC;
use crate::entity::{DEFAULT_MAX_ATTEMPTS, EntityId, OnDead, Order, Parent};
use crate::event::{
    DeadReason, Operation, OutboxEvent, OutboxStatus, PromisesOfRun, Refusal, RefusalClass,
};
use crate::headers::Headers;
use crate::metadata::RawMetadata;
use crate::trace::TraceContext;

/// The serialized form of an event. A struct shared by both directions would need defaults for
/// fields that are always written.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    id: Uuid,
    seq: i64,
    event_type: &'a str,
    #[serde(rename = "entityID")]
    entity_id: &'a EntityId,
    #[serde(rename = "entityIDType")]
    entity_id_type: &'static str,
    #[serde(rename = "userID")]
    user_id: &'a str,
    operation: Operation,
    is_new_record: bool,
    status: OutboxStatus,
    priority: i32,
    #[serde(serialize_with = "rfc3339")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339")]
    next_attempt_at: DateTime<Utc>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "some_rfc3339"
    )]
    last_attempt_at: Option<DateTime<Utc>>,
    attempt_count: u32,
    max_attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "some_rfc3339"
    )]
    completed_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawMetadata>,
    metadata_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_token: Option<Uuid>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "some_rfc3339"
    )]
    lease_expires_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_reason: Option<DeadReason>,
    order: Order,
    on_dead: OnDead,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    deferrals: u32,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "some_rfc3339"
    )]
    deferred_since: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<&'a Refusal>,
    #[serde(skip_serializing_if = "is_zero")]
    crashes: u32,
    #[serde(skip_serializing_if = "is_zero")]
    snoozes: u32,
    #[serde(skip_serializing_if = "is_zero")]
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "some_rfc3339"
    )]
    expires_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup_key: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Parent]>::is_empty")]
    parents: &'a [Parent],
    #[serde(skip_serializing_if = "Headers::is_empty")]
    headers: &'a Headers,
}

/// A counter at zero, which nearly every event has, is omitted.
fn is_zero<N: Default + PartialEq>(count: &N) -> bool {
    *count == N::default()
}

impl Serialize for OutboxEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written {
            id: self.id,
            seq: self.seq,
            event_type: &self.event_type,
            entity_id: &self.entity_id,
            entity_id_type: id_type(&self.entity_id),
            user_id: &self.user_id,
            operation: self.operation,
            is_new_record: self.is_new_record(),
            status: self.status,
            priority: self.priority,
            created_at: self.created_at,
            next_attempt_at: self.next_attempt_at,
            last_attempt_at: self.last_attempt_at,
            attempt_count: self.attempt_count,
            max_attempts: self.max_attempts,
            error_message: self.error_message.as_deref(),
            completed_at: self.completed_at,
            metadata: self.metadata.as_ref(),
            metadata_version: self.metadata_version,
            lease_token: self.lease_token,
            lease_expires_at: self.lease_expires_at,
            dead_reason: self.dead_reason,
            order: self.order,
            on_dead: self.on_dead,
            destination: self.destination.as_deref(),
            deferrals: self.deferrals,
            deferred_since: self.deferred_since,
            last_refusal: self.last_refusal.as_ref(),
            crashes: self.crashes,
            snoozes: self.snoozes,
            revision: self.revision,
            traceparent: self.trace_context().map(TraceContext::traceparent),
            tracestate: self.trace_context().and_then(TraceContext::tracestate),
            expires_at: self.expires_at,
            dedup_key: self.dedup_key.as_deref(),
            parents: &self.parents,
            headers: &self.headers,
        }
        .serialize(serializer)
    }
}

/// The deserialized form of an event, as written by Swift or by this library.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    id: Uuid,
    #[serde(default)]
    seq: i64,
    event_type: String,
    #[serde(rename = "entityID")]
    entity_id: Id,
    #[serde(rename = "entityIDType")]
    entity_id_type: Option<String>,
    #[serde(rename = "userID")]
    user_id: String,
    operation: Option<Operation>,
    is_new_record: Option<bool>,
    status: OutboxStatus,
    #[serde(default)]
    priority: i32,
    created_at: Time,
    next_attempt_at: Option<Time>,
    last_attempt_at: Option<Time>,
    #[serde(default)]
    attempt_count: u32,
    max_attempts: Option<u32>,
    error_message: Option<String>,
    completed_at: Option<Time>,
    metadata: Option<RawMetadata>,
    metadata_version: Option<u32>,
    lease_token: Option<Uuid>,
    lease_expires_at: Option<Time>,
    dead_reason: Option<DeadReason>,
    order: Option<Order>,
    on_dead: Option<OnDead>,
    destination: Option<String>,
    #[serde(default)]
    deferrals: u32,
    deferred_since: Option<Time>,
    last_refusal: Option<Refusal>,
    #[serde(default)]
    crashes: u32,
    #[serde(default)]
    snoozes: u32,
    #[serde(default)]
    revision: u64,
    traceparent: Option<String>,
    tracestate: Option<String>,
    expires_at: Option<Time>,
    dedup_key: Option<String>,
    #[serde(default)]
    parents: Vec<Parent>,
    headers: Option<Headers>,
}

impl<'de> Deserialize<'de> for OutboxEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(deserializer)?;
        let entity_id = match (read.entity_id_type.as_deref(), read.entity_id) {
            // An upper-case string that looks like a UUID stays a string if the entity has a text
            // id.
            (Some("text"), Id::Text(id)) => id.into(),
            (_, id) => id.into(),
        };
        let operation = match (read.operation, read.is_new_record) {
            (Some(operation), _) => operation,
            (None, Some(true)) => Operation::Create,
            (None, Some(false)) => Operation::Update,
            (None, None) => return Err(D::Error::missing_field("isNewRecord")),
        };
        let metadata = match (read.metadata, read.metadata_version) {
            // Only Swift omits the version, and only Swift tags metadata.
            (Some(raw), None) => Some(untagged(raw, &read.event_type)),
            (metadata, _) => metadata,
        };
        Ok(Self {
            id: read.id,
            seq: read.seq,
            event_type: read.event_type,
            entity_id,
            user_id: read.user_id,
            operation,
            status: read.status,
            priority: read.priority,
            created_at: read.created_at.0,
            next_attempt_at: read.next_attempt_at.unwrap_or(read.created_at).0,
            last_attempt_at: read.last_attempt_at.map(|time| time.0),
            attempt_count: read.attempt_count,
            max_attempts: read.max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS),
            error_message: read.error_message,
            completed_at: read.completed_at.map(|time| time.0),
            metadata,
            metadata_version: read.metadata_version.unwrap_or(1),
            lease_token: read.lease_token,
            lease_expires_at: read.lease_expires_at.map(|time| time.0),
            dead_reason: read.dead_reason,
            order: read.order.unwrap_or_default(),
            on_dead: read.on_dead.unwrap_or_default(),
            destination: read.destination,
            deferrals: read.deferrals,
            deferred_since: read.deferred_since.map(|time| time.0),
            last_refusal: read.last_refusal,
            crashes: read.crashes,
            snoozes: read.snoozes,
            revision: read.revision,
            trace_context: trace_context(read.traceparent, read.tracestate),
            expires_at: read.expires_at.map(|time| time.0),
            dedup_key: read.dedup_key,
            parents: read.parents,
            headers: read.headers.unwrap_or_default(),
            promises: PromisesOfRun::default(),
        })
    }
}

/// A trace context that is malformed is left out: it must not keep an event from being read.
fn trace_context(traceparent: Option<String>, tracestate: Option<String>) -> Option<TraceContext> {
    let context = TraceContext::new(&traceparent?).ok()?;
    let Some(tracestate) = tracestate else {
        return Some(context);
    };
    Some(
        context
            .clone()
            .with_tracestate(&tracestate)
            .unwrap_or(context),
    )
}

/// `{"moodEntry": {..}}` → `{..}` and `{"generic": {"_0": {..}}}` → `{..}`; anything else is
/// unchanged.
fn untagged(raw: RawMetadata, event_type: &str) -> RawMetadata {
    let only = |json: &[u8], key: &str| -> Option<RawMetadata> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(json).ok()?;
        if object.len() != 1 || !object.contains_key(key) {
            return None;
        }
        // Parsed again as raw values, so that the inner text stays byte for byte.
        let mut fields: std::collections::BTreeMap<Cow<'_, str>, Box<RawValue>> =
            serde_json::from_slice(json).ok()?;
        let inner = fields.remove(key)?;
        Some(RawMetadata::from_bytes(String::from(Box::<str>::from(
            inner,
        ))))
    };
    if let Some(inner) = only(raw.as_bytes(), event_type) {
        return inner;
    }
    only(raw.as_bytes(), GENERIC)
        .and_then(|generic| only(generic.as_bytes(), "_0"))
        .unwrap_or(raw)
}

fn id_type(id: &EntityId) -> &'static str {
    match id {
        EntityId::Uuid(_) => "uuid",
        EntityId::Integer(_) => "integer",
        EntityId::Text(_) => "text",
    }
}

impl Serialize for EntityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Uuid(id) => id.serialize(serializer),
            Self::Integer(id) => id.serialize(serializer),
            Self::Text(id) => id.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for EntityId {
    /// A string in the hyphenated form of a UUID, in any case, is a UUID.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Id::deserialize(deserializer).map(Self::from)
    }
}

/// An entity id in JSON.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Id {
    Integer(i64),
    Text(String),
}

impl From<Id> for EntityId {
    fn from(id: Id) -> Self {
        match id {
            Id::Integer(id) => Self::Integer(id),
            Id::Text(text) => match Uuid::try_parse(&text) {
                Ok(id) if text.len() == uuid::fmt::Hyphenated::LENGTH => Self::Uuid(id),
                _ => text.into(),
            },
        }
    }
}

/// A time as RFC 3339, or as Swift's seconds since 2001-01-01T00:00:00Z.
#[derive(Clone, Copy)]
struct Time(DateTime<Utc>);

/// 2001-01-01T00:00:00Z in seconds since 1970 (Apple,
/// `NSDate.timeIntervalBetween1970AndReferenceDate`).
const SWIFT_EPOCH: i64 = 978_307_200;

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Form {
            Swift(f64),
            Rfc3339(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Swift(seconds) => from_swift(seconds).map(Self).ok_or_else(|| {
                D::Error::custom(format_args!("{seconds} s since 2001 is not a date"))
            }),
            // chrono writes a year of more than four digits with a sign, which RFC 3339 does not
            // allow. Such a time results from a saturated delay.
            Form::Rfc3339(text) if text.starts_with(['+', '-']) => text
                .parse()
                .map(|time| Self(crate::clock::to_micros(time)))
                .map_err(|error| D::Error::custom(format_args!("{text:?} is not a time: {error}"))),
            Form::Rfc3339(text) => DateTime::parse_from_rfc3339(&text)
                .map(|time| Self(crate::clock::to_micros(time.to_utc())))
                .map_err(|error| {
                    D::Error::custom(format_args!("{text:?} is not an RFC 3339 time: {error}"))
                }),
        }
    }
}

fn from_swift(seconds: f64) -> Option<DateTime<Utc>> {
    // The largest `f64` below which every microsecond count fits an `i64`.
    const LIMIT: f64 = 9.0e12;
    if !seconds.is_finite() || seconds.abs() > LIMIT {
        return None;
    }
    let micros = TimeDelta::microseconds((seconds * 1e6).round() as i64);
    DateTime::from_timestamp(SWIFT_EPOCH, 0)?.checked_add_signed(micros)
}

fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

fn some_rfc3339<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Serializes a stored word as the word itself.
macro_rules! serde_as_word {
    ($($type:ident),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    )+};
}

serde_as_word!(
    OutboxStatus,
    Operation,
    DeadReason,
    Order,
    OnDead,
    RefusalClass
);
