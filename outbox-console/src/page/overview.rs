//! The overview: counts by state, the oldest event, the rate, pauses and processes.

use std::time::Duration;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use futures_util::future::join3;
use outbox_operate::clean;
use outbox_runtime::store::{ProcessState, StoreProcess};
use outbox_runtime::{OutboxStatistics, Paused};

use super::frame::Frame;
use super::when::When;
use crate::figures::Counts;
use crate::link::Links;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// Counts are said to be old from this age on.
const OLD: Duration = Duration::from_secs(2);

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    frame: Frame,
    counts: Vec<Count>,
    /// A line, where these are not the counts of now.
    counted: Option<String>,
    facts: Vec<Fact>,
    times: Vec<(&'static str, When)>,
    pauses: Vec<String>,
    /// Alive, gone and unknown.
    processes: [usize; 3],
    leases_of_gone: u64,
}

struct Count {
    name: &'static str,
    number: u64,
    href: String,
    /// A class of the style sheet.
    tone: &'static str,
}

struct Fact {
    name: &'static str,
    value: String,
}

pub(crate) async fn show(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let figures = &visit.app.figures;
    let (counted, pauses, processes) = join3(
        figures.counts(store),
        figures.pauses(store),
        figures.processes(store),
    )
    .await;
    let (counted, pauses, processes) = (counted?, pauses?, processes?);
    let now = store.clock().now();
    let of = |state| count_of(&processes, state);
    let gone = processes.iter();
    let gone = gone.filter(|process| process.state == ProcessState::Gone);
    let statistics = counted.as_ref().map(|counted| &counted.statistics);
    let page = Page {
        frame: Frame::of(visit, "Overview").awaiting(counted.as_ref()),
        counts: statistics.map_or_else(Vec::new, |it| counts(it, &visit.links)),
        counted: words_of(counted.as_ref().map(|counted| counted.age)),
        facts: counted.as_ref().map_or_else(Vec::new, facts),
        times: statistics.map_or_else(Vec::new, |it| times(it, now)),
        pauses: pauses.iter().map(|paused| in_words(paused, now)).collect(),
        processes: [
            of(ProcessState::Alive),
            of(ProcessState::Gone),
            of(ProcessState::Unknown),
        ],
        leases_of_gone: gone.map(|process| process.leases).sum(),
    };
    respond::page(StatusCode::OK, &page)
}

/// A line about counts that are not of now.
fn words_of(age: Option<Duration>) -> Option<String> {
    match age {
        None => Some("The events are being counted: this page shows them in a moment.".to_owned()),
        Some(age) if age < OLD => None,
        Some(age) => Some(format!(
            "Counted {} s ago: counting takes a moment here.",
            age.as_secs()
        )),
    }
}

fn facts(counted: &Counts) -> Vec<Fact> {
    let statistics = &counted.statistics;
    let rate = match counted.rate {
        Some(rate) => format!(
            "{:.1} deliveries a second, over the last {} s",
            rate.per_second,
            rate.span.as_secs().max(1)
        ),
        None => "measured from the second look on".to_owned(),
    };
    let mut facts = vec![
        Fact {
            name: "throughput",
            value: rate,
        },
        Fact {
            name: "delivered in all",
            value: statistics.completed_total.to_string(),
        },
    ];
    for (name, number) in [
        ("pending for more than 5 minutes", statistics.stale_count),
        ("deferred while others got through", statistics.deferred),
        ("snoozed often", statistics.snoozed_often),
    ] {
        facts.push(Fact {
            name,
            value: number.to_string(),
        });
    }
    facts
}

fn times(statistics: &OutboxStatistics, now: DateTime<Utc>) -> Vec<(&'static str, When)> {
    let times = [
        ("oldest pending", statistics.oldest_pending_date),
        ("last delivery", statistics.newest_completed_date),
    ];
    let times = times.into_iter();
    let times = times.filter_map(|(name, at)| Some((name, When::of(at?, now))));
    times.collect()
}

/// A pause as a line.
fn in_words(paused: &Paused, now: DateTime<Utc>) -> String {
    let since = When::of(paused.since, now);
    let mut text = format!("{}, since {}", paused.scope, since.whole());
    if let Some(until) = paused.until {
        text.push_str(&format!(", until {}", When::of(until, now).whole()));
    }
    if let Some(by) = &paused.by {
        text.push_str(&format!(", by {by}"));
    }
    if let Some(because) = &paused.because {
        text.push_str(&format!(": {because}"));
    }
    clean(&text).into_owned()
}

fn count_of(processes: &[StoreProcess], state: ProcessState) -> usize {
    let of_state = processes.iter().filter(|process| process.state == state);
    of_state.count()
}

fn counts(statistics: &OutboxStatistics, links: &Links) -> Vec<Count> {
    let count = |name, number, state: &str, tone| Count {
        name,
        number,
        href: links.with("/events", [("state", state)]),
        tone: if number == 0 { "none" } else { tone },
    };
    vec![
        count("pending", statistics.pending_count, "pending", "plain"),
        count(
            "processing",
            statistics.processing_count,
            "processing",
            "plain",
        ),
        count(
            "failed, to be tried again",
            statistics.failed_count,
            "failed",
            "unsure",
        ),
        count("dead", statistics.dead_count, "dead", "bad"),
        count("completed", statistics.completed_count, "completed", "good"),
    ]
}
