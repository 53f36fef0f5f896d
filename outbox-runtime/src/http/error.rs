//! An answer that is no success.

use std::fmt;

use ::http::status::StatusCode;

use super::statuses::remark;
use crate::handler::{Delivery, DeliveryError};

/// An answer that is not a success.
///
/// Its text names the status, and where a redirect was followed the hosts; bodies, paths and queries may hold what must not be
/// in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    status: StatusCode,
    delivery: Delivery,
    redirected: Option<Redirected>,
}

/// Something else answered than what was asked.
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

    /// What `answered_by` says to `status` is not about the event, whatever it is.
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

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the client followed a redirect, so that the answer is another URL's, and its status may well be a success.
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
            ": nothing was delivered; the client must not follow redirects (`redirect::Policy::none()`)",
        )
    }
}

impl std::error::Error for HttpError {}

impl DeliveryError for HttpError {
    fn delivery(&self) -> Delivery {
        self.delivery
    }
}
