//! Stores for callers whose runtimes drive no sockets, such as those of the simulation.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use outbox_postgres::PostgresStore;
use outbox_runtime::store::{ClaimRequest, Exchange, OutboxQueue, Revision, Settlement};
use outbox_runtime::{Clock, OutboxRepository, async_trait};
use outbox_testing::ManualClock;
use tokio::runtime::{Builder, Runtime};

/// A [`PostgresStore`] that any runtime can call.
///
/// Its connections and tasks belong to a runtime with threads of its own. A call runs where its
/// caller runs, and ends where its caller ends, as a call of the store itself would.
#[derive(Clone)]
pub struct Aside {
    inner: PostgresStore,
}

impl Aside {
    /// A store on this clock, in a new schema.
    pub async fn open(clock: ManualClock) -> Self {
        let opened = crate::open(|store| store.clock(clock));
        let inner = run(opened).await;
        Self { inner }
    }

    /// The store itself.
    #[must_use]
    pub fn store(&self) -> &PostgresStore {
        &self.inner
    }
}

/// Runs a case on a PostgreSQL store, with a manual clock: the counterpart of the function of this
/// name in `outbox_tests`, for the tests that both packages run.
///
/// # Panics
///
/// If the case fails.
#[allow(clippy::expect_used, reason = "a failed test panics")]
pub fn on_each_store<F>(case: impl Fn(Arc<dyn OutboxRepository>, ManualClock) -> F)
where
    F: Future<Output = ()>,
{
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime can be started");
    runtime.block_on(async {
        let clock = ManualClock::new();
        let store = Aside::open(clock.clone()).await;
        case(Arc::new(store), clock).await;
    });
}

/// Runs this with the sockets, timers and tasks of the runtime of the connections, on any runtime.
pub async fn run<T>(future: impl Future<Output = T> + Send) -> T {
    Inside(Some(Box::pin(future))).await
}

/// The same where there is no runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// The runtime of the connections.
#[allow(clippy::expect_used, reason = "a failed test panics")]
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        let built = builder.worker_threads(2).enable_all().build();
        built.expect("the system has threads")
    })
}

/// A future that is polled, and dropped, within the runtime of the connections, whichever runtime
/// its task belongs to.
struct Inside<'a, T>(Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>);

impl<T> Future for Inside<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let _inside = runtime().enter();
        match &mut self.0 {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        let _inside = runtime().enter();
        drop(self.0.take());
    }
}

macro_rules! aside {
    (OutboxRepository: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxRepository for Aside {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                run(self.inner.$method($($arg),*)).await
            })+
        }
    };
    (OutboxQueue: $($call:ident: $method:ident($($arg:ident: $type:ty),*) -> $answer:ty, $error:ty;)+) => {
        #[async_trait]
        impl OutboxQueue for Aside {
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer, $error> {
                run(self.inner.$method($($arg),*)).await
            })+

            async fn settle_and_claim(
                &self,
                settlements: Vec<Settlement>,
                request: &ClaimRequest,
            ) -> Exchange {
                run(self.inner.settle_and_claim(settlements, request)).await
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
                run(self.inner.changed(seen)).await
            }
        }
    };
}

outbox_testing::__store_calls!(aside);

impl fmt::Debug for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Aside").field(&self.inner).finish()
    }
}
