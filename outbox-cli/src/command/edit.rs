//! `edit`: the priority, the due time, the attempts and the expiry of waiting events.

use outbox_operate::Edit;
use serde::Serialize;
use uuid::Uuid;

use crate::args;
use crate::database::Database;
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::{Out, Tone};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Edited {
    id: Uuid,
    is_edited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) async fn run(args: &args::Edit, database: &Database, out: &mut Out) -> Outcome {
    let is_empty = args.priority.is_none() && args.due.is_none() && args.attempts.is_none();
    if is_empty && args.expires.is_none() {
        return Err(Failure::new(
            "nothing is to be changed; give --priority, --due, --attempts or --expires",
        ));
    }
    let store = database.store();
    let edit = Edit {
        priority: args.priority,
        due: args.due.map(|due| due.at(store.clock().now())),
        attempts: args.attempts,
        expires: args.expires.map(|expires| expires.at(store.clock().now())),
    };
    let mut all_edited = true;
    for id in &args.ids {
        let reason = edit.apply(*id, &*store).await?;
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
