//! The content of a V6 event: a function of its type and its bytes alone.

use fitiq_core::{LocalId, RemoteId, UserId};
use outbox_import::Reject;
use outbox_runtime::Operation;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::entities::Kind;
use crate::v6::{
    ConversationDeleted, Deleted, Goal, GuideMood, Journal, Named, NamedMood, PlannedJournal,
    ValenceMood,
};

/// A decoded V6 event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Understood {
    pub(super) kind: Kind,
    pub(super) operation: Operation,
    pub(super) id: LocalId,
    /// The owner, if named.
    pub(super) user: Option<UserId>,
    /// The remote id, if named; never a placeholder.
    pub(super) remote_id: Option<RemoteId>,
    /// The current metadata's version that reads the payload.
    pub(super) version: u32,
}

/// The event types of V6, including those that only its documents mention.
pub(super) fn meaning(event_type: &str) -> Result<(Kind, Operation), Reject> {
    use Operation::{Create, Delete, Update};
    Ok(match event_type {
        "mood.created" | "mood.create" | "mood_created" => (Kind::Mood, Create),
        "mood.updated" | "mood.update" | "mood_updated" => (Kind::Mood, Update),
        "mood.deleted" | "mood.delete" | "mood_deleted" => (Kind::Mood, Delete),
        "journal.created" | "journal.create" => (Kind::Journal, Create),
        "journal.updated" | "journal.update" => (Kind::Journal, Update),
        "journal.deleted" | "journal.delete" => (Kind::Journal, Delete),
        "goal.created" | "goal.create" => (Kind::Goal, Create),
        "goal.updated" | "goal.update" | "goal.progress_updated" | "goal.status_updated" => {
            (Kind::Goal, Update)
        }
        "goal.deleted" | "goal.delete" => (Kind::Goal, Delete),
        "conversation.delete" | "conversation.deleted" | "chat.conversation.deleted" => {
            (Kind::Conversation, Delete)
        }
        other => {
            let known: String = other.chars().take(40).collect();
            return Err(Reject::new(
                "unknown event type",
                format!("{known:?} is none that Lume sends"),
            ));
        }
    })
}

/// Reads an event.
pub(super) fn understand(event_type: &str, payload: &[u8]) -> Result<Understood, Reject> {
    let (kind, operation) = meaning(event_type)?;
    if payload.is_empty() {
        return Err(Reject::new("empty payload", "the payload has no bytes"));
    }
    if let Err(error) = std::str::from_utf8(payload) {
        return Err(Reject::new(
            "payload is not UTF-8",
            format!("from byte {} on", error.valid_up_to()),
        ));
    }
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(payload) {
        let at = format!(
            "it breaks at line {}, column {}",
            error.line(),
            error.column()
        );
        return Err(Reject::new("payload is not JSON", at));
    }
    let (named, version) = match (kind, operation) {
        (Kind::Mood, Operation::Delete) => (read::<Deleted>(payload), 4),
        (Kind::Mood, _) => newest(
            &[
                (read::<ValenceMood>, 3),
                (read::<NamedMood>, 2),
                (read::<GuideMood>, 1),
            ],
            payload,
        ),
        (Kind::Journal, Operation::Delete) => (read::<Deleted>(payload), 3),
        (Kind::Journal, _) => newest(
            &[(read::<Journal>, 2), (read::<PlannedJournal>, 1)],
            payload,
        ),
        (Kind::Goal, Operation::Delete) => (read::<Deleted>(payload), 2),
        (Kind::Goal, _) => (read::<Goal>(payload), 1),
        (Kind::Conversation, _) => (read::<ConversationDeleted>(payload), 1),
    };
    let Some(named) = named else {
        let detail = format!("V6 had no such form for a {}", kind.as_str());
        return Err(Reject::new("payload of an unknown form", detail));
    };
    Ok(Understood {
        kind,
        operation,
        id: named.id,
        user: named.user_id.as_deref().and_then(user),
        remote_id: named
            .backend_id
            .as_deref()
            .and_then(|text| RemoteId::recorded(text).ok()),
        version,
    })
}

/// Accounts are UUIDs, in upper case in V6 and in lower case at the service.
pub(super) fn user(text: &str) -> Option<UserId> {
    match Uuid::try_parse(text) {
        Ok(id) => UserId::new(&id.to_string()).ok(),
        Err(_) => UserId::new(text).ok(),
    }
}

type Read = fn(&[u8]) -> Option<Named>;

/// The first generation that matches.
fn newest(generations: &[(Read, u32)], payload: &[u8]) -> (Option<Named>, u32) {
    let mut forms = generations
        .iter()
        .map(|(read, version)| (read(payload), *version));
    forms
        .find(|(named, _)| named.is_some())
        .unwrap_or((None, 0))
}

fn read<T: DeserializeOwned>(payload: &[u8]) -> Option<Named>
where
    for<'t> Named: From<&'t T>,
{
    serde_json::from_slice::<T>(payload)
        .ok()
        .map(|read| Named::from(&read))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7D1C3B8E-51F0-4E5A-9C77-0B9E1C0C2F10";

    fn understood(event_type: &str, payload: &str) -> Understood {
        understand(event_type, payload.replace("ID", ID).as_bytes()).unwrap()
    }

    #[test]
    fn every_generation_of_a_mood_has_its_version() {
        let forms = [
            (
                1,
                r#"{"id":"ID","mood":"happy","date":758550600,"timestamp":758550600.5}"#,
            ),
            (
                2,
                r#"{"id":"ID","user_id":"u","mood":"happy","date":758550600,"created_at":1,"updated_at":2}"#,
            ),
            (
                2,
                r#"{"id":"ID","user_id":"u","mood":"sad","intensity":7,"date":"2025-01-14T12:30:00Z"}"#,
            ),
            (
                3,
                r#"{"id":"ID","user_id":"u","valence":0.5,"labels":["happy"],"date":"2025-01-14T12:30:00Z"}"#,
            ),
        ];
        for (version, payload) in forms {
            assert_eq!(
                understood("mood.created", payload).version,
                version,
                "{payload}"
            );
        }
        assert_eq!(understood("mood.deleted", r#"{"id":"ID"}"#).version, 4);
    }

    /// Failure 12.
    #[test]
    fn a_placeholder_is_no_remote_id() {
        for sentinel in ["none", "", "null"] {
            let payload = format!(r#"{{"local_id":"ID","backend_id":"{sentinel}"}}"#);
            assert_eq!(understood("mood.deleted", &payload).remote_id, None);
        }
        let named = understood("goal.deleted", r#"{"local_id":"ID","backendId":"G-1"}"#);
        assert_eq!(named.remote_id.unwrap().as_str(), "G-1");
    }

    /// Failure 18.
    #[test]
    fn an_unreadable_delete_is_no_update() {
        assert!(understand("mood.deleted", br#"{"what":1}"#).is_err());
        assert!(understand("mood.deleted", b"\"").is_err());
    }

    #[test]
    fn a_user_has_the_spelling_of_the_service() {
        assert_eq!(user(ID).unwrap().as_str(), ID.to_lowercase());
        assert_eq!(user("someone").unwrap().as_str(), "someone");
        assert_eq!(user(""), None);
    }
}
