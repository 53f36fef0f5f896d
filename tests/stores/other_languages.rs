//! Programs in Python and JavaScript enqueue in the file of a store, and our processor delivers.

use outbox_runtime::rusqlite::{TransactionBehavior, params};
use outbox_tests::Temporary;
use outbox_tests::languages::{
    MoodEntry, Program, TABLES, deliver_in_order, leave_no_event_of_a_failed_change,
    repeat_without_a_second_event, wake_latency, write_side_by_side,
};

/// A file with the tables of the application and the outbox.
async fn scene() -> Temporary {
    let made = Temporary::open().await;
    made.connect().execute_batch(TABLES).unwrap();
    made
}

/// Runs a check for each program that is installed, each on a file of its own.
macro_rules! for_each_program {
    ($check:ident) => {
        // Which programs there are does not depend on the file.
        for index in 0.. {
            let made = scene().await;
            let mut programs = Program::on_sqlite(&made.path).await;
            let Some(program) = programs.get_mut(index) else {
                break;
            };
            $check(program, &made.store).await;
        }
    };
}

#[tokio::test]
async fn events_of_other_languages_are_delivered_in_order_with_their_content() {
    for_each_program!(deliver_in_order);
}

#[tokio::test]
async fn a_failed_transaction_of_another_language_leaves_no_event() {
    for_each_program!(leave_no_event_of_a_failed_change);
}

#[tokio::test]
async fn a_change_that_another_language_repeats_is_one_event() {
    for_each_program!(repeat_without_a_second_event);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_languages_write_while_the_processor_runs_and_each_entity_keeps_its_order() {
    let made = scene().await;
    let mut programs = Program::on_sqlite(&made.path).await;
    let path = made.path.clone();
    write_side_by_side(&mut programs, &made.store, |round| {
        let path = path.clone();
        async move {
            let saved = tokio::task::spawn_blocking(move || save(&path, round));
            saved.await.unwrap();
        }
    })
    .await;
    let sound: String = made
        .connect()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

#[tokio::test]
#[ignore = "a measurement, to be run alone with --nocapture"]
async fn how_soon_the_processor_notices_a_commit() {
    let made = scene().await;
    for program in &mut Program::on_sqlite(&made.path).await {
        let (median, longest) = wake_latency(program, &made.store).await;
        println!("{}: {median:?}, at most {longest:?}", program.name);
    }
}

/// The same change as the programs make, on a connection of the application.
fn save(path: &std::path::Path, round: i64) {
    let mut conn = outbox_runtime::rusqlite::Connection::open(path).unwrap();
    let tx = conn
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let revision = tx
        .query_row(
            "INSERT INTO mood_entry VALUES ('shared', 'ada', ?1, 'ours', 1)
             ON CONFLICT (id) DO UPDATE SET score = ?1, note = 'ours', revision = revision + 1
             RETURNING revision",
            params![round % 5 + 1],
            |row| row.get(0),
        )
        .unwrap();
    let entry = MoodEntry {
        id: "shared".to_owned(),
        person: "ada".to_owned(),
        score: Some(round % 5 + 1),
        note: Some("ours".to_owned()),
        revision,
    };
    entry.enqueue_update().on(&tx).unwrap();
    tx.commit().unwrap();
}
