//! The policy: the meanings of statuses for one service.

use std::time::Duration;

use ::http::header::HeaderMap;
use ::http::status::StatusCode;
use chrono::{DateTime, Utc};

use super::retry_after::{rate_limit, retry_after, retry_after_ms};
use super::{HttpError, Meaning};
use crate::clock::{Clock, SystemClock};
use crate::event::Operation;

/// The meanings of statuses for one service: the default table with changes by the application.
///
/// # Examples
///
/// A service that answers 409 to the creation of an existing entity, and 404 to the update of an
/// entity that someone else deleted:
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use outbox_runtime::http::{Meaning, Policy};
/// use outbox_runtime::{Delivery, DeliveryError, Operation};
///
/// let policy = Policy::new()
///     .means([409], Meaning::Permanent)
///     .means_on(Operation::Create, [409], Meaning::Delivered)
///     .means_on(Operation::Update, [404, 410], Meaning::Obsolete);
///
/// let conflict = |operation| policy.check(StatusCode::CONFLICT, &HeaderMap::new(), operation);
/// assert!(conflict(Operation::Create).is_ok());
/// assert_eq!(conflict(Operation::Update).unwrap_err().delivery(), Delivery::Permanent);
/// ```
///
/// A service that names short delays:
///
/// ```
/// use http::{HeaderMap, HeaderName, StatusCode};
/// use outbox_runtime::http::Policy;
/// use outbox_runtime::{Delivery, DeliveryError, Operation};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = Policy::new().read_retry_after_ms().read_rate_limit();
/// let name = HeaderName::from_static("retry-after-ms");
/// let headers = HeaderMap::from_iter([(name, "250".parse()?)]);
/// let now = "2026-10-21T07:27:30Z".parse()?;
/// let error = policy.check_at(StatusCode::TOO_MANY_REQUESTS, &headers, Operation::Update, now).err();
/// let after = Duration::from_millis(250);
/// assert_eq!(error.map(|error| error.delivery()), Some(Delivery::RateLimited { after }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Policy {
    /// The last matching row applies.
    rows: Vec<Row>,
    reads_retry_after_ms: bool,
    reads_rate_limit: bool,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    status: u16,
    /// `None`: any operation.
    operation: Option<Operation>,
    meaning: Meaning,
}

impl Policy {
    /// The default table.
    pub const fn new() -> Self {
        Self {
            rows: Vec::new(),
            reads_retry_after_ms: false,
            reads_rate_limit: false,
        }
    }

    /// Sets the meaning of statuses on any operation: `[409]`, `520..=530`. A later call overrides
    /// an earlier one.
    pub fn means(mut self, statuses: impl IntoIterator<Item = u16>, meaning: Meaning) -> Self {
        self.add(None, statuses, meaning);
        self
    }

    /// Sets the meaning of statuses on one operation.
    pub fn means_on(
        mut self,
        operation: Operation,
        statuses: impl IntoIterator<Item = u16>,
        meaning: Meaning,
    ) -> Self {
        self.add(Some(operation), statuses, meaning);
        self
    }

    /// Also reads `retry-after-ms` and `x-ms-retry-after-ms`, which give the delay in milliseconds
    /// and take precedence over `Retry-After`. Default: not read.
    pub fn read_retry_after_ms(mut self) -> Self {
        self.reads_retry_after_ms = true;
        self
    }

    /// Also reads `RateLimit`, in the form of the draft, if there is no `Retry-After`: the longest
    /// time until an exhausted quota resets (`"default";r=0;t=30`). Default: not read.
    pub fn read_rate_limit(mut self) -> Self {
        self.reads_rate_limit = true;
        self
    }

    /// Like the function [`check`](super::check), with this policy.
    ///
    /// # Errors
    ///
    /// [`HttpError`], which determines the runtime's reaction.
    pub fn check(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        operation: Operation,
    ) -> Result<(), HttpError> {
        self.check_at(status, headers, operation, SystemClock.now())
    }

    /// Like [`check`](Self::check), with the current time as an argument.
    ///
    /// # Errors
    ///
    /// See [`check`](Self::check).
    pub fn check_at(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        operation: Operation,
        now: DateTime<Utc>,
    ) -> Result<(), HttpError> {
        let wait = self.wait(headers, now);
        let meaning = self
            .row(status, operation)
            .unwrap_or_else(|| Meaning::of(status, operation, wait.is_some()));
        match meaning.delivery(wait) {
            None => Ok(()),
            Some(delivery) => Err(HttpError::refused(status, delivery)),
        }
    }

    /// The delay that the service asks for.
    fn wait(&self, headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
        let millis = self
            .reads_retry_after_ms
            .then(|| retry_after_ms(headers))
            .flatten();
        let quota = || self.reads_rate_limit.then(|| rate_limit(headers)).flatten();
        millis.or_else(|| retry_after(headers, now)).or_else(quota)
    }

    fn add(
        &mut self,
        operation: Option<Operation>,
        statuses: impl IntoIterator<Item = u16>,
        meaning: Meaning,
    ) {
        self.rows.extend(statuses.into_iter().map(|status| Row {
            status,
            operation,
            meaning,
        }));
    }

    fn row(&self, status: StatusCode, operation: Operation) -> Option<Meaning> {
        let fits = |row: &&Row| {
            row.status == status.as_u16() && row.operation.is_none_or(|only| only == operation)
        };
        self.rows.iter().rev().find(fits).map(|row| row.meaning)
    }
}
