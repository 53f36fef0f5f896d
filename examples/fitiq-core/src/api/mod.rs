//! The client: one request to the service, made under the event's key, and what came back.

use std::sync::Arc;

use outbox_runtime::http::{Meaning, Policy};
use serde::de::DeserializeOwned;

use crate::session::Session;

mod answer; // what the service accepted, read or not
mod call; // what is asked
mod error; // what the outbox does about the rest
mod pace; // so many a second
mod service; // where it is

pub(crate) use self::answer::data_of;
pub use self::answer::{Answer, Unread};
pub use self::call::Call;
pub use self::error::{ApiError, Said};
pub use self::pace::Pace;
pub use self::service::{Service, ServiceError};
pub use reqwest::Url as ServiceUrl;

/// Makes calls in the name of who is signed in.
///
/// It tries nothing twice: whether and when a call is made again is the outbox's to decide, by the [`ApiError`].
#[derive(Debug)]
pub struct Api {
    session: Arc<Session>,
    pace: Option<Pace>,
}

/// This service answers 409 to what it has already, which no repetition changes; by itself it waits for a request with the
/// same key.
fn policy() -> Policy {
    Policy::new().means([409], Meaning::Permanent)
}

impl Api {
    /// Calls under the credentials of `session`.
    #[must_use]
    pub fn new(session: Arc<Session>) -> Self {
        Self {
            session,
            pace: None,
        }
    }

    /// Makes no more calls than `pace` allows; what is too early is answered with [`ApiError::Paced`].
    #[must_use]
    pub fn with_pace(mut self, pace: Option<Pace>) -> Self {
        self.pace = pace;
        self
    }

    /// Whose credentials it has.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Makes one call. `T` is what stands in the answer, below its `data`; `()` where nothing does, and
    /// [`serde::de::IgnoredAny`] where it does not matter.
    ///
    /// # Errors
    ///
    /// [`ApiError`], by the status of the answer. An accepted call whose answer cannot be read is no error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the service took the call; the same key asked again tells.
    pub async fn send<T: DeserializeOwned>(&self, call: Call) -> Result<Answer<T>, ApiError> {
        let token = self.session.access(call.user_id())?;
        if let Some(pace) = &self.pace {
            pace.take().map_err(|after| ApiError::Paced { after })?;
        }
        let operation = call.operation();
        let response = call
            .into_request(self.session.service())?
            .bearer_auth(token.reveal())
            .send()
            .await
            .map_err(ApiError::unanswered)?;
        let (status, headers) = (response.status(), response.headers().clone());
        // Read to its end even where it is a success: a connection that breaks in the middle leaves open what the service
        // did, and without the end there is no id.
        let body = response.bytes().await;
        match policy().check(status, &headers, operation) {
            Ok(()) => {
                let body = body.map_err(ApiError::unanswered)?;
                Ok(Answer::accepted(status, &body))
            }
            // The status alone decides; a body that did not arrive only has no words to add.
            Err(refused) => Err(ApiError::refused(&refused, &body.unwrap_or_default())),
        }
    }
}
