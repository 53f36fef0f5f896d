//! A saved entity exists once, with its event, however often it is saved.

use chrono::{DateTime, FixedOffset};
use fitiq::entities::{Metric, ProgressEntry};
use fitiq::repository::{self, Saved};
use fitiq::seed::Seed;
use fitiq_core::{LocalId, cli};
use outbox_runtime::{OutboxRepository, OutboxStatus, TransactionError};

use crate::delivery::{night, template};
use crate::scene::{Scene, day, until};

/// Failure 16: the entity was saved, and then, perhaps, the event.
#[tokio::test]
async fn an_entity_and_its_event_exist_together_or_not_at_all() {
    let scene = Scene::new().await;
    let entry = scene.steps(1.0, 10);
    let id = entry.id;
    let saved = entry.clone();
    let failed = scene.app.write(move |conn| {
        repository::save(conn, &saved)?;
        Err::<(), _>("the disk is full".into())
    });
    assert!(failed.await.is_err());
    assert_eq!(scene.app.load::<ProgressEntry>(id).await.unwrap(), None);
    assert_eq!(scene.statistics().await.total_events, 0);
    scene.app.save(entry).await.unwrap();
    assert_eq!(scene.statistics().await.total_events, 1);
}

/// Failure 19: whether there is an event already was looked up among the first hundred.
#[tokio::test]
async fn the_same_values_make_no_second_event_however_many_are_pending() {
    let scene = Scene::new().await;
    let entries: Vec<ProgressEntry> = (1..=15).flat_map(|of| hours(&scene, of)).collect();
    assert!(entries.len() > 300);
    for _ in 0..2 {
        let entries = entries.clone();
        let saving = scene.app.write(move |conn| {
            for entry in &entries {
                repository::save(conn, entry)?;
            }
            Ok(())
        });
        saving.await.unwrap();
    }
    assert_eq!(scene.statistics().await.total_events, entries.len() as u64);
}

/// Failure 26: 3,422 steps were created again at each opening of the app.
#[tokio::test]
async fn a_value_that_is_seen_again_is_the_existing_one() {
    let scene = Scene::new().await;
    let first = scene.app.save(scene.steps(3_422.0, 10)).await.unwrap();
    for _ in 0..5 {
        // Each has its own id, because values from the phone have none.
        let again = scene.app.save(scene.steps(3_422.0, 10)).await.unwrap();
        assert_eq!(again, Saved::Unchanged(first.id()));
    }
    let more = scene.app.save(scene.steps(4_000.0, 10)).await.unwrap();
    assert_eq!(more, Saved::Updated(first.id()));
    scene.deliver().await;
    let held = scene.held("progress");
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].entity["quantity"], 4_000.0);
}

/// Failure 27: what has no time of day was never taken for the same.
#[tokio::test]
async fn a_value_of_a_whole_day_exists_once() {
    let scene = Scene::new().await;
    let water = |value| ProgressEntry::of_day(&scene.user, Metric::WaterLiters, value, day(17));
    let first = scene.app.save(water(2.5)).await.unwrap();
    // Two views report it at the same time.
    let (one, other) = tokio::join!(scene.app.save(water(3.0)), scene.app.save(water(3.0)));
    let saved = [one.unwrap(), other.unwrap()];
    assert!(saved.contains(&Saved::Updated(first.id())), "{saved:?}");
    assert!(saved.contains(&Saved::Unchanged(first.id())), "{saved:?}");
    scene.deliver().await;
    let held = scene.held("progress");
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].entity["quantity"], 3.0);
    // A value at a time of that day is another one.
    let at = scene.app.save(scene.steps(1.0, 0)).await.unwrap();
    let whole = ProgressEntry::of_day(&scene.user, Metric::Steps, 1.0, day(17));
    assert!(matches!(scene.app.save(whole).await.unwrap(), Saved::Created(id) if id != at.id()));
}

/// Failure 28: the day of 23:00 UTC was another one in another time zone.
#[tokio::test]
async fn one_moment_in_two_time_zones_is_one_value() {
    let scene = Scene::new().await;
    let moment: DateTime<FixedOffset> = "2025-11-18T00:00:00+01:00".parse().unwrap();
    let here = ProgressEntry::at(&scene.user, Metric::Weight, 70.0, &moment);
    let there = ProgressEntry::at(&scene.user, Metric::Weight, 70.0, &moment.to_utc());
    assert_eq!(
        (here.date, here.time.unwrap().to_string().as_str()),
        (day(17), "23:00:00")
    );
    let first = scene.app.save(here).await.unwrap();
    assert_eq!(
        scene.app.save(there).await.unwrap(),
        Saved::Unchanged(first.id())
    );
}

/// Failure 29: what was saved before the listener ran was never sent; 1 of 64 arrived.
#[tokio::test]
async fn an_entity_that_is_saved_before_the_processor_starts_is_delivered() {
    let scene = Scene::new().await;
    let weights = (0..64_u32).map(|at| {
        let of = day(17) - chrono::Days::new(u64::from(at));
        ProgressEntry::of_day(&scene.user, Metric::Weight, 70.0 + f64::from(at) / 10.0, of)
    });
    for weight in weights.collect::<Vec<_>>() {
        scene.app.save(weight).await.unwrap();
    }
    // Another process delivers the events that this one left behind.
    let other = scene.another().await;
    let processor = other.processor().unwrap();
    let once = cli::SyncArguments::once();
    cli::sync(other.ground(), &processor, &once).await.unwrap();
    assert_eq!(scene.held("progress").len(), 64);
}

