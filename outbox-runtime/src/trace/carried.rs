//! The current span, taken along to a thread of the library's.

/// The span that is current where this is made. Without the feature `opentelemetry`, nothing.
pub(crate) struct Carried {
    #[cfg(feature = "opentelemetry")]
    context: opentelemetry::Context,
}

/// Makes the span current on this thread until it is dropped.
#[must_use]
pub(crate) struct Attached {
    #[cfg(feature = "opentelemetry")]
    _guard: opentelemetry::ContextGuard,
}

#[cfg_attr(
    not(feature = "opentelemetry"),
    allow(clippy::unused_self, reason = "there is nothing to take along")
)]
impl Carried {
    pub(crate) fn current() -> Self {
        Self {
            #[cfg(feature = "opentelemetry")]
            context: opentelemetry::Context::current(),
        }
    }

    pub(crate) fn attach(self) -> Attached {
        Attached {
            #[cfg(feature = "opentelemetry")]
            _guard: self.context.attach(),
        }
    }
}
