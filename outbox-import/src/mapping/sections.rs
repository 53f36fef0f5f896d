//! From the text of a mapping file to its sections.

use std::collections::BTreeSet;
use std::str::FromStr;

use outbox_runtime::Operation;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{MappingError, MappingProblem};
use super::field::{Condition, Field, Kind};
use super::keys::{Keys, Text, table_of, text_of};
use super::{Event, Mapping, Payload, Section};
use crate::table::SourceTable;

/// The keys of a section.
const KEYS: &[&str] = &[
    "entity",
    "table",
    "where",
    "delivered",
    "type",
    "operation",
    "entity_id",
    "user_id",
    "created_at",
    "id",
    "priority",
    "destination",
    "version",
    "payload",
    "payload_column",
];

/// The keys of a section of rows that were delivered.
const KEYS_OF_DELIVERED: &[&str] = &["entity", "table", "where", "delivered"];

/// Parses a mapping file.
impl FromStr for Mapping {
    type Err = MappingError;

    fn from_str(file: &str) -> Result<Self, MappingError> {
        read(file)
    }
}

fn read(file: &str) -> Result<Mapping, MappingError> {
    let text = Text(file);
    let root = DeTable::parse(file).map_err(|error| {
        let at = error.span().unwrap_or_default();
        text.error(&at, MappingProblem::Syntax(error.message().to_owned()))
    })?;
    let keys = Keys::of(text, root.span(), root.get_ref(), &["events"])?;
    let events = keys.must("events")?;
    let DeValue::Array(list) = events.get_ref() else {
        let reason = "expected sections; write [[events]]";
        return Err(text.invalid(&events.span(), "events", reason));
    };
    let mut tables = Tables::default();
    let mut sections = Vec::new();
    for value in list {
        sections.push(section(text, value, &mut tables)?);
    }
    if sections.is_empty() {
        return Err(text.invalid(&events.span(), "events", "there is no section"));
    }
    let tables = tables.0.into_iter().map(Table::into_source).collect();
    Ok(Mapping { tables, sections })
}

fn section(
    text: Text<'_>,
    value: &Spanned<DeValue<'_>>,
    tables: &mut Tables,
) -> Result<Section, MappingError> {
    let table = table_of(text, "events", value)?;
    let keys = Keys::of(text, value.span(), table, KEYS)?;
    let is_delivered = keys.flag("delivered")?.unwrap_or_default();
    if is_delivered {
        Keys::of(text, value.span(), table, KEYS_OF_DELIVERED)?;
    }
    let (name, is_entity) = match (keys.string("entity")?, keys.string("table")?) {
        (Some(entity), None) => (entity, true),
        (None, Some(table)) => (table, false),
        _ => {
            let reason = "give either `entity` or `table`";
            return Err(text.invalid(&keys.at, "entity", reason));
        }
    };
    let conditions = match keys.get("where") {
        None => Vec::new(),
        Some(value) => {
            let conditions = table_of(text, "where", value)?.iter();
            let read = conditions.map(|(column, value)| {
                let column = text_of(column);
                Condition::read(text, column, value)
            });
            read.collect::<Result<_, MappingError>>()?
        }
    };
    let table = tables.named(&name, is_entity);
    let Some(table) = table else {
        let reason = format!("`{name}` is both an entity and a table in this mapping");
        return Err(text.invalid(&keys.at, "entity", reason));
    };
    let columns = conditions.iter().map(|condition| condition.column.clone());
    table.columns.extend(columns);
    let event = match is_delivered {
        true => None,
        false => Some(Box::new(event(&keys, table)?)),
    };
    Ok(Section {
        table: name,
        conditions,
        event,
    })
}

