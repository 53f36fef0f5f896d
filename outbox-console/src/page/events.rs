//! A listing of events, page by page.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use outbox_operate::{Pages, cut, key_text, open_error, reason_or_state};
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Clock as _, DeadReason, OutboxEvent, OutboxStatus};

use super::frame::Frame;
use super::when::When;
use crate::link::Links;
use crate::query::Filter;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// The rows of a page. A browser paints 200 in a tenth of a second.
const ROWS: usize = 100;
/// A page that finds little ends after this time, and says how to go on.
const PATIENCE: Duration = Duration::from_millis(60);
/// Nor does it take more steps than this, each a short transaction.
const STEPS: usize = 64;

#[derive(Template)]
#[template(path = "events.html")]
struct Page {
    frame: Frame,
    states: Vec<Choice>,
    reasons: Vec<Choice>,
    event_type: String,
    user: String,
    entity: String,
    text: String,
    rows: Vec<Row>,
    is_first: bool,
    first: String,
    next: Option<String>,
    /// Whether the search ended before the page was full.
    is_cut: bool,
    /// Where the whole selection can be retried or discarded.
    retry: Option<String>,
    discard: Option<String>,
}

struct Choice {
    value: &'static str,
    is_chosen: bool,
}

/// A row of a listing.
pub(crate) struct Row {
    pub(crate) href: String,
    pub(crate) short_id: String,
    pub(crate) state: &'static str,
    pub(crate) event_type: String,
    pub(crate) entity: String,
    pub(crate) user: String,
    pub(crate) attempts: String,
    pub(crate) enqueued: When,
    pub(crate) error: String,
}

impl Row {
    pub(crate) fn of(event: &OutboxEvent, now: DateTime<Utc>, links: &Links) -> Self {
        let id = event.id.to_string();
        let error = open_error(event).unwrap_or_default();
        let error = match event.dead_reason {
            Some(_) => format!("{}: {error}", reason_or_state(event)),
            None => error,
        };
        Self {
            href: links.with("/event", [("id", &id)]),
            short_id: id.chars().skip(id.len().saturating_sub(12)).collect(),
            state: event.status.as_str(),
            event_type: cut(&event.event_type, 60),
            entity: cut(&event.entity_id.to_string(), 60),
            user: cut(&event.user_id, 60),
            attempts: format!("{}/{}", event.attempt_count, event.max_attempts),
            enqueued: When::of(event.created_at, now),
            error: cut(&error, 200),
        }
    }
}

pub(crate) async fn show(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let filter = Filter::read(&visit.query).map_err(Trouble::Request)?;
    let from = visit.query.key().map_err(Trouble::Request)?;
    let now = store.clock().now();
    let mut pages = Pages::new(store.clone(), filter.selected())
        .starting_at(from)
        .limit(ROWS);
    let began = SystemClock.uptime();
    let mut rows = Vec::new();
    for _ in 0..STEPS {
        let Some(events) = pages.step().await? else {
            break;
        };
        let of_step = events.iter().map(|event| Row::of(event, now, &visit.links));
        rows.extend(of_step);
        if SystemClock.uptime().saturating_sub(began) > PATIENCE {
            break;
        }
    }
    let next = pages.position().map(|key| {
        let mut query = filter.pairs();
        query.push(("after", key_text(key)));
        visit.links.with("/events", query)
    });
    let act = |path: &str, states: &[OutboxStatus]| {
        let fits = filter.states.iter().all(|state| states.contains(state));
        let is_possible = visit.may_write && fits;
        is_possible.then(|| visit.links.with(path, filter.pairs()))
    };
    let states = OutboxStatus::ALL.iter().map(|state| Choice {
        value: state.as_str(),
        is_chosen: filter.states.contains(state),
    });
    let reasons = DeadReason::ALL.iter().map(|reason| Choice {
        value: reason.as_str(),
        is_chosen: filter.reason == Some(*reason),
    });
    let page = Page {
        frame: Frame::of(visit, "Events"),
        states: states.collect(),
        reasons: reasons.collect(),
        event_type: filter.event_type.clone().unwrap_or_default(),
        user: filter.user.clone().unwrap_or_default(),
        entity: filter.entity.clone().unwrap_or_default(),
        text: filter.text.clone().unwrap_or_default(),
        is_cut: next.is_some() && rows.len() < ROWS,
        rows,
        is_first: from.is_none(),
        first: visit.links.with("/events", filter.pairs()),
        next,
        retry: act("/retry", &[OutboxStatus::Failed, OutboxStatus::Dead]),
        discard: act("/discard", &[OutboxStatus::Dead]),
    };
    respond::page(StatusCode::OK, &page)
}
