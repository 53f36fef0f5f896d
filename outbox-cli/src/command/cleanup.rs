//! `cleanup`: the end of old completed events.

use outbox_operate::{count_completed, stamp};
use outbox_runtime::store::kit::before;
use serde_json::json;

use crate::args;
use crate::database::Database;
use crate::failure::{Outcome, Verdict};
use crate::out::Out;
use crate::progress::{Progress, waiting};

pub(crate) async fn run(args: &args::Cleanup, database: &Database, out: &mut Out) -> Outcome {
    let store = database.store();
    let limit = before(store.clock().now(), args.older_than);
    let (matched, deleted) = if args.yes {
        let work = store.delete_completed_events(limit);
        let deleted = waiting("deleting", work).await?;
        (deleted, deleted)
    } else {
        let mut progress = Progress::new("counted");
        let counted = count_completed(store, limit, usize::MAX, |read| progress.add(read)).await?;
        (counted.0, 0)
    };
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
