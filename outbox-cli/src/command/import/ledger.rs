//! The ledger of imports into an outbox on a server: the tables of `outbox_import` in its schema.
//!
//! An import works on a copy of it in a SQLite file, because that is where rows are recognized, and
//! what it adds is copied back in the transaction that writes the events.

use outbox_postgres::tokio_postgres::types::ToSql;
use outbox_postgres::tokio_postgres::{Error, GenericClient, Row};
use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::rusqlite::{self, Connection, params_from_iter};

/// A value of the ledger.
#[derive(Debug, Clone)]
enum Cell {
    Number(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Number,
    Text,
    Bytes,
}

use Kind::{Bytes, Number, Text};

/// A table of the ledger. The first column is the key.
struct Table {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
}

const TABLES: [Table; 4] = [
    Table {
        name: "import_tables",
        columns: &[("id", Number), ("source", Text), ("name", Text)],
    },
    Table {
        name: RUNS,
        columns: &[
            ("run", Number),
            ("table_id", Number),
            ("path", Text),
            ("imported_at", Number),
            ("read", Number),
            ("migrated", Number),
            ("already_there", Number),
            ("already_delivered", Number),
            ("rejected", Number),
            ("checksum", Bytes),
        ],
    },
    Table {
        name: "import_rows",
        columns: &[
            ("seq", Number),
            ("table_id", Number),
            ("row_key", Number),
            ("row_hash", Bytes),
            ("run", Number),
            ("outcome", Text),
            ("event_id", Bytes),
            ("content_hash", Bytes),
            ("written_hash", Bytes),
            ("raw_payload", Bytes),
            ("row_anchor", Bytes),
        ],
    },
    Table {
        name: "import_rejects",
        columns: &[
            ("seq", Number),
            ("table_id", Number),
            ("row_key", Number),
            ("row_hash", Bytes),
            ("run", Number),
            ("reason", Text),
            ("detail", Text),
            ("raw", Text),
            ("resolved_run", Number),
            ("row_anchor", Bytes),
        ],
    },
];

const RUNS: &str = "import_runs";

impl Table {
    fn columns(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    fn key(&self) -> &'static str {
        self.columns.first().map_or("", |(name, _)| *name)
    }

    fn places(&self, sign: char) -> String {
        let places: Vec<String> = (1..=self.columns.len())
            .map(|nth| format!("{sign}{nth}"))
            .collect();
        places.join(", ")
    }

    /// Creates the table on the server.
    fn create(&self, schema: &str) -> String {
        let columns = self.columns.iter().map(|(name, kind)| {
            let of_type = match kind {
                Number => "bigint",
                Text => "text",
                Bytes => "bytea",
            };
            format!("{name} {of_type}")
        });
        let columns: Vec<String> = columns.collect();
        let (name, columns, key) = (self.name, columns.join(", "), self.key());
        format!("CREATE TABLE IF NOT EXISTS {schema}.{name} ({columns}, PRIMARY KEY ({key}));")
    }
}

impl Cell {
    fn as_param(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Number(number) => number,
            Self::Text(text) => text,
            Self::Bytes(bytes) => bytes,
        }
    }

    fn as_value(&self) -> Value {
        match self.clone() {
            Self::Number(number) => number.map_or(Value::Null, Value::Integer),
            Self::Text(text) => text.map_or(Value::Null, Value::Text),
            Self::Bytes(bytes) => bytes.map_or(Value::Null, Value::Blob),
        }
    }

    fn of_server(row: &Row, nth: usize, kind: Kind) -> Result<Self, Error> {
        Ok(match kind {
            Number => Self::Number(row.try_get(nth)?),
            Text => Self::Text(row.try_get(nth)?),
            Bytes => Self::Bytes(row.try_get(nth)?),
        })
    }

    fn of_file(row: &rusqlite::Row<'_>, nth: usize, kind: Kind) -> rusqlite::Result<Self> {
        Ok(match kind {
            Number => Self::Number(row.get(nth)?),
            Text => Self::Text(row.get(nth)?),
            Bytes => Self::Bytes(row.get(nth)?),
        })
    }
}

/// Rows of the ledger, table by table.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    tables: Vec<Vec<Vec<Cell>>>,
}

