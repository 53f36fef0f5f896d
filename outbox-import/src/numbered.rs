//! Finds the column of an attribute when several entities share a table.
//!
//! If two of them have an attribute `title`, Core Data creates the columns `ZTITLE` and `ZTITLE1`,
//! and renumbers them in each version of the model. No readable metadata says which entity uses
//! which column, but an entity's rows have values only in its own column.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::schema::quoted;

/// For each entity with rows in a shared table: which of the columns that differ only by a number
/// have values.
#[derive(Debug, Default)]
pub(super) struct Numbered {
    by_entity: BTreeMap<i64, BTreeSet<usize>>,
}

/// The place of an entity's attribute.
#[derive(Debug, PartialEq)]
pub(super) enum Place {
    At(usize),
    /// Several columns have values, so the attribute could be any of them.
    Any(Vec<usize>),
    Nowhere,
}

impl Numbered {
    /// Reads all rows of the table that fulfill the condition, once.
    pub(super) fn read(
        conn: &Connection,
        table: &str,
        columns: &[String],
        condition: &str,
    ) -> rusqlite::Result<Self> {
        let has_number = |at: &usize| {
            let column = columns[*at].to_uppercase();
            let stem = column.trim_end_matches(|c: char| c.is_ascii_digit());
            let others = columns.iter().any(|other| {
                other.to_uppercase() != column && is_numbered(&other.to_uppercase(), stem)
            });
            others || stem != column
        };
        let numbered: Vec<usize> = (0..columns.len()).filter(has_number).collect();
        let has_values: String = numbered
            .iter()
            .map(|at| format!(", max({} IS NOT NULL)", quoted(&columns[*at])))
            .collect();
        let sql = format!(
            "SELECT Z_ENT{has_values} FROM {}{condition} GROUP BY Z_ENT",
            quoted(table)
        );
        let mut by_entity = BTreeMap::new();
        let mut statement = conn.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Ok(entity) = row.get_ref(0)?.as_i64() else {
                continue;
            };
            let mut filled = BTreeSet::new();
            for (place, at) in numbered.iter().enumerate() {
                if row.get(place + 1)? {
                    filled.insert(*at);
                }
            }
            by_entity.insert(entity, filled);
        }
        Ok(Self { by_entity })
    }

    /// The entities with rows in the table.
    pub(super) fn entities(&self) -> impl Iterator<Item = i64> + '_ {
        self.by_entity.keys().copied()
    }

    /// The place of an attribute in rows of the entity, by its column name without a number.
    pub(super) fn place(&self, columns: &[String], stem: &str, entity: Option<i64>) -> Place {
        let family: Vec<usize> = (0..columns.len())
            .filter(|at| is_numbered(&columns[*at].to_uppercase(), stem))
            .collect();
        let Some(first) = family.first().copied() else {
            return Place::Nowhere;
        };
        let filled = entity.and_then(|entity| self.by_entity.get(&entity));
        let filled = |at: &usize| filled.is_some_and(|filled| filled.contains(at));
        let with_values: Vec<usize> = family.iter().copied().filter(filled).collect();
        match with_values[..] {
            // Every candidate is NULL in all these rows. Prefer the one without a number.
            [] => {
                let plain = |at: &&usize| columns[**at].to_uppercase() == stem;
                Place::At(family.iter().find(plain).copied().unwrap_or(first))
            }
            [at] => Place::At(at),
            _ => Place::Any(with_values),
        }
    }

    pub(super) fn has_values(&self, at: usize) -> bool {
        self.by_entity.values().any(|filled| filled.contains(&at))
    }
}

/// Whether a column is `stem`, or `stem` and a number.
fn is_numbered(column: &str, stem: &str) -> bool {
    column
        .strip_prefix(stem)
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}
