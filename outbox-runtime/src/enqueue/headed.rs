//! Headers of new events.

use super::{Enqueue, NewEvent};
use crate::headers::{Headers, NO_HEADERS};

impl<User> Enqueue<User> {
    /// Sets a header: a name and a value beside the metadata, which handlers find in
    /// [`OutboxEvent::headers`](crate::OutboxEvent::headers). A header that is set again replaces
    /// the earlier one. [`Headers`] has the rules; one that is broken is an error of
    /// [`on`](Self::on), [`EnqueueError::Invalid`](crate::EnqueueError::Invalid). Default: none.
    ///
    /// Tools show the value, and it may stand in error messages. For one that must not, there is
    /// [`sensitive_header`](Self::sensitive_header).
    ///
    /// Headers are content, as the metadata is: to enqueue a known id again with other headers is
    /// a conflict, and an event that [folds](crate::Coalesce) into another one replaces its
    /// headers. What differs with each call, such as the id of a request, belongs in the
    /// [trace context](Self::trace_context).
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "invoice")]
    /// # struct Invoice { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// let invoice = Invoice { id: 1, user_id: "user-1".into() };
    /// invoice.enqueue_create().header("x-tenant", "7").on(&store).await?;
    /// let waiting = store.fetch_pending_events(None, None).await?;
    /// assert_eq!(waiting[0].headers().get("X-Tenant"), Some("7"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.event = self.event.with_header(name, value);
        self
    }

    /// Sets a header whose value tools hide, and which is removed from error messages before these
    /// are stored or logged. Otherwise as [`header`](Self::header).
    ///
    /// The row has it in clear text: a secret belongs in a vault, and its name in the header.
    ///
    /// # Examples
    ///
    /// ```
    /// # use outbox_runtime::prelude::*;
    /// # #[derive(OutboxEntity)]
    /// # #[outbox(event_type = "invoice")]
    /// # struct Invoice { #[outbox(entity_id)] id: i64, #[outbox(user_id)] user_id: String }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let store = MemoryStore::new();
    /// # let invoice = Invoice { id: 1, user_id: "user-1".into() };
    /// invoice.enqueue_create().sensitive_header("x-session", "5f0c").on(&store).await?;
    /// let waiting = store.fetch_pending_events(None, None).await?;
    /// assert_eq!(waiting[0].headers().get("x-session"), Some("5f0c")); // for the handler
    /// assert_eq!(waiting[0].headers().to_string(), "x-session: [redacted]"); // for a log
    /// # Ok(())
    /// # }
    /// ```
    pub fn sensitive_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.event = self.event.with_sensitive_header(name, value);
        self
    }
}

impl NewEvent {
    /// Sets a header: see [`Enqueue::header`]. Default: none.
    ///
    /// See [`with_headers`](Self::with_headers) for an example.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extras_mut().headers.set(name, value);
        self
    }

    /// Sets a header whose value tools hide: see [`Enqueue::sensitive_header`]. Default: none.
    ///
    /// See [`with_headers`](Self::with_headers) for an example.
    pub fn with_sensitive_header(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.extras_mut().headers.set_sensitive(name, value);
        self
    }

    /// Replaces all headers, such as by those of another event. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_runtime::{Headers, NewEvent, Operation};
    ///
    /// // The headers of the message that is relayed.
    /// let received: Headers = [("x-tenant", "7")].into_iter().collect();
    /// let event = NewEvent::new("reading", 3, "plant-1", Operation::Update)
    ///     .with_headers(received)
    ///     .with_header("x-relay", "eu-1")
    ///     .with_sensitive_header("x-session", "5f0c");
    /// let shown = event.headers().to_string();
    /// assert_eq!(shown, "x-relay: eu-1, x-session: [redacted], x-tenant: 7");
    /// ```
    pub fn with_headers(mut self, headers: Headers) -> Self {
        if !headers.is_empty() || self.extras.is_some() {
            self.extras_mut().headers = headers;
        }
        self
    }

    /// The headers. See [`with_headers`](Self::with_headers) for an example.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        let extras = self.extras.as_deref();
        extras.map_or(&NO_HEADERS, |extras| &extras.headers)
    }
}
