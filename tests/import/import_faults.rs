//! F64 to F66: an import that is killed, two concurrent imports, and rows with arbitrary values.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use outbox_import::{
    Import, ImportError, ImportReport, ImportedEvent, Mapped, Reject, RowMapper, Source, SourceRow,
    SourceTable,
};
use outbox_runtime::rusqlite::Connection;
use outbox_runtime::rusqlite::types::Value;
use outbox_runtime::store::BoxError;
use outbox_runtime::{Durability, NewEvent, RawMetadata, prelude::*};
use outbox_tests::Temporary;
use outbox_tests::core_data::{CoreData, OldEvent};
use proptest::prelude::*;

const ROWS: u64 = 300;

fn events() -> SourceTable {
    SourceTable::entity("SDOutboxEvent").ordered_by("createdAt")
}

fn map(row: &SourceRow) -> Result<Mapped, Reject> {
    let payload = row.bytes("payload")?;
    let event = NewEvent::new(
        row.text("eventType")?,
        row.uuid("id")?,
        "user-1",
        Operation::Update,
    )
    .with_id(row.uuid("id")?)
    .with_metadata(RawMetadata::from_bytes(payload.clone()));
    let attempts = row.opt_integer("retryCount")?.unwrap_or_default();
    let attempts =
        u32::try_from(attempts).map_err(|_| Reject::new("retryCount", "out of range"))?;
    let mut event = ImportedEvent::new(event, row.date("createdAt")?)
        .attempts(attempts)
        .last_attempt_at(row.opt_date("lastAttemptAt")?)
        .raw_payload(payload);
    if let Some(message) = row.opt_text("errorMessage")? {
        event = event.error_message(message);
    }
    Ok(match row.text("status")?.as_str() {
        "completed" => match row.opt_date("completedAt")? {
            Some(at) => event.completed(at).into(),
            None => Mapped::AlreadyDelivered,
        },
        "failed" => event.failed().into(),
        "pending" => event.pending().into(),
        _ => Mapped::Entity,
    })
}

/// Reports progress and waits for the kill.
struct Doomed {
    point: String,
    rows: u64,
}

impl Doomed {
    fn reach(&self, point: &str) {
        if self.point == point {
            // The test harness would capture `println!`.
            let mut out = std::io::stdout();
            writeln!(out, "\nreached {point}").unwrap();
            out.flush().unwrap();
            // This read never returns.
            let _ = std::io::stdin().read_line(&mut String::new());
            unreachable!("the child must be killed here");
        }
    }
}

impl RowMapper for Doomed {
    fn begin(&mut self, _: &Source, _: &Connection) -> Result<(), BoxError> {
        self.reach("begin");
        Ok(())
    }

    fn map(&mut self, row: &SourceRow, _: &Source) -> Result<Mapped, Reject> {
        self.rows += 1;
        self.reach(&format!("map {}", self.rows));
        map(row)
    }

    fn write(&mut self, _: &SourceRow, _: &Mapped, _: &Connection) -> Result<(), Reject> {
        self.reach(&format!("write {}", self.rows));
        Ok(())
    }

    fn finish(&mut self, _: &Source, _: &Connection) -> Result<(), BoxError> {
        self.reach("finish");
        Ok(())
    }
}

#[tokio::test]
async fn an_import_killed_anywhere_leaves_nothing_and_the_next_one_takes_all() {
    const NAME: &str = "an_import_killed_anywhere_leaves_nothing_and_the_next_one_takes_all";
    const CHILD: &str = "OUTBOX_TEST_IMPORT_CHILD";
    if let Ok(task) = std::env::var(CHILD) {
        let [source, store, point] = task.split('|').collect::<Vec<_>>().try_into().unwrap();
        let store = SqliteStore::open(store).await.unwrap();
        let point = point.to_owned();
        let doomed = Doomed { point, rows: 0 };
        let import = Import::new(source).table(events());
        import.run(&store, doomed).await.unwrap();
        return;
    }
    let rows = (1..=u128::from(ROWS)).map(OldEvent::new);
    let source = CoreData::with([OldEvent::new(0)]).crashed_with(rows);
    let before = source.files();
    for point in ["begin", "map 1", "write 150", "map 301", "finish"] {
        let temporary = Temporary::open().await;
        temporary.store.close().await;
        let copies = tempfile::tempdir().unwrap();
        let task = format!(
            "{}|{}|{point}",
            source.path.display(),
            temporary.path.display()
        );
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, task)
            .env("TMPDIR", copies.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reached = lines.any(|line| line.unwrap() == format!("reached {point}"));
        assert!(reached, "the child never reached {point}");
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        assert_eq!(source.files(), before, "{point}");

        let store = SqliteStore::open(&temporary.path).await.unwrap();
        assert_eq!(
            store.statistics(None).await.unwrap().total_events,
            0,
            "{point}"
        );
        let import = Import::new(&source.path).table(events());
        let report = import
            .run(&store, |row: &SourceRow, _: &Source| map(row))
            .await
            .unwrap();
        assert_eq!(
            (report.read(), report.migrated()),
            (ROWS + 1, ROWS + 1),
            "{point}"
        );
        assert_eq!(store.statistics(None).await.unwrap().total_events, ROWS + 1);
    }
}

