//! `edit`: the priority, the due time and the attempts of waiting events.

use outbox_runtime::StoreErrorKind;
use serde::Serialize;
use uuid::Uuid;

use crate::args;
use crate::database::Database;
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::{Out, Tone};

/// How often an event is read and edited again that changed in between.
const TRIES: usize = 5;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Edited {
    id: Uuid,
    is_edited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) async fn run(args: &args::Edit, database: &Database, out: &mut Out) -> Outcome {
    if args.priority.is_none() && args.due.is_none() && args.attempts.is_none() {
        return Err(Failure::new(
            "nothing is to be changed; give --priority, --due or --attempts",
        ));
    }
    let mut all_edited = true;
    for id in &args.ids {
        let reason = edit(*id, args, database).await?;
        let is_edited = reason.is_none();
        all_edited &= is_edited;
        if out.is_json {
            let id = *id;
            out.json(&Edited {
                id,
                is_edited,
                reason,
            })?;
        } else if let Some(reason) = reason {
            let line = format!("{id} is unchanged: {reason}");
            out.line(out.tone(Tone::Unsure, &line, 0))?;
        } else {
            out.line(format!("{id} edited"))?;
        }
    }
    Ok(Verdict::look_at(!all_edited))
}

/// Edits one event; returns why not.
async fn edit(id: Uuid, args: &args::Edit, database: &Database) -> Result<Option<String>, Failure> {
    let store = database.store();
    let mut refusal = None;
    for _ in 0..TRIES {
        let Some(mut event) = store.fetch_event(id).await? else {
            return Ok(Some("there is no such event".to_owned()));
        };
        if let Some(priority) = args.priority {
            event.priority = priority;
        }
        if let Some(due) = args.due {
            event.next_attempt_at = due.at(store.clock().now());
        }
        if let Some(attempts) = args.attempts {
            event.max_attempts = attempts;
        }
        match store.update_event(&event).await {
            Ok(()) => return Ok(None),
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                refusal = Some(error.to_string());
            }
            Err(error) if error.kind() == StoreErrorKind::NotFound => {
                return Ok(Some("there is no such event".to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let text = refusal.unwrap_or_default();
    let text = text.strip_prefix("update_event: ").unwrap_or(&text);
    Ok(Some(text.to_owned()))
}
