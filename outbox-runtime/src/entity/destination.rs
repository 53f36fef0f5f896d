//! The destination of an event.

use std::borrow::Cow;
use std::sync::Arc;

/// A value that `#[outbox(destination = ..)]` accepts: a string, or an `Option` of a string, where
/// `None` means no destination of its own.
///
/// # Examples
///
/// ```
/// use std::borrow::Cow;
/// use outbox_runtime::support::AsDestination;
///
/// enum Region { Europe, Elsewhere }
///
/// impl AsDestination for Region {
///     fn as_destination(&self) -> Option<Cow<'_, str>> {
///         match self {
///             Self::Europe => Some("eu.example.org".into()),
///             Self::Elsewhere => None,
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a destination",
    label = "not a string and not an `Option` of one",
    note = "for a type of your own, implement `outbox_runtime::support::AsDestination`"
)]
pub trait AsDestination {
    /// The destination as stored: not empty, at most 255 bytes, without control characters.
    fn as_destination(&self) -> Option<Cow<'_, str>>;
}

impl AsDestination for str {
    fn as_destination(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl AsDestination for String {
    fn as_destination(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl AsDestination for Cow<'_, str> {
    fn as_destination(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl<T: AsDestination> AsDestination for Option<T> {
    fn as_destination(&self) -> Option<Cow<'_, str>> {
        self.as_ref().and_then(T::as_destination)
    }
}

impl<T: AsDestination + ?Sized> AsDestination for &T {
    fn as_destination(&self) -> Option<Cow<'_, str>> {
        (**self).as_destination()
    }
}

impl<T: AsDestination + ?Sized> AsDestination for Arc<T> {
    fn as_destination(&self) -> Option<Cow<'_, str>> {
        (**self).as_destination()
    }
}

impl<T: AsDestination + ?Sized> AsDestination for Box<T> {
    fn as_destination(&self) -> Option<Cow<'_, str>> {
        (**self).as_destination()
    }
}
