//! `status`: counts, the oldest event, types and users.

use chrono::{DateTime, Utc};
use outbox_operate::{age, clean, cut, stamp};
use outbox_runtime::store::SystemClock;
use outbox_runtime::{Breakdown, Clock as _, OutboxStatistics, Paused};
use serde::Serialize;
use serde_json::Value;

use super::pause;
use crate::args;
use crate::database::{Database, Place};
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::{Out, Tone};
use crate::progress::waiting;

/// The users that `status` and `watch` name.
const USERS: usize = 10;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    outbox: String,
    at: DateTime<Utc>,
    statistics: &'a OutboxStatistics,
    undelivered: u64,
    has_issues: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries_per_second: Option<f64>,
    pauses: Vec<Value>,
    #[serde(flatten)]
    breakdown: &'a Breakdown,
}

pub(crate) async fn run(
    args: &args::Status,
    place: &Place,
    database: &Database,
    out: &mut Out,
) -> Outcome {
    let store = database.store();
    let user = args.user.as_deref();
    let mut statistics = waiting("counting", store.statistics(user)).await?;
    let mut rate = None;
    if let Some(time) = args.measure {
        let (before, began) = (statistics.completed_total, SystemClock.uptime());
        SystemClock.sleep(time).await;
        statistics = store.statistics(user).await?;
        let took = SystemClock.uptime().saturating_sub(began).as_secs_f64();
        let delivered = statistics.completed_total.saturating_sub(before);
        rate = Some(delivered as f64 / took.max(f64::EPSILON));
    }
    let pauses = store.paused().await?;
    let breakdown = store.breakdown(user, args.sample).await?;
    let breakdown = with_few_users(breakdown);
    let now = store.clock().now();
    let answer = Answer {
        outbox: place.name(),
        at: now,
        statistics: &statistics,
        undelivered: statistics.undelivered(),
        has_issues: statistics.has_issues(),
        deliveries_per_second: rate,
        pauses: pauses.iter().map(pause::as_json).collect(),
        breakdown: &breakdown,
    };
    if out.is_json {
        out.json(&answer)?;
    } else {
        print(&answer, &pauses, out)?;
    }
    Ok(Verdict::look_at(answer.has_issues))
}

/// Leaves out all but the users with the most undelivered events.
pub(super) fn with_few_users(mut breakdown: Breakdown) -> Breakdown {
    breakdown.users.truncate(USERS);
    breakdown
}

fn print(answer: &Answer<'_>, pauses: &[Paused], out: &mut Out) -> Result<(), Failure> {
    let (now, statistics) = (answer.at, answer.statistics);
    let head = out.tone(Tone::Head, &clean(&answer.outbox), 0);
    out.line(head)?;
    let count = |name: &str, count: u64, tone: Tone, out: &Out| {
        let tone = if count == 0 { Tone::Faint } else { tone };
        format!("  {} {name}", out.tone(tone, &format!("{count:>9}"), 0))
    };
    for line in [
        count("pending", statistics.pending_count, Tone::Head, out),
        count("processing", statistics.processing_count, Tone::Head, out),
        count(
            "failed, to be tried again",
            statistics.failed_count,
            Tone::Unsure,
            out,
        ),
        count("dead", statistics.dead_count, Tone::Bad, out),
        count("completed", statistics.completed_count, Tone::Good, out),
        count(
            "completed in all",
            statistics.completed_total,
            Tone::Good,
            out,
        ),
        count(
            "pending for more than 5 minutes",
            statistics.stale_count,
            Tone::Bad,
            out,
        ),
    ] {
        out.line(line)?;
    }
    for (name, number) in [
        ("deferred while others got through", statistics.deferred),
        ("snoozed often", statistics.snoozed_often),
    ] {
        if number > 0 {
            let line = count(name, number, Tone::Unsure, out);
            out.line(line)?;
        }
    }
    if let Some(oldest) = statistics.oldest_pending_date {
        out.line(format!(
            "oldest pending: {} ({} ago)",
            stamp(oldest),
            age(now, oldest)
        ))?;
    }
    if let Some(newest) = statistics.newest_completed_date {
        out.line(format!(
            "last delivery:  {} ({} ago)",
            stamp(newest),
            age(now, newest)
        ))?;
    }
    if let Some(rate) = answer.deliveries_per_second {
        out.line(format!("rate:           {rate:.1} deliveries a second"))?;
    }
    for paused in pauses {
        let line = pause::in_words(paused, now);
        out.line(out.tone(Tone::Unsure, &line, 0))?;
    }
    print_breakdown(answer.breakdown, now, out)
}

fn print_breakdown(
    breakdown: &Breakdown,
    now: DateTime<Utc>,
    out: &mut Out,
) -> Result<(), Failure> {
    if breakdown.types.is_empty() {
        return Ok(());
    }
    if !breakdown.is_complete {
        out.line("")?;
        let counted = breakdown.counted;
        out.line(format!(
            "Of the {counted} oldest undelivered and dead events (more with a larger --sample):"
        ))?;
    }
    out.line("")?;
    let head = format!(
        "{:<28} {:>9} {:>10} {:>9} {:>9}  oldest undelivered",
        "type", "pending", "processing", "failed", "dead"
    );
    out.line(out.tone(Tone::Head, &head, 0))?;
    for of_type in &breakdown.types {
        out.line(format!(
            "{:<28} {:>9} {:>10} {:>9} {:>9}  {}",
            cut(&of_type.event_type, 28),
            of_type.pending,
            of_type.processing,
            of_type.failed,
            of_type.dead,
            of_type
                .oldest
                .map_or_else(|| "-".to_owned(), |at| age(now, at)),
        ))?;
    }
    out.line("")?;
    let head = format!("{:<38} {:>11} {:>9}", "user", "undelivered", "dead");
    out.line(out.tone(Tone::Head, &head, 0))?;
    for user in &breakdown.users {
        out.line(format!(
            "{:<38} {:>11} {:>9}",
            cut(&user.user_id, 38),
            user.undelivered,
            user.dead
        ))?;
    }
    Ok(())
}
