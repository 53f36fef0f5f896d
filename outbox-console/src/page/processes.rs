//! The processes that work on the outbox.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use outbox_operate::{clean, cut};
use outbox_runtime::store::{Announcement, ProcessState, StoreProcess};

use super::frame::Frame;
use super::when::When;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "processes.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
}

struct Row {
    process_id: u32,
    host: String,
    state: &'static str,
    tone: &'static str,
    since: When,
    leases: u64,
    runs: Vec<Run>,
}

struct Run {
    types: String,
    user: String,
    version: String,
    started: When,
}

pub(crate) async fn show(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let processes = store.processes().await?;
    let now = store.clock().now();
    let page = Page {
        frame: Frame::of(visit, "Processes"),
        rows: processes.iter().map(|process| row(process, now)).collect(),
    };
    respond::page(StatusCode::OK, &page)
}

fn row(process: &StoreProcess, now: DateTime<Utc>) -> Row {
    let (state, tone) = match process.state {
        ProcessState::Alive => ("alive", "good"),
        ProcessState::Gone => ("dead", "bad"),
        _ => ("unknown", "unsure"),
    };
    let host = process.host.as_deref().unwrap_or("unknown host");
    Row {
        process_id: process.process_id,
        host: cut(host, 80),
        state,
        tone,
        since: When::of(process.since, now),
        leases: process.leases,
        runs: process.runs.iter().map(|it| run(it, now)).collect(),
    }
}

/// The types that it handles, and those that it holds.
fn types(run: &Announcement) -> String {
    let handled = match &run.event_types {
        None => "any type".to_owned(),
        Some(types) => types.join(", "),
    };
    let text = match &run.held_types[..] {
        [] => handled,
        held => format!("{handled}; holds {}", held.join(", ")),
    };
    clean(&text).into_owned()
}

fn run(run: &Announcement, now: DateTime<Utc>) -> Run {
    Run {
        types: types(run),
        user: match &run.user_id {
            None => "all users".to_owned(),
            Some(user) => cut(user, 80),
        },
        version: clean(&run.version).into_owned(),
        started: When::of(run.started_at, now),
    }
}
