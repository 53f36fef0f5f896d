//! `show`: one event in words.

use chrono::{DateTime, Utc};
use outbox_operate::{Hidden, age, clean, shown, stamp};
use outbox_runtime::{OutboxEvent, OutboxStatus, PastAttempt};
use serde_json::{Value, json};

use super::list::{tone, without_payload};
use crate::args;
use crate::database::Database;
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::Out;

pub(crate) async fn run(args: &args::Show, database: &Database, out: &mut Out) -> Outcome {
    let store = database.store();
    let Some(event) = store.fetch_event(args.id).await? else {
        let id = args.id;
        return Err(Failure::new(format!(
            "there is no event {id}: it was cleaned up, discarded, or never enqueued"
        )));
    };
    let now = store.clock().now();
    let hidden = Hidden::of(args.sensitive.sensitive.as_deref());
    let payload = event.metadata.as_ref().filter(|_| args.payload);
    let payload = payload.map(|metadata| shown(metadata, &hidden));
    let is_dead = event.status == OutboxStatus::Dead;
    let attempts = store.attempts(args.id).await?;
    if out.is_json {
        print_json(event, &attempts, payload, out)?;
    } else {
        print(&event, now, out)?;
        print_attempts(&attempts, out)?;
        if let Some(payload) = payload {
            print_payload(&payload, &hidden, out)?;
        }
    }
    Ok(Verdict::look_at(is_dead))
}

fn print_json(
    event: OutboxEvent,
    attempts: &[PastAttempt],
    payload: Option<Value>,
    out: &mut Out,
) -> Result<(), Failure> {
    let event = serde_json::to_value(without_payload(event));
    let mut event = event.map_err(|error| Failure::new(error.to_string()))?;
    if let Value::Object(fields) = &mut event {
        let attempts = attempts.iter().map(|attempt| {
            json!({
                "beganAt": attempt.began_at, "endedAt": attempt.ended_at,
                "outcome": attempt.outcome.as_str(), "message": attempt.message,
            })
        });
        fields.insert("attempts".to_owned(), attempts.collect());
        if let Some(payload) = payload {
            fields.insert("payload".to_owned(), payload);
        }
    }
    out.json(&event)
}

/// The history of the event, the oldest attempt first.
fn print_attempts(attempts: &[PastAttempt], out: &mut Out) -> Result<(), Failure> {
    for attempt in attempts {
        let took = attempt.duration().as_secs_f64();
        let message = attempt.message.as_deref().unwrap_or_default();
        let began = stamp(attempt.began_at);
        out.line(format!(
            "  {began}  {:<9} after {took:.1} s  {}",
            attempt.outcome,
            clean(message)
        ))?;
    }
    Ok(())
}

fn print(event: &OutboxEvent, now: DateTime<Utc>, out: &mut Out) -> Result<(), Failure> {
    let time = |at: DateTime<Utc>| {
        let distance = age(now, at);
        match at > now {
            true => format!("{} ({distance})", stamp(at)),
            false => format!("{} ({distance} ago)", stamp(at)),
        }
    };
    let status = out.tone(tone(event.status), event.status.as_str(), 0);
    out.line(format!("event      {}", event.id))?;
    let what = format!(
        "{} of {} {}, user {}",
        event.operation,
        clean(&event.event_type),
        clean(&event.entity_id.to_string()),
        clean(&event.user_id)
    );
    out.line(format!("change     {what}"))?;
    out.line(format!("state      {status}"))?;
    out.line(format!("enqueued   {}", time(event.created_at)))?;
    if let Some(at) = event.completed_at {
        out.line(format!("delivered  {}", time(at)))?;
    }
    if let Some(reason) = event.dead_reason {
        out.line(format!("reason     {reason}"))?;
    }
    if matches!(event.status, OutboxStatus::Pending | OutboxStatus::Failed) {
        out.line(format!("due        {}", time(event.next_attempt_at)))?;
    }
    out.line(format!(
        "attempts   {} of {}",
        event.attempt_count, event.max_attempts
    ))?;
    if let Some(at) = event.last_attempt_at {
        out.line(format!("last try   {}", time(at)))?;
    }
    if let Some(ends) = event.lease_expires_at {
        out.line(format!("lease ends {}", time(ends)))?;
    }
    if let Some(error) = &event.error_message {
        out.line(format!("error      {}", clean(error)))?;
    }
    if let Some(refusal) = &event.last_refusal {
        let when = match event.status {
            OutboxStatus::Completed => " (before it was delivered)",
            _ => "",
        };
        out.line(format!("refused    {}{when}", clean(&refusal.to_string())))?;
    }
    for (name, count) in [
        ("deferrals", event.deferrals),
        ("crashes", event.crashes),
        ("snoozes", event.snoozes),
    ] {
        if count > 0 {
            out.line(format!("{name:<10} {count}"))?;
        }
    }
    if let Some(destination) = &event.destination {
        out.line(format!("to         {}", clean(destination)))?;
    }
    if let Some(at) = event.expires_at {
        out.line(format!("expires    {}", time(at)))?;
    }
    if let Some(key) = &event.dedup_key {
        out.line(format!("key        {}", clean(key)))?;
    }
    for parent in &event.parents {
        out.line(format!("after      {}", clean(&parent.to_string())))?;
    }
    for (name, value) in event.headers().clone().redacted().iter() {
        out.line(format!("header     {}: {}", clean(name), clean(value)))?;
    }
    if let Some(context) = event.trace_context() {
        out.line(format!("trace      {}", context.traceparent()))?;
    }
    out.line(format!(
        "priority   {}, order {}, when dead {}, seq {}",
        event.priority, event.order, event.on_dead, event.seq
    ))?;
    let size = event
        .metadata
        .as_ref()
        .map_or(0, |metadata| metadata.as_bytes().len());
    out.line(format!(
        "metadata   {size} bytes, version {}",
        event.metadata_version
    ))
}

fn print_payload(payload: &Value, hidden: &Hidden, out: &mut Out) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(payload);
    let text = text.map_err(|error| Failure::new(error.to_string()))?;
    for line in text.lines() {
        out.line(clean(line))?;
    }
    if matches!(hidden, Hidden::All) {
        out.flush()?;
        anstream::eprintln!(
            "values are hidden: name the sensitive fields with --sensitive or OUTBOX_SENSITIVE to see the others"
        );
    }
    Ok(())
}
