//! Which column an attribute is in, where several entities share a table.
//!
//! Where two of them have an attribute `title`, Core Data makes the columns `ZTITLE` and `ZTITLE1`, and gives the numbers anew in
//! each version of the model. Which entity has which one is written nowhere that can be read; but the rows of an entity have
//! values in its own column only.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ImportError;
use super::source::{Source, quoted};
use super::table::Shape;

/// For each entity with rows in a shared table, which of the columns that differ in nothing but a number have values.
#[derive(Debug, Default)]
pub(super) struct Numbered {
    by_entity: BTreeMap<i64, BTreeSet<usize>>,
}

/// Where an attribute of an entity is.
#[derive(Debug, PartialEq)]
pub(super) enum Place {
    At(usize),
    /// Several columns have values, so that the attribute may be in any of them.
    Any(Vec<usize>),
    Nowhere,
}

impl Numbered {
    /// The entities with rows in the table.
    pub(super) fn entities(&self) -> impl Iterator<Item = i64> + '_ {
        self.by_entity.keys().copied()
    }

    /// Where the attribute with this column name, without a number, is in rows of the entity.
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
            // Whichever it is, it is NULL in all of these rows. The one without a number, if there is one.
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

impl Source {
    /// Looks at all rows of the entities of `shape`, once.
    pub(super) fn find_numbered(&self, shape: &Shape) -> Result<Numbered, ImportError> {
        let has_number = |at: &usize| {
            let column = shape.columns[*at].to_uppercase();
            let stem = column.trim_end_matches(|c: char| c.is_ascii_digit());
            let others = shape.columns.iter().any(|other| {
                other.to_uppercase() != column && is_numbered(&other.to_uppercase(), stem)
            });
            others || stem != column
        };
        let columns: Vec<usize> = (0..shape.columns.len()).filter(has_number).collect();
        let has_values: String = columns
            .iter()
            .map(|at| format!(", max({} IS NOT NULL)", quoted(&shape.columns[*at])))
            .collect();
        let sql = format!(
            "SELECT Z_ENT{has_values} FROM {}{} GROUP BY Z_ENT",
            quoted(&shape.name),
            shape.condition("WHERE"),
        );
        let read = || {
            let mut by_entity = BTreeMap::new();
            let mut statement = self.conn.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let Ok(entity) = row.get_ref(0)?.as_i64() else {
                    continue;
                };
                let mut filled = BTreeSet::new();
                for (place, at) in columns.iter().enumerate() {
                    if row.get(place + 1)? {
                        filled.insert(*at);
                    }
                }
                by_entity.insert(entity, filled);
            }
            Ok(Numbered { by_entity })
        };
        read().map_err(|error| {
            self.fault(
                &format!("reading which columns of {} are used", shape.name),
                error,
            )
        })
    }
}
