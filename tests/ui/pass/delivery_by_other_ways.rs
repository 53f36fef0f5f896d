//! The runtime under a path of the user's choice, and errors made by `macro_rules`, in functions,
//! and with parameters.
mod deps {
    pub mod outbox {
        pub use outbox_runtime::*;
        pub use outbox_runtime::__private;
    }
}

use std::time::Duration;

use deps::outbox::{Delivery, DeliveryError};
use thiserror::Error;

#[derive(Debug, Error, DeliveryError)]
#[error("no connection")]
#[outbox(crate = crate::deps::outbox, offline)]
struct NoConnection;

#[derive(Debug, Error, DeliveryError)]
#[outbox(crate = crate::deps::outbox)]
enum SyncError<E: std::error::Error = NoConnection> {
    #[error("{0}")]
    #[outbox(transparent)]
    Inner(E),
    #[error("{0}")]
    #[outbox(transparent)]
    Boxed(Box<E>),
}

/// Names, types and attributes as a macro passes them on.
macro_rules! error {
    ($name:ident { $field:ident: $ty:ty } $class:ident) => {
        #[derive(Debug, Error, DeliveryError)]
        #[error("it")]
        #[outbox(crate = $crate::deps::outbox, $class(after = $field))]
        struct $name {
            $field: $ty,
        }
    };
}

error!(Throttled { wait: Duration } rate_limited);

fn main() {
    #[derive(Debug, Error, DeliveryError)]
    #[error("gone")]
    #[outbox(crate = crate::deps::outbox, obsolete)]
    struct Gone;

    let wait = Duration::from_secs(1);
    assert_eq!(Gone.delivery(), Delivery::Obsolete);
    assert_eq!(Throttled { wait }.delivery(), Delivery::RateLimited { after: wait });
    assert_eq!(SyncError::Inner(NoConnection).delivery(), Delivery::Offline);
    assert_eq!(SyncError::Boxed(Box::new(Gone)).delivery(), Delivery::Obsolete);
}