/// The text by which a server orders imports.
pub(super) fn lock(schema: &str) -> String {
    format!("SELECT pg_advisory_xact_lock(hashtextextended('{schema}.{RUNS}', 0));")
}

/// Creates the tables that are missing.
pub(super) fn create(schema: &str) -> String {
    TABLES.iter().map(|table| table.create(schema)).collect()
}

/// The last import on the server; 0 before the first.
pub(super) async fn last_run(client: &impl GenericClient, schema: &str) -> Result<i64, Error> {
    let name = format!("{schema}.{RUNS}");
    let exists = "SELECT to_regclass($1) IS NOT NULL";
    let exists = client.query_one(exists, &[&name]).await?;
    if !exists.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let last = format!("SELECT coalesce(max(run), 0) FROM {name}");
    client.query_one(&last, &[]).await?.try_get(0)
}

impl Ledger {
    /// Reads the ledger of the server, which has one.
    pub(super) async fn of_server(
        client: &impl GenericClient,
        schema: &str,
    ) -> Result<Self, Error> {
        let mut tables = Vec::new();
        for table in &TABLES {
            let (name, columns, key) = (table.name, table.columns(), table.key());
            let select = format!("SELECT {columns} FROM {schema}.{name} ORDER BY {key}");
            let mut rows = Vec::new();
            for row in client.query(&select, &[]).await? {
                let cells = table.columns.iter().enumerate();
                let cells = cells.map(|(nth, (_, kind))| Cell::of_server(&row, nth, *kind));
                rows.push(cells.collect::<Result<Vec<Cell>, Error>>()?);
            }
            tables.push(rows);
        }
        Ok(Self { tables })
    }

    /// Writes the ledger to a file that has an empty one.
    pub(super) fn write_to_file(&self, conn: &Connection) -> rusqlite::Result<()> {
        for (table, rows) in TABLES.iter().zip(&self.tables) {
            let (name, columns, places) = (table.name, table.columns(), table.places('?'));
            let sql = format!("INSERT INTO outbox_{name} ({columns}) VALUES ({places})");
            let mut insert = conn.prepare(&sql)?;
            for row in rows {
                insert.execute(params_from_iter(row.iter().map(Cell::as_value)))?;
            }
        }
        Ok(())
    }

    /// Reads what the ledger of a file has beyond this import of the server, and all rejected rows,
    /// which later imports may take.
    pub(super) fn of_file(conn: &Connection, last_run: i64) -> rusqlite::Result<Self> {
        let mut tables = Vec::new();
        for table in &TABLES {
            let (name, columns, key) = (table.name, table.columns(), table.key());
            let has_run = table.columns.iter().any(|(name, _)| *name == "run");
            let which = match has_run && name != "import_rejects" {
                true => format!("WHERE run > {last_run}"),
                false => String::new(),
            };
            let sql = format!("SELECT {columns} FROM outbox_{name} {which} ORDER BY {key}");
            let mut select = conn.prepare(&sql)?;
            let rows = select.query_map([], |row| {
                let cells = table.columns.iter().enumerate();
                let cells = cells.map(|(nth, (_, kind))| Cell::of_file(row, nth, *kind));
                cells.collect::<rusqlite::Result<Vec<Cell>>>()
            })?;
            tables.push(rows.collect::<rusqlite::Result<_>>()?);
        }
        Ok(Self { tables })
    }

    /// Writes these rows to the server, in place of those with the same key.
    pub(super) async fn write_to_server(
        &self,
        client: &impl GenericClient,
        schema: &str,
    ) -> Result<(), Error> {
        for (table, rows) in TABLES.iter().zip(&self.tables) {
            let (name, columns, places) = (table.name, table.columns(), table.places('$'));
            let key = table.key();
            let others = table.columns.iter().skip(1);
            let others: Vec<String> = others
                .map(|(name, _)| format!("{name} = excluded.{name}"))
                .collect();
            let others = others.join(", ");
            let sql = format!(
                "INSERT INTO {schema}.{name} ({columns}) VALUES ({places})
                 ON CONFLICT ({key}) DO UPDATE SET {others}"
            );
            let insert = client.prepare(&sql).await?;
            for row in rows {
                let params: Vec<_> = row.iter().map(Cell::as_param).collect();
                client.execute(&insert, &params).await?;
            }
        }
        Ok(())
    }
}
