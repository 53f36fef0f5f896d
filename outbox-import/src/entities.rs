//! The entities of a Core Data store in `Z_PRIMARYKEY`: their numbers, names, and inheritance.
//!
//! An entity with a parent has no table: its rows are in the table of its root entity,
//! distinguished by `Z_ENT`. Each version of a model renumbers the entities, so only the name
//! identifies one.

use rusqlite::Connection;

use super::schema::{columns, quoted};

/// One row of `Z_PRIMARYKEY`.
#[derive(Debug)]
struct Entity {
    number: i64,
    name: String,
    parent: Option<i64>,
}

/// The entities of a store; none if it is not a Core Data store.
#[derive(Debug, Default)]
pub(super) struct Entities(Vec<Entity>);

impl Entities {
    /// Reads the entities of the store.
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        const TABLE: &str = "Z_PRIMARYKEY";
        let columns = columns(conn, TABLE)?;
        let has = |wanted: &str| columns.iter().any(|column| column.name == wanted);
        if !has("Z_ENT") || !has("Z_NAME") {
            return Ok(Self::default());
        }
        let parent = if has("Z_SUPER") { "Z_SUPER" } else { "NULL" };
        let mut rows = conn.prepare(&format!(
            "SELECT Z_ENT, Z_NAME, {parent} FROM {} WHERE typeof(Z_ENT) = 'integer' AND typeof(Z_NAME) = 'text'
             ORDER BY Z_ENT",
            quoted(TABLE)
        ))?;
        let entities = rows.query_map([], |row| {
            let name = row.get_ref(1)?.as_bytes().unwrap_or_default();
            // 0 means no parent. Any other type is damage, and no reason to read no entities.
            let parent = row.get_ref(2)?.as_i64().ok().filter(|number| *number != 0);
            Ok(Entity {
                number: row.get(0)?,
                name: String::from_utf8_lossy(name).into_owned(),
                parent,
            })
        })?;
        entities.collect::<rusqlite::Result<_>>().map(Self)
    }

    /// The number of the entity with this name, matched like a table name.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        let exact = self.0.iter().find(|entity| entity.name == name);
        let same = || {
            let name = name.to_uppercase();
            self.0
                .iter()
                .find(move |entity| entity.name.to_uppercase() == name)
        };
        exact.or_else(same).map(|entity| entity.number)
    }

    pub(super) fn name(&self, number: i64) -> Option<&str> {
        self.get(number).map(|entity| entity.name.as_str())
    }

    fn get(&self, number: i64) -> Option<&Entity> {
        self.0.iter().find(|entity| entity.number == number)
    }

    /// The entity whose table holds this entity's rows: its topmost parent.
    pub(super) fn root(&self, number: i64) -> i64 {
        let mut root = number;
        // Bounded: a damaged table may have a cycle.
        for _ in 0..self.0.len() {
            match self.get(root).and_then(|entity| entity.parent) {
                Some(parent) if self.get(parent).is_some() => root = parent,
                _ => break,
            }
        }
        root
    }

    /// The entity and all its descendants.
    pub(super) fn family(&self, number: i64) -> Vec<i64> {
        let mut family = vec![number];
        let mut at = 0;
        while let Some(parent) = family.get(at).copied() {
            let children = self
                .0
                .iter()
                .filter(|entity| entity.parent == Some(parent))
                .map(|entity| entity.number);
            let new: Vec<i64> = children.filter(|child| !family.contains(child)).collect();
            family.extend(new);
            at += 1;
        }
        family
    }
}
