//! `doctor`: what is wrong, and the command that mends it.

use outbox_runtime::store::{
    Announcement, CheckDepth, Finding, OutboxQueue as _, ProcessState, Remedy, Repaired, Rescued,
    Severity, Subject,
};
use serde::Serialize;

use crate::args;
use crate::clean::clean;
use crate::database::{Database, Place};
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::{Out, Tone};
use crate::progress::waiting;

/// A file system with less free space than this is nearly full.
#[cfg(unix)]
const LITTLE_SPACE: u64 = 256 << 20;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    outbox: String,
    findings: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<Mended>,
}

#[derive(Debug, Serialize)]
struct Found {
    subject: &'static str,
    severity: &'static str,
    message: String,
    /// The command that mends it.
    command: Option<String>,
    advice: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mended {
    lanes: u64,
    blocks: u64,
    /// Events whose leases had ended.
    rescued: u64,
}

pub(crate) async fn run(
    args: &args::Doctor,
    place: &Place,
    database: &Database,
    out: &mut Out,
) -> Outcome {
    let depth = match args.quick {
        true => CheckDepth::Quick,
        false => CheckDepth::Full,
    };
    let repaired = match args.repair {
        true => Some(waiting("repairing", mend(database)).await?),
        false => None,
    };
    let mut findings = waiting("checking", database.check(depth)).await?;
    findings.extend(space(place));
    if !args.quick {
        findings.extend(waiting("checking", unhandled(database)).await?);
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let is_to_look_at = findings.iter().any(|it| it.severity > Severity::Notice);
    let answer = Answer {
        outbox: place.name(),
        findings: findings.into_iter().map(|it| found(it, place)).collect(),
        repaired,
    };
    match out.is_json {
        true => out.json(&answer)?,
        false => print(&answer, out)?,
    }
    Ok(Verdict::look_at(is_to_look_at))
}

async fn mend(database: &Database) -> Result<Mended, Failure> {
    let Repaired { lanes, blocks, .. } = database.repair().await?;
    let Rescued {
        requeued, buried, ..
    } = match database {
        Database::Sqlite(store) => store.rescue().await?,
        Database::Postgres(store) => store.rescue().await?,
    };
    Ok(Mended {
        lanes,
        blocks,
        rescued: requeued + buried,
    })
}

fn found(finding: Finding, place: &Place) -> Found {
    let (command, advice) = match finding.remedy {
        Some(Remedy::Repair | Remedy::Rescue) => (Some(repair(place)), None),
        Some(Remedy::Sql(sql)) => (Some(with_sql(&sql, place)), None),
        Some(Remedy::Advice(advice)) => (None, Some(advice)),
        _ => (None, None),
    };
    Found {
        subject: finding.subject.as_str(),
        severity: finding.severity.as_str(),
        message: finding.message,
        command,
        advice,
    }
}

/// The command line that repairs this outbox, and no other.
fn repair(place: &Place) -> String {
    const REPAIR: &str = "outbox doctor --repair";
    match place {
        Place::File(path) => format!("{REPAIR} --db {}", quoted(&path.display().to_string())),
        Place::Server { schema, .. } if schema != "outbox" => format!("{REPAIR} --schema {schema}"),
        Place::Server { .. } => REPAIR.to_owned(),
    }
}

/// The command line that runs a statement. It names a file, but no address, which may hold a
/// password.
fn with_sql(sql: &str, place: &Place) -> String {
    let sql = quoted(sql);
    match place {
        Place::File(path) => format!("sqlite3 {} {sql}", quoted(&path.display().to_string())),
        Place::Server { .. } => format!("psql \"$OUTBOX_DB\" -c {sql}"),
    }
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Event types that wait while every announced run leaves them alone. Without a run, nobody can
/// tell.
async fn unhandled(database: &Database) -> Result<Option<Finding>, Failure> {
    let store = database.store();
    let processes = store.processes().await?;
    let live = processes
        .iter()
        .filter(|process| process.state != ProcessState::Gone);
    let runs: Vec<_> = live.flat_map(|process| &process.runs).collect();
    let handles = |run: &Announcement, waiting: &String| {
        let types = run.event_types.as_ref();
        types.is_none_or(|types| types.contains(waiting))
    };
    let mut types = match runs.is_empty() {
        true => Vec::new(),
        false => store.event_types().await?,
    };
    types.retain(|waiting| !runs.iter().any(|run| handles(run, waiting)));
    Ok((!types.is_empty()).then(|| {
        let message = format!("no run has a handler for {}", types.join(", "));
        let finding = Finding::new(Subject::Processes, Severity::Warning, message);
        finding.with_remedy(Remedy::Advice(
            "start a processor with a handler for them".to_owned(),
        ))
    }))
}

/// Space on the disk of a file; the disk of a server is not seen from here.
#[cfg(unix)]
fn space(place: &Place) -> Option<Finding> {
    let Place::File(path) = place else {
        return None;
    };
    let disk = rustix::fs::statvfs(path).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    (free < LITTLE_SPACE).then(|| {
        let message = format!(
            "the file system of the database has {} MiB left",
            free >> 20
        );
        let finding = Finding::new(Subject::Space, Severity::Warning, message);
        finding.with_remedy(Remedy::Advice(
            "free some space: enqueueing fails once none is left".to_owned(),
        ))
    })
}

#[cfg(not(unix))]
fn space(_: &Place) -> Option<Finding> {
    None
}

fn print(answer: &Answer, out: &mut Out) -> Result<(), Failure> {
    if let Some(mended) = &answer.repaired {
        out.line(format!(
            "repaired: {} lanes, {} counts, {} events rescued",
            mended.lanes, mended.blocks, mended.rescued
        ))?;
    }
    for found in &answer.findings {
        let tone = match found.severity {
            "fault" => Tone::Bad,
            "warning" => Tone::Unsure,
            _ => Tone::Faint,
        };
        let severity = out.tone(tone, found.severity, 8);
        out.line(format!(
            "{severity} {:<12} {}",
            found.subject,
            clean(&found.message)
        ))?;
        let remedy = found.command.as_ref().or(found.advice.as_ref());
        if let Some(remedy) = remedy {
            out.line(format!("{:21} → {}", "", clean(remedy)))?;
        }
    }
    if answer.findings.is_empty() {
        out.line(out.tone(Tone::Good, "nothing is wrong", 0))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repair_names_the_outbox_that_was_checked() {
        let of = |schema: &str| Place::Server {
            config: Box::default(),
            schema: schema.to_owned(),
        };
        assert_eq!(repair(&of("outbox")), "outbox doctor --repair");
        assert_eq!(
            repair(&of("billing")),
            "outbox doctor --repair --schema billing"
        );
        assert_eq!(
            repair(&Place::File("app.db".into())),
            "outbox doctor --repair --db 'app.db'"
        );
    }

    #[test]
    fn a_statement_is_one_word_of_the_shell() {
        let place = Place::File("it's/app.db".into());
        assert_eq!(
            with_sql("SELECT 'a';", &place),
            r"sqlite3 'it'\''s/app.db' 'SELECT '\''a'\'';'"
        );
    }
}
