//! One event: its row in words, its attempts, its payload, and what its entity waits for.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use outbox_operate::{Hidden, clean, shown};
use outbox_runtime::{OutboxEvent, OutboxStatus, PastAttempt};
use uuid::Uuid;

use super::frame::Frame;
use super::when::When;
use crate::respond;
use crate::stores::Store;
use crate::tree::{Step, steps};
use crate::trouble::Trouble;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "event.html")]
struct Page {
    frame: Frame,
    id: String,
    summary: String,
    state: &'static str,
    explanation: String,
    times: Vec<(&'static str, When)>,
    facts: Vec<(&'static str, String)>,
    attempts: Vec<Attempt>,
    payload: Vec<Step>,
    payload_note: &'static str,
    retry: Option<String>,
    discard: Option<String>,
    /// Where the event can be edited, with its present values.
    edit: Option<String>,
    priority: i32,
    max_attempts: u32,
    of_entity: String,
    of_user: String,
}

struct Attempt {
    began: When,
    took: String,
    outcome: &'static str,
    message: String,
}

pub(crate) async fn show(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let ids = visit.query.ids().map_err(Trouble::Request)?;
    let [id] = ids[..] else {
        return Err(Trouble::Request("an event is named by its id".to_owned()));
    };
    let event = found(store, id).await?;
    let now = store.clock().now();
    let attempts = store.attempts(id).await?;
    let user = Some(event.user_id.as_str());
    let explanation = outbox_operate::explain(&**store, &event.entity_id, user).await?;
    let hidden = &visit.app.settings.hidden;
    let payload = event.metadata.as_ref();
    let (payload, is_whole) = payload.map_or_else(
        || (Vec::new(), true),
        |metadata| steps(&shown(metadata, hidden)),
    );
    let id = id.to_string();
    let act = |path: &str, is_possible: bool| {
        let is_allowed = visit.may_write && is_possible;
        is_allowed.then(|| visit.links.with(path, [("id", &id)]))
    };
    let waits = matches!(event.status, OutboxStatus::Pending | OutboxStatus::Failed);
    let is_dead = event.status == OutboxStatus::Dead;
    let page = Page {
        frame: Frame::of(visit, "Event"),
        summary: clean(&format!(
            "{} of {} {}, user {}",
            event.operation, event.event_type, event.entity_id, event.user_id
        ))
        .into_owned(),
        state: event.status.as_str(),
        explanation: clean(&explanation.to_string()).into_owned(),
        times: times(&event, now),
        facts: facts(&event),
        attempts: attempts.iter().map(|it| attempt(it, now)).collect(),
        payload,
        payload_note: match (hidden, is_whole) {
            (_, false) => "Only the beginning is shown.",
            (Hidden::All, _) => {
                "Values are hidden: the console does not know which fields are sensitive."
            }
            (Hidden::Named(_), _) => "Sensitive fields are hidden.",
        },
        retry: act("/retry", is_dead || event.status == OutboxStatus::Failed),
        discard: act("/discard", is_dead),
        edit: act("/edit", waits || is_dead),
        priority: event.priority,
        max_attempts: event.max_attempts,
        of_entity: visit.links.with(
            "/events",
            [
                ("entity", event.entity_id.to_string()),
                ("user", event.user_id.clone()),
            ],
        ),
        of_user: visit.links.with("/events", [("user", &event.user_id)]),
        id,
    };
    respond::page(StatusCode::OK, &page)
}

async fn found(store: &Store, id: Uuid) -> Result<OutboxEvent, Trouble> {
    let event = store.fetch_event(id).await?;
    event.ok_or_else(|| {
        Trouble::Missing(format!(
            "There is no event {id}: it was cleaned up, discarded, or never enqueued."
        ))
    })
}

fn times(event: &OutboxEvent, now: DateTime<Utc>) -> Vec<(&'static str, When)> {
    let waits = matches!(event.status, OutboxStatus::Pending | OutboxStatus::Failed);
    let times = [
        ("enqueued", Some(event.created_at)),
        ("due", waits.then_some(event.next_attempt_at)),
        ("expires", event.expires_at),
        ("last attempt", event.last_attempt_at),
        ("lease ends", event.lease_expires_at),
        ("delivered", event.completed_at),
    ];
    let times = times.into_iter();
    let times = times.filter_map(|(name, at)| Some((name, When::of(at?, now))));
    times.collect()
}

fn facts(event: &OutboxEvent) -> Vec<(&'static str, String)> {
    let text = |text: &str| clean(text).into_owned();
    let count = |count: u32| (count > 0).then(|| count.to_string());
    let size = event.metadata.as_ref();
    let size = size.map_or(0, |metadata| metadata.as_bytes().len());
    let refusal = event.last_refusal.as_ref().map(ToString::to_string);
    let headers = event.headers();
    let headers = (!headers.is_empty()).then(|| headers.to_string());
    let facts = [
        ("reason", event.dead_reason.map(|reason| reason.to_string())),
        ("error", event.error_message.as_deref().map(text)),
        ("last refusal", refusal.as_deref().map(text)),
        (
            "attempts",
            Some(format!("{} of {}", event.attempt_count, event.max_attempts)),
        ),
        ("deferrals", count(event.deferrals)),
        ("crashes", count(event.crashes)),
        ("snoozes", count(event.snoozes)),
        ("destination", event.destination.as_deref().map(text)),
        ("key", event.dedup_key.as_deref().map(text)),
        ("after", parents(event).as_deref().map(text)),
        ("headers", headers.as_deref().map(text)),
        ("priority", Some(event.priority.to_string())),
        ("order", Some(event.order.to_string())),
        ("when dead", Some(event.on_dead.to_string())),
        ("sequence", Some(event.seq.to_string())),
        (
            "metadata",
            Some(format!("{size} bytes, version {}", event.metadata_version)),
        ),
    ];
    let facts = facts.into_iter();
    facts
        .filter_map(|(name, fact)| Some((name, fact?)))
        .collect()
}

/// The entities that must be delivered first.
fn parents(event: &OutboxEvent) -> Option<String> {
    let parents: Vec<String> = event.parents.iter().map(ToString::to_string).collect();
    (!parents.is_empty()).then(|| parents.join(", "))
}

fn attempt(attempt: &PastAttempt, now: DateTime<Utc>) -> Attempt {
    let message = attempt.message.as_deref().unwrap_or_default();
    Attempt {
        began: When::of(attempt.began_at, now),
        took: format!("{:.1} s", attempt.duration().as_secs_f64()),
        outcome: attempt.outcome.as_str(),
        message: clean(message).into_owned(),
    }
}