fn event(keys: &Keys<'_, '_>, table: &mut Table) -> Result<Event, MappingError> {
    let text = keys.text;
    let must = |key: &'static str, default| {
        let value = keys.must(key)?;
        Ok((Field::read(text, key, value, default)?, value.span()))
    };
    let may = |key: &'static str, default| match keys.get(key) {
        None => Ok(None),
        Some(value) => {
            Field::read(text, key, value, default).map(|field| Some((field, value.span())))
        }
    };
    let (event_type, _) = must("type", Kind::Text)?;
    let (operation, at) = must("operation", Kind::Text)?;
    for word in operation.known_texts() {
        if word.parse::<Operation>().is_err() {
            let reason = format!("`{word}` is no operation; there are create, update and delete");
            return Err(text.invalid(&at, "operation", reason));
        }
    }
    let (entity_id, at) = must("entity_id", Kind::Text)?;
    if !entity_id.is_column() {
        return Err(text.invalid(&at, "entity_id", "name a column: { column = \"..\" }"));
    }
    let (user_id, _) = must("user_id", Kind::Text)?;
    let (created_at, at) = must("created_at", Kind::Text)?;
    if !created_at.is_date() {
        let reason = "name a column with dates: { column = \"..\", as = \"core-data-date\" } or another date";
        return Err(text.invalid(&at, "created_at", reason));
    }
    if let Some(order) = &table.order
        && order != created_at.column()
    {
        let reason = format!("another section orders the rows of this table by `{order}`");
        return Err(text.invalid(&at, "created_at", reason));
    }
    table.order = Some(created_at.column().to_owned());
    let id = match may("id", Kind::Uuid)? {
        Some((id, at)) if !id.is_column() => {
            return Err(text.invalid(&at, "id", "name a column: { column = \"..\" }"));
        }
        id => id.map(|(id, _)| id),
    };
    let priority = match may("priority", Kind::Integer)? {
        Some((priority, at)) => {
            let known = priority.known_texts();
            if known.iter().any(|number| number.parse::<i32>().is_err()) {
                return Err(text.invalid(&at, "priority", "expected an integer of 32 bits"));
            }
            Some(priority)
        }
        None => None,
    };
    let destination = may("destination", Kind::Text)?.map(|(field, _)| field);
    let metadata_version = match keys.get("version") {
        None => 1,
        Some(value) => {
            let number = value.get_ref().as_integer();
            let number =
                number.and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
            let refused =
                || text.invalid(&value.span(), "version", "expected an integer from 1 on");
            number.filter(|number| *number > 0).ok_or_else(refused)?
        }
    };
    let payload = payload(keys, table)?;
    let fields = [
        Some(&event_type),
        Some(&operation),
        Some(&entity_id),
        Some(&user_id),
    ];
    let others = [
        Some(&created_at),
        id.as_ref(),
        priority.as_ref(),
        destination.as_ref(),
    ];
    let named = fields.into_iter().chain(others).flatten();
    table.columns.extend(columns(named));
    Ok(Event {
        event_type,
        operation,
        entity_id,
        user_id,
        created_at,
        id,
        priority,
        destination,
        metadata_version,
        payload,
    })
}

fn payload(keys: &Keys<'_, '_>, table: &mut Table) -> Result<Payload, MappingError> {
    let text = keys.text;
    match (keys.get("payload"), keys.string("payload_column")?) {
        (None, None) => Ok(Payload::None),
        (Some(value), Some(_)) => {
            let reason = "give either `payload` or `payload_column`";
            Err(text.invalid(&value.span(), "payload", reason))
        }
        (None, Some(column)) => {
            table.columns.insert(column.clone());
            Ok(Payload::Column(column))
        }
        (Some(value), None) => {
            let mut fields = Vec::new();
            for (name, value) in table_of(text, "payload", value)? {
                let name = text_of(name);
                let field = Field::read(text, name, value, Kind::Text)?;
                fields.push((name.to_owned(), field));
            }
            table
                .columns
                .extend(columns(fields.iter().map(|(_, field)| field)));
            Ok(Payload::Fields(fields))
        }
    }
}

/// The columns that these parts are read from.
fn columns<'f>(fields: impl Iterator<Item = &'f Field>) -> impl Iterator<Item = String> {
    fields
        .filter(|field| field.is_column())
        .map(|field| field.column().to_owned())
}

/// A table of the source, as far as the sections name it.
#[derive(Debug)]
struct Table {
    name: String,
    is_entity: bool,
    columns: BTreeSet<String>,
    order: Option<String>,
}

impl Table {
    fn into_source(self) -> SourceTable {
        let table = match self.is_entity {
            true => SourceTable::entity(self.name),
            false => SourceTable::plain(self.name),
        };
        let table = table.requires(self.columns);
        match self.order {
            Some(order) => table.ordered_by(order),
            None => table,
        }
    }
}

/// The tables in the order of their first sections.
#[derive(Debug, Default)]
struct Tables(Vec<Table>);

impl Tables {
    /// `None` if the other kind has this name.
    fn named(&mut self, name: &str, is_entity: bool) -> Option<&mut Table> {
        let known = self.0.iter().position(|table| table.name == name);
        let at = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push(Table {
                name: name.to_owned(),
                is_entity,
                columns: BTreeSet::new(),
                order: None,
            });
        }
        self.0
            .get_mut(at)
            .filter(|table| table.is_entity == is_entity)
    }
}
