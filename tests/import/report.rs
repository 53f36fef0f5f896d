//! Dry runs, progress and reports.

use std::sync::{Arc, Mutex};

use outbox_import::Import;
use outbox_runtime::prelude::*;
use outbox_tests::Temporary;
use outbox_tests::core_data::{CoreData, OldEvent};

use crate::{events, import, map, numbers, tables};

#[tokio::test]
async fn a_dry_run_reports_the_same_numbers_and_writes_nothing() {
    let source = CoreData::with([
        OldEvent::new(1),
        OldEvent::new(2).with_status("?", 0),
        OldEvent::new(3).with_status("completed", 0),
    ]);
    let temporary = Temporary::open().await;
    let before = tables(&temporary.connect());
    let dry = Import::new(&source.path)
        .table(events())
        .dry_run()
        .run(&temporary.store, map)
        .await
        .unwrap();
    assert!(dry.is_dry_run);
    assert_eq!(numbers(&dry), [3, 1, 0, 1, 1]);
    assert_eq!(tables(&temporary.connect()), before);
    assert_eq!(
        temporary.store.statistics(None).await.unwrap().total_events,
        0
    );
    let real = import(&source, &temporary.store).await;
    assert_eq!(real.tables, dry.tables);
    assert!(!real.is_dry_run);
}

#[tokio::test]
async fn the_report_prints_as_a_table() {
    let source = CoreData::with([OldEvent::new(1), OldEvent::new(2).with_status("?", 0)]);
    let temporary = Temporary::open().await;
    let report = import(&source, &temporary.store).await.to_string();
    let lines: Vec<_> = report.lines().skip(1).map(str::trim_end).collect();
    assert_eq!(lines[2], "  SDOutboxEvent: read     2", "{report}");
    assert_eq!(lines[3], "    migrated              1");
    assert_eq!(lines[4], "      moodEntry           1");
    assert_eq!(lines[8], "      unknown status      1");
    assert!(
        lines
            .last()
            .unwrap()
            .starts_with("  checksum of SDOutboxEvent: ")
    );
}

#[tokio::test]
async fn progress_is_reported_up_to_the_last_row() {
    let source = CoreData::with((1..=250).map(OldEvent::new));
    let temporary = Temporary::open().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    Import::new(&source.path)
        .table(events())
        .on_progress(move |progress| teller.lock().unwrap().push((progress.read, progress.total)))
        .run(&temporary.store, map)
        .await
        .unwrap();
    assert_eq!(*told.lock().unwrap(), [(100, 250), (200, 250), (250, 250)]);
}
