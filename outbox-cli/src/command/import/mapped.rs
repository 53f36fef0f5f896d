//! `import --mapping`: the outbox of another program, from its SQLite file, by a mapping file.

use std::collections::BTreeMap;
use std::path::Path;

use outbox_import::{Import, ImportReport, Mapping};
use serde::Serialize;
use serde_json::{Value, json};

use super::staged;
use crate::args;
use crate::database::Database;
use crate::failure::{Failure, Outcome, Verdict};
use crate::out::{Out, Tone};
use crate::progress::Progress;
use outbox_operate::clean;

/// The number of rows of a transaction: some tens of milliseconds, during which the application
/// waits.
const ROWS: usize = 1_000;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    source: String,
    is_dry_run: bool,
    read: u64,
    /// New in this outbox.
    imported: u64,
    /// Taken by an earlier import, or twice in the source.
    already_there: u64,
    /// Delivered, as the mapping says.
    already_delivered: u64,
    /// Put aside, whole and with the reason.
    rejected: u64,
    tables: Vec<Table>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    table: String,
    read: u64,
    /// By event type.
    imported: BTreeMap<String, u64>,
    already_there: u64,
    already_delivered: u64,
    /// By reason.
    rejected: BTreeMap<String, u64>,
    first_rejected: Vec<Value>,
}

pub(super) async fn run(
    file: &Path,
    mapping: &Path,
    args: &args::Import,
    database: &Database,
    out: &mut Out,
) -> Outcome {
    let mapping = read(mapping)?;
    let import = || {
        let mut progress = Progress::new("read");
        Import::new(file).on_progress(move |done| progress.reach(done.read))
    };
    let report = match database {
        Database::Sqlite(store) => {
            let import = import().rows_per_transaction(ROWS);
            let import = if args.yes { import } else { import.dry_run() };
            let report = import.run_mapping(store, mapping).await;
            report.map_err(|error| Failure::of_import(&error))?
        }
        Database::Postgres(store) => staged::run(import, &mapping, !args.yes, store).await?,
    };
    let answer = answer(&report);
    match out.is_json {
        true => out.json(&answer)?,
        false => {
            let rejects = match database {
                Database::Sqlite(_) => "outbox_import_rejects".to_owned(),
                Database::Postgres(store) => format!("{}.import_rejects", store.schema()),
            };
            print(&answer, &report, &rejects, out)?;
        }
    }
    let is_left = answer.is_dry_run && answer.imported > 0 || answer.rejected > 0;
    Ok(Verdict::look_at(is_left))
}

fn read(path: &Path) -> Result<Mapping, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Failure::new(format!("{name}: {error}")))?;
    text.parse()
        .map_err(|error| Failure::new(format!("{name}, {error}")))
}

fn answer(report: &ImportReport) -> Answer {
    let table = |table: &outbox_import::TableReport| Table {
        table: table.table.clone(),
        read: table.read,
        imported: table.migrated.clone(),
        already_there: table.already_there,
        already_delivered: table.already_delivered,
        rejected: table.rejected.clone(),
        first_rejected: table
            .first_rejected
            .iter()
            .map(|row| {
                json!({
                    "row": row.key,
                    "column": row.reason.column(),
                    "reason": row.reason.to_string(),
                    "detail": row.detail,
                })
            })
            .collect(),
    };
    Answer {
        source: report.source.display().to_string(),
        is_dry_run: report.is_dry_run,
        read: report.read(),
        imported: report.migrated(),
        already_there: report.already_there(),
        already_delivered: report.already_delivered(),
        rejected: report.rejected(),
        tables: report.tables.iter().map(table).collect(),
    }
}

fn print(
    answer: &Answer,
    report: &ImportReport,
    rejects: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    out.line(format!("{:>9} read", answer.read))?;
    for (count, words) in [
        (answer.already_there, "already there"),
        (answer.already_delivered, "delivered, left out"),
    ] {
        if count > 0 {
            out.line(format!("{count:>9} {words}"))?;
        }
    }
    let (imported, rejected) = (answer.imported, answer.rejected);
    out.line(match answer.is_dry_run {
        true if imported > 0 => format!("{imported:>9} would be imported: add --yes to do it"),
        _ => format!("{imported:>9} imported"),
    })?;
    if rejected == 0 {
        return Ok(());
    }
    let kept = match answer.is_dry_run {
        true => "cannot be imported".to_owned(),
        false => format!("put aside, in the table {rejects}"),
    };
    let line = format!("{rejected:>9} {kept}");
    out.line(out.tone(Tone::Bad, &line, 0))?;
    for table in &report.tables {
        for row in &table.first_rejected {
            out.line(format!("          {}", clean(&row.to_string())))?;
        }
        let left = table.rejected_total() - table.first_rejected.len() as u64;
        if left > 0 {
            out.line(format!(
                "          and {left} others of {}",
                clean(&table.table)
            ))?;
        }
    }
    Ok(())
}
