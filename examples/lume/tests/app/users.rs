//! Users: whose events are sent, and with whose credentials.

use backend::Settings;
use lume::cli::BEFORE_AN_ACCOUNT;
use lume::entities::MoodEntry;
use outbox_runtime::{OutboxRepository, OutboxStatus};

use crate::scene::{Scene, sign_in};

/// Failure 20.
#[tokio::test]
async fn another_users_events_are_not_sent() {
    let scene = Scene::new().await;
    let mut stranger = scene.mood(0.5);
    stranger.user_id = "somebody-else".to_owned();
    scene.app.repository.add(stranger).await.unwrap();
    scene.add_mood(0.6).await;
    let running = scene.start();
    scene
        .until(&running, |statistics| statistics.undelivered() == 0)
        .await;
    assert_eq!(scene.held("mood-entries"), 1);
    running.stop().await.unwrap();

    // Not even in a run for all users: the only session is not theirs.
    let running = scene.app.processor().unwrap().start_all_users();
    scene.pass(10).await;
    running.stop().await.unwrap();
    assert_eq!(scene.held("mood-entries"), 1);
    let waiting = scene.events(OutboxStatus::Pending).await;
    assert_eq!((waiting.len(), waiting[0].attempt_count), (1, 0));
}

/// Failure 21.
#[tokio::test]
async fn an_expired_token_is_refreshed_once_and_uses_up_no_attempt() {
    let scene = Scene::new().await;
    scene.backend.expire_tokens();
    for valence in [0.1, 0.2, 0.3, 0.4] {
        scene.add_mood(valence).await;
    }
    scene.deliver().await;
    assert_eq!(scene.held("mood-entries"), 4);
    assert_eq!(scene.calls("POST /api/v1/auth/refresh"), 1);
    let events = scene.events(OutboxStatus::Completed).await;
    assert!(events.iter().all(|event| event.attempt_count == 1));
}

/// Failure 21: an unreachable service ends no session.
#[tokio::test]
async fn nobody_is_signed_out_for_being_offline() {
    let scene = Scene::new().await;
    scene.backend.expire_tokens();
    scene.backend.go_offline().await;
    scene.add_mood(0.5).await;
    let running = scene.start();
    scene.pass(10).await;
    assert_eq!(scene.app.ground.session().user(), Some(scene.user()));
    scene.backend.go_online().await.unwrap();
    running.online();
    scene
        .until(&running, |statistics| statistics.undelivered() == 0)
        .await;
    assert_eq!(scene.held("mood-entries"), 1);
}

/// Failure 48.
#[tokio::test]
async fn entries_from_before_signing_in_go_to_the_account() {
    let scene = Scene::signed_out(Settings::new()).await;
    assert_eq!(scene.app.user_id(), BEFORE_AN_ACCOUNT);
    let mut mood = scene.mood(0.5);
    mood.user_id = scene.app.user_id();
    let id = scene.app.repository.add(mood).await.unwrap();
    let user = sign_in(&scene.app).await;
    let moved = scene
        .app
        .repository
        .reassign(BEFORE_AN_ACCOUNT, user.as_str())
        .await
        .unwrap();
    assert_eq!(moved, 1);
    assert_eq!(
        scene.load::<MoodEntry>(id).await.unwrap().user_id,
        user.as_str()
    );
    scene.deliver().await;
    let audit = scene.audit();
    assert_eq!(
        audit.held("mood-entries").next().unwrap().owner,
        user.as_str()
    );
    assert_eq!(
        scene
            .store()
            .statistics(Some(BEFORE_AN_ACCOUNT))
            .await
            .unwrap()
            .total_events,
        0
    );
}
