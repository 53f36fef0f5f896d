//! `processes`: who works on the outbox.

use outbox_operate::{age, clean, stamp};
use outbox_runtime::store::{Announcement, ProcessState, StoreProcess};
use serde_json::{Value, json};

use crate::database::Database;
use crate::failure::{Outcome, Verdict};
use crate::out::{Out, Tone};

/// Lists the processes. One that is gone and still has leases is something to look at.
pub(crate) async fn run(database: &Database, out: &mut Out) -> Outcome {
    let store = database.store();
    let now = store.clock().now();
    let processes = store.processes().await?;
    let is_lost =
        |process: &StoreProcess| process.state == ProcessState::Gone && process.leases > 0;
    let verdict = Verdict::look_at(processes.iter().any(is_lost));
    if out.is_json {
        for process in &processes {
            out.json(&as_json(process))?;
        }
        return Ok(verdict);
    }
    for process in &processes {
        let (word, tone) = state(process.state);
        let host = process.host.as_deref().unwrap_or("unknown host");
        out.line(format!(
            "{} {} on {}, since {} ({} ago), {} leases",
            out.tone(tone, word, 7),
            process.process_id,
            clean(host),
            stamp(process.since),
            age(now, process.since),
            process.leases
        ))?;
        for run in &process.runs {
            out.line(format!("        {}", run_in_words(run)))?;
        }
    }
    if processes.is_empty() {
        out.line("no process works on this outbox")?;
    }
    Ok(verdict)
}

fn state(state: ProcessState) -> (&'static str, Tone) {
    match state {
        ProcessState::Alive => ("alive", Tone::Good),
        ProcessState::Gone => ("gone", Tone::Bad),
        _ => ("unknown", Tone::Unsure),
    }
}

fn run_in_words(run: &Announcement) -> String {
    let types = match &run.event_types {
        None => "any type".to_owned(),
        Some(types) => types.join(", "),
    };
    let user = match &run.user_id {
        None => "all users".to_owned(),
        Some(user) => format!("user {user}"),
    };
    let held = match &run.held_types[..] {
        [] => String::new(),
        held => format!(", holding {}", held.join(", ")),
    };
    let text = format!("run of {types}{held}, for {user}, version {}", run.version);
    clean(&text).into_owned()
}

fn as_json(process: &StoreProcess) -> Value {
    let runs = process.runs.iter().map(|run| {
        json!({
            "eventTypes": run.event_types, "heldTypes": run.held_types, "userID": run.user_id,
            "version": run.version, "startedAt": run.started_at,
        })
    });
    json!({
        "processID": process.process_id,
        "host": process.host,
        "state": state(process.state).0,
        "since": process.since,
        "leases": process.leases,
        "runs": runs.collect::<Vec<_>>(),
    })
}
