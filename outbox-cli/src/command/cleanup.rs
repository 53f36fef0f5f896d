//! `cleanup`: the end of old completed events.

use outbox_runtime::store::kit::before;
use outbox_runtime::{EventFilter, OutboxStatus};
use serde_json::json;

use crate::args;
use crate::database::Database;
use crate::failure::{Outcome, Verdict};
use crate::out::Out;
use crate::pages::Pages;
use crate::progress::{Progress, waiting};
use crate::time::stamp;

pub(crate) async fn run(args: &args::Cleanup, database: &Database, out: &mut Out) -> Outcome {
    let store = database.store();
    let limit = before(store.clock().now(), args.older_than);
    let (mut matched, mut deleted) = (0, 0);
    if args.yes {
        let work = store.delete_completed_events(limit);
        deleted = waiting("deleting", work).await?;
        matched = deleted;
    } else if store.oldest_completed().await?.is_some_and(|at| at < limit) {
        let mut filter = EventFilter::default();
        filter.statuses = vec![OutboxStatus::Completed];
        filter.created_before = Some(limit);
        let mut progress = Progress::new("counted");
        let mut pages = Pages::new(store, filter);
        while let Some(events) = pages.next().await? {
            let is_old = |at| at < limit;
            let old = events
                .iter()
                .filter(|event| event.completed_at.is_some_and(is_old));
            matched += old.count() as u64;
            progress.add(events.len() as u64);
        }
    }
    if out.is_json {
        out.json(&json!({
            "before": limit, "matched": matched, "done": deleted, "isDryRun": !args.yes,
        }))?;
    } else if args.yes {
        out.line(format!(
            "{deleted} events deleted that were completed before {}",
            stamp(limit)
        ))?;
    } else {
        let hint = if matched > 0 {
            ": add --yes to do it"
        } else {
            ""
        };
        out.line(format!(
            "{matched} events would be deleted that were completed before {}{hint}",
            stamp(limit)
        ))?;
    }
    Ok(Verdict::look_at(!args.yes && matched > 0))
}