#[tokio::test]
async fn of_two_concurrent_imports_one_takes_the_rows_and_the_other_finds_them() {
    let source = CoreData::with((1..=u128::from(ROWS)).map(OldEvent::new));
    let temporary = Temporary::open().await;
    let other = SqliteStore::open(&temporary.path).await.unwrap();
    let import = |store: SqliteStore| {
        let import = Import::new(&source.path).table(events());
        async move {
            import
                .run(&store, |row: &SourceRow, _: &Source| map(row))
                .await
                .unwrap()
        }
    };
    let (one, two) = tokio::join!(import(temporary.store.clone()), import(other));
    let mut migrated = [one.migrated(), two.migrated()];
    migrated.sort_unstable();
    assert_eq!(migrated, [0, ROWS]);
    assert_eq!(one.already_there() + two.already_there(), ROWS);
}

/// A value that a column may hold. Text that is not UTF-8 is written by `CAST`.
#[derive(Debug, Clone)]
enum Cell {
    Good,
    Bound(Value),
    BadText(Vec<u8>),
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        10 => Just(Cell::Good),
        1 => Just(Cell::Bound(Value::Null)),
        1 => any::<i64>().prop_map(|number| Cell::Bound(Value::Integer(number))),
        1 => any::<f64>().prop_map(|number| Cell::Bound(Value::Real(number))),
        1 => ".{0,12}".prop_map(|text| Cell::Bound(Value::Text(text))),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Cell::Bound(Value::Blob(bytes))),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Cell::BadText),
    ]
}

type Row = (u128, usize, [Cell; 9]);

const COLUMNS: [&str; 9] = [
    "ZID",
    "ZCREATEDAT",
    "ZEVENTTYPE",
    "ZPAYLOAD",
    "ZSTATUS",
    "ZRETRYCOUNT",
    "ZLASTATTEMPTAT",
    "ZCOMPLETEDAT",
    "ZERRORMESSAGE",
];

fn put(conn: &Connection, (n, status, cells): &Row) {
    let status = ["pending", "failed", "completed", "lost"][*status];
    let good = OldEvent::new(*n).with_status(status, 2);
    let good = [
        good.id,
        good.created_at,
        good.event_type,
        good.payload,
        good.status,
        good.retry_count,
        good.last_attempt_at,
        good.completed_at,
        good.error_message,
    ];
    let places: Vec<_> = cells
        .iter()
        .map(|cell| {
            if matches!(cell, Cell::BadText(_)) {
                "CAST(? AS TEXT)"
            } else {
                "?"
            }
        })
        .collect();
    let values = cells.iter().zip(good).map(|(cell, good)| match cell {
        Cell::Good => good,
        Cell::Bound(value) => value.clone(),
        Cell::BadText(bytes) => Value::Blob(bytes.clone()),
    });
    let (columns, places) = (COLUMNS.join(", "), places.join(", "));
    let sql = format!("INSERT INTO ZSDOUTBOXEVENT ({columns}) VALUES ({places})");
    conn.execute(&sql, outbox_runtime::rusqlite::params_from_iter(values))
        .unwrap();
}

fn totals_add_up(report: &ImportReport) -> bool {
    let [read, parts @ ..] = [
        report.read(),
        report.migrated(),
        report.already_there(),
        report.already_delivered(),
        report.rejected(),
    ];
    read == parts.iter().sum::<u64>()
}

async fn import_arbitrary_rows(rows: Vec<Row>) {
    let source = CoreData::with([]);
    let conn = source.connect();
    for row in &rows {
        put(&conn, row);
    }
    drop(conn);
    let temporary = Temporary::open_with(|builder| builder.durability(Durability::Normal)).await;
    let import = || {
        let import = Import::new(&source.path).table(events());
        import.run(&temporary.store, |row: &SourceRow, _: &Source| map(row))
    };
    let first = match import().await {
        // By chance, all of several creation dates are NULL.
        Err(ImportError::EmptyOrder { rows: 2.., .. }) => return,
        first => first.unwrap(),
    };
    assert_eq!(first.read(), rows.len() as u64);
    assert!(totals_add_up(&first), "{first}");
    let count = |sql: &str| -> u64 {
        let count: i64 = temporary
            .connect()
            .query_row(sql, [], |row| row.get(0))
            .unwrap();
        count.unsigned_abs()
    };
    let events = count("SELECT count(*) FROM outbox_events");
    let entities = count("SELECT count(*) FROM outbox_import_rows WHERE outcome = 'entity'");
    assert_eq!(events + entities, first.migrated());
    assert_eq!(
        count("SELECT count(*) FROM outbox_import_rejects WHERE json_valid(raw)"),
        first.rejected()
    );
    let again = import().await.unwrap();
    assert!(totals_add_up(&again), "{again}");
    assert_eq!(again.migrated(), 0);
    assert_eq!(again.already_delivered(), 0);
    assert_eq!(again.tables[0].rejected, first.tables[0].rejected);
    assert_eq!(again.tables[0].checksum, first.tables[0].checksum);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(64),
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_row_is_lost_and_the_totals_add_up_whatever_the_values(
        rows in prop::collection::vec((0..8_u128, 0..4_usize, prop::array::uniform9(cell())), 0..24)
    ) {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(import_arbitrary_rows(rows));
    }
}
