//! Where the service is, and how it is reached.

use std::fmt;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Url, redirect};
use thiserror::Error;

/// The service: its address, and the key that the app itself is known by.
#[derive(Clone)]
pub struct Service {
    http: Client,
    base: Url,
    api_key: String,
}

/// The service cannot be reached by this program, whatever the network does.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// Not a URL that calls can be made to.
    #[error("{url} is not an address of a service: {reason}")]
    Address {
        /// What was given.
        url: Url,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The client could not be made.
    #[error("no HTTP client can be made")]
    Client(#[from] reqwest::Error),
}

/// Shorter than the outbox lets an attempt take, so that a silent service is told apart from a slow handler.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network that swallows packets is told apart from a service that is slow by this alone.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

impl Service {
    /// The service at `base`, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Address`] where no call could ever succeed: better now than as a dead letter of every event.
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
            // What a login page answers is no delivery.
            .redirect(redirect::Policy::none());
        if is_this_machine(&base) {
            // A proxy of the environment must not get between.
            client = client.no_proxy();
        }
        Ok(Self {
            http: client.build()?,
            base,
            api_key: api_key.into(),
        })
    }

    /// Where it is.
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
        // A base that cannot have a path was refused by `new`.
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

/// The key does not belong in logs.
impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}
