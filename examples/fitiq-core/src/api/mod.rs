//! The client: one request to the service under the event's key, and its result.

use std::sync::Arc;

use outbox_runtime::http::{Meaning, Policy};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::session::Session;

mod answer; // accepted calls, readable or not
mod call; // a call
mod error; // failed calls, and their delivery classes
mod pace; // the pace of calls
mod service; // the address of the service

pub(crate) use self::answer::data_of;
pub use self::answer::{Answer, Unread};
pub use self::call::Call;
pub use self::error::{ApiError, Said};
pub use self::pace::Pace;
pub use self::service::{Service, ServiceError};
pub use reqwest::Url as ServiceUrl;

/// Makes calls for the signed-in user.
///
/// It never retries: the outbox decides whether and when, by the [`ApiError`].
#[derive(Debug)]
pub struct Api {
    session: Arc<Session>,
    pace: Option<Pace>,
}

/// This service answers 409 for an existing entity, which no retry changes; it serializes requests
/// with the same key itself.
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

    /// Limits calls to `pace`; an early call fails with [`ApiError::Paced`].
    #[must_use]
    pub fn with_pace(mut self, pace: Option<Pace>) -> Self {
        self.pace = pace;
        self
    }

    /// The session of the credentials.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Makes one call. `T` is the type of the response's `data`; use `()` if there is none, and
    /// [`serde::de::IgnoredAny`] if it does not matter.
    ///
    /// # Errors
    ///
    /// [`ApiError`], by the status of the response. An accepted call with an unreadable response is
    /// not an error.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the outcome unknown; a retry with the same key resolves it.
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
        // Read to its end even on success: a connection that breaks early leaves the outcome
        // unknown, and without the end there is no id.
        let body = response.bytes().await;
        match policy().check(status, &headers, operation) {
            Ok(()) => {
                let body = body.map_err(ApiError::unanswered)?;
                Ok(Answer::accepted(status, &body))
            }
            // Only the status decides; a missing body just has no message.
            Err(refused) => Err(ApiError::refused(&refused, &body.unwrap_or_default())),
        }
    }

    /// Makes one [call for several entries](Call::post_each), and returns the answer to each of the
    /// `entries`, in order.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), where the service refuses the call as a whole; and
    /// [`ApiError::Unclear`] where it does not answer every entry, because another could be
    /// refused.
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn send_each<T: DeserializeOwned>(
        &self,
        call: Call,
        entries: usize,
    ) -> Result<Vec<Result<Answer<T>, ApiError>>, ApiError> {
        let operation = call.operation();
        let answers: Answer<Answers> = self.send(call).await?;
        let answers = answers.into_body().map_err(ApiError::unclear)?.items;
        if answers.len() != entries {
            let answered = answers.len();
            return Err(ApiError::unclear(format_args!(
                "{answered} answers to {entries} entries"
            )));
        }
        let answers = answers.iter().map(|answer| {
            let status = answer::status_of(answer)?;
            let body = answer.to_string();
            match policy().check(status, &HeaderMap::new(), operation) {
                Ok(()) => Ok(Answer::accepted(status, body.as_bytes())),
                Err(refused) => Err(ApiError::refused(&refused, body.as_bytes())),
            }
        });
        Ok(answers.collect())
    }
}

/// The response to a call for several entries: the status of each, and what else is in the response
/// to a call for one.
#[derive(Debug, Deserialize)]
struct Answers {
    items: Vec<Value>,
}
