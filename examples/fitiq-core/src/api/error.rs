//! An answer that is none of the good ones, and what the outbox does about it.

use std::fmt;
use std::time::Duration;

use outbox_runtime::Delivery;
use outbox_runtime::http::HttpError;
use outbox_runtime::prelude::DeliveryError;
use outbox_runtime::store::BoxError;
use reqwest::StatusCode;
use serde_json::Value;
use thiserror::Error;

use super::answer::existing_id;
use crate::ids::RemoteId;

/// Why a call did not do what it was for. Each kind says what becomes of the event.
///
/// The status decides which one it is; the body only adds words, whatever its form.
#[derive(Debug, Error, DeliveryError)]
#[non_exhaustive]
pub enum ApiError {
    /// The network is gone, or the service is.
    #[error("no connection to the service")]
    #[outbox(offline)]
    Offline(#[source] reqwest::Error),
    /// The outcome is unknown; a retry with the same key resolves it.
    #[error("the connection ended before the end of the response")]
    #[outbox(unavailable)]
    Broken(#[source] reqwest::Error),
    /// The service accepted a call for several entries, and not every entry has an answer. A retry
    /// with the same keys resolves it.
    #[error("it is unknown which entries the service accepted: {0}")]
    #[outbox(unavailable)]
    Unclear(String),
    /// The call could not be serialized.
    #[error("the request cannot be built")]
    #[outbox(permanent)]
    Unsendable(#[source] BoxError),
    /// The access token is refused (401), or the event's user is not signed in.
    #[error("the service refused the credentials{0}")]
    #[outbox(unauthenticated)]
    Unauthenticated(Said),
    /// A rate limit of the service (429).
    #[error("the service asks for a pause of {after:?}")]
    #[outbox(rate_limited(after = after))]
    RateLimited {
        /// The pause.
        after: Duration,
    },
    /// Too early for our own [`Pace`](super::Pace); nothing was sent.
    #[error("the next call is due in {after:?}")]
    #[outbox(rate_limited(after = after))]
    Paced {
        /// The time until the next turn.
        after: Duration,
    },
    /// The answer came from something else than the service (502, 503, 504, a redirect, a proxy).
    #[error("the service answered {status}{said}")]
    #[outbox(unavailable(after = after))]
    Unavailable {
        /// The status.
        status: StatusCode,
        /// The `Retry-After`, if any.
        after: Option<Duration>,
        /// The message.
        said: Said,
    },
    /// A transient failure (500, 408, 425).
    #[error("the service answered {status}{said}")]
    #[outbox(retry(after = after))]
    Failed {
        /// The status.
        status: StatusCode,
        /// The `Retry-After`, if any.
        after: Option<Duration>,
        /// The message.
        said: Said,
    },
    /// The entity to delete does not exist (404 or 410 on a delete).
    #[error("the service no longer has it")]
    #[outbox(obsolete)]
    Gone,
    /// The entity to change does not exist (404 or 410 otherwise). The handler decides whether to
    /// create it.
    #[error("the service does not have the entity to change{0}")]
    #[outbox(permanent)]
    NotFound(Said),
    /// The entity exists already (409).
    #[error("the service has it already{said}")]
    #[outbox(permanent)]
    Conflict {
        /// Its id, if the service names it.
        existing: Option<RemoteId>,
        /// The message.
        said: Said,
    },
    /// The service rejected the call.
    #[error("the service answered {status}{said}")]
    #[outbox(permanent)]
    Rejected {
        /// The status.
        status: StatusCode,
        /// The message.
        said: Said,
    },
}

/// The code and the message of a refusal, if any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Said {
    /// The code, such as `CONSULTATION_EXISTS`.
    pub code: Option<String>,
    /// The message, such as `goal not found`, cut to 200 characters.
    pub message: Option<String>,
}

impl ApiError {
    pub(super) fn unanswered(error: reqwest::Error) -> Self {
        let error = error.without_url();
        match error.delivery() {
            Delivery::Offline => Self::Offline(error),
            Delivery::Permanent => Self::Unsendable(error.into()),
            _ => Self::Broken(error),
        }
    }

    pub(super) fn unsendable(error: impl Into<BoxError>) -> Self {
        Self::Unsendable(error.into())
    }

    pub(super) fn unclear(reason: impl fmt::Display) -> Self {
        Self::Unclear(reason.to_string())
    }

    pub(super) fn refused(error: &HttpError, body: &[u8]) -> Self {
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        let (status, said) = (error.status(), Said::by(&body));
        match error.delivery() {
            Delivery::Unauthenticated => Self::Unauthenticated(said),
            Delivery::RateLimited { after } => Self::RateLimited { after },
            Delivery::Retry { after } => Self::Failed {
                status,
                after,
                said,
            },
            Delivery::Unavailable { after } => Self::Unavailable {
                status,
                after,
                said,
            },
            Delivery::Offline => Self::Unavailable {
                status,
                after: None,
                said,
            },
            Delivery::Obsolete => Self::Gone,
            _ => match status {
                StatusCode::NOT_FOUND | StatusCode::GONE => Self::NotFound(said),
                StatusCode::CONFLICT => Self::Conflict {
                    existing: existing_id(&body),
                    said,
                },
                _ => Self::Rejected { status, said },
            },
        }
    }
}

impl Said {
    /// The known forms: `{"error":{"message","code"?}}`, `{"error":"text"}`, `{"message"}`, and
    /// none.
    pub(crate) fn by(body: &Value) -> Self {
        let error = body.get("error").unwrap_or(body);
        let text = |value: Option<&Value>| {
            let text = value?.as_str()?.trim();
            (!text.is_empty()).then(|| text.chars().take(200).collect())
        };
        Self {
            code: text(error.get("code")),
            message: text(error.get("message")).or_else(|| text(Some(error))),
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.message, &self.code) {
            (Some(message), Some(code)) => write!(f, ": {message} ({code})"),
            (Some(words), None) | (None, Some(words)) => write!(f, ": {words}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use outbox_runtime::Operation;
    use reqwest::header::HeaderMap;

    use super::super::policy;
    use super::*;

    fn refused(status: u16, operation: Operation, body: &str) -> ApiError {
        let status = StatusCode::from_u16(status).unwrap();
        let error = policy()
            .check(status, &HeaderMap::new(), operation)
            .unwrap_err();
        ApiError::refused(&error, body.as_bytes())
    }

    const BODIES: [&str; 6] = [
        r#"{"error":{"code":"SOME_CODE","message":"no"}}"#,
        r#"{"error":{"message":"no"}}"#,
        r#"{"success":false,"error":"no"}"#,
        r#"{"success":false,"data":null,"error":{"message":"no"}}"#,
        "<html>no</html>",
        "",
    ];

    /// Failure 10.
    #[test]
    fn the_status_decides_whatever_the_form_of_the_body() {
        use Operation::{Create, Delete, Update};
        let after = None;
        for body in BODIES {
            for (status, operation, expected) in [
                (401, Create, Delivery::Unauthenticated),
                (404, Delete, Delivery::Obsolete),
                (404, Update, Delivery::Permanent),
                (409, Create, Delivery::Permanent),
                (422, Create, Delivery::Permanent),
                (500, Update, Delivery::Retry { after }),
                (503, Update, Delivery::Unavailable { after }),
                (511, Update, Delivery::Unavailable { after }),
                (302, Create, Delivery::Unavailable { after }),
            ] {
                let error = refused(status, operation, body);
                assert_eq!(error.delivery(), expected, "{status} {operation} {body}");
            }
            assert!(matches!(
                refused(409, Create, body),
                ApiError::Conflict { .. }
            ));
            assert!(matches!(refused(404, Update, body), ApiError::NotFound(_)));
        }
    }

    #[test]
    fn the_message_of_every_form_is_kept() {
        for body in &BODIES[..4] {
            let text = refused(400, Operation::Create, body).to_string();
            assert!(
                text.starts_with("the service answered 400 Bad Request: no"),
                "{text}"
            );
        }
        let text = refused(400, Operation::Create, BODIES[4]).to_string();
        assert_eq!(text, "the service answered 400 Bad Request");
    }
}
