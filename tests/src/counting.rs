//! A store that counts the calls of one method.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outbox_runtime::store::{OutboxQueue, Revision};
use outbox_runtime::{Clock, OutboxRepository};
use outbox_testing::StoreCall;

/// Counts calls of one method. An exchange counts as what it consists of: outcomes, if there are
/// any, and a claim.
#[derive(Debug)]
pub struct Counting {
    inner: Arc<dyn OutboxRepository>,
    call: StoreCall,
    calls: AtomicUsize,
}

impl Counting {
    /// Counts this call of a store.
    #[must_use]
    pub fn new(inner: Arc<dyn OutboxRepository>, call: StoreCall) -> Self {
        Self {
            inner,
            call,
            calls: AtomicUsize::new(0),
        }
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn count(&self, call: StoreCall) {
        if call == self.call {
            self.calls.fetch_add(1, Ordering::SeqCst);
        }
    }
}

macro_rules! counting {
    (OutboxRepository: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[outbox_runtime::async_trait]
        impl OutboxRepository for Counting {
            $(
                async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                    self.count(StoreCall::$call);
                    self.inner.$method($($arg),*).await
                }
            )+
        }
    };
    (OutboxQueue: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[outbox_runtime::async_trait]
        impl OutboxQueue for Counting {
            $(
                async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                    self.count(StoreCall::$call);
                    self.inner.$method($($arg),*).await
                }
            )+

            fn clock(&self) -> Arc<dyn Clock> {
                self.inner.clock()
            }

            fn can_follow(&self) -> bool {
                self.inner.can_follow()
            }

            fn revision(&self) -> Revision {
                self.inner.revision()
            }

            async fn changed(&self, seen: Revision) -> Revision {
                self.inner.changed(seen).await
            }
        }
    };
}
outbox_testing::__store_calls!(counting);
