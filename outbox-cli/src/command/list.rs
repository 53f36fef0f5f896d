//! `list`: events, oldest first, in constant memory.

use chrono::{DateTime, Utc};
use outbox_operate::{Pages, age, cut, key_text, open_error};
use outbox_runtime::store::{PageKey, SystemClock};
use outbox_runtime::{Clock as _, OutboxEvent, OutboxStatus};
use serde::Serialize;

use crate::args;
use crate::database::Database;
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::{Out, Tone};

pub(crate) async fn run(args: &args::List, database: &Database, out: &mut Out) -> Outcome {
    let store = database.store();
    let now = store.clock().now();
    let limit = match args.limit {
        0 => usize::MAX,
        limit => limit,
    };
    let mut pages = Pages::new(store, args.filter.at(now))
        .starting_at(args.after)
        .limit(limit);
    let began = SystemClock.uptime();
    let is_over = || {
        let took = SystemClock.uptime().saturating_sub(began);
        args.within.is_some_and(|within| took >= within)
    };
    let mut is_first = true;
    while let Some(events) = pages.step().await? {
        if events.is_empty() {
            if is_over() {
                break;
            }
            continue;
        }
        if is_first && !out.is_json {
            print_head(out)?;
        }
        is_first = false;
        for event in events {
            match out.is_json {
                true => out.json(&without_payload(event))?,
                false => print(&event, now, out)?,
            }
        }
        // A reader sees a page as soon as it is read, and a closed pipe ends the listing.
        out.flush()?;
        if is_over() {
            break;
        }
    }
    if let (Some(_), Some(next)) = (args.within, pages.position()) {
        return search_ended(next, out);
    }
    if !out.is_json && is_first {
        out.line("no events")?;
    }
    if !out.is_json && limit < usize::MAX && pages.has_more().await? {
        out.line(out.tone(Tone::Faint, "more events follow: --limit 0 lists all", 0))?;
    }
    Ok(Verdict::Fine)
}

/// Tells how a search goes on that ended before all events were looked at.
fn search_ended(next: PageKey, out: &mut Out) -> Outcome {
    let key = key_text(next);
    match out.is_json {
        true => out.json(&Unfinished { after: &key })?,
        false => {
            let text = format!("the search has not ended: --after {key} goes on");
            out.line(out.tone(Tone::Faint, &text, 0))?;
        }
    }
    Ok(Verdict::look_at(true))
}

#[derive(Debug, Serialize)]
struct Unfinished<'a> {
    after: &'a str,
}

/// The event as JSON shows it: metadata is for `show --payload` and `export`, sensitive headers are
/// for `export`, and a fencing token is for nobody.
pub(super) fn without_payload(mut event: OutboxEvent) -> OutboxEvent {
    event.metadata = None;
    event.lease_token = None;
    event.headers = event.headers.redacted();
    event
}

fn print_head(out: &mut Out) -> Result<(), Failure> {
    let head = format!(
        "{:<36}  {:<10} {:<20} {:<24} {:<20} {:>5}  {:<9} error",
        "id", "state", "type", "entity", "user", "tries", "age"
    );
    out.line(out.tone(Tone::Head, &head, 0))
}

fn print(event: &OutboxEvent, now: DateTime<Utc>, out: &mut Out) -> Result<(), Failure> {
    let state = out.tone(tone(event.status), event.status.as_str(), 10);
    let reason = event.dead_reason.map(|reason| format!("{reason}: "));
    let error = open_error(event).unwrap_or_default();
    let error = format!("{}{}{error}", notes(event, now), reason.unwrap_or_default());
    let line = format!(
        "{}  {state} {:<20} {:<24} {:<20} {:>5}  {:<9} {}",
        event.id,
        cut(&event.event_type, 20),
        cut(&event.entity_id.to_string(), 24),
        cut(&event.user_id, 20),
        format!("{}/{}", event.attempt_count, event.max_attempts),
        age(now, event.created_at),
        cut(&error, 80),
    );
    out.line(line.trim_end())
}

/// The key of the event, and when it expires if it still waits.
fn notes(event: &OutboxEvent, now: DateTime<Utc>) -> String {
    let waits = matches!(event.status, OutboxStatus::Pending | OutboxStatus::Failed);
    let expires = event.expires_at.filter(|_| waits).map(|at| match at > now {
        true => format!("[expires {}] ", age(now, at)),
        false => "[expired] ".to_owned(),
    });
    let key = event.dedup_key.as_ref().map(|key| format!("[key {key}] "));
    key.unwrap_or_default() + &expires.unwrap_or_default()
}

pub(super) fn tone(status: OutboxStatus) -> Tone {
    match status {
        OutboxStatus::Completed => Tone::Good,
        OutboxStatus::Failed => Tone::Unsure,
        OutboxStatus::Dead => Tone::Bad,
        _ => Tone::Head,
    }
}
