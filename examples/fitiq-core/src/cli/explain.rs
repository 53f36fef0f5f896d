//! The reason why an entity is not delivered.

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use outbox_runtime::{EntityId, OutboxRepository, StoreError};

/// Prints what an entity's first undelivered event waits for, and all of its events in order.
///
/// # Errors
///
/// If the store cannot be read.
pub async fn explain(
    store: &dyn OutboxRepository,
    entity_id: &EntityId,
    user_id: Option<&str>,
) -> Result<String, StoreError> {
    let explanation = store.explain(entity_id, user_id).await?;
    let events = store
        .fetch_events_for_entity(entity_id, None, user_id)
        .await?;
    if events.is_empty() {
        return Ok(explanation.to_string());
    }
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["event", "what", "status", "attempts", "next", "said"]);
    for event in events {
        table.add_row([
            event.id.to_string(),
            format!("{} {}", event.operation, event.event_type),
            format!("{} {}", event.status.emoji(), event.status.display_name()),
            format!("{} of {}", event.attempt_count, event.max_attempts),
            event.next_attempt_at.to_rfc3339(),
            event.error_message.unwrap_or_default(),
        ]);
    }
    Ok(format!("{explanation}\n{table}"))
}
