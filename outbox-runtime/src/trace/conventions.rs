//! The names that spans use: the semantic conventions of OpenTelemetry for messaging, version 1.42.
//!
//! They are experimental as a whole, so an update of a crate with them could rename what dashboards
//! ask for. These constants change with a line in the changelog only.

/// The version of the conventions.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";

/// The messaging system.
pub(crate) const SYSTEM: &str = "messaging.system";
/// The step of the message, in the system's own words.
pub(crate) const OPERATION_NAME: &str = "messaging.operation.name";
/// The step of the message, in the words of the conventions.
pub(crate) const OPERATION_TYPE: &str = "messaging.operation.type";
/// The queue: here the type of the event.
pub(crate) const DESTINATION_NAME: &str = "messaging.destination.name";
/// The id of the event.
pub(crate) const MESSAGE_ID: &str = "messaging.message.id";
/// The number of events of a batch.
pub(crate) const BATCH_COUNT: &str = "messaging.batch.message_count";
/// The class of the failure.
pub(crate) const ERROR_TYPE: &str = "error.type";

/// The value of [`SYSTEM`].
pub(crate) const OUTBOX: &str = "outbox";
/// The value of [`OPERATION_NAME`] and of [`OPERATION_TYPE`].
pub(crate) const PROCESS: &str = "process";

// The conventions have no names for these.

/// The kind of change: `create`, `update` or `delete`.
pub(crate) const CHANGE: &str = "outbox.operation";
/// The destination of the event, if it has one.
pub(crate) const DESTINATION: &str = "outbox.destination";
/// The number of the attempt, counted from 1.
pub(crate) const ATTEMPT: &str = "outbox.attempt";
