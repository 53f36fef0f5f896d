//! Functions called by the code that `#[derive(DeliveryError)]` generates. Not public API.
//!
//! Each function is generic over the type of a user's field, so that the compiler underlines that
//! type if it is wrong.

use std::time::Duration;

use super::answer::{Delivery, Scope};
use super::delivery_error::DeliveryError;

/// The type of a field named by a required `after = ..`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a delay",
    label = "`after = ..` names this field, which is not a `Duration`",
    note = "its type must be `std::time::Duration`"
)]
pub trait Wait {
    /// The delay, from now.
    fn wait(&self) -> Duration;
}

impl Wait for Duration {
    fn wait(&self) -> Duration {
        *self
    }
}

/// The type of a field named by an optional `after = ..`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an optional delay",
    label = "`after = ..` names this field, which is not a `Duration`",
    note = "its type must be `std::time::Duration` or an `Option` of it"
)]
pub trait OptionalWait {
    /// The delay, from now.
    fn wait(&self) -> Option<Duration>;
}

impl OptionalWait for Duration {
    fn wait(&self) -> Option<Duration> {
        Some(*self)
    }
}

impl OptionalWait for Option<Duration> {
    fn wait(&self) -> Option<Duration> {
        *self
    }
}

/// `#[outbox(retry(after = field))]`.
pub fn retry_after<T: OptionalWait>(field: &T) -> Delivery {
    Delivery::Retry {
        after: field.wait(),
    }
}

/// `#[outbox(unavailable(after = field))]`.
pub fn unavailable<T: OptionalWait>(field: &T) -> Delivery {
    Delivery::Unavailable {
        after: field.wait(),
    }
}

/// `#[outbox(rate_limited(after = field))]`.
pub fn rate_limited<T: Wait>(field: &T) -> Delivery {
    Delivery::RateLimited {
        after: field.wait(),
    }
}

/// `#[outbox(snooze(after = field))]`.
pub fn snooze<T: Wait>(field: &T) -> Delivery {
    Delivery::Snooze {
        duration: field.wait(),
    }
}

/// The type of a field named by `destination = ..`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a destination name",
    label = "`destination = ..` names this field, which is not a string",
    note = "its type must be a string: `String`, `&'static str`, or any other `AsRef<str>`"
)]
pub trait Name {
    /// The name of the destination.
    fn name(&self) -> String;
}

#[diagnostic::do_not_recommend]
impl<T: AsRef<str>> Name for T {
    fn name(&self) -> String {
        self.as_ref().to_owned()
    }
}

/// `#[outbox(offline(destination = field))]`.
pub fn named<T: Name>(field: &T) -> Scope {
    Scope::Named(field.name())
}

/// The type of the field of a transparent error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no delivery class",
    label = "`transparent` uses the delivery class of this field, which has none",
    note = "derive or implement `DeliveryError` for it, or name a delivery class here instead of `transparent`"
)]
pub trait Answer: DeliveryError {}

#[diagnostic::do_not_recommend]
impl<E: DeliveryError> Answer for E {}

/// `#[outbox(transparent)]`: the error that answers.
pub fn forward<T: Answer>(field: &T) -> &dyn DeliveryError {
    field
}
