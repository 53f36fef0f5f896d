//! `import` of JSON lines: the undelivered events of an export, under their ids.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use outbox_runtime::{EnqueueError, Expiry, NewEvent, OutboxEvent, OutboxStatus};
use serde::Serialize;

use crate::args;
use crate::database::Database;
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::Out;
use crate::progress::Progress;

/// The number of events of a transaction, and the length of their lines.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 8 << 20;

/// The longest line. The longest that an export writes has 16 MiB of metadata, each byte of which
/// takes six in JSON at most.
const LONGEST_LINE: usize = 128 << 20;

/// How a file of SQLite begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    read: u64,
    /// New in this outbox.
    imported: u64,
    /// There already, with the same content.
    already_there: u64,
    /// Delivered, so there is nothing to enqueue.
    completed: u64,
    /// Left out, because nobody asked for dead letters.
    dead: u64,
    is_dry_run: bool,
}

pub(crate) async fn run(args: &args::Import, database: &Database, out: &mut Out) -> Outcome {
    let (name, mut lines) = open(args.file.as_deref())?;
    let now = database.store().clock().now();
    let mut answer = Answer {
        is_dry_run: !args.yes,
        ..Answer::default()
    };
    let mut progress = Progress::new("imported");
    let mut batch = Batch::default();
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        number += 1;
        let at = format!("{name}, line {number}");
        let mut bounded = (&mut lines).take(LONGEST_LINE as u64 + 1);
        let length = bounded.read_until(b'\n', &mut line);
        let length = length.map_err(|error| Failure::new(format!("{at}: {error}")))?;
        if length > LONGEST_LINE {
            let most = LONGEST_LINE >> 20;
            return Err(Failure::new(format!(
                "{at}: the line is longer than {most} MiB, so it is no event of an export; the \
                 events before it that were imported stay"
            )));
        }
        if number == 1 && line.starts_with(SQLITE) {
            return Err(Failure::new(format!(
                "{name}: this is a SQLite database; import it with --mapping MAPPING, for which \
                 `outbox import inspect` lists its tables and columns"
            )));
        }
        if !line.trim_ascii().is_empty() {
            let event: OutboxEvent = serde_json::from_slice(&line)
                .map_err(|error| Failure::new(format!("{at}: this is no event: {error}")))?;
            batch.bytes += length;
            answer.read += 1;
            match event.status {
                OutboxStatus::Completed => answer.completed += 1,
                OutboxStatus::Dead if !args.dead => answer.dead += 1,
                _ => batch.push(at, new_event(event, now)),
            }
        }
        if length == 0 || batch.events.len() >= BATCH || batch.bytes >= BATCH_BYTES {
            let count = batch.events.len() as u64;
            if args.yes {
                let imported = batch.write(database).await?;
                answer.imported += imported;
                answer.already_there += count - imported;
            } else {
                batch = Batch::default();
                answer.imported += count;
            }
            progress.add(count);
        }
        if length == 0 {
            break;
        }
    }
    drop(progress);
    print(&answer, out)?;
    Ok(Verdict::look_at(!args.yes && answer.imported > 0))
}

fn open(file: Option<&Path>) -> Result<(String, Box<dyn BufRead>), Failure> {
    let Some(path) = file else {
        return Ok((
            "standard input".to_owned(),
            Box::new(BufReader::new(io::stdin())),
        ));
    };
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::new(format!("{name}: {error}")))?;
    Ok((name, Box::new(BufReader::new(file))))
}

/// The event as an application would enqueue it now, under the same id and in the same order. Its
/// attempts begin anew.
fn new_event(event: OutboxEvent, now: DateTime<Utc>) -> NewEvent {
    let delay = (event.next_attempt_at - now)
        .to_std()
        .unwrap_or(Duration::ZERO);
    let is_dead = event.status == OutboxStatus::Dead;
    let expires_at = event.expires_at;
    // Without its key: with it, the event would replace those of the same key that wait here, which
    // may be newer, or others of the same export.
    let new = change_of(event).with_expiry(expires_at.map(Expiry::At));
    // A dead letter was due long ago; an event that failed keeps its back-off.
    match is_dead {
        true => new,
        false => new.with_delay(delay),
    }
}

/// The change that an event is about, under its id and in the same order.
pub(super) fn change_of(event: OutboxEvent) -> NewEvent {
    let mut new = NewEvent::new(
        event.event_type,
        event.entity_id,
        event.user_id,
        event.operation,
    )
    .with_id(event.id)
    .with_priority(event.priority)
    .with_max_attempts(event.max_attempts)
    .with_metadata_version(event.metadata_version)
    .with_order(event.order)
    .with_on_dead(event.on_dead)
    .with_trace_context(event.trace_context)
    .with_headers(event.headers);
    if let Some(metadata) = event.metadata {
        new = new.with_metadata(metadata);
    }
    if let Some(destination) = event.destination {
        new = new.with_destination(destination);
    }
    for parent in event.parents {
        new = new.with_parent(parent);
    }
    new
}

/// The events of a transaction, and where each was read.
#[derive(Debug, Default)]
struct Batch {
    events: Vec<NewEvent>,
    places: Vec<String>,
    /// The length of their lines.
    bytes: usize,
}

impl Batch {
    fn push(&mut self, place: String, event: NewEvent) {
        self.places.push(place);
        self.events.push(event);
    }

    async fn write(&mut self, database: &Database) -> Result<u64, Failure> {
        let batch = std::mem::take(self);
        if batch.events.is_empty() {
            return Ok(0);
        }
        let enqueued = database.enqueue(batch.events).await;
        enqueued.map_err(|error| match error {
            EnqueueError::InBatch { index, source } => {
                let place = batch.places.get(index).map_or("?", String::as_str);
                Failure::new(format!(
                    "{place}: {source}; the events before it that were imported stay"
                ))
            }
            error => error.into(),
        })
    }
}

fn print(answer: &Answer, out: &mut Out) -> Result<(), Failure> {
    if out.is_json {
        return out.json(answer);
    }
    out.line(format!("{:>9} read", answer.read))?;
    for (count, words) in [
        (answer.already_there, "already there"),
        (answer.completed, "completed, left out"),
        (answer.dead, "dead, left out (--dead imports them)"),
    ] {
        if count > 0 {
            out.line(format!("{count:>9} {words}"))?;
        }
    }
    let imported = answer.imported;
    match answer.is_dry_run {
        true if imported > 0 => out.line(format!(
            "{imported:>9} would be imported: add --yes to do it"
        )),
        _ => out.line(format!("{imported:>9} imported")),
    }
}
