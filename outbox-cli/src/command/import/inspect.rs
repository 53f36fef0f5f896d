//! `import inspect`: the tables, columns, entities and numbers of rows of another program's file.

use std::path::Path;

use outbox_import::{Source, TableSurvey};
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome, Verdict};
use crate::out::{Out, Tone};
use outbox_operate::clean;

/// Reads a copy of the file, so the file itself is only read.
pub(crate) async fn run(file: &Path, out: &mut Out) -> Outcome {
    let path = file.to_owned();
    let survey = move || Source::open(path)?.survey();
    let tables = tokio::task::spawn_blocking(survey).await;
    let tables = tables.map_err(|error| Failure::new(error.to_string()))?;
    let tables = tables.map_err(|error| Failure::of_import(&error))?;
    if out.is_json {
        let tables: Vec<Value> = tables.iter().map(as_json).collect();
        out.json(&json!({ "source": file.display().to_string(), "tables": tables }))?;
        return Ok(Verdict::Fine);
    }
    for (nth, table) in tables.iter().enumerate() {
        if nth > 0 {
            out.line("")?;
        }
        print(table, out)?;
    }
    if tables.is_empty() {
        out.line("no tables")?;
    }
    Ok(Verdict::Fine)
}

fn as_json(table: &TableSurvey) -> Value {
    let columns = table.columns.iter();
    let columns: Vec<Value> = columns
        .map(|column| json!({ "name": column.name, "type": column.declared }))
        .collect();
    let entities = table.entities.iter();
    let entities: Vec<Value> = entities
        .map(|entity| json!({ "name": entity.name, "number": entity.number, "rows": entity.rows }))
        .collect();
    json!({ "name": table.name, "rows": table.rows, "columns": columns, "entities": entities })
}

fn print(table: &TableSurvey, out: &mut Out) -> Result<(), Failure> {
    let rows = match table.rows {
        Some(1) => "1 row".to_owned(),
        Some(rows) => format!("{rows} rows"),
        None => "cannot be read here".to_owned(),
    };
    let head = format!("{}  {rows}", clean(&table.name));
    out.line(out.tone(Tone::Head, &head, 0))?;
    for entity in &table.entities {
        let name = entity
            .name
            .as_deref()
            .map_or("(not in Z_PRIMARYKEY)".into(), clean);
        out.line(format!("  entity {name}: {} rows", entity.rows))?;
    }
    for column in &table.columns {
        let line = format!("  {:<32} {}", clean(&column.name), clean(&column.declared));
        out.line(line.trim_end())?;
    }
    Ok(())
}
