//! Programs in Python and JavaScript enqueue in the database of a store, and our processor
//! delivers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests, too"
)]

use outbox_postgres::PostgresStore;
use outbox_postgres_tests::{Server, connect, open};
use shared_tests::languages::{
    MoodEntry, Program, TABLES, deliver_in_order, leave_no_event_of_a_failed_change,
    repeat_without_a_second_event, wake_latency, write_side_by_side,
};

/// A store, and the schema of the application's own tables.
async fn scene() -> (PostgresStore, String) {
    let store = open(|store| store).await;
    let app = format!("{}_app", store.schema());
    let create = format!("CREATE SCHEMA {app}; SET search_path = {app}; {TABLES}");
    connect().await.batch_execute(&create).await.unwrap();
    (store, app)
}

async fn programs(store: &PostgresStore, app: &str) -> Vec<Program> {
    let url = format!("{}?options=-csearch_path%3D{app}", Server::shared().url());
    Program::on_postgres(&url, store.schema()).await
}

/// Runs a check for each program that is installed, each on an outbox of its own.
macro_rules! for_each_program {
    ($check:ident) => {
        // Which programs there are does not depend on the database.
        for index in 0.. {
            let (store, app) = scene().await;
            let mut programs = programs(&store, &app).await;
            let Some(program) = programs.get_mut(index) else {
                break;
            };
            $check(program, &store).await;
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
    let (store, app) = scene().await;
    let mut programs = programs(&store, &app).await;
    write_side_by_side(&mut programs, &store, |round| save(&store, &app, round)).await;
}

#[tokio::test]
#[ignore = "a measurement, to be run alone with --nocapture"]
async fn how_soon_the_processor_notices_a_commit() {
    let (store, app) = scene().await;
    for program in &mut programs(&store, &app).await {
        let (median, longest) = wake_latency(program, &store).await;
        println!("{}: {median:?}, at most {longest:?}", program.name);
    }
}

/// The same change as the programs make, in a transaction of the application.
async fn save(store: &PostgresStore, app: &str, round: i64) {
    let mut client = connect().await;
    let tx = client.transaction().await.unwrap();
    let upsert = format!(
        "INSERT INTO {app}.mood_entry AS mood VALUES ('shared', 'ada', $1, 'ours', 1)
         ON CONFLICT (id) DO UPDATE SET score = $1, note = 'ours', revision = mood.revision + 1
         RETURNING revision"
    );
    let score = i32::try_from(round % 5 + 1).unwrap();
    let revision: i32 = tx.query_one(&upsert, &[&score]).await.unwrap().get(0);
    let entry = MoodEntry {
        id: "shared".to_owned(),
        person: "ada".to_owned(),
        score: Some(score.into()),
        note: Some("ours".to_owned()),
        revision: revision.into(),
    };
    let enqueued = entry.enqueue_update().on(store.outbox().on(&tx));
    enqueued.await.unwrap();
    tx.commit().await.unwrap();
}
