//! A line per look, for pipes and logs.

use std::time::Duration;

use outbox_operate::{age, stamp};
use outbox_runtime::Clock as _;
use outbox_runtime::store::SystemClock;

use super::watcher::{Look, Watcher};
use crate::failure::Failure;
use crate::out::Out;

pub(super) async fn run(
    watcher: &mut Watcher<'_>,
    interval: Duration,
    count: Option<u64>,
    out: &mut Out,
) -> Result<(), Failure> {
    let mut looks = 0;
    loop {
        let look = watcher.look().await?;
        match out.is_json {
            true => out.json(&look)?,
            false => out.line(line(&look))?,
        }
        out.flush()?;
        looks += 1;
        if count.is_some_and(|count| looks >= count) {
            return Ok(());
        }
        SystemClock.sleep(interval).await;
    }
}

fn line(look: &Look) -> String {
    let counts = &look.statistics;
    let oldest = counts.oldest_pending_date;
    let oldest = oldest.map_or_else(|| "-".to_owned(), |at| age(look.at, at));
    let rate = look.deliveries_per_second;
    let rate = rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}/s"));
    format!(
        "{} pending {} processing {} failed {} dead {} completed {} oldest {oldest} rate {rate}",
        stamp(look.at),
        counts.pending_count,
        counts.processing_count,
        counts.failed_count,
        counts.dead_count,
        counts.completed_total,
    )
}
