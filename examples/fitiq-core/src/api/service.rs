//! The address of the service, and its HTTP client.

use std::fmt;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Url, redirect};
use thiserror::Error;

/// The service: its address and the app's API key.
#[derive(Clone)]
pub struct Service {
    http: Client,
    base: Url,
    api_key: String,
}

/// This program can never reach the service, whatever the network does.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Not a usable URL.
    #[error("{url} is not an address of a service: {reason}")]
    Address {
        /// The given text.
        url: Url,
        /// The fault.
        reason: &'static str,
    },
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
}

/// Shorter than the outbox's timeout, so that a silent service is distinguished from a slow
/// handler.
const PATIENCE: Duration = Duration::from_secs(20);

/// Only this tells a network that swallows packets from a slow service.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

impl Service {
    /// The service at `base`, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Address`] if no call could ever succeed: better now than as a dead letter of
    /// every event.
    pub fn new(base: Url, api_key: impl Into<String>) -> Result<Self, ServiceError> {
        let fault = match base.scheme() {
            "http" if base.has_host() => None,
            "https" => Some("this example is built without TLS; use http"),
            _ => Some("it must begin with http:// and name a host"),
        };
        if let Some(reason) = fault {
            return Err(ServiceError::Address { url: base, reason });
        }
        let mut client = Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(CONNECT_PATIENCE)
            // The answer of a login page is not a delivery.
            .redirect(redirect::Policy::none());
        if is_this_machine(&base) {
            // Ignore a proxy of the environment.
            client = client.no_proxy();
        }
        Ok(Self {
            http: client.build()?,
            base,
            api_key: api_key.into(),
        })
    }

    /// The address.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// A request to the path of these segments, each of which is escaped.
    pub(crate) fn request<'s>(
        &self,
        method: Method,
        segments: impl IntoIterator<Item = &'s str>,
    ) -> RequestBuilder {
        let mut url = self.base.clone();
        // `new` has refused a base without paths.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        self.http
            .request(method, url)
            .header("X-API-Key", &self.api_key)
    }
}

fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        host == "localhost" || host.starts_with("127.") || host.trim_matches(['[', ']']) == "::1"
    })
}

/// Keeps the key out of logs.
impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}
