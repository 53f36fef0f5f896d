//! Accounts: whose entities are sent, and what the service has.

use fitiq::entities::{ProgressEntry, Workout};
use fitiq_core::{LocalId, UserId};

use crate::delivery::meal;
use crate::scene::{EMAIL, PASSWORD, Scene, until};

/// Failure 20: rows of all users went out with the current token.
#[tokio::test]
async fn events_of_another_user_are_not_sent_with_this_users_token() {
    let scene = Scene::new().await;
    let other = UserId::new("somebody-else").unwrap();
    let theirs = Workout {
        user: other.clone(),
        ..scene.workout()
    };
    scene.app.save(theirs.clone()).await.unwrap();
    scene.app.save(scene.workout()).await.unwrap();
    // Even a run for all users has only its own token.
    let running = scene.app.processor().unwrap().start_all_users();
    until(|| async { scene.statistics().await.completed_count == 1 }).await;
    let parked = || async { running.explain(theirs.id).await.unwrap().to_string() };
    until(|| async { parked().await.contains("credentials") }).await;
    running.stop().await.unwrap();
    assert_eq!(scene.event(theirs.id).await.attempt_count, 0);
    assert!(
        scene
            .held("workouts")
            .iter()
            .all(|held| held.owner == scene.user.as_str())
    );
    assert_eq!(scene.calls().len(), 1);
}

/// Failure 43, of the other app, would be this one's as well.
#[tokio::test]
async fn a_restore_brings_back_missing_entities_and_not_deleted_ones() {
    let scene = Scene::new().await;
    let entries: Vec<ProgressEntry> = (1..=3).map(|hour| scene.steps(1.0, hour)).collect();
    for entry in &entries {
        scene.app.save(entry.clone()).await.unwrap();
    }
    scene.app.save(meal(&scene)).await.unwrap();
    scene.deliver().await;
    // One is deleted without the service knowing; one is lost on this device.
    let (deleted, lost) = (entries[0].id, entries[1].id);
    scene.app.delete::<ProgressEntry>(deleted).await.unwrap();
    let lose = scene
        .app
        .write(move |conn| Ok(conn.execute("DELETE FROM entities WHERE id = ?1", [lost])?));
    lose.await.unwrap();
    let restored = scene.app.restore(&scene.user).await.unwrap();
    assert_eq!(
        (restored.restored, restored.known, restored.deleted),
        (1, 2, 1)
    );
    assert_eq!(
        scene.app.load::<ProgressEntry>(deleted).await.unwrap(),
        None
    );
    let again = scene.app.restore(&scene.user).await.unwrap();
    assert_eq!((again.restored, again.known, again.deleted), (0, 3, 1));
    scene.deliver().await;
    assert_eq!(scene.held("progress").len(), 2);
}

#[tokio::test]
async fn data_from_before_the_account_goes_to_the_account() {
    let scene = Scene::new().await;
    let nobody = UserId::new("local").unwrap();
    let entry = ProgressEntry {
        user: nobody.clone(),
        ..scene.steps(1.0, 10)
    };
    scene.app.save(entry.clone()).await.unwrap();
    assert_eq!(scene.app.reassign(&nobody, &scene.user).await.unwrap(), 1);
    scene.deliver().await;
    assert_eq!(scene.held("progress")[0].owner, scene.user.as_str());
    let there: ProgressEntry = scene.app.load(entry.id).await.unwrap().unwrap();
    assert_eq!(there.user, scene.user);
}

#[tokio::test]
async fn signing_out_and_in_again_continues_delivery() {
    let scene = Scene::new().await;
    let id: LocalId = scene.app.save(scene.steps(1.0, 10)).await.unwrap().id();
    let session = scene.app.ground().session();
    session.sign_out().await.unwrap();
    assert!(scene.app.ground().user().is_err());
    session.sign_in(EMAIL, PASSWORD).await.unwrap();
    scene.deliver().await;
    assert!(scene.remote_id(id).await.is_some());
}
