//! What a store notes of a completion by a handler, and for how long.

use std::time::Duration;

use uuid::Uuid;

use crate::enqueue::Enqueued;
use crate::error::{StoreError, StoreErrorKind};

/// How long a store remembers, for [`settle`](crate::store::OutboxQueue::settle), that a handler
/// completed its event, if the handler does not answer. Longer than any handler takes, even if the
/// device sleeps meanwhile; it only delays when the note of a dead process is deleted.
pub const COMPLETION_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The note of what became of the event that superseded a completed one: a word and ids. A second
/// call under the same lease answers by it: [`superseded_from`].
///
/// # Examples
///
/// ```
/// use outbox_runtime::{Enqueued, NewEvent, Operation};
/// use outbox_runtime::store::kit::{superseded_from, superseded_note};
///
/// let next = NewEvent::new("photo", 8, "user-1", Operation::Create);
/// let first = Enqueued::New(next.id());
/// assert_eq!(superseded_from(&superseded_note(first)).unwrap(), first);
/// assert!(superseded_from("something else").is_err());
/// ```
#[must_use]
pub fn superseded_note(enqueued: Enqueued) -> String {
    match enqueued {
        Enqueued::New(id) => format!("new {id}"),
        Enqueued::AlreadyThere(id) => format!("there {id}"),
        Enqueued::Folded { event_id, into } => format!("folded {event_id} {into}"),
        Enqueued::Replaced { event_id, replaced } => format!("replaced {event_id} {replaced}"),
        Enqueued::Kept { event_id, kept } => format!("kept {event_id} {kept}"),
        Enqueued::Cancelled { event_id, create } => format!("cancelled {event_id} {create}"),
    }
}

/// What became of the event that superseded a completed one, from the
/// [note](superseded_note) of it.
///
/// # Errors
///
/// `Corrupt` if this is no such note.
pub fn superseded_from(note: &str) -> Result<Enqueued, StoreError> {
    let id = |text: &str| Uuid::try_parse(text).ok();
    let words: Vec<&str> = note.split(' ').collect();
    let enqueued = match words[..] {
        ["new", event_id] => id(event_id).map(Enqueued::New),
        ["there", event_id] => id(event_id).map(Enqueued::AlreadyThere),
        [word, event_id, other] => id(event_id).zip(id(other)).and_then(|(event_id, other)| {
            Some(match word {
                "folded" => Enqueued::Folded {
                    event_id,
                    into: other,
                },
                "replaced" => Enqueued::Replaced {
                    event_id,
                    replaced: other,
                },
                "kept" => Enqueued::Kept {
                    event_id,
                    kept: other,
                },
                "cancelled" => Enqueued::Cancelled {
                    event_id,
                    create: other,
                },
                _ => return None,
            })
        }),
        _ => None,
    };
    enqueued.ok_or_else(|| {
        let message = format!("the note {note:?} of a superseding event is unreadable");
        StoreError::new(StoreErrorKind::Corrupt, "complete", message)
    })
}
