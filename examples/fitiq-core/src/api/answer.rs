//! An accepted call and its readable content, kept apart: a create that was accepted and is sent
//! again exists twice.

use reqwest::StatusCode;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::ApiError;
use crate::ids::RemoteId;

/// A call that the service accepted.
#[derive(Debug, Clone)]
#[must_use]
pub struct Answer<T> {
    status: StatusCode,
    remote_id: Option<RemoteId>,
    body: Result<T, Unread>,
}

/// An accepted call with an unreadable response. Not a reason to send anything again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the service accepted it with an unreadable response: {0}")]
pub struct Unread(String);

impl<T: DeserializeOwned> Answer<T> {
    pub(super) fn accepted(status: StatusCode, body: &[u8]) -> Self {
        let unread = |error: serde_json::Error| Unread(error.to_string());
        let value = match body.trim_ascii() {
            [] => Ok(Value::Null),
            text => serde_json::from_slice::<Value>(text).map_err(unread),
        };
        Self {
            status,
            remote_id: value.as_ref().ok().map(data_of).and_then(id_of),
            body: value.and_then(|value| T::deserialize(data_of(&value)).map_err(unread)),
        }
    }
}

impl<T> Answer<T> {
    /// The status of the answer: 2xx.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The id that the service assigned, found even if the rest of the response is unreadable.
    #[must_use]
    pub fn remote_id(&self) -> Option<&RemoteId> {
        self.remote_id.as_ref()
    }

    /// The service's content.
    ///
    /// # Errors
    ///
    /// [`Unread`]: it accepted the call all the same.
    pub fn body(&self) -> Result<&T, &Unread> {
        self.body.as_ref()
    }

    /// The service's content, by value.
    ///
    /// # Errors
    ///
    /// As [`body`](Self::body).
    pub fn into_body(self) -> Result<T, Unread> {
        self.body
    }
}

/// The content of a response: its `data`, or all of it without an envelope.
pub(crate) fn data_of(answer: &Value) -> &Value {
    match answer.get("data") {
        Some(data) if !data.is_null() => data,
        _ => answer,
    }
}

/// The status of the answer to one of several entries.
pub(super) fn status_of(answer: &Value) -> Result<StatusCode, ApiError> {
    let status = answer.get("status").and_then(Value::as_u64);
    status
        .and_then(|status| u16::try_from(status).ok())
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or_else(|| ApiError::unclear("an answer without a status"))
}

/// The id of what is answered with: its own, or that of the one object in it that has one.
fn id_of(data: &Value) -> Option<RemoteId> {
    if let Some(id) = data.get("id") {
        return RemoteId::deserialize(id).ok();
    }
    let mut ids = data
        .as_object()?
        .values()
        .filter_map(|value| value.get("id"));
    match (ids.next(), ids.next()) {
        (Some(id), None) => RemoteId::deserialize(id).ok(),
        _ => None,
    }
}

/// The id of the existing entity in a 409: `existing_id`, `existing_consultation_id`, or the `id`
/// of the content.
pub(super) fn existing_id(answer: &Value) -> Option<RemoteId> {
    let details = answer.pointer("/error/details");
    let existing = |value: &Value| {
        let fields = value.as_object()?;
        let named = fields
            .iter()
            .find(|(name, _)| name.starts_with("existing_") && name.ends_with("id"));
        RemoteId::deserialize(named?.1).ok()
    };
    details
        .and_then(|details| existing(details).or_else(|| id_of(details)))
        .or_else(|| answer.get("error").and_then(existing))
        .or_else(|| existing(data_of(answer)))
        .or_else(|| id_of(data_of(answer)))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Strict {
        #[allow(dead_code, reason = "only its presence matters")]
        created_at: chrono::DateTime<chrono::Utc>,
    }

    fn accepted(body: &Value) -> Answer<Strict> {
        Answer::accepted(StatusCode::CREATED, body.to_string().as_bytes())
    }

    #[test]
    fn nanoseconds_are_read() {
        let body = json!({"data": {"id": "g-1", "created_at": "2025-11-17T19:26:02.996263011Z"}});
        assert!(accepted(&body).body().is_ok());
    }

    /// Failure 37.
    #[test]
    fn an_unreadable_response_is_accepted_and_keeps_its_id() {
        let answer =
            accepted(&json!({"success": true, "data": {"id": "g-1", "created_at": "yesterday"}}));
        assert!(answer.body().is_err());
        assert_eq!(answer.remote_id().map(RemoteId::as_str), Some("g-1"));
        let answer = Answer::<Strict>::accepted(StatusCode::CREATED, b"<html>");
        assert!(answer.body().is_err() && answer.remote_id().is_none());
    }

    #[test]
    fn an_id_is_found_one_level_down() {
        let answer =
            accepted(&json!({"data": {"consultation": {"id": "c-1"}, "needs_survey": false}}));
        assert_eq!(answer.remote_id().map(RemoteId::as_str), Some("c-1"));
    }

    #[test]
    fn nothing_is_read_from_nothing() {
        assert!(
            Answer::<()>::accepted(StatusCode::NO_CONTENT, b"")
                .body()
                .is_ok()
        );
    }

    #[test]
    fn a_conflict_names_the_existing_entity() {
        for body in [
            json!({"success": false, "error": {"details": {"existing_consultation_id": "c-1"}}}),
            json!({"error": {"message": "exists", "existing_id": "c-1"}}),
            json!({"data": {"id": "c-1"}}),
        ] {
            assert_eq!(
                existing_id(&body).as_ref().map(RemoteId::as_str),
                Some("c-1"),
                "{body}"
            );
        }
        assert_eq!(existing_id(&json!({"error": "exists"})), None);
    }
}
