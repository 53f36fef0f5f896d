//! Stored event types that nobody handles, as a run found them at its start.

use std::sync::Arc;

use crate::error::StoreError;
use crate::statistics::TypeCounts;

/// The result of a look at the store.
pub(super) type Looked = Result<Arc<UnhandledTypes>, StoreError>;

/// The stored event types that nobody handles, as a run found them when it started:
/// [`Running::unhandled_types`](super::Running::unhandled_types).
///
/// # Examples
///
/// ```
/// # use outbox_runtime::{Running, StoreError, UnhandledTypes};
/// # async fn look(running: &Running) -> Result<(), StoreError> {
/// let unhandled: std::sync::Arc<UnhandledTypes> = running.unhandled_types().await?;
/// for counts in &unhandled.types {
///     println!("{} events of {} wait for a handler", counts.pending, counts.event_type);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UnhandledTypes {
    /// The types that neither this run nor any other announced run handles, in the order of their
    /// names. Their events wait.
    pub types: Vec<TypeCounts>,
    /// The types that are retired with [`hold`](crate::support::Retirement::Hold), in the order of
    /// their names. Their events wait because this run was told so.
    pub held: Vec<TypeCounts>,
    /// The number of undelivered and dead events that were looked at, the oldest ones.
    pub counted: u64,
    /// Whether these are all of them, so that no type is left out.
    pub is_complete: bool,
}
