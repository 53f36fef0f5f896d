//! `retry` and `discard`: on ids or a filter, after the number was shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use outbox_operate::{Deed, PAGE, Pages, reason_or_state};
use outbox_runtime::{EventFilter, OutboxEvent, OutboxRepository};
use serde::Serialize;
use uuid::Uuid;

use crate::args;
use crate::database::Database;
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::{Out, Tone};
use crate::progress::Progress;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// The events that the command selects.
    matched: u64,
    /// Of those, how many there are by reason or state.
    by_reason: BTreeMap<String, u64>,
    /// The events that were changed.
    done: u64,
    is_dry_run: bool,
    /// Ids that are unknown, or of events in another state.
    skipped: Vec<Uuid>,
}

impl Answer {
    fn count(&mut self, event: &OutboxEvent) {
        self.matched += 1;
        let reason = reason_or_state(event).to_owned();
        *self.by_reason.entry(reason).or_default() += 1;
    }
}

pub(crate) async fn run(
    deed: Deed,
    args: &args::Act,
    database: &Database,
    out: &mut Out,
) -> Outcome {
    let store = database.store();
    let mut answer = Answer {
        is_dry_run: !args.yes,
        ..Answer::default()
    };
    match (args.ids.is_empty(), args.filter.is_empty()) {
        (false, false) => {
            return Err(Failure::new("give either ids or a filter, not both"));
        }
        (true, true) if !args.all => {
            return Err(Failure::new(
                "give the ids of events, a filter, or --all (`outbox list` shows what a filter selects)",
            ));
        }
        (false, true) => by_ids(deed, &args.ids, &store, &mut answer).await?,
        (true, _) => {
            let mut filter = args.filter.at(store.clock().now());
            let restricted = deed.restrict(&mut filter);
            restricted.map_err(|error| Failure::new(error.to_string()))?;
            by_filter(deed, filter, &store, &mut answer).await?;
        }
    }
    let is_left = answer.is_dry_run && answer.matched > 0 || !answer.skipped.is_empty();
    match out.is_json {
        true => out.json(&answer)?,
        false => print(deed, &answer, out)?,
    }
    Ok(Verdict::look_at(is_left))
}

async fn by_ids(
    deed: Deed,
    ids: &[Uuid],
    store: &Arc<dyn OutboxRepository>,
    answer: &mut Answer,
) -> Result<(), Failure> {
    for ids in ids.chunks(PAGE) {
        let mut found = Vec::new();
        for id in ids {
            match store.fetch_event(*id).await? {
                Some(event) if deed.states().contains(&event.status) => {
                    answer.count(&event);
                    found.push(*id);
                }
                _ => answer.skipped.push(*id),
            }
        }
        if !answer.is_dry_run {
            answer.done += deed.on(&**store, &found).await?;
        }
    }
    Ok(())
}

/// Goes through the events page by page: each page is one transaction, so that a large number of
/// events holds up nobody.
async fn by_filter(
    deed: Deed,
    filter: EventFilter,
    store: &Arc<dyn OutboxRepository>,
    answer: &mut Answer,
) -> Result<(), Failure> {
    let verb = if answer.is_dry_run {
        "counted"
    } else {
        deed.done()
    };
    let mut progress = Progress::new(verb);
    let mut pages = Pages::new(Arc::clone(store), filter);
    while let Some(events) = pages.next().await? {
        for event in &events {
            answer.count(event);
        }
        if !answer.is_dry_run {
            let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
            answer.done += deed.on(&**store, &ids).await?;
        }
        progress.add(events.len() as u64);
    }
    Ok(())
}

fn print(deed: Deed, answer: &Answer, out: &mut Out) -> Result<(), Failure> {
    let plural = |count: u64| if count == 1 { "event" } else { "events" };
    for (reason, count) in &answer.by_reason {
        out.line(format!("{count:>9} {reason}"))?;
    }
    for id in &answer.skipped {
        let line = format!("{id} is unknown or in another state");
        out.line(out.tone(Tone::Unsure, &line, 0))?;
    }
    let matched = answer.matched;
    if answer.is_dry_run {
        let done = deed.done();
        let hint = if matched > 0 {
            ": add --yes to do it"
        } else {
            ""
        };
        return out.line(format!(
            "{matched} {} would be {done}{hint}",
            plural(matched)
        ));
    }
    out.line(format!(
        "{} {} {}",
        answer.done,
        plural(answer.done),
        deed.done()
    ))
}
