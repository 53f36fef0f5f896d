//! The refusals of the remote service.

use std::time::Duration;

use thiserror::Error;

use outbox_runtime::{Delivery, DeliveryError};

/// The refusals of a [`Remote`](crate::Remote). Using `?` in a handler handles each correctly.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Delivery, DeliveryError};
/// use outbox_testing::RemoteError;
///
/// assert_eq!(RemoteError::Refused.delivery(), Delivery::Permanent);
/// assert_eq!(RemoteError::Gone.delivery(), Delivery::Obsolete);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// No connection.
    #[error("no connection")]
    Offline,
    /// 401.
    #[error("the credentials are refused")]
    Unauthenticated,
    /// 429 with `Retry-After`.
    #[error("too many requests")]
    RateLimited {
        /// The time to wait before the next request.
        after: Duration,
    },
    /// 503, before or after it accepted the request.
    #[error("unavailable")]
    Unavailable,
    /// 500.
    #[error("internal error")]
    Failed,
    /// 422.
    #[error("refused")]
    Refused,
    /// 404 to a delete.
    #[error("already gone")]
    Gone,
}

impl DeliveryError for RemoteError {
    fn delivery(&self) -> Delivery {
        match *self {
            Self::Offline => Delivery::Offline,
            Self::Unauthenticated => Delivery::Unauthenticated,
            Self::RateLimited { after } => Delivery::RateLimited { after },
            Self::Unavailable => Delivery::Unavailable { after: None },
            Self::Failed => Delivery::Retry { after: None },
            Self::Refused => Delivery::Permanent,
            Self::Gone => Delivery::Obsolete,
        }
    }
}
