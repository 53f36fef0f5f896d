//! The error of an unsuccessful response.

use std::fmt;

use ::http::status::StatusCode;

use super::statuses::remark;
use crate::handler::{Delivery, DeliveryError};

/// A response that is not a success.
///
/// The message contains the status, and the hosts if a redirect was followed. It contains no body,
/// path or query, because these may hold data that must not be logged.
///
/// # Examples
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use outbox_runtime::http::{HttpError, check};
/// use outbox_runtime::Operation;
///
/// let answer: Result<(), HttpError> =
///     check(StatusCode::CONFLICT, &HeaderMap::new(), Operation::Create);
/// let error = answer.err();
/// assert!(error.is_some_and(|error| error.status() == StatusCode::CONFLICT && !error.is_redirected()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    status: StatusCode,
    delivery: Delivery,
    redirected: Option<Redirected>,
}

/// A followed redirect: the request and the host that answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Redirected {
    method: String,
    sent_to: String,
    answered_by: String,
}

impl HttpError {
    pub(super) fn refused(status: StatusCode, delivery: Delivery) -> Self {
        Self {
            status,
            delivery,
            redirected: None,
        }
    }

    /// Creates the error of a response from another URL. Its status says nothing about the event.
    #[cfg(feature = "reqwest")]
    pub(super) fn redirected(
        status: StatusCode,
        method: &::http::Method,
        sent_to: String,
        answered_by: String,
    ) -> Self {
        let redirected = Redirected {
            method: method.to_string(),
            sent_to,
            answered_by,
        };
        Self {
            redirected: Some(redirected),
            ..Self::refused(status, Delivery::Unavailable { after: None })
        }
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the client followed a redirect, so that the response comes from another URL and its
    /// status may be a success.
    #[must_use]
    pub fn is_redirected(&self) -> bool {
        self.redirected.is_some()
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status;
        let Some(redirected) = &self.redirected else {
            return write!(f, "the service answered {status}{}", remark(status));
        };
        let Redirected {
            method,
            sent_to,
            answered_by,
        } = redirected;
        write!(f, "{method} to {sent_to} was redirected, and ")?;
        match answered_by == sent_to {
            true => write!(f, "another URL there answered {status}")?,
            false => write!(f, "{answered_by} answered {status}")?,
        }
        f.write_str(
            "; nothing was delivered; disable redirects in the client (`redirect::Policy::none()`)",
        )
    }
}

impl std::error::Error for HttpError {}

impl DeliveryError for HttpError {
    fn delivery(&self) -> Delivery {
        self.delivery
    }
}
