//! A store that counts its calls in progress.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outbox_runtime::store::{ClaimRequest, Exchange, OutboxQueue, Revision, Settlement};
use outbox_runtime::{Clock, OutboxRepository, async_trait};
use tokio::sync::watch;

/// The store of a processor. A store with threads of its own may answer later, while nothing runs
/// here.
pub(crate) struct Watched {
    inner: Arc<dyn OutboxRepository>,
    /// The number of unanswered calls.
    pub(crate) busy: watch::Sender<usize>,
    /// Changes whenever a call begins or ends.
    pub(crate) activity: AtomicU64,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn OutboxRepository>) -> Self {
        Self {
            inner,
            busy: watch::Sender::new(0),
            activity: AtomicU64::new(0),
        }
    }
}

struct Call<'a>(&'a Watched);

impl<'a> Call<'a> {
    fn begin(store: &'a Watched) -> Self {
        store.activity.fetch_add(1, Ordering::SeqCst);
        store.busy.send_modify(|calls| *calls += 1);
        Self(store)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.activity.fetch_add(1, Ordering::SeqCst);
        self.0.busy.send_modify(|calls| *calls -= 1);
    }
}

macro_rules! watched {
    (OutboxRepository: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxRepository for Watched {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                let _call = Call::begin(self);
                self.inner.$method($($arg),*).await
            })+
        }
    };
    (OutboxQueue: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxQueue for Watched {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                let _call = Call::begin(self);
                self.inner.$method($($arg),*).await
            })+

            async fn settle_and_claim(
                &self,
                settlements: Vec<Settlement>,
                request: &ClaimRequest,
            ) -> Exchange {
                let _call = Call::begin(self);
                self.inner.settle_and_claim(settlements, request).await
            }

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

outbox_testing::__store_calls!(watched);

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}
