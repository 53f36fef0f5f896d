//! Dead letters, grouped by the fingerprint of their error.

use std::collections::BTreeMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use outbox_operate::{Pages, cut};
use outbox_runtime::{DeadReason, EventFilter, OutboxEvent, OutboxStatus};

use super::frame::Frame;
use super::when::When;
use crate::fingerprint::{constant_part, fingerprint};
use crate::query::Filter;
use crate::respond;
use crate::stores::Store;
use crate::trouble::Trouble;
use crate::visit::Visit;

/// The dead letters that are read: the oldest.
const SAMPLE: usize = 2_000;
/// The groups that are shown: the largest.
const GROUPS: usize = 100;

#[derive(Template)]
#[template(path = "dead.html")]
struct Page {
    frame: Frame,
    groups: Vec<Shown>,
    read: usize,
    /// Of all dead letters.
    total: u64,
    is_all: bool,
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
struct Group {
    count: u64,
    oldest: DateTime<Utc>,
    newest: DateTime<Utc>,
    example: OutboxEvent,
}

type Key = (Option<DeadReason>, String, String);

pub(crate) async fn show(visit: &Visit, store: &Store) -> Result<Response, Trouble> {
    let total = store.statistics(None).await?.dead_count;
    let now = store.clock().now();
    let mut filter = EventFilter::default();
    filter.statuses = vec![OutboxStatus::Dead];
    let mut pages = Pages::new(store.clone(), filter).limit(SAMPLE);
    let mut groups: Vec<(Key, Group)> = Vec::new();
    let mut places: BTreeMap<(&'static str, String, String), usize> = BTreeMap::new();
    let mut read = 0;
    while let Some(events) = pages.next().await? {
        read += events.len();
        for event in events {
            let reason = event.dead_reason;
            let print = fingerprint(event.error_message.as_deref().unwrap_or_default());
            let word = reason.map_or("dead", DeadReason::as_str);
            let place = (word, event.event_type.clone(), print.clone());
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
    }
    let is_all = pages.has_ended();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
    let left_out = groups.len().saturating_sub(GROUPS);
    groups.truncate(GROUPS);
    let page = Page {
        frame: Frame::of(visit, "Dead letters"),
        groups: groups
            .into_iter()
            .map(|(key, group)| shown(key, &group, visit, now))
            .collect(),
        read,
        total,
        is_all,
        left_out,
    };
    respond::page(StatusCode::OK, &page)
}

fn shown(
    (reason, event_type, print): Key,
    group: &Group,
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
