//! Event types, with their backlog and the runs that handle them.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use outbox_operate::{Runs, cut};
use outbox_runtime::{Pause, TypeCounts};

use super::frame::Frame;
use super::users::SAMPLE;
use super::when::When;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "types.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    is_complete: bool,
    has_runs: bool,
}

struct Row {
    name: String,
    href: String,
    counts: [u64; 4],
    oldest: Option<When>,
    handled: String,
    is_unhandled: bool,
    is_paused: bool,
}

pub(crate) async fn show(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let breakdown = store.breakdown(None, SAMPLE).await?;
    let processes = store.processes().await?;
    let waiting = store.event_types().await?;
    let pauses = store.paused().await?;
    let now = store.clock().now();
    let runs = Runs::of(&processes);
    let mut names: BTreeSet<&str> = runs.named_types().collect();
    names.extend(waiting.iter().map(String::as_str));
    let counted: BTreeMap<&str, &TypeCounts> = breakdown
        .types
        .iter()
        .map(|counts| (counts.event_type.as_str(), counts))
        .collect();
    names.extend(counted.keys());
    let row = |name: &str| {
        let counts = counted.get(name);
        let handlers = runs.that_handle(name);
        let is_held = runs.hold(name);
        let is_unhandled = handlers == 0 && !runs.is_empty() && !is_held;
        let pause = Pause::event_type(name);
        Row {
            name: cut(name, 80),
            href: visit.links.with("/events", [("type", name)]),
            counts: counts.map_or([0; 4], |it| [it.pending, it.processing, it.failed, it.dead]),
            oldest: counts.and_then(|it| it.oldest).map(|at| When::of(at, now)),
            handled: match (runs.is_empty(), handlers) {
                (true, _) => "unknown".to_owned(),
                (false, 0) if is_held => "held: retired".to_owned(),
                (false, 0) => "nobody".to_owned(),
                (false, 1) => "1 run".to_owned(),
                (false, count) => format!("{count} runs"),
            },
            is_unhandled,
            is_paused: pauses.iter().any(|paused| paused.scope == *pause.scope()),
        }
    };
    let page = Page {
        frame: Frame::of(visit, "Types and handlers"),
        rows: names.into_iter().map(row).collect(),
        is_complete: breakdown.is_complete,
        has_runs: !runs.is_empty(),
    };
    respond::page(StatusCode::OK, &page)
}
