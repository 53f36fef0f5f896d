//! Tokens that expire while the app syncs.

use std::time::Duration;

use backend::Settings;
use fitiq_core::cli::Synced;
use outbox_runtime::OutboxStatus;

use crate::scene::{EMAIL, PASSWORD, Scene, Setting};

const REFRESH: &str = "POST /api/v1/auth/refresh";

/// Failures 21 and 38: after a quarter of an hour every upload failed.
#[tokio::test]
async fn an_expired_token_is_refreshed_and_no_attempt_is_used_up() {
    let service = Settings::new().token_ttl(Duration::from_secs(15 * 60));
    let scene = Scene::with(service).await;
    let (progress, meal) = (scene.steps(1.0, 10), crate::delivery::meal(&scene));
    scene.app.save(progress.clone()).await.unwrap();
    scene.app.save(meal.clone()).await.unwrap();
    scene.backend.clock().advance(Duration::from_secs(16 * 60));
    scene.deliver().await;
    for id in [progress.id, meal.id] {
        assert_eq!(scene.event(id).await.attempt_count, 1);
    }
    assert_eq!(scene.audit().calls_of(REFRESH).count(), 1);
}

/// Failure 39: each of many refused calls used the one refresh token, and the user was logged out.
#[tokio::test]
async fn many_calls_that_are_refused_together_make_one_refresh() {
    let setting = Setting {
        concurrency: Some(16),
        ..Setting::default()
    };
    let scene = Scene::set(Settings::new(), setting).await;
    for workout in scene.workouts(24) {
        scene.app.save(workout).await.unwrap();
    }
    scene.backend.expire_tokens();
    scene.deliver().await;
    assert_eq!(scene.held("workouts").len(), 24);
    assert_eq!(scene.audit().calls_of(REFRESH).count(), 1);
    assert!(scene.app.ground().session().user().is_some());
}

/// Failure 40: a revoked token was kept and asked with for ever.
#[tokio::test]
async fn a_revoked_session_ends_and_the_events_wait_for_the_next_one() {
    let scene = Scene::new().await;
    let entry = scene.steps(1.0, 10);
    scene.app.save(entry.clone()).await.unwrap();
    scene.backend.revoke_sessions();
    let Synced::Left(reason) = scene.sync().await else {
        panic!("nobody is signed in any more");
    };
    assert!(reason.contains("credentials"), "{reason}");
    assert_eq!(scene.audit().calls_of(REFRESH).count(), 1);
    assert!(
        scene.another().await.ground().user().is_err(),
        "the token is gone from the disk"
    );
    let event = scene.event(entry.id).await;
    assert_eq!(
        (event.status, event.attempt_count),
        (OutboxStatus::Pending, 0)
    );
    scene
        .app
        .ground()
        .session()
        .sign_in(EMAIL, PASSWORD)
        .await
        .unwrap();
    scene.deliver().await;
    assert_eq!(scene.held("progress").len(), 1);
}