/// Failure 31: saving updated the view, the view synced and saved, without end.
#[tokio::test]
async fn a_delivered_value_causes_no_new_event() {
    let scene = Scene::new().await;
    let entries = hours(&scene, 17);
    for _ in 0..3 {
        for entry in &entries {
            scene.app.save(entry.clone()).await.unwrap();
        }
        scene.deliver().await;
    }
    assert_eq!(scene.held("progress").len(), entries.len());
    assert_eq!(scene.calls().len(), 1);
    assert_eq!(scene.statistics().await.total_events, entries.len() as u64);
}

/// Failure 31: the duplicate check scanned all values.
#[tokio::test]
async fn finding_the_same_value_reads_an_index() {
    let scene = Scene::new().await;
    let plan = scene.app.write(|conn| {
        let sql = "EXPLAIN QUERY PLAN SELECT id FROM entities
            WHERE kind = 'k' AND user_id = 'u' AND natural_key = 'n' AND deleted = 0";
        Ok(conn.query_row(sql, [], |row| row.get::<_, String>("detail"))?)
    });
    let plan = plan.await.unwrap();
    assert!(
        plan.contains("SEARCH") && plan.contains("entities_natural"),
        "{plan}"
    );
}

/// Failures 32 and 33: every start cleaned up, and reported on, all there was.
#[tokio::test]
async fn starting_and_status_cost_the_same_for_any_number_of_rows() {
    /// The number of statements of one status check, for any number of rows.
    const LOOK: u64 = 16;
    let mut started = Vec::new();
    for days in [1, 40] {
        let scene = Scene::new().await;
        let seed = Seed {
            user: scene.user.clone(),
            days,
            until: day(17),
            number: 1,
        };
        scene.app.seed(seed).await.unwrap();
        let total = scene.statistics().await.total_events;
        let restarted = scene.another().await;
        let statements = restarted.store().statements();
        started.push(statements.get());
        // The first checks have the store count blocks of rows, once.
        until(|| async {
            let before = statements.get();
            cli::status(restarted.store(), None).await.unwrap();
            statements.get() - before <= LOOK
        })
        .await;
        // Nothing was recreated either.
        let statistics = scene.statistics().await;
        assert_eq!(
            (statistics.pending_count, statistics.total_events),
            (total, total)
        );
    }
    // One more where the writer has looked at the length of the log by then.
    assert!(started[0].abs_diff(started[1]) <= 1, "{started:?}");
}

/// Failures 35 and 36: what is written is typed, and read as it was written.
#[tokio::test]
async fn a_saved_entity_is_read_back_unchanged() {
    let scene = Scene::new().await;
    let (night, template) = (night(&scene), template(&scene));
    scene.app.save(night.clone()).await.unwrap();
    scene.app.save(template.clone()).await.unwrap();
    assert_eq!(scene.app.load(night.id).await.unwrap(), Some(night));
    assert_eq!(scene.app.load(template.id).await.unwrap(), Some(template));
}

/// Failure 47: a random user id per call missed every cache.
#[tokio::test]
async fn every_process_uses_the_user_of_the_session() {
    let scene = Scene::new().await;
    let other = scene.another().await;
    assert_eq!(other.ground().user().unwrap(), scene.user);
    assert_eq!(scene.app.ground().user().unwrap(), scene.user);
    assert_eq!(
        scene.user.as_str(),
        backend::Accounts::user_id(crate::scene::EMAIL)
    );
}

/// Failure 49: saving twice ended the app.
#[tokio::test]
async fn saving_an_entity_twice_saves_it_once() {
    let scene = Scene::new().await;
    let workout = scene.workout();
    assert_eq!(
        scene.app.save(workout.clone()).await.unwrap(),
        Saved::Created(workout.id)
    );
    assert_eq!(
        scene.app.save(workout.clone()).await.unwrap(),
        Saved::Unchanged(workout.id)
    );
    assert_eq!(scene.statistics().await.total_events, 1);
}

#[tokio::test]
async fn an_impossible_change_names_its_reason() {
    let scene = Scene::new().await;
    let night = night(&scene);
    scene.app.save(night.clone()).await.unwrap();
    let error = said(scene.app.edit(night).await);
    assert!(error.contains("cannot change a sleepSession"), "{error}");
    let error = said(scene.app.edit(scene.workout()).await);
    assert!(error.contains("workout"), "{error}");
    let error = said(scene.app.delete::<ProgressEntry>(LocalId::new()).await);
    assert!(error.contains("does not exist"), "{error}");
    let pending = scene
        .app
        .store()
        .fetch_events(OutboxStatus::Pending, None, None)
        .await
        .unwrap();
    assert_eq!(pending.len(), 1);
}

fn hours(scene: &Scene, of: u32) -> Vec<ProgressEntry> {
    let moment = |hour| day(of).and_hms_opt(hour, 0, 0).unwrap().and_utc();
    (0..24)
        .map(|hour| ProgressEntry::at(&scene.user, Metric::Steps, f64::from(hour), &moment(hour)))
        .collect()
}

/// An error with its causes, as the command line prints it.
fn said<T: std::fmt::Debug>(done: Result<T, TransactionError>) -> String {
    format!("{:#}", anyhow::Error::from(done.unwrap_err()))
}
