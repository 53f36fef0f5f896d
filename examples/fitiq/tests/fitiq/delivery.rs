//! Delivery from a save to the service.

use backend::{Fault, FaultRule, Settings};
use chrono::{NaiveDate, NaiveTime};
use fitiq::entities::{
    ActivitySnapshot, Attribute, Exercise, Kind, MealLog, MealType, PhysicalAttribute,
    ProfileMetadata, ProfilePhysical, ProgressEntry, Sex, SleepSession, SleepStage, Stage,
    WorkoutTemplate,
};
use fitiq::seed::Seed;
use fitiq_core::LocalId;
use fitiq_core::cli::Synced;
use outbox_runtime::{OutboxStatus, WaitsFor};
use outbox_testing::assert_enqueued;

use crate::scene::{Scene, Setting, day, noon, soon, until};

#[tokio::test]
async fn a_saved_entity_has_an_event_and_is_delivered() {
    let scene = Scene::new().await;
    let entry = scene.steps(3_422.0, 10);
    scene.app.save(entry.clone()).await.unwrap();
    let user = scene.user.as_str();
    let event = assert_enqueued!(
        scene.app.store(),
        ProgressEntry,
        status = Pending,
        user_id = user
    );
    scene.deliver().await;
    let held = scene.held("progress");
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].entity["quantity"], 3_422.0);
    assert_eq!(held[0].entity["date"], "2025-11-17T10:00:00Z");
    assert_eq!(held[0].key.as_deref(), Some(event.id.to_string().as_str()));
    assert_eq!(scene.event(entry.id).await.status, OutboxStatus::Completed);
}

#[tokio::test]
async fn a_service_that_fails_is_probed_with_growing_pauses_and_no_attempt_is_used_up() {
    let faults = FaultRule::calls(Fault::InternalError, 1..=3);
    let (scene, clock) = Scene::manual(Settings::new().fault(faults)).await;
    scene.app.save(scene.workout()).await.unwrap();
    let running = scene.run();
    for refusals in 1..=3 {
        let idle = soon(clock.until_idle(&running)).await.unwrap();
        let event = &idle.waiting[0].event;
        let WaitsFor::Outage(outage) = &idle.waiting[0].waits_for else {
            panic!("{idle}");
        };
        assert_eq!(
            (outage.refusals, event.attempt_count),
            (refusals, 0),
            "there is nothing to compare it with"
        );
        // One second, then doubled each time, counted from the start of the probe.
        let pause = outage.probe_at - event.last_attempt_at.unwrap();
        assert_eq!(pause.num_seconds(), 1 << (refusals - 1));
        clock.set(outage.probe_at);
    }
    let idle = soon(clock.until_idle(&running)).await.unwrap();
    assert_eq!(idle.assert_empty(), 1);
    running.stop().await.unwrap();
    assert_eq!(scene.calls().len(), 4);
    assert_eq!(scene.held("workouts").len(), 1);
}

#[tokio::test]
async fn an_urgent_event_goes_first() {
    let setting = Setting {
        concurrency: Some(1),
        ..Setting::default()
    };
    let scene = Scene::set(Settings::new(), setting).await;
    for hour in 0..5 {
        scene.app.save(scene.steps(1.0, hour)).await.unwrap();
    }
    scene.app.save(scene.workout()).await.unwrap();
    scene.app.save(meal(&scene)).await.unwrap();
    scene.deliver().await;
    let paths: Vec<String> = scene.calls().into_iter().map(|call| call.path).collect();
    assert_eq!(paths[0], "/api/v1/meal-logs/natural");
    assert_eq!(paths[1], "/api/v1/workouts");
    assert_eq!(paths[2..], ["/api/v1/progress/batch"]);
}

#[tokio::test]
async fn every_kind_arrives_at_its_endpoint() {
    let scene = Scene::new().await;
    save_one_of_each(&scene).await;
    scene.deliver().await;
    for (collection, count) in [
        ("progress", 2), // the value, and the attribute of the body
        ("activity-snapshots", 1),
        ("sleep", 1),
        ("meal-logs", 1),
        ("workouts", 1),
        ("workout-templates", 1),
        ("profiles", 1),
    ] {
        assert_eq!(scene.held(collection).len(), count, "{collection}");
    }
    let statistics = scene.statistics().await;
    assert_eq!(
        (statistics.total_events, statistics.completed_count),
        (9, 9)
    );
}

