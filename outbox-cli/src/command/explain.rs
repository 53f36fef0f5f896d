//! `explain`: what an entity waits for.

use outbox_operate::clean;
use outbox_runtime::{EntityId, Explanation, WaitsFor};
use serde_json::{Value, json};

use super::list::without_payload;
use crate::args;
use crate::database::Database;
use crate::failure::{Outcome, Verdict};
use crate::out::{Out, Tone};

pub(crate) async fn run(args: &args::Explain, database: &Database, out: &mut Out) -> Outcome {
    let entity_id = EntityId::from(args.entity.clone());
    let store = database.store();
    let explanation = outbox_operate::explain(&*store, &entity_id, args.user.as_deref()).await?;
    let at_last = explanation.waits_for.at_last();
    let needs_decision = matches!(at_last, WaitsFor::Decision { .. });
    if out.is_json {
        out.json(&as_json(&explanation))?;
        return Ok(Verdict::look_at(needs_decision));
    }
    out.line(clean(&explanation.to_string()))?;
    if let WaitsFor::Decision { event_id, .. } = at_last {
        let advice = format!("outbox retry {event_id} --yes, or outbox discard {event_id} --yes");
        out.line(out.tone(Tone::Faint, &advice, 0))?;
    }
    Ok(Verdict::look_at(needs_decision))
}

fn as_json(explanation: &Explanation) -> Value {
    let first = explanation.first.as_ref();
    json!({
        "entityID": explanation.entity_id.to_string(),
        "undelivered": explanation.undelivered,
        "waitsFor": kind(&explanation.waits_for),
        "text": explanation.waits_for.to_string(),
        "eventID": match &explanation.waits_for {
            WaitsFor::Decision { event_id, .. }
            | WaitsFor::Turn { event_id, .. }
            | WaitsFor::Parent { event_id, .. } => Some(event_id),
            _ => None,
        },
        "until": match &explanation.waits_for {
            WaitsFor::DueTime { at, .. } | WaitsFor::Expiry { at } => Some(*at),
            WaitsFor::Handler { lease_expires_at, .. } => Some(*lease_expires_at),
            WaitsFor::Pause(paused) => paused.until,
            _ => None,
        },
        "first": first.map(|event| without_payload((**event).clone())),
    })
}

/// The word for what the first event waits for, of what a store and announced runs know.
fn kind(waits_for: &WaitsFor) -> &'static str {
    match waits_for {
        WaitsFor::Nothing => "nothing",
        WaitsFor::Worker => "worker",
        WaitsFor::DueTime { .. } => "dueTime",
        WaitsFor::Expiry { .. } => "expiry",
        WaitsFor::Handler { .. } => "handler",
        WaitsFor::Decision { .. } => "decision",
        WaitsFor::Turn { .. } => "turn",
        WaitsFor::Parent { .. } => "parent",
        WaitsFor::Pause(_) => "pause",
        WaitsFor::Retired { .. } => "retired",
        _ => "other",
    }
}
