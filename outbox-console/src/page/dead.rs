//! Dead letters, grouped by the fingerprint of their error.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use futures_util::future::join;
use outbox_operate::{Newest, cut};
use outbox_runtime::{DeadReason, OutboxEvent, OutboxStatus};

use super::frame::Frame;
use super::when::When;
use crate::figures::older_letters;
use crate::fingerprint::{constant_part, fingerprint};
use crate::query::Filter;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// The groups that are shown: the largest.
const GROUPS: usize = 100;

#[derive(Template)]
#[template(path = "dead.html")]
struct Page {
    frame: Frame,
    groups: Vec<Shown>,
    /// How many there are, and which of them are grouped.
    summary: String,
    is_empty: bool,
    /// Where older ones are grouped.
    older: Option<String>,
    is_first: bool,
    left_out: usize,
}

/// A group on the page.
struct Shown {
    href: String,
    example_href: String,
    count: u64,
    reason: &'static str,
    event_type: String,
    error: String,
    oldest: When,
    newest: When,
}

/// The letters of one reason and type whose errors have one fingerprint.
struct Group<'e> {
    count: u64,
    oldest: DateTime<Utc>,
    newest: DateTime<Utc>,
    example: &'e OutboxEvent,
}

type Key = (Option<DeadReason>, String, String);

pub(crate) async fn show(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let from: Option<i64> = visit.query.parsed("until").map_err(Trouble::Request)?;
    let figures = &visit.app.figures;
    let letters = async {
        match from {
            None => figures.letters(store).await,
            Some(_) => older_letters(store, from).await.map(Arc::new),
        }
    };
    let (counted, letters) = join(figures.counts(store), letters).await;
    let (counted, letters) = (counted?, letters?);
    let now = store.clock().now();
    let mut groups = grouped(&letters.events);
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
    let left_out = groups.len().saturating_sub(GROUPS);
    groups.truncate(GROUPS);
    let page = Page {
        frame: Frame::of(visit, "Dead letters").awaiting(counted.as_ref()),
        groups: groups
            .into_iter()
            .map(|(key, group)| shown(key, &group, visit, now))
            .collect(),
        summary: summary(counted.map(|it| it.statistics.dead_count), &letters, from),
        is_empty: letters.events.is_empty() && letters.next.is_none(),
        older: letters.next.map(|next| {
            let query = [("until", next.to_string())];
            visit.links.with("/dead", query)
        }),
        is_first: from.is_none(),
        left_out,
    };
    respond::page(StatusCode::OK, &page)
}

fn summary(total: Option<u64>, letters: &Newest, from: Option<i64>) -> String {
    let read = letters.events.len();
    let total = match total {
        Some(total) => format!("{total} dead letters"),
        None => "Dead letters, which are being counted".to_owned(),
    };
    match (from, letters.next) {
        (None, None) => format!("{total}."),
        (None, Some(_)) => format!("{total}; the newest {read} of them are grouped here."),
        (Some(_), _) => format!("{total}; {read} older ones are grouped here."),
    }
}

/// The groups, in the order of their newest letters.
fn grouped(events: &[OutboxEvent]) -> Vec<(Key, Group<'_>)> {
    let mut groups: Vec<(Key, Group<'_>)> = Vec::new();
    let mut places: BTreeMap<(&'static str, &str, String), usize> = BTreeMap::new();
    for event in events {
        let reason = event.dead_reason;
        let print = fingerprint(event.error_message.as_deref().unwrap_or_default());
        let word = reason.map_or("dead", DeadReason::as_str);
        let place = (word, event.event_type.as_str(), print.clone());
        let place = *places.entry(place).or_insert(groups.len());
        let died = event.last_attempt_at.unwrap_or(event.created_at);
        match groups.get_mut(place) {
            Some((_, group)) => {
                group.count += 1;
                group.oldest = group.oldest.min(died);
                group.newest = group.newest.max(died);
            }
            None => {
                let key = (reason, event.event_type.clone(), print);
                let group = Group {
                    count: 1,
                    oldest: died,
                    newest: died,
                    example: event,
                };
                groups.push((key, group));
            }
        }
    }
    groups
}

fn shown(
    (reason, event_type, print): Key,
    group: &Group<'_>,
    visit: &Visit,
    now: DateTime<Utc>,
) -> Shown {
    let error = group.example.error_message.as_deref().unwrap_or_default();
    let text = constant_part(error);
    let filter = Filter {
        states: vec![OutboxStatus::Dead],
        event_type: Some(event_type.clone()),
        text: (!text.is_empty()).then(|| text.to_owned()),
        reason,
        ..Filter::default()
    };
    Shown {
        href: visit.links.with("/events", filter.pairs()),
        example_href: visit
            .links
            .with("/event", [("id", group.example.id.to_string())]),
        count: group.count,
        reason: reason.map_or("dead", DeadReason::as_str),
        event_type: cut(&event_type, 60),
        error: match print.is_empty() {
            true => "(no message)".to_owned(),
            false => cut(&print, 200),
        },
        oldest: When::of(group.oldest, now),
        newest: When::of(group.newest, now),
    }
}
