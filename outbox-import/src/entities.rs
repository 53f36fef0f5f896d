//! What `Z_PRIMARYKEY` says about the entities of a Core Data store: their numbers, their names, and which inherits from which.
//!
//! An entity with a parent has no table: its rows are in the table of its root, told apart by `Z_ENT`. The numbers are given anew
//! by each version of a model, so that nothing but the name identifies an entity.

use super::error::ImportError;
use super::source::{Source, quoted};

/// One row of `Z_PRIMARYKEY`.
#[derive(Debug)]
struct Entity {
    number: i64,
    name: String,
    parent: Option<i64>,
}

/// The entities of a store; none where it is not one of Core Data.
#[derive(Debug, Default)]
pub(super) struct Entities(Vec<Entity>);

impl Entities {
    /// The number of the entity with this name, compared as table names are.
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

    /// The entity whose table this one's rows are in: the last parent.
    pub(super) fn root(&self, number: i64) -> i64 {
        let mut root = number;
        // A damaged table may have a circle.
        for _ in 0..self.0.len() {
            match self.get(root).and_then(|entity| entity.parent) {
                Some(parent) if self.get(parent).is_some() => root = parent,
                _ => break,
            }
        }
        root
    }

    /// The entity and all that inherit from it.
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

impl Source {
    /// The number that the store gives an entity, by its name: what `Z_ENT` holds, and what the names of relationship columns
    /// (`Z3_BOOK`) and join tables (`Z_3ITEMS`) begin with. `None` where the store has no such entity.
    ///
    /// A number changes with any version of the app's model: never write one down.
    ///
    /// # Examples
    ///
    /// ```
    /// use outbox_import::{Source, SourceTable};
    /// use outbox_runtime::rusqlite::Connection;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("default.store");
    /// # Connection::open(&path)?.execute_batch(
    /// #     "CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
    /// #      INSERT INTO Z_PRIMARYKEY VALUES (1, 'Item', 0, 1), (2, 'Order', 0, 1);
    /// #      CREATE TABLE Z_2ITEMS (Z_2ORDERS INTEGER, Z_1ITEMS INTEGER, PRIMARY KEY (Z_2ORDERS, Z_1ITEMS));
    /// #      INSERT INTO Z_2ITEMS VALUES (7, 4), (7, 5)")?;
    /// let source = Source::open(&path)?;
    /// let (order, item) = (source.entity_number("Order").ok_or("no orders")?, source.entity_number("Item").ok_or("no items")?);
    /// // The join table of `Order.items`, whose inverse is `Item.orders`.
    /// let links = SourceTable::plain(format!("Z_{order}ITEMS"));
    /// let items = source.find_all(&links, &format!("Z_{order}ORDERS"), 7)?;
    /// let items: Result<Vec<i64>, _> = items.iter().map(|link| link.integer(&format!("Z_{item}ITEMS"))).collect();
    /// assert_eq!(items?, [4, 5]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn entity_number(&self, name: &str) -> Option<i64> {
        self.entities.number(name)
    }

    /// The name of the entity that has this number in the store, if any: for a relationship column that holds one (`Z3_BOOK`).
    #[must_use]
    pub fn entity_name(&self, number: i64) -> Option<&str> {
        self.entities.name(number)
    }

    pub(super) fn read_entities(&self) -> Result<Entities, ImportError> {
        const TABLE: &str = "Z_PRIMARYKEY";
        let failed = |error| self.fault("reading Z_PRIMARYKEY", error);
        let columns = self.columns(TABLE).map_err(failed)?;
        let has = |wanted: &str| columns.iter().any(|column| column.name == wanted);
        if !has("Z_ENT") || !has("Z_NAME") {
            return Ok(Entities::default());
        }
        let parent = if has("Z_SUPER") { "Z_SUPER" } else { "NULL" };
        let read = || {
            let mut rows = self.conn.prepare(&format!(
                "SELECT Z_ENT, Z_NAME, {parent} FROM {} WHERE typeof(Z_ENT) = 'integer' AND typeof(Z_NAME) = 'text'
                 ORDER BY Z_ENT",
                quoted(TABLE)
            ))?;
            let entities = rows.query_map([], |row| {
                let name = row.get_ref(1)?.as_bytes().unwrap_or_default();
                // 0 is no entity. Whatever else is there is damage, and no reason to read nothing.
                let parent = row.get_ref(2)?.as_i64().ok().filter(|number| *number != 0);
                Ok(Entity {
                    number: row.get(0)?,
                    name: String::from_utf8_lossy(name).into_owned(),
                    parent,
                })
            })?;
            entities.collect::<rusqlite::Result<_>>()
        };
        read().map(Entities).map_err(failed)
    }
}
