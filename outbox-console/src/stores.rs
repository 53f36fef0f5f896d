//! The store of the console: one that the application has open, or one that is opened anew after a
//! failure.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use outbox_runtime::store::{BoxError, SystemClock};
use outbox_runtime::{Clock, OutboxRepository};
use tokio::sync::Mutex;

pub(crate) type Store = Arc<dyn OutboxRepository>;

type Opening = Pin<Box<dyn Future<Output = Result<Store, BoxError>> + Send>>;

pub(crate) struct Stores(Source);

enum Source {
    Open(Store),
    Opened {
        open: Box<dyn Fn() -> Opening + Send + Sync>,
        current: Mutex<Option<Store>>,
    },
}

impl Stores {
    pub(crate) fn of(store: Store) -> Self {
        Self(Source::Open(store))
    }

    pub(crate) fn opened_by<F>(open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Store, BoxError>> + Send + 'static,
    {
        Self(Source::Opened {
            open: Box::new(move || Box::pin(open())),
            current: Mutex::default(),
        })
    }

    /// The clock that sessions and pages go by.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match &self.0 {
            Source::Open(store) => store.clock(),
            Source::Opened { .. } => Arc::new(SystemClock),
        }
    }

    pub(crate) async fn current(&self) -> Result<Store, BoxError> {
        match &self.0 {
            Source::Open(store) => Ok(Arc::clone(store)),
            Source::Opened { open, current } => {
                let mut current = current.lock().await;
                if let Some(store) = &*current {
                    return Ok(Arc::clone(store));
                }
                let store = open().await?;
                Ok(Arc::clone(current.insert(store)))
            }
        }
    }

    /// Opens the store anew after a failure of this one. `None` if it is not ours to open.
    pub(crate) async fn renewed(&self, failed: &Store) -> Option<Result<Store, BoxError>> {
        let Source::Opened { current, .. } = &self.0 else {
            return None;
        };
        {
            let mut current = current.lock().await;
            // Another request may have opened it meanwhile.
            if current
                .as_ref()
                .is_some_and(|store| Arc::ptr_eq(store, failed))
            {
                *current = None;
                // It failed; that its files do not close either changes nothing.
                let _ = failed.suspend().await;
            }
        }
        Some(self.current().await)
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Open(store) => store.fmt(f),
            Source::Opened { .. } => f.write_str("a store that is opened when it is asked for"),
        }
    }
}