#[test]
fn kinds_have_stable_names_and_priorities() {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.display_name()).collect();
    let expected = [
        "Progress Entry",
        "Physical Attribute",
        "Activity Snapshot",
        "Profile Metadata",
        "Physical Profile",
        "Sleep Session",
        "Meal Log",
        "Workout",
        "Workout Template",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        fitiq::FitiqEvent::EVENT_TYPES,
        Kind::ALL
            .iter()
            .map(|kind| kind.event_type())
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn an_entity_that_is_saved_offline_arrives_when_the_network_is_back_and_uses_up_no_attempt() {
    let scene = Scene::new().await;
    scene.backend.go_offline().await;
    let entry = scene.steps(1.0, 10);
    scene.app.save(entry.clone()).await.unwrap();
    let Synced::Left(reason) = scene.sync().await else {
        panic!("nothing can be delivered offline");
    };
    assert!(reason.contains("the network"), "{reason}");
    let event = scene.event(entry.id).await;
    assert_eq!(
        (event.status, event.attempt_count),
        (OutboxStatus::Pending, 0)
    );
    scene.backend.go_online().await.unwrap();
    scene.deliver().await;
    assert_eq!(scene.held("progress").len(), 1);
    assert_eq!(scene.event(entry.id).await.attempt_count, 1);
}

#[tokio::test]
async fn a_run_that_loses_the_network_continues_at_once_when_told_that_it_is_back() {
    let (scene, clock) = Scene::manual(Settings::new()).await;
    scene.backend.go_offline().await;
    scene.app.save(scene.workout()).await.unwrap();
    let running = scene.run();
    let idle = soon(clock.until_idle(&running)).await.unwrap();
    assert!(idle.to_string().contains("the network"), "{idle}");
    scene.backend.go_online().await.unwrap();
    running.online();
    until(|| async { scene.statistics().await.completed_count == 1 }).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_fresh_installation_begins_with_nothing_to_do() {
    let scene = Scene::new().await;
    let statistics = scene.statistics().await;
    assert_eq!(statistics.total_events, 0);
    assert!(!statistics.has_issues());
    scene.deliver().await;
    assert!(scene.calls().is_empty());
}

#[tokio::test]
async fn statistics_count_events_by_status() {
    // A value below zero is refused for good.
    let scene = Scene::new().await;
    scene.app.save(scene.steps(1.0, 10)).await.unwrap();
    scene.app.save(scene.steps(-1.0, 11)).await.unwrap();
    assert_eq!(scene.statistics().await.pending_count, 2);
    let statistics = {
        scene.sync().await;
        scene.statistics().await
    };
    assert_eq!((statistics.completed_count, statistics.dead_count), (1, 1));
    assert!((statistics.success_rate() - 50.0).abs() < f64::EPSILON);
    assert!(statistics.has_issues());
    let text = fitiq_core::cli::status(scene.app.store(), None)
        .await
        .unwrap();
    assert!(
        text.contains("Dead") && text.contains("quantity must not be negative"),
        "{text}"
    );
}

#[tokio::test]
async fn a_dependent_event_waits_for_its_dependency() {
    // The template is refused at first, so that its workout would come before it.
    let fault = FaultRule::nth(Fault::InternalError, 1).on("POST /api/v1/workout-templates");
    let (scene, clock) = Scene::manual(Settings::new().fault(fault)).await;
    let template = template(&scene);
    let mut workout = scene.workout();
    workout.template = Some(template.id);
    scene.app.save(template.clone()).await.unwrap();
    scene.app.save(workout.clone()).await.unwrap();
    let running = scene.run();
    while !soon(clock.until_idle(&running)).await.unwrap().is_empty() {
        clock.set(clock.next_deadline().unwrap());
    }
    running.stop().await.unwrap();
    let paths: Vec<String> = scene.calls().into_iter().map(|call| call.path).collect();
    let template = "/api/v1/workout-templates";
    assert_eq!(paths, [template, template, "/api/v1/workouts"]);
    // Waiting uses up no attempt.
    assert_eq!(scene.event(workout.id).await.attempt_count, 1);
}

#[tokio::test]
async fn seeded_data_arrives_unchanged() {
    let scene = Scene::with(Settings::new().idempotency(backend::Idempotency::Honored)).await;
    let seed = Seed {
        user: scene.user.clone(),
        days: 3,
        until: day(17),
        number: 7,
    };
    let seeded = scene.app.seed(seed.clone()).await.unwrap();
    assert_eq!(seeded.progress, 3 * 48);
    assert!(
        scene.app.seed(seed).await.is_err(),
        "the same data is there already"
    );
    let total = scene.statistics().await.total_events;
    assert_eq!(total, (seeded.progress + seeded.others) as u64);
    scene.deliver().await;
    let statistics = scene.statistics().await;
    assert_eq!(
        (statistics.completed_count, statistics.dead_count),
        (total, 0)
    );
    let held: usize = scene.audit().collections.values().map(Vec::len).sum();
    // Both halves of the profile are one entity there.
    assert_eq!(held, total as usize - 1);
}

pub(crate) fn meal(scene: &Scene) -> MealLog {
    MealLog {
        id: LocalId::new(),
        user: scene.user.clone(),
        raw_input: "lentil soup".to_owned(),
        meal_type: MealType::Lunch,
        logged_at: noon(17),
        notes: None,
    }
}

pub(crate) fn night(scene: &Scene) -> SleepSession {
    let (start, end) = (noon(16), noon(17));
    SleepSession {
        id: LocalId::new(),
        user: scene.user.clone(),
        start,
        end,
        stages: vec![SleepStage {
            stage: Stage::Deep,
            start,
            end,
        }],
        notes: None,
    }
}

pub(crate) fn template(scene: &Scene) -> WorkoutTemplate {
    WorkoutTemplate {
        id: LocalId::new(),
        user: scene.user.clone(),
        name: "Legs".to_owned(),
        description: None,
        category: None,
        exercises: vec![Exercise {
            exercise_id: "squat".to_owned(),
            sets: Some(3),
            reps: None,
        }],
    }
}

pub(crate) fn profile(scene: &Scene) -> (ProfileMetadata, ProfilePhysical) {
    let about = ProfileMetadata {
        id: LocalId::new(),
        user: scene.user.clone(),
        name: "Ada".to_owned(),
        bio: None,
        preferred_unit_system: Some("metric".to_owned()),
        language_code: None,
    };
    let physical = ProfilePhysical {
        id: LocalId::new(),
        user: scene.user.clone(),
        biological_sex: Some(Sex::Female),
        height_cm: Some(171.0),
        date_of_birth: NaiveDate::from_ymd_opt(1985, 12, 10),
    };
    (about, physical)
}

async fn save_one_of_each(scene: &Scene) {
    let app = &scene.app;
    let (about, physical) = profile(scene);
    app.save(scene.steps(100.0, 9)).await.unwrap();
    let weight = PhysicalAttribute {
        id: LocalId::new(),
        user: scene.user.clone(),
        attribute: Attribute::Weight,
        value: 70.5,
        date: day(17),
    };
    app.save(weight).await.unwrap();
    let activity = ActivitySnapshot {
        id: LocalId::new(),
        user: scene.user.clone(),
        at: day(17).and_time(NaiveTime::MIN).and_utc(),
        steps: Some(9_000.0),
        active_calories: None,
        distance_meters: None,
    };
    app.save(activity).await.unwrap();
    app.save(about).await.unwrap();
    app.save(physical).await.unwrap();
    app.save(night(scene)).await.unwrap();
    app.save(meal(scene)).await.unwrap();
    app.save(scene.workout()).await.unwrap();
    app.save(template(scene)).await.unwrap();
}
