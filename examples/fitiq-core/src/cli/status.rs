//! The status of the outbox as a table.

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use outbox_runtime::{OutboxRepository, OutboxStatistics, OutboxStatus, StoreError};

/// The most dead letters that are shown.
const SHOWN: usize = 20;

/// The statistics of a user, or of all, and the dead letters with their reasons.
///
/// # Errors
///
/// If the store cannot be read.
pub async fn status(
    store: &dyn OutboxRepository,
    user_id: Option<&str>,
) -> Result<String, StoreError> {
    let statistics = store.statistics(user_id).await?;
    let mut text = statistics_table(&statistics).to_string();
    let shown = Some(SHOWN);
    let dead = store
        .fetch_events(OutboxStatus::Dead, user_id, shown)
        .await?;
    if !dead.is_empty() {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header([
            "dead letter",
            "entity",
            "what",
            "reason",
            "said",
        ]);
        for event in &dead {
            table.add_row([
                event.id.to_string(),
                event.entity_id.to_string(),
                format!("{} {}", event.operation, event.event_type),
                event
                    .dead_reason
                    .map(|reason| reason.to_string())
                    .unwrap_or_default(),
                event.error_message.clone().unwrap_or_default(),
            ]);
        }
        text = format!("{text}\n{table}");
        let more = statistics.dead_count.saturating_sub(dead.len() as u64);
        if more > 0 {
            text = format!("{text}\nand {more} more");
        }
    }
    Ok(text)
}

/// The statistics as a table of two columns.
#[must_use]
pub fn statistics_table(statistics: &OutboxStatistics) -> Table {
    let date = |date: Option<chrono::DateTime<chrono::Utc>>| {
        date.map_or_else(|| "-".to_owned(), |date| date.to_rfc3339())
    };
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["outbox", ""]);
    let counts = [
        (OutboxStatus::Pending, statistics.pending_count),
        (OutboxStatus::Processing, statistics.processing_count),
        (OutboxStatus::Completed, statistics.completed_count),
        (OutboxStatus::Failed, statistics.failed_count),
        (OutboxStatus::Dead, statistics.dead_count),
    ];
    for (status, count) in counts {
        let name = format!("{} {}", status.emoji(), status.display_name());
        table.add_row([name, count.to_string()]);
    }
    let issues = if statistics.has_issues() { "yes" } else { "no" };
    for (name, value) in [
        ("Total", statistics.total_events.to_string()),
        ("Completed ever", statistics.completed_total.to_string()),
        ("Stale", statistics.stale_count.to_string()),
        (
            "Success rate",
            format!("{:.2} %", statistics.success_rate()),
        ),
        ("Oldest pending", date(statistics.oldest_pending_date)),
        ("Newest completed", date(statistics.newest_completed_date)),
        ("Has issues", issues.to_owned()),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    table
}
