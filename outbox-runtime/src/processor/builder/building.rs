//! Builds a processor: the checks of its settings against each other.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::ProcessorBuilder;
use crate::error::BuildError;
use crate::handler::Layered;
use crate::processor::Processor;
use crate::processor::limits::Limits;
use crate::processor::routes::Routes;

/// Cap on `batch_size` and `max_concurrency`: larger values mean the same.
const MAX_COUNT: usize = 65_536;

/// Each lease is renewed after a third of its duration, and each renewal is a commit. With shorter
/// leases a run would do nothing but renew.
const SHORTEST_LEASE: Duration = Duration::from_millis(10);

impl ProcessorBuilder {
    /// Checks the settings against each other and builds the processor. It spawns its runs on the
    /// tokio runtime that this is called in, which must have its timers enabled (as
    /// `#[tokio::main]` does).
    ///
    /// # Errors
    ///
    /// [`BuildError`], naming the settings or handlers that contradict each other.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{BuildError, MemoryStore, Processor};
    ///
    /// let error = Processor::builder(MemoryStore::new()).build().err();
    /// assert!(matches!(error, Some(BuildError::NoHandler | BuildError::NoRuntime)));
    /// ```
    pub fn build(self) -> Result<Processor, BuildError> {
        let Self {
            repository,
            mut handlers,
            layers,
            mut settings,
        } = self;
        for (setting, value) in [
            ("batch_size", settings.batch_size),
            ("max_concurrency", settings.max_concurrency),
        ] {
            if value == 0 {
                return Err(BuildError::Zero { setting });
            }
        }
        settings.batch_size = settings.batch_size.min(MAX_COUNT);
        settings.max_concurrency = settings.max_concurrency.min(MAX_COUNT);
        if !layers.is_empty() {
            for handler in &mut handlers {
                *handler = Arc::new(Layered::new(Arc::clone(handler), &layers));
            }
        }
        let routes = Routes::new(handlers)?;
        let limits = Limits::new(&settings.limits, repository.clock().uptime())?;
        let (timeout, lease) = (settings.timeout, settings.lease);
        check_timeout("the processor's timeout", timeout, "the lease", lease)?;
        for options in routes.entities() {
            let event_type = options.event_type();
            let (of_timeout, timeout) = match options.timeout() {
                Some(timeout) => (format!("the timeout of {event_type:?}"), timeout),
                None => ("the processor's timeout".to_owned(), settings.timeout),
            };
            let (of_lease, lease) = match options.lease() {
                Some(lease) => (format!("the lease of {event_type:?}"), lease),
                None => ("the lease".to_owned(), settings.lease),
            };
            check_timeout(&of_timeout, timeout, &of_lease, lease)?;
        }
        let runtime = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        Ok(Processor::new(
            repository, routes, settings, limits, runtime,
        ))
    }
}

fn check_timeout(
    of_timeout: &str,
    timeout: Duration,
    of_lease: &str,
    lease: Duration,
) -> Result<(), BuildError> {
    if timeout.is_zero() {
        let what = of_timeout.to_owned();
        return Err(BuildError::NoTime { what });
    }
    if lease < SHORTEST_LEASE {
        return Err(BuildError::LeaseTooShort {
            what: of_lease.to_owned(),
            lease,
            least: SHORTEST_LEASE,
        });
    }
    if timeout < lease {
        return Ok(());
    }
    Err(BuildError::TimeoutNotShorterThanLease {
        what: of_timeout.to_owned(),
        timeout,
        of_lease: of_lease.to_owned(),
        lease,
    })
}
