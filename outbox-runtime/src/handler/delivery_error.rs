//! Errors of applications as answers of handlers.

use std::error::Error;
use std::sync::Arc;

use super::answer::{Delivery, HandlerError, Scope};
use crate::error::{BoxError, CompleteError};
use crate::metadata::DecodeError;

/// An application error that determines the runtime's reaction, so that `?` works in handlers.
///
/// [Derive](derive@crate::DeliveryError) it, or implement it if the answer depends on more than the
/// variant.
///
/// # Examples
///
/// ```
/// use std::fmt;
/// use outbox_runtime::{Delivery, DeliveryError, HandlerError};
///
/// #[derive(Debug)]
/// struct Refused {
///     status: u16,
/// }
///
/// impl fmt::Display for Refused {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         write!(f, "the server said {}", self.status)
///     }
/// }
///
/// impl std::error::Error for Refused {}
///
/// impl DeliveryError for Refused {
///     fn delivery(&self) -> Delivery {
///         match self.status {
///             500.. => Delivery::Retry { after: None },
///             _ => Delivery::Permanent,
///         }
///     }
/// }
///
/// async fn handler() -> Result<(), HandlerError> {
///     Err(Refused { status: 502 })?
/// }
/// ```
///
/// With a scope:
///
/// ```
/// use std::time::Duration;
/// use outbox_runtime::{Delivery, DeliveryError, Scope};
///
/// /// A quota of one user: the events of others go on.
/// #[derive(Debug, thiserror::Error)]
/// #[error("the quota of this hour is used up")]
/// struct QuotaUsedUp;
///
/// impl DeliveryError for QuotaUsedUp {
///     fn delivery(&self) -> Delivery {
///         Delivery::RateLimited { after: Duration::from_secs(600) }
///     }
///
///     fn scope(&self) -> Scope {
///         Scope::User
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no delivery class",
    label = "the runtime cannot tell whether to retry: choose with `.or_retry()` or `.or_permanent()`, or derive `DeliveryError`",
    note = "`HandlerResult` provides `or_retry` and `or_permanent` for any error; `DeliveryError` is for your own error types"
)]
pub trait DeliveryError: Error + Send + Sync + 'static {
    /// The runtime's reaction to this error.
    fn delivery(&self) -> Delivery;

    /// The scope of the answer, for answers that concern more than the event. Default: the event's
    /// destination.
    fn scope(&self) -> Scope {
        Scope::Destination
    }
}

impl<E: DeliveryError> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(error.delivery(), error.scope()).because(error)
    }
}

impl DeliveryError for DecodeError {
    fn delivery(&self) -> Delivery {
        Delivery::Undecodable
    }
}

/// The event is attempted again, or another worker has it.
impl DeliveryError for CompleteError {
    fn delivery(&self) -> Delivery {
        Delivery::Retry { after: None }
    }
}

impl<E: DeliveryError> DeliveryError for Box<E> {
    fn delivery(&self) -> Delivery {
        (**self).delivery()
    }

    fn scope(&self) -> Scope {
        (**self).scope()
    }
}

impl<E: DeliveryError + ?Sized> DeliveryError for Arc<E> {
    fn delivery(&self) -> Delivery {
        (**self).delivery()
    }

    fn scope(&self) -> Scope {
        (**self).scope()
    }
}

macro_rules! by_box {
    ($($error:ty),+) => {$(
        /// The standard library implements this only for a box of a sized error.
        impl Error for Box<$error> {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                (**self).source()
            }
        }

        impl DeliveryError for Box<$error> {
            fn delivery(&self) -> Delivery {
                (**self).delivery()
            }

            fn scope(&self) -> Scope {
                (**self).scope()
            }
        }
    )+};
}

// Distinct types with the same meaning, because every `DeliveryError` is `Send` and `Sync`.
by_box!(
    dyn DeliveryError,
    dyn DeliveryError + Send,
    dyn DeliveryError + Sync,
    dyn DeliveryError + Send + Sync
);

/// Conversions for errors that do not implement [`DeliveryError`], so that `?` works on them.
///
/// # Examples
///
/// ```
/// use outbox_runtime::{HandlerError, HandlerResult};
///
/// async fn handler(answer: &[u8]) -> Result<(), HandlerError> {
///     let text = std::str::from_utf8(answer).or_retry()?; // cut off: the next answer may be whole
///     let version: u32 = text.trim().parse().or_permanent()?; // another service: it stays so
///     println!("the service has version {version}");
///     Ok(())
/// }
/// ```
pub trait HandlerResult<T> {
    /// Answers an error with [retry](HandlerError::retry).
    ///
    /// # Errors
    ///
    /// The error, converted to a [`HandlerError`].
    fn or_retry(self) -> Result<T, HandlerError>;

    /// Answers an error with [permanent](HandlerError::permanent): no retry.
    ///
    /// # Errors
    ///
    /// The error, converted to a [`HandlerError`].
    fn or_permanent(self) -> Result<T, HandlerError>;
}

impl<T, E: Into<BoxError>> HandlerResult<T> for Result<T, E> {
    fn or_retry(self) -> Result<T, HandlerError> {
        self.map_err(HandlerError::retry)
    }

    fn or_permanent(self) -> Result<T, HandlerError> {
        self.map_err(HandlerError::permanent)
    }
}
