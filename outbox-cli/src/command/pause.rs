//! `pause` and `resume`: events that every process holds back.

use chrono::{DateTime, Utc};
use outbox_operate::{age, clean, stamp};
use outbox_runtime::{Pause, PauseScope, Paused};
use serde_json::{Value, json};

use crate::args;
use crate::database::Database;
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::Out;

/// Pauses the scope; without one, lists the pauses in effect.
pub(crate) async fn run(args: &args::PauseArgs, database: &Database, out: &mut Out) -> Outcome {
    let store = database.store();
    let now = store.clock().now();
    let Some(scope) = args.scope.named() else {
        if args.until.is_some() || args.because.is_some() {
            return Err(no_scope());
        }
        return list(&store.paused().await?, now, out);
    };
    let mut pause = Pause::new(scope.clone());
    if let Some(by) = args.by.as_ref().filter(|by| !by.is_empty()) {
        pause = pause.by(by);
    }
    if let Some(because) = &args.because {
        pause = pause.because(because);
    }
    if let Some(until) = args.until {
        pause = pause.until(until.at(now));
    }
    store.pause(&pause).await?;
    let paused = pause.begin(now);
    match out.is_json {
        true => out.json(&as_json(&paused))?,
        false => out.line(in_words(&paused, now))?,
    }
    Ok(Verdict::Fine)
}

pub(crate) async fn resume(scope: &args::Scope, database: &Database, out: &mut Out) -> Outcome {
    let scope = scope.named().ok_or_else(no_scope)?;
    let store = database.store();
    let was_paused = store.unpause(&scope).await?;
    // The pauses of other scopes go on, also after that of everything.
    let left = store.paused().await?;
    if out.is_json {
        out.json(&json!({
            "scope": scope.kind(), "name": scope.name(), "wasPaused": was_paused,
            "left": left.iter().map(as_json).collect::<Vec<_>>(),
        }))?;
    } else {
        let what = scope.to_string();
        let what = clean(&what);
        out.line(match was_paused {
            true => format!("{what}: resumed"),
            false => format!("{what}: there was no pause"),
        })?;
        let now = store.clock().now();
        for paused in &left {
            out.line(in_words(paused, now))?;
        }
    }
    Ok(Verdict::look_at(!was_paused))
}

impl args::Scope {
    fn named(&self) -> Option<PauseScope> {
        let Self {
            all,
            event_type,
            user,
            destination,
        } = self;
        let everything = all.then_some(PauseScope::Everything);
        everything
            .or_else(|| event_type.clone().map(PauseScope::EventType))
            .or_else(|| user.clone().map(PauseScope::User))
            .or_else(|| destination.clone().map(PauseScope::Destination))
    }
}

fn no_scope() -> Failure {
    Failure::new("nothing is named; use --all, --type, --user or --destination")
}

fn list(pauses: &[Paused], now: DateTime<Utc>, out: &mut Out) -> Outcome {
    if out.is_json {
        for paused in pauses {
            out.json(&as_json(paused))?;
        }
        return Ok(Verdict::Fine);
    }
    for paused in pauses {
        out.line(in_words(paused, now))?;
    }
    if pauses.is_empty() {
        out.line("nothing is paused")?;
    }
    Ok(Verdict::Fine)
}

/// One pause as a line.
pub(crate) fn in_words(paused: &Paused, now: DateTime<Utc>) -> String {
    let mut text = format!("{}: paused", clean(&paused.scope.to_string()));
    let since = age(now, paused.since);
    if paused.since < now {
        text.push_str(&format!(" {since} ago"));
    }
    if let Some(by) = &paused.by {
        text.push_str(&format!(" by {}", clean(by)));
    }
    if let Some(until) = paused.until {
        text.push_str(&format!(" until {}", stamp(until)));
    }
    if let Some(because) = &paused.because {
        text.push_str(&format!(": {}", clean(because)));
    }
    text
}

pub(crate) fn as_json(paused: &Paused) -> Value {
    json!({
        "scope": paused.scope.kind(),
        "name": paused.scope.name(),
        "since": paused.since,
        "by": paused.by,
        "because": paused.because,
        "until": paused.until,
    })
}
