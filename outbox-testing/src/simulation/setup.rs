//! The source of changes, and the error that ends a simulation early.

use crate::SeededRng;
use outbox_runtime::{EnqueueError, NewEvent, StoreError};

/// Makes a change of the given user.
pub(super) type Changes = Box<dyn FnMut(&mut SeededRng, &str) -> Result<NewEvent, EnqueueError>>;

/// An error that prevents the simulation from continuing.
pub(super) struct Setup(pub(super) String);

impl From<StoreError> for Setup {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}
